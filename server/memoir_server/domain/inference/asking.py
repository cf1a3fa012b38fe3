"""The questions, put together: the fixed text of a prompt file, and the data of a call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from memoir_server.domain.inference.extraction import EXTRACTION_SCHEMA
from memoir_server.domain.inference.facts import GroundedFact, GroundedRequest
from memoir_server.domain.inference.policy import INFERRED_KINDS, Policy
from memoir_server.domain.inference.prompt_text import PromptText
from memoir_server.domain.inference.reconciliation import RECONCILE_SCHEMA, Offers
from memoir_server.domain.inference.rendering import KIND_NAMES, block, clock, data_line, memory_line
from memoir_server.domain.inference.turns import shortened
from memoir_server.domain.inference.windowing import Window
from memoir_server.domain.reasoning import ImagePart, Prompt, TextPart

EXTRACT_OUTPUT: Final = 8192
"""Tokens of an extraction at most: those of 64 facts with room to spare."""
RECONCILE_OUTPUT: Final = 4096
IMAGE_OUTPUT: Final = 1024
MAX_REPAIRED: Final = 20_000
"""Characters of a wrong answer that are shown to the model again."""


def ask_facts(text: PromptText, window: Window, policy: Policy) -> Prompt:
    """The question that takes facts from a window; `text` is the prompt `extract` or `procedure`."""
    blocks = [*_wishes(policy)]
    if window.earlier:
        blocks.append(block("earlier", window.earlier))
    blocks.append(block("messages", window.lines))
    return Prompt(
        name=text.name,
        version=f"v{text.version}",
        system=text.text,
        content=(TextPart("\n".join(blocks)),),
        schema=EXTRACTION_SCHEMA,
        max_output=EXTRACT_OUTPUT,
    )


def ask_decisions(
    text: PromptText, facts: Sequence[GroundedFact], forget: Sequence[GroundedRequest], offers: Offers
) -> Prompt:
    """The question that holds new facts and requests to forget against what is stored."""
    memories = block("memories", [memory_line(number, each) for number, each in enumerate(offers.memories, start=1)])
    items = block("items", [*_fact_lines(facts), *_request_lines(forget, len(facts))])
    return Prompt(
        name=text.name,
        version=f"v{text.version}",
        system=text.text,
        content=(TextPart(f"{memories}\n{items}"),),
        schema=RECONCILE_SCHEMA,
        max_output=RECONCILE_OUTPUT,
    )


def ask_again(text: PromptText, asked: Prompt, output: str, problems: Sequence[str]) -> Prompt:
    """The one repair: the same question, what was answered, and what is wrong with it. The fixed part stays as it was,
    so that it comes from the provider's cache."""
    wrong = block("answer", [data_line(text=shortened(output, MAX_REPAIRED))])
    found = block("problems", [data_line(problem=problem) for problem in problems])
    return replace(
        asked,
        name=text.name,
        version=f"v{text.version}",
        content=(*asked.content, TextPart(f"{text.text}\n{wrong}\n{found}")),
    )


def ask_image(text: PromptText, image: ImagePart) -> Prompt:
    """The question what an image shows; the answer is plain text."""
    return Prompt(
        name=text.name,
        version=f"v{text.version}",
        system=text.text,
        content=(image, TextPart("Describe this image.")),
        max_output=IMAGE_OUTPUT,
    )


def _wishes(policy: Policy) -> Iterator[str]:
    lines = [data_line(wish=instruction) for instruction in policy.instructions]
    if policy.kinds != INFERRED_KINDS:
        kept = ", ".join(KIND_NAMES[kind] for kind in sorted(policy.kinds))
        lines.append(data_line(wish=f"Only facts of these kinds: {kept}."))
    if policy.language:
        lines.append(
            data_line(wish=f"Write the text of facts in the language {policy.language}; quotes stay as they are.")
        )
    if lines:
        yield block("wishes", lines)


def _fact_lines(facts: Sequence[GroundedFact]) -> Iterator[str]:
    for number, fact in enumerate(facts, start=1):
        fields: dict[str, object] = {"item": number, "kind": KIND_NAMES[fact.kind]}
        if fact.validity.valid_from is not None:
            fields["from"] = clock(fact.validity.valid_from)
        if fact.validity.valid_until is not None:
            fields["until"] = clock(fact.validity.valid_until)
        yield data_line(**fields, text=fact.text)


def _request_lines(forget: Sequence[GroundedRequest], before: int) -> Iterator[str]:
    for number, request in enumerate(forget, start=before + 1):
        yield data_line(item=number, forget=request.what, quote=request.source.quote)
