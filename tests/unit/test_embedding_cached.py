"""The cache in front of an embedder is invisible in the answers, whatever the cache does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.adapters.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryEmbeddingCache
from memoir_server.adapters.embedder.cached import CachedEmbedder
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vectors, embedding_key
from memoir_server.ports.cache import CacheUnavailable, EmbeddingCache
from memoir_server.ports.embedder import Embedder

DOCUMENT = EmbedKind.DOCUMENT


class GatedEmbedder(Embedder):
    """The hash embedder, counting texts; waits at a gate when it is shut."""

    def __init__(self) -> None:
        self._hash = HashEmbedder()
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    @property
    def model(self) -> EmbeddingModel:
        return self._hash.model

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        self.asked.extend(texts)
        self.reached.set()
        await self.gate.wait()
        return await self._hash.embed(texts, kind=kind)

    async def close(self) -> None:
        await self._hash.close()


class LyingCache(EmbeddingCache):
    """Answers as told, forgets everything."""

    def __init__(self, answer: Sequence[bytes | None] | CacheUnavailable) -> None:
        self._answer = answer

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if isinstance(self._answer, CacheUnavailable):
            raise self._answer
        return list(self._answer)

    async def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        raise CacheUnavailable("down")

    async def purge(self, keys: Sequence[bytes]) -> None:
        raise CacheUnavailable("down")

    async def close(self) -> None:
        return


@given(st.lists(st.lists(st.sampled_from(["a", "b", "tea", "rain", ""])), max_size=6), st.integers(0, 2_000))
async def test_answers_are_those_of_the_embedder(calls: list[list[str]], capacity: int) -> None:
    plain = HashEmbedder()
    cached = CachedEmbedder(HashEmbedder(), MemoryEmbeddingCache(capacity))
    for texts in calls:
        assert np.array_equal(await cached.embed(texts, kind=DOCUMENT), await plain.embed(texts, kind=DOCUMENT))
    assert cached.cache_failures == 0


async def test_a_text_is_embedded_once() -> None:
    inner = GatedEmbedder()
    cached = CachedEmbedder(inner, MemoryEmbeddingCache())
    await cached.embed(["tea", "rain", "tea"], kind=DOCUMENT)
    await cached.embed(["rain", "tea", "sun"], kind=EmbedKind.QUERY)
    assert inner.asked == ["tea", "rain", "sun"]
    assert (cached.hits, cached.misses) == (2, 3)


@pytest.mark.parametrize(
    "answer",
    [
        CacheUnavailable("down"),
        [],
        [None] * 3,
        [b""],
        [b"\x00" * 256],
        [b"\x7f" * 256],
        [b"\xff" * 256],
        [b"\x00" * 255],
    ],
    ids=["down", "too-few", "too-many", "empty", "zeros", "huge", "not-a-number", "cut"],
)
async def test_a_bad_cache_changes_nothing(answer: Sequence[bytes | None] | CacheUnavailable) -> None:
    cached = CachedEmbedder(HashEmbedder(), LyingCache(answer))
    expected = await HashEmbedder().embed(["tea"], kind=DOCUMENT)
    assert np.array_equal(await cached.embed(["tea"], kind=DOCUMENT), expected)
    assert cached.misses == 1
    assert cached.cache_failures == 2  # the bad look-up and the failed keeping


async def test_purge_forgets_and_says_when_it_cannot() -> None:
    inner = GatedEmbedder()
    cached = CachedEmbedder(inner, MemoryEmbeddingCache())
    await cached.embed(["secret", "tea"], kind=DOCUMENT)
    await cached.purge(["secret", "never seen"])
    await cached.embed(["secret", "tea"], kind=DOCUMENT)
    assert inner.asked == ["secret", "tea", "secret"]
    with pytest.raises(CacheUnavailable):
        await CachedEmbedder(HashEmbedder(), LyingCache([])).purge(["secret"])


async def test_purge_reaches_calls_in_flight() -> None:
    inner, cache = GatedEmbedder(), MemoryEmbeddingCache()
    cached = CachedEmbedder(inner, cache)
    inner.gate.clear()
    call = asyncio.create_task(_embed(cached, ["secret", "tea"]))
    await inner.reached.wait()
    await cached.purge(["secret"])
    inner.gate.set()
    assert np.array_equal(await call, await HashEmbedder().embed(["secret", "tea"], kind=DOCUMENT))
    keys = [embedding_key(cached.model, text) for text in ("secret", "tea")]
    secret, tea = await cache.get_many(keys)
    assert secret is None
    assert tea is not None


async def test_memory_cache_is_bounded_and_drops_the_least_recently_used() -> None:
    cost = 1 + 10 + ENTRY_OVERHEAD_BYTES
    cache = MemoryEmbeddingCache(2 * cost)
    await cache.put_many({b"a": b"1" * 10, b"b": b"2" * 10})
    await cache.get_many([b"a"])
    await cache.put_many({b"c": b"3" * 10})
    assert await cache.get_many([b"a", b"b", b"c"]) == [b"1" * 10, None, b"3" * 10]
    assert cache.size_bytes == 2 * cost
    await cache.put_many({b"d": b"4" * 10_000})
    assert len(cache) == 2
    await cache.put_many({b"a": b"5"})
    assert await cache.get_many([b"a"]) == [b"5"]
    await cache.purge([b"a", b"c", b"x"])
    assert (len(cache), cache.size_bytes) == (0, 0)
    with pytest.raises(ValueError, match="capacity_bytes=-1"):
        MemoryEmbeddingCache(-1)


async def _embed(embedder: Embedder, texts: list[str]) -> Vectors:
    return await embedder.embed(texts, kind=DOCUMENT)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "tea", "rain", ""])), max_size=8),
    st.integers(0, 2_000),
)
async def test_what_is_at_hand_is_what_embed_gives(calls: list[tuple[bool, str]], capacity: int) -> None:
    plain = HashEmbedder()
    cached = CachedEmbedder(HashEmbedder(), MemoryEmbeddingCache(capacity))
    for embedding, text in calls:
        if embedding:
            await cached.embed([text], kind=DOCUMENT)
        hits = cached.hits
        vector = cached.at_hand(text, kind=DOCUMENT)
        assert cached.hits == hits + (vector is not None)
        if vector is not None:
            assert np.array_equal(vector, (await plain.embed([text], kind=DOCUMENT))[0])
            assert not vector.flags.writeable
    assert cached.cache_failures == 0


@given(st.lists(st.sampled_from(["a", "b", "tea"])), st.lists(st.sampled_from(["a", "b", "tea", "rain"])))
async def test_all_at_hand_is_each_at_hand(kept: list[str], asked: list[str]) -> None:
    cache = MemoryEmbeddingCache()
    cached = CachedEmbedder(HashEmbedder(), cache)
    await cached.embed(kept, kind=DOCUMENT)
    if "b" in kept:
        await cache.put_many({embedding_key(cached.model, "b", kind=DOCUMENT): b"damaged"})
    hits, failures = cached.hits, cached.cache_failures
    together = cached.all_at_hand(asked, kind=DOCUMENT)
    counted = (cached.hits - hits, cached.cache_failures - failures)
    hits, failures = cached.hits, cached.cache_failures
    alone = [cached.at_hand(text, kind=DOCUMENT) for text in asked]
    assert (cached.hits - hits, cached.cache_failures - failures) == counted
    assert [None if v is None else v.tolist() for v in together] == [None if v is None else v.tolist() for v in alone]
    assert HashEmbedder().all_at_hand(asked, kind=DOCUMENT) == [None] * len(asked)


async def test_nothing_is_at_hand_that_was_not_kept_or_was_purged() -> None:
    cached = CachedEmbedder(HashEmbedder(), MemoryEmbeddingCache())
    assert cached.at_hand("tea", kind=DOCUMENT) is None
    await cached.embed(["tea"], kind=DOCUMENT)
    assert cached.at_hand("tea", kind=DOCUMENT) is not None
    await cached.purge(["tea"])
    assert cached.at_hand("tea", kind=DOCUMENT) is None
    assert (cached.hits, cached.misses, cached.cache_failures) == (1, 1, 0)
    assert HashEmbedder().at_hand("tea", kind=DOCUMENT) is None
    assert CachedEmbedder(HashEmbedder(), LyingCache([])).at_hand("tea", kind=DOCUMENT) is None


@pytest.mark.parametrize("entry", [b"short", bytes(4 * HashEmbedder().model.dimension)])
async def test_a_damaged_entry_is_not_at_hand(entry: bytes) -> None:
    cache = MemoryEmbeddingCache()
    cached = CachedEmbedder(HashEmbedder(), cache)
    await cache.put_many({embedding_key(cached.model, "tea", kind=DOCUMENT): entry})
    assert cached.at_hand("tea", kind=DOCUMENT) is None
    assert (cached.hits, cached.cache_failures) == (0, 1)
