"""The shared cache on a real Redis: the suite of every cache, and what only a store of its own can suffer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis as RedisClient
from redis.asyncio.connection import AbstractConnection

from memoir_conformance.cache_suite import CacheSuite, entries, keys
from memoir_server.adapters.cache.layered import LayeredEmbeddingCache
from memoir_server.adapters.cache.memory import MemoryEmbeddingCache
from memoir_server.adapters.cache.redis import CacheBounds, RedisEmbeddingCache
from memoir_server.adapters.embedder.cached import CachedEmbedder
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.domain.embedding import EmbedKind, embedding_key
from memoir_server.domain.store import BreakerState
from memoir_server.ports.cache import CacheUnavailable, EmbeddingCache
from stores.four import bounded_stores
from stores.redis import Redis

pytestmark = pytest.mark.stores

PREFIX = "memoir:embedding:"
# Wide, so that a busy machine is no failure of the cache.
PATIENT = CacheBounds(read=10, write=10, purge=10, probe=10)
# Narrow, where the store will not answer.
HASTY = CacheBounds(read=0.2, write=0.2, purge=0.5, probe=5, first_retry=0.05, last_retry=0.1)
TEXTS = ["tea", "rain", "Anna moved to Lisbon in March."]


@pytest.fixture(scope="module")
def store() -> Iterator[Redis]:
    with bounded_stores(("redis",), seconds=900) as stores:
        yield stores.redis


@pytest.fixture
def bounds() -> CacheBounds:
    return PATIENT


@pytest.fixture
async def cache(store: Redis, bounds: CacheBounds) -> AsyncIterator[RedisEmbeddingCache]:
    async with opened(store, bounds) as cache:
        yield cache


@pytest.fixture
async def raw(store: Redis) -> AsyncIterator[Any]:
    """Somebody else's client on the same store."""
    client = RedisClient.from_url(store.address.url)
    yield client
    await client.aclose()


@asynccontextmanager
async def opened(store: Redis, bounds: CacheBounds = PATIENT, **settings: Any) -> AsyncIterator[RedisEmbeddingCache]:
    cache = RedisEmbeddingCache(store.address.url, bounds=bounds, **settings)
    try:
        yield cache
    finally:
        await cache.close()


def name(key: bytes) -> bytes:
    return PREFIX.encode() + key


async def answers_are_right(cache: EmbeddingCache, texts: list[str] = TEXTS) -> CachedEmbedder:
    """Embeds through the cache and compares with the bare embedder."""
    cached = CachedEmbedder(HashEmbedder(), cache)
    expected = await HashEmbedder().embed(texts, kind=EmbedKind.QUERY)
    assert np.array_equal(await cached.embed(texts, kind=EmbedKind.QUERY), expected)
    return cached


async def until_closed(cache: RedisEmbeddingCache) -> None:
    async with asyncio.timeout(30):
        while cache.breaker is not BreakerState.CLOSED:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.01)


async def until_open(cache: RedisEmbeddingCache) -> None:
    async with asyncio.timeout(30):
        while cache.breaker is BreakerState.CLOSED:
            with suppress(CacheUnavailable):
                await cache.get_many(keys(1))


@asynccontextmanager
async def suspended(store: Redis) -> AsyncIterator[None]:
    await asyncio.to_thread(store.suspend)
    try:
        yield
    finally:
        await asyncio.to_thread(store.resume)


class TestRedisCache(CacheSuite):
    @pytest.fixture
    async def cache(self, store: Redis) -> AsyncIterator[EmbeddingCache]:
        async with opened(store) as cache:
            yield cache


class TestRedisCacheBehindMemory(CacheSuite):
    @pytest.fixture
    async def cache(self, store: Redis) -> AsyncIterator[EmbeddingCache]:
        cache = LayeredEmbeddingCache(MemoryEmbeddingCache(), RedisEmbeddingCache(store.address.url, bounds=PATIENT))
        yield cache
        await cache.close()


async def test_servers_share_it(store: Redis, cache: RedisEmbeddingCache) -> None:
    kept = entries(3)
    await cache.put_many(kept)
    async with opened(store) as other, opened(store, prefix="somebody:") as stranger:
        assert await other.get_many(list(kept)) == list(kept.values())
        assert await stranger.get_many(list(kept)) == [None] * 3
        await other.purge(list(kept)[:2])
    assert await cache.get_many(list(kept)) == [None, None, list(kept.values())[2]]


async def test_a_purge_on_one_server_wins_over_a_late_write_of_another(
    store: Redis, cache: RedisEmbeddingCache
) -> None:
    kept = entries(2)
    erased, other = kept
    await cache.get_many(list(kept))  # the other server looks up, and begins to embed
    async with opened(store, replace(PATIENT, barrier=0.2)) as eraser:
        await eraser.purge([erased])
        await cache.put_many(kept)
        assert await cache.get_many([erased, other]) in ([None, kept[other]], list(kept.values()))
        await eraser.purge([erased])
    async with opened(store) as eraser:
        await eraser.purge([erased])
        await cache.put_many(kept)
        assert await cache.get_many([erased, other]) == [None, kept[other]]


async def test_the_barrier_of_a_purge_goes_in_time(store: Redis, cache: RedisEmbeddingCache) -> None:
    (key,) = keys(1)
    async with opened(store, replace(PATIENT, barrier=0.01)) as eraser:
        await eraser.purge([key])
    async with asyncio.timeout(30):
        while await cache.get_many([key]) == [None]:
            await cache.put_many({key: b"said again"})
    assert await cache.get_many([key]) == [b"said again"]


async def test_entries_and_barriers_expire(store: Redis, raw: Any) -> None:
    kept, gone = keys(2)
    async with opened(store, replace(PATIENT, entry=100, barrier=50)) as cache:
        await cache.put_many({kept: b"value"})
        await cache.purge([gone])
        assert 50_000 < await raw.pttl(name(kept)) <= 100_000
        assert 0 < await raw.pttl(name(gone)) <= 50_000
    async with opened(store, replace(PATIENT, entry=0.01)) as cache:
        await cache.put_many({kept: b"value"})
        async with asyncio.timeout(30):
            while await raw.exists(name(kept)):  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.01)
        assert await cache.get_many([kept]) == [None]


@pytest.mark.parametrize(
    "value", [b"", b"short", b"\x01" * 25, b"\x00" * 1561, os.urandom(1561), b"12"], ids=lambda value: str(len(value))
)
async def test_another_programs_strings_are_no_entries(cache: RedisEmbeddingCache, raw: Any, value: bytes) -> None:
    (key,) = keys(1)
    await raw.set(name(key), value)
    assert await cache.get_many([key]) == [None]
    await cache.put_many({key: b"ours"})
    assert await cache.get_many([key]) == [b"ours"]


async def test_another_programs_structures_are_no_entries(cache: RedisEmbeddingCache, raw: Any) -> None:
    listed, hashed, kept = keys(3)
    await raw.rpush(name(listed), b"a", b"b")
    await raw.hset(name(hashed), "field", "value")
    await cache.put_many({kept: b"value"})
    assert await cache.get_many([listed, kept, hashed]) == [None, b"value", None]
    await cache.put_many({listed: b"ours"})
    await cache.purge([hashed])
    assert await cache.get_many([listed, hashed]) == [b"ours", None]


async def test_an_entry_damaged_anywhere_does_not_open(cache: RedisEmbeddingCache, raw: Any) -> None:
    (key,) = keys(1)
    await cache.put_many({key: b"a vector"})
    entry = await raw.get(name(key))
    for place in range(len(entry)):
        await raw.set(name(key), entry[:place] + bytes([entry[place] ^ 4]) + entry[place + 1 :])
        assert await cache.get_many([key]) == [None]
        await raw.set(name(key), entry[:place])
        assert await cache.get_many([key]) == [None]
    await raw.set(name(key), entry + b"\x00")
    assert await cache.get_many([key]) == [None]
    await raw.set(name(key), entry)
    assert await cache.get_many([key]) == [b"a vector"]


async def test_another_models_vector_does_not_open(cache: RedisEmbeddingCache, raw: Any) -> None:
    model = HashEmbedder().model
    later = replace(model, version=model.version + "-later")
    await answers_are_right(cache, ["tea"])
    await raw.copy(name(embedding_key(model, "tea")), name(embedding_key(later, "tea")))
    assert await cache.get_many([embedding_key(later, "tea")]) == [None]


async def test_entries_of_another_secret_do_not_open(store: Redis) -> None:
    (key,) = keys(1)
    async with opened(store) as plain, opened(store, secret=b"s1") as one, opened(store, secret=b"s2") as other:
        await one.put_many({key: b"value"})
        assert [await each.get_many([key]) for each in (plain, one, other)] == [[None], [b"value"], [None]]


async def test_a_lying_cache_changes_no_answer(cache: RedisEmbeddingCache, raw: Any) -> None:
    model = HashEmbedder().model
    await answers_are_right(cache)
    first, second, third = (name(embedding_key(model, text)) for text in TEXTS)
    await raw.copy(second, first, replace=True)
    await raw.set(second, os.urandom(2000))
    await raw.delete(third)
    await raw.sadd(third, "x")
    cached = await answers_are_right(cache)
    assert (cached.hits, cached.misses) == (0, 3)
    cached = await answers_are_right(cache)
    assert (cached.hits, cached.misses, cached.cache_failures) == (3, 0, 0)


async def test_killed_and_back_while_in_use(store: Redis) -> None:
    async with opened(store, replace(PATIENT, first_retry=0.02, last_retry=0.05)) as cache:
        down = asyncio.Event()

        async def use() -> None:
            while not down.is_set():
                await answers_are_right(cache, [os.urandom(4).hex() for _ in range(3)])
                await asyncio.sleep(0)  # an open breaker and the hash embedder never wait

        users = [asyncio.create_task(use()) for _ in range(4)]
        try:
            for _ in range(2):
                await asyncio.sleep(0.05)
                await asyncio.to_thread(store.kill)
                await until_open(cache)
                with pytest.raises(CacheUnavailable):
                    await cache.purge(keys(1))
                await asyncio.to_thread(store.start)
                await until_closed(cache)
        finally:
            down.set()
            await asyncio.gather(*users)
        kept = entries(2)
        await cache.put_many(kept)
        assert await cache.get_many(list(kept)) == list(kept.values())


async def test_a_connection_reset_just_before_it_is_written_to(
    store: Redis, cache: RedisEmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop, on which servers run, answers such a write with an error of its own."""
    put = entries(1)
    await cache.put_many(put)

    async def closed(*_: object, **__: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    with monkeypatch.context() as patched:
        patched.setattr(AbstractConnection, "send_command", closed)
        with pytest.raises(CacheUnavailable, match="closed"):
            await cache.get_many(list(put))
    assert await cache.get_many(list(put)) == list(put.values())


async def test_a_snapshot_does_not_bring_back_what_was_purged(store: Redis, raw: Any) -> None:
    kept = entries(2)
    async with opened(store) as cache:
        await cache.put_many(kept)
        await raw.save()
        await cache.purge([next(iter(kept))])
    await asyncio.to_thread(store.kill)
    await asyncio.to_thread(store.start)
    assert await raw.exists(*(name(key) for key in kept)) == 2  # the store did bring both back
    async with opened(store) as cache:
        assert await cache.get_many(list(kept)) == [None, None]
        await cache.put_many(kept)
        assert await cache.get_many(list(kept)) == list(kept.values())


async def test_suspended_it_costs_a_bound_and_then_nothing(store: Redis) -> None:
    async with opened(store, HASTY) as cache:
        kept = entries(1)
        await until_answering(cache, kept)
        async with suspended(store):
            await until_open(cache)
            for _ in range(1000):  # at 0.2 s each this would outlive the test
                with pytest.raises(CacheUnavailable):
                    await cache.get_many(list(kept))
            with pytest.raises(CacheUnavailable):
                await cache.get_many([])
            await answers_are_right(cache)
        await until_closed(cache)
        await until_answering(cache, entries(1))


async def test_a_purge_says_so_when_the_store_is_suspended_and_tries_though_the_breaker_is_open(store: Redis) -> None:
    kept = entries(1)
    patient = replace(HASTY, purge=30, probe=0.1, first_retry=60, last_retry=60)
    async with opened(store, HASTY) as cache, opened(store, patient) as eraser:
        await until_answering(cache, kept)
        async with suspended(store):
            with pytest.raises(CacheUnavailable):
                await cache.purge(list(kept))
            await until_open(eraser)
            purge = asyncio.create_task(eraser.purge(list(kept)))
            await asyncio.sleep(0.05)
            assert not purge.done()
        await purge
        assert eraser.breaker is not BreakerState.CLOSED
    async with opened(store) as cache:
        assert await cache.get_many(list(kept)) == [None]


async def test_a_write_given_up_on_does_not_outlive_a_purge(store: Redis) -> None:
    kept = entries(300)
    async with opened(store) as cache, opened(store, HASTY) as hasty:
        await until_answering(hasty, entries(1))
        async with suspended(store):
            with pytest.raises(CacheUnavailable):
                await hasty.put_many(kept)
        # What reached the store's socket is carried out now, before the purge or after it.
        await cache.purge(list(kept))
        for _ in range(20):
            assert await cache.get_many(list(kept)) == [None] * len(kept)


async def until_answering(cache: RedisEmbeddingCache, kept: Any) -> None:
    """Bounds are narrow, the machine may be busy."""
    async with asyncio.timeout(30):
        while True:
            with suppress(CacheUnavailable):
                await cache.put_many(kept)
                if await cache.get_many(list(kept)) == list(kept.values()):
                    return
            await asyncio.sleep(0.01)


@contextmanager
def full(store: Redis) -> Iterator[None]:
    """The store takes no more writes."""
    store.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    store.command("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        store.command("CONFIG", "SET", "maxmemory", "256mb")
        store.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")


async def test_full_it_answers_and_takes_nothing(store: Redis, cache: RedisEmbeddingCache, raw: Any) -> None:
    kept = entries(3)
    await cache.put_many(kept)
    first, second, third = kept
    with full(store):
        with pytest.raises(CacheUnavailable, match=r"refused: .*maxmemory"):
            await cache.put_many(entries(1))
        assert await cache.get_many([first, second]) == [kept[first], kept[second]]
        assert cache.breaker is BreakerState.CLOSED
        await answers_are_right(cache, [os.urandom(4).hex()])
        # The entry goes; that nothing brings it back cannot be promised.
        with pytest.raises(CacheUnavailable):
            await cache.purge([first])
        assert await raw.exists(name(first)) == 0
    await cache.purge([first, second])
    assert await cache.get_many([first, second, third]) == [None, None, kept[third]]


async def test_a_store_that_fills_up_makes_room_for_a_purge(store: Redis, cache: RedisEmbeddingCache, raw: Any) -> None:
    await raw.flushall()
    used = (await raw.info("memory"))["used_memory"]
    await raw.config_set("maxmemory-policy", "noeviction")
    await raw.config_set("maxmemory", used + 4_000_000)
    try:
        kept = entries(5000)
        with pytest.raises(CacheUnavailable, match="refused"):
            await cache.put_many(kept)
        await cache.purge(list(kept))
        assert await cache.get_many(list(kept)) == [None] * len(kept)
        await cache.put_many(entries(100))
    finally:
        await raw.config_set("maxmemory", "256mb")
        await raw.config_set("maxmemory-policy", "allkeys-lru")


async def test_eviction_is_a_miss(store: Redis, cache: RedisEmbeddingCache, raw: Any) -> None:
    used = (await raw.info("memory"))["used_memory"]
    await raw.config_set("maxmemory", used + 2_000_000)
    try:
        kept = [entries(100) for _ in range(30)]
        for batch in kept:
            await cache.put_many(batch)
        found = [value for batch in kept for value in await cache.get_many(list(batch))]
        expected = [value for batch in kept for value in batch.values()]
        assert None in found
        assert all(value in (None, right) for value, right in zip(found, expected, strict=True))
    finally:
        await raw.config_set("maxmemory", "256mb")


async def test_a_wrong_password_is_a_cache_that_is_down(store: Redis) -> None:
    where = store.address
    for user in ("", "nobody"):
        cache = RedisEmbeddingCache(f"redis://{user}:not-it@{where.host}:{where.port}/0", bounds=PATIENT)
        try:
            with pytest.raises(CacheUnavailable, match="invalid username-password pair") as failure:
                await cache.get_many(keys(1))
            assert "not-it" not in str(failure.value)
            with pytest.raises(CacheUnavailable):
                await cache.purge(keys(1))
            await answers_are_right(cache)
        finally:
            await cache.close()


async def test_a_user_without_rights_is_refused_and_others_are_not_disturbed(
    store: Redis, cache: RedisEmbeddingCache, raw: Any
) -> None:
    await raw.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~memoir:*", "+mget", "+info", "+ping")
    kept = entries(1)
    await cache.put_many(kept)
    where = store.address
    reader = RedisEmbeddingCache(f"redis://reader:pw@{where.host}:{where.port}/0", bounds=PATIENT)
    try:
        assert await reader.get_many(list(kept)) == list(kept.values())
        for refused in (reader.put_many(entries(1)), reader.purge(list(kept))):
            with pytest.raises(CacheUnavailable, match=r"refused: .*permission"):
                await refused
        assert reader.breaker is BreakerState.CLOSED
        assert await reader.get_many(list(kept)) == list(kept.values())
    finally:
        await reader.close()
        await raw.execute_command("ACL", "DELUSER", "reader")


async def test_the_rights_it_says_it_needs_are_enough(store: Redis, raw: Any) -> None:
    rights = "+ping +info +mget +del +eval +get +set".split()
    await raw.execute_command("ACL", "SETUSER", "memoir", "on", ">pw", f"~{PREFIX}*", *rights)
    where = store.address
    cache = RedisEmbeddingCache(f"redis://memoir:pw@{where.host}:{where.port}/0", bounds=PATIENT)
    kept = entries(2)
    try:
        assert await cache.get_many([]) == []
        await cache.put_many(kept)
        assert await cache.get_many(list(kept)) == list(kept.values())
        await cache.purge(list(kept))
    finally:
        await cache.close()
        await raw.execute_command("ACL", "DELUSER", "memoir")
