"""The language model of the servers of these tests: the double of a provider, which answers the conversation of the
operations alike, however often it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.provider_double import ProviderDouble
from tests.service.inference import decisions, fact, facts

_FACTS = facts(
    fact("Ann planted a walnut tree.", "I planted a walnut tree"),
    fact("Ann cooks with saffron.", "I cook with saffron", 1),
)
_DECISIONS = decisions((1, "ADD"), (2, "SUPERSEDE", 1))


@contextmanager
def language_model() -> Iterator[Mapping[str, str]]:
    """Variables for servers that ask it."""
    with ProviderDouble() as double:
        double.says(_FACTS, form="remember")
        double.says(_DECISIONS, form="reconcile")
        yield {
            "MEMOIR_REASONER__ADAPTER": "anthropic",
            "MEMOIR_REASONER__MODEL": "double-1",
            "MEMOIR_REASONER__URL": double.url,
            "ANTHROPIC_API_KEY": double.key,
            # The hash embedder knows no meaning: whatever is stored is offered.
            "MEMOIR_INFERENCE__COSINE": "-1",
        }
