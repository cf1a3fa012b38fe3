"""Embeddings over HTTP: what is sent, what is believed, and where to go when a server is down."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memoir_server.adapters.embedder.fallback import PROBES, FallbackEmbedder
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.adapters.embedder.openai import OpenAIEmbedder, OpenAIEmbedderOptions
from memoir_server.adapters.embedder.portions import PortionedEmbedder
from memoir_server.adapters.provider.key import ProviderKey
from memoir_server.app.providers import build_remote_embedder, remote_model
from memoir_server.app.settings_models import EmbedderSettings, FallbackSettings
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind
from memoir_server.domain.store import BreakerState
from memoir_server.ports.embedder import Embedder, EmbedderMismatch, EmbedderUnavailable
from memoir_server.service.embedding import GuardedEmbedder
from memoir_server.service.guard import GuardOptions
from tests.provider_double import Exchange, Hangs, Page, ProviderDouble, Refuses
from tests.provider_double.embeddings_api import EmbeddingLimits, vector

DOCUMENT, QUERY = EmbedKind.DOCUMENT, EmbedKind.QUERY


@pytest.fixture
def double() -> Iterator[ProviderDouble]:
    with ProviderDouble() as double:
        yield double


@asynccontextmanager
async def remote(*doubles: ProviderDouble, **changes: Any) -> AsyncIterator[Embedder]:
    """The embedder of a server whose settings name the doubles, in their order."""
    first, *others = doubles
    settings = EmbedderSettings(
        adapter="openai",
        model="embed-double",
        dimension=changes.pop("dimension", 96),
        url=f"{first.url}/v1",
        key_variable="KEY",
        fallbacks=tuple(FallbackSettings(url=f"{other.url}/v1") for other in others),
        attempts=changes.pop("attempts", 2),
        **changes,
    )
    embedder = build_remote_embedder(settings, {"KEY": first.key})
    try:
        yield embedder
    finally:
        await embedder.close()


def embedded(double: ProviderDouble) -> list[tuple[str, ...]]:
    """What was embedded with each request, those of the check left out."""
    return [asked.inputs for asked in double.asked() if not any(PROBES[0] in text for text in asked.inputs)]


def unit(model: str, text: str, **how: Any) -> np.ndarray[Any, Any]:
    row = vector(model, text, 96, **how)
    return row / np.linalg.norm(row)


async def test_a_text_gets_its_own_vector_whatever_the_order_of_the_answer(double: ProviderDouble) -> None:
    async with remote(double) as embedder:
        vectors = await embedder.embed(["a", "b", "c"], kind=DOCUMENT)
    assert np.allclose(vectors, [unit("embed-double", text) for text in "abc"], atol=1e-6)
    assert embedded(double) == [("a", "b", "c")]


async def test_portions_keep_to_items_and_tokens(double: ProviderDouble) -> None:
    async with remote(double, max_items=3, max_request_tokens=100) as embedder:
        texts = ["x" * 150, "y" * 150, "a", "b", "c", "d", "e"]
        vectors = await embedder.embed(texts, kind=DOCUMENT)
    assert all(len(request) <= 3 for request in embedded(double))
    assert not any({"x" * 150, "y" * 150} <= set(request) for request in embedded(double))
    assert np.allclose(vectors, [unit("embed-double", text) for text in texts], atol=1e-6)


@pytest.mark.parametrize("argument", ["max_items", "max_tokens", "max_text_tokens"])
def test_portions_of_nothing_are_refused(argument: str) -> None:
    sizes = {"max_items": 1, "max_tokens": 1, "max_text_tokens": 1, argument: 0}
    with pytest.raises(ValueError, match=argument):
        PortionedEmbedder(HashEmbedder(), **sizes)


async def test_a_text_too_long_for_the_server_is_cut_alone() -> None:
    # Two bytes for a token: the first cut, at four, is not enough.
    long = "ж" * 6000
    with ProviderDouble(embeddings=EmbeddingLimits(text_tokens=1000)) as double:
        async with remote(double, max_tokens=2000) as embedder:
            together = await embedder.embed(["short", long], kind=DOCUMENT)
            alone = await embedder.embed([long], kind=DOCUMENT)
    assert np.array_equal(together[1], alone[0])
    assert np.allclose(together[0], unit("embed-double", "short"), atol=1e-6)
    whole = [request[0] for request in embedded(double) if len(request) == 1 and request[0] != "short"]
    assert long.startswith(whole[-1])
    assert len(whole[-1]) >= 500


async def test_a_server_that_takes_no_text_says_so() -> None:
    with ProviderDouble(embeddings=EmbeddingLimits(text_tokens=12)) as double:
        async with remote(double) as embedder:
            with pytest.raises(EmbedderUnavailable, match=r"takes no text at all.*embedder.max_tokens"):
                await embedder.embed(["w" * 200], kind=DOCUMENT)


async def test_the_empty_text_is_sent_as_something_the_api_takes(double: ProviderDouble) -> None:
    async with remote(double) as embedder:
        await embedder.embed([""], kind=DOCUMENT)
    assert embedded(double) == [(" ",)]


async def test_prefixes_and_input_types_tell_queries_from_documents(double: ProviderDouble) -> None:
    async with remote(
        double, query_prefix="search_query: ", document_prefix="search_document: ", query_type="query"
    ) as embedder:
        assert embedder.model.asymmetric
        await embedder.embed(["tea"], kind=QUERY)
        await embedder.embed(["tea"], kind=DOCUMENT)
    assert embedded(double) == [("search_query: tea",), ("search_document: tea",)]
    bodies = [call.body for call in double.calls if "search_query: tea" in call.body["input"]]
    assert bodies[0]["input_type"] == "query"


def test_the_version_tells_prefixes_apart() -> None:
    plain = EmbedderSettings(adapter="openai", model="m", dimension=4)
    assert str(remote_model(plain)) == "m@1"
    assert not remote_model(plain).asymmetric
    prefixed = [remote_model(replace(plain, query_prefix=prefix)).version for prefix in ("", "q: ", "query: ")]
    assert len(set(prefixed)) == 3
    same = remote_model(replace(plain, query_prefix="p: ", document_prefix="p: "))
    assert not same.asymmetric
    assert same.version != "1"


async def test_shorter_vectors_are_asked_for(double: ProviderDouble) -> None:
    async with remote(double, dimension=32, shorten=True) as embedder:
        assert (await embedder.embed(["a"], kind=DOCUMENT)).shape == (1, 32)
    assert all(call.body["dimensions"] == 32 for call in double.calls)


async def test_another_dimension_is_refused_at_the_start(double: ProviderDouble) -> None:
    async with remote(double, dimension=384) as embedder:
        with pytest.raises(EmbedderMismatch) as mismatch:
            await embedder.open()
        assert mismatch.value.key == "embedder.dimension"
        assert mismatch.value.fix.startswith("set embedder.dimension = 96")
        with pytest.raises(EmbedderMismatch):
            await embedder.embed(["a"], kind=DOCUMENT)


async def test_other_weights_behind_a_fallback_are_refused_at_the_start(double: ProviderDouble) -> None:
    with ProviderDouble(embeddings=EmbeddingLimits(weights="quantized beyond recognition")) as other:
        async with remote(double, other) as embedder:
            with pytest.raises(EmbedderMismatch, match="gives other vectors") as mismatch:
                await embedder.open()
            assert mismatch.value.key == "embedder.fallbacks"
            assert other.url in str(mismatch.value.value)


async def test_a_fallback_that_was_down_at_the_start_is_checked_before_it_is_used(
    double: ProviderDouble, caplog: pytest.LogCaptureFixture
) -> None:
    with ProviderDouble(embeddings=EmbeddingLimits(weights="other")) as other:
        other.script.add(Exchange(answers=[Refuses(status=503)] * 2, once=True))
        async with remote(double, other) as embedder:
            with caplog.at_level(logging.WARNING):
                await embedder.open()
            assert "is not checked yet" in caplog.text
            await embedder.embed(["a"], kind=DOCUMENT)
            double.stop()
            with pytest.raises(EmbedderUnavailable):
                await embedder.embed(["b"], kind=DOCUMENT)
        assert embedded(other) == []


async def test_the_next_server_answers_while_the_first_is_down_and_the_first_again_afterwards() -> None:
    with ProviderDouble() as first, ProviderDouble() as second:
        async with remote(first, second) as embedder:
            await embedder.open()
            first.script.add(Exchange(answers=[Refuses(status=500)], once=True))
            during = await embedder.embed(["a"], kind=DOCUMENT)
            after = await embedder.embed(["b"], kind=DOCUMENT)
    assert embedded(second) == [("a",)]
    assert embedded(first) == [("a",), ("b",)]
    assert np.allclose(np.concatenate([during, after]), [unit("embed-double", t) for t in "ab"], atol=1e-6)


async def test_nobody_answers(double: ProviderDouble) -> None:
    with ProviderDouble() as other:
        other.stop()
        async with remote(double, other) as embedder:
            double.script.add(Exchange(answers=[Refuses(status=401)]))
            with pytest.raises(EmbedderUnavailable) as outage:
                await embedder.embed(["a"], kind=DOCUMENT)
    assert not outage.value.lasting, "the one that may come back tells what to expect"


async def test_a_wrong_key_is_not_tried_twice_and_not_shown(double: ProviderDouble) -> None:
    wrong = "sk-embedding-key-0123456789"
    settings = EmbedderSettings(adapter="openai", model="m", dimension=96, url=f"{double.url}/v1", key_variable="KEY")
    embedder = build_remote_embedder(settings, {"KEY": wrong})
    with pytest.raises(EmbedderUnavailable) as refusal:
        await embedder.embed(["a"], kind=DOCUMENT)
    await embedder.close()
    assert refusal.value.lasting
    assert "environment variable KEY" in refusal.value.fix
    shown = f"{refusal.value!r} {refusal.value.__context__!r} {refusal.value.__cause__!r}"
    assert wrong[:8] not in shown
    assert len(double.calls) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_passes_is_tried_again(double: ProviderDouble, status: int) -> None:
    async with remote(double, attempts=3) as embedder:
        await embedder.open()
        double.script.add(Exchange(answers=[Refuses(status=status)], once=True))
        assert np.allclose(await embedder.embed(["a"], kind=DOCUMENT), [unit("embed-double", "a")], atol=1e-6)
    assert embedded(double) == [("a",), ("a",)]


def guarded(double: ProviderDouble, **options: Any) -> GuardedEmbedder:
    """The embedder of one server, with limits of its own."""
    key = ProviderKey(double.key, "here")
    model = EmbeddingModel("embed-double", "1", 96)
    inner = OpenAIEmbedder(OpenAIEmbedderOptions(model=model, url=f"{double.url}/v1", key=key))
    return GuardedEmbedder(inner, GuardOptions(attempts=1, **options), address=inner.address)


async def test_a_server_that_is_down_is_left_alone_after_a_while(double: ProviderDouble) -> None:
    double.script.add(Exchange(answers=[Refuses(status=503)]))
    embedder = guarded(double, breaker_threshold=2, first_pause=1000.0, longest_pause=1000.0)
    for _ in range(2):
        with pytest.raises(EmbedderUnavailable, match="HTTP 503"):
            await embedder.embed(["a"], kind=DOCUMENT)
    with pytest.raises(EmbedderUnavailable, match="has not answered lately") as barred:
        await embedder.embed(["a"], kind=DOCUMENT)
    await embedder.close()
    assert embedder.breaker is not BreakerState.CLOSED
    assert barred.value.retry_after is not None
    assert not barred.value.lasting
    assert len(double.calls) == 2


async def test_a_server_that_hangs_is_given_up_on(double: ProviderDouble) -> None:
    double.script.add(Exchange(answers=[Hangs()]))
    embedder = guarded(double, seconds=0.05)
    with pytest.raises(EmbedderUnavailable, match=r"did not answer in time.*embedder\.seconds"):
        await embedder.embed(["a"], kind=DOCUMENT)
    await embedder.close()


async def test_something_else_that_answers(double: ProviderDouble) -> None:
    double.script.add(Exchange(answers=[Page("<html>hello</html>")]))
    async with remote(double) as embedder:
        with pytest.raises(EmbedderUnavailable, match="does not answer as its API would"):
            await embedder.embed(["a"], kind=DOCUMENT)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('{"data": [], "model": "m"}', "answered 0 vectors for 1 texts"),
        ('{"data": [{"index": 1, "embedding": [1.0]}]}', "answered 1 vectors for 1 texts"),
        ('{"data": [{"index": 0, "embedding": [1.0, 0.0]}, {"index": 0, "embedding": [1.0, 0.0]}]}', "answered 2"),
        ('{"data": [{"index": 0, "embedding": [0.0, 0.0]}]}', "without a direction"),
        ('{"data": [{"index": 0, "embedding": [1e39, 1.0]}]}', "without a direction"),
        ('{"data": [{"index": 0, "embedding": "?"}]}', "what is no vector"),
        ('{"data": [{"index": 0, "embedding": "AAA="}]}', "what is no vector"),
        ('{"data": [{"index": 0, "embedding": [1.0]}]}', "vectors of 1 components"),
        ('{"object": "error", "message": "no"}', "does not answer as its API would"),
    ],
)
async def test_an_answer_is_not_believed_as_it_is(double: ProviderDouble, body: str, problem: str) -> None:
    double.script.add(Exchange(answers=[Page(body, content_type="application/json")]))
    model = EmbeddingModel("m", "1", 2)
    key = ProviderKey(double.key, "here")
    embedder = OpenAIEmbedder(OpenAIEmbedderOptions(model=model, url=f"{double.url}/v1", key=key))
    with pytest.raises(EmbedderUnavailable, match=problem):
        await embedder.embed(["a"], kind=DOCUMENT)
    await embedder.close()


def test_places_of_several_models_are_refused() -> None:
    with pytest.raises(ValueError, match="places of one model"):
        FallbackEmbedder([HashEmbedder(), HashEmbedder(dimension=8)], ["a", "b"])
    with pytest.raises(ValueError, match="at least one"):
        FallbackEmbedder([], [])
