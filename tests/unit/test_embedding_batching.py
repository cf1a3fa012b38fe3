"""Micro-batching: merged, fair, and isolating in cancellation and failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from memoir_server.adapters.embedder.batching import BatchingEmbedder
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable

QUERY, DOCUMENT = EmbedKind.QUERY, EmbedKind.DOCUMENT


class ScriptedEmbedder(Embedder):
    """Records batches, waits at a gate, and fails on poison."""

    def __init__(self) -> None:
        self._hash = HashEmbedder()
        self.batches: list[tuple[EmbedKind, list[str]]] = []
        self.cancelled = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def model(self) -> EmbeddingModel:
        return self._hash.model

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        self.batches.append((kind, list(texts)))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.down:
            raise EmbedderUnavailable(str(self.model), "down", "start it")
        if "poison" in texts:
            raise ValueError("poison")
        return await self._hash.embed(texts, kind=kind)

    async def close(self) -> None:
        await self._hash.close()


async def _embed(embedder: Embedder, texts: list[str], kind: EmbedKind = DOCUMENT) -> Vectors:
    return await embedder.embed(texts, kind=kind)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_concurrent_calls_share_a_batch() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner, max_batch=8)
    results = await asyncio.gather(*(_embed(batching, [f"text {n}"]) for n in range(5)))
    assert [len(texts) for _, texts in inner.batches] == [5]
    for n, vectors in enumerate(results):
        assert np.array_equal(vectors, await HashEmbedder().embed([f"text {n}"], kind=DOCUMENT))


async def test_the_window_lets_later_calls_join() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner, window_seconds=0.05)
    first = asyncio.create_task(_embed(batching, ["one"]))
    await asyncio.sleep(0.005)
    await asyncio.gather(first, _embed(batching, ["two"]))
    assert inner.batches == [(DOCUMENT, ["one", "two"])]


async def test_what_arrives_during_a_batch_makes_the_next() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner)
    inner.gate.clear()
    calls = [asyncio.create_task(_embed(batching, ["first"]))]
    await _settle()
    calls += [asyncio.create_task(_embed(batching, [f"late {n}"])) for n in range(3)]
    await _settle()
    inner.gate.set()
    await asyncio.gather(*calls)
    assert [texts for _, texts in inner.batches] == [["first"], ["late 0", "late 1", "late 2"]]


async def test_a_bulk_caller_does_not_hold_up_a_small_one() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner, max_batch=4)
    order: list[str] = []

    async def call(name: str, texts: list[str]) -> None:
        await _embed(batching, texts)
        order.append(name)

    await asyncio.gather(call("bulk", [f"bulk {n}" for n in range(20)]), call("small", ["small"]))
    assert order == ["small", "bulk"]
    assert "small" in inner.batches[0][1]


async def test_queries_and_documents_take_turns() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner, max_batch=2)
    documents = _embed(batching, [f"document {n}" for n in range(6)])
    queries = _embed(batching, [f"query {n}" for n in range(6)], QUERY)
    await asyncio.gather(documents, queries)
    assert [kind for kind, _ in inner.batches] == [QUERY, DOCUMENT] * 3


async def test_a_cancelled_caller_harms_nobody() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner, max_batch=2)
    inner.gate.clear()
    doomed = asyncio.create_task(_embed(batching, ["a", "b", "c", "d", "e"]))
    kept = asyncio.create_task(_embed(batching, ["tea"]))
    await _settle()
    doomed.cancel()
    await _settle()
    inner.gate.set()
    assert np.array_equal(await kept, await HashEmbedder().embed(["tea"], kind=DOCUMENT))
    assert doomed.cancelled()
    assert inner.cancelled == 0
    assert sum(len(texts) for _, texts in inner.batches) == 2  # its other texts were never embedded


async def test_a_batch_nobody_waits_for_is_cancelled() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner)
    inner.gate.clear()
    calls = [asyncio.create_task(_embed(batching, [text])) for text in "ab"]
    await _settle()
    for call in calls:
        call.cancel()
    await _settle()
    assert inner.cancelled == 1
    inner.gate.set()
    assert (await _embed(batching, ["tea"])).shape == (1, 64)


async def test_an_error_reaches_only_those_concerned() -> None:
    batching = BatchingEmbedder(ScriptedEmbedder())
    calls = [_embed(batching, ["tea"]), _embed(batching, ["poison"]), _embed(batching, ["rain"])]
    good, bad, also_good = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(bad, ValueError)
    assert isinstance(good, np.ndarray)
    assert isinstance(also_good, np.ndarray)


async def test_an_embedder_that_is_down_is_asked_once_per_batch_and_recovers() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner)
    inner.down = True
    results = await asyncio.gather(*(_embed(batching, [text]) for text in "abc"), return_exceptions=True)
    assert all(isinstance(result, EmbedderUnavailable) for result in results)
    assert len(inner.batches) == 1
    inner.down = False
    assert (await _embed(batching, ["tea"])).shape == (1, 64)


async def test_close_answers_everyone_who_waits() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner, max_batch=1)
    inner.gate.clear()
    calls = [asyncio.create_task(_embed(batching, [text])) for text in "abc"]
    await _settle()
    await batching.close()
    results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
    assert [type(result) for result in results] == [EmbedderUnavailable] * 3


async def test_as_many_batches_at_a_time_as_are_allowed() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner, max_batch=2, parallel=2)
    inner.gate.clear()
    texts = [f"text {n}" for n in range(5)]
    bulk = asyncio.create_task(_embed(batching, texts))
    await _settle()
    assert [batch for _, batch in inner.batches] == [texts[:2], texts[2:4]]
    late = asyncio.create_task(_embed(batching, ["late"], QUERY))
    await _settle()
    assert len(inner.batches) == 2
    inner.gate.set()
    assert np.array_equal(await bulk, await HashEmbedder().embed(texts, kind=DOCUMENT))
    assert np.array_equal(await late, await HashEmbedder().embed(["late"], kind=QUERY))
    assert inner.batches[2:] == [(QUERY, ["late"]), (DOCUMENT, texts[4:])]


async def test_close_ends_all_batches() -> None:
    inner = ScriptedEmbedder()
    batching = BatchingEmbedder(inner, max_batch=1, parallel=2)
    inner.gate.clear()
    calls = [asyncio.create_task(_embed(batching, [text])) for text in "abc"]
    await _settle()
    await batching.close()
    results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
    assert [type(result) for result in results] == [EmbedderUnavailable] * 3
    assert inner.cancelled == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_batch": 0}, "max_batch=0"),
        ({"parallel": 0}, "parallel=0"),
        ({"window_seconds": -0.1}, r"window_seconds=-0\.1"),
    ],
)
async def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchingEmbedder(HashEmbedder(), **arguments)
