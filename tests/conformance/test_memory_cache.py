"""The cache in process memory, alone and in front of another: the suite of every cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from memoir_conformance.cache_suite import CacheSuite
from memoir_server.adapters.cache.layered import LayeredEmbeddingCache
from memoir_server.adapters.cache.memory import MemoryEmbeddingCache
from memoir_server.ports.cache import CacheUnavailable, EmbeddingCache

KEY, OTHER = b"k" * 32, b"o" * 32


class FarCache(MemoryEmbeddingCache):
    """A cache elsewhere: it can be out of reach, and its answers take until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.asked: list[list[bytes]] = []
        self.reached = asyncio.Event()
        self.through = asyncio.Event()
        self.through.set()

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self._reach()
        self.asked.append(list(keys))
        self.reached.set()
        found = await super().get_many(keys)
        await self.through.wait()
        return found

    async def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        self._reach()
        await super().put_many(entries)

    async def purge(self, keys: Sequence[bytes]) -> None:
        self._reach()
        await super().purge(keys)

    def _reach(self) -> None:
        if self.down:
            raise CacheUnavailable("down")


class TestMemoryCache(CacheSuite):
    @pytest.fixture
    async def cache(self) -> AsyncIterator[EmbeddingCache]:
        cache = MemoryEmbeddingCache()
        yield cache
        await cache.close()


class TestLayeredCache(CacheSuite):
    @pytest.fixture
    async def cache(self) -> AsyncIterator[EmbeddingCache]:
        cache = LayeredEmbeddingCache(MemoryEmbeddingCache(), MemoryEmbeddingCache())
        yield cache
        await cache.close()


class TestLayeredCacheWithALittleMemory(CacheSuite):
    """Nearly everything is answered by the cache behind."""

    @pytest.fixture
    async def cache(self) -> AsyncIterator[EmbeddingCache]:
        cache = LayeredEmbeddingCache(MemoryEmbeddingCache(1000), MemoryEmbeddingCache())
        yield cache
        await cache.close()


async def test_what_the_far_cache_had_is_at_hand_from_then_on() -> None:
    far = FarCache()
    cache = LayeredEmbeddingCache(MemoryEmbeddingCache(), far)
    await far.put_many({KEY: b"value"})
    assert cache.at_hand(KEY) is None
    assert await cache.get_many([KEY, OTHER]) == [b"value", None]
    assert cache.at_hand(KEY) == b"value"
    await cache.get_many([KEY])
    await cache.get_many([KEY, OTHER])
    assert far.asked == [[KEY, OTHER], [OTHER]]


async def test_memory_goes_on_alone_while_the_far_cache_is_down() -> None:
    far = FarCache()
    cache = LayeredEmbeddingCache(MemoryEmbeddingCache(), far)
    far.down = True
    with pytest.raises(CacheUnavailable):
        await cache.put_many({KEY: b"value"})
    assert await cache.get_many([KEY, OTHER]) == [b"value", None]
    for keys in ([OTHER], []):
        with pytest.raises(CacheUnavailable):
            await cache.get_many(keys)
    with pytest.raises(CacheUnavailable):
        await cache.purge([KEY])
    assert cache.at_hand(KEY) is None


async def test_a_purge_wins_over_an_answer_on_its_way() -> None:
    far = FarCache()
    cache = LayeredEmbeddingCache(MemoryEmbeddingCache(), far)
    await far.put_many({KEY: b"value"})
    far.through.clear()
    asking = asyncio.ensure_future(cache.get_many([KEY]))
    await far.reached.wait()
    await cache.purge([KEY])
    far.through.set()
    await asking
    assert cache.at_hand(KEY) is None
    assert await cache.get_many([KEY]) == [None]


async def test_a_far_cache_that_miscounts_is_none() -> None:
    class Miscounting(FarCache):
        async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
            return [b"value"]

    cache = LayeredEmbeddingCache(MemoryEmbeddingCache(), Miscounting())
    with pytest.raises(CacheUnavailable, match="1 answers to 2 keys"):
        await cache.get_many([KEY, OTHER])
    assert cache.at_hand(KEY) is None
