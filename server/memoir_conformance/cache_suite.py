"""What every embedding cache owes its callers, as one suite: subclass it and give it a ``cache`` fixture with
room for some thousand vectors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memoir_server.adapters.embedder.cached import CachedEmbedder
from memoir_server.adapters.embedder.hashing import HashEmbedder
from memoir_server.domain.embedding import EmbedKind, embedding_key, encode_vector
from memoir_server.ports.cache import CacheUnavailable, EmbeddingCache

NAMES = ["a", "b", "c"]
# Examples use keys of their own, so they may share a cache, and every subclass runs the same test.
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]


def keys(count: int) -> list[bytes]:
    """Keys nobody has used: the store may be an old one."""
    return [os.urandom(32) for _ in range(count)]


def vectors(count: int) -> list[bytes]:
    """Encoded vectors of the usual size, all different."""
    return [os.urandom(4 * 384) for _ in range(count)]


def entries(count: int) -> Mapping[bytes, bytes]:
    return dict(zip(keys(count), vectors(count), strict=True))


class CacheSuite:
    """Contract of :class:`memoir_server.ports.cache.EmbeddingCache`."""

    @pytest.fixture
    async def cache(self) -> EmbeddingCache:
        raise NotImplementedError("the subclass gives the cache")

    async def test_unknown_keys_have_no_entry(self, cache: EmbeddingCache) -> None:
        assert await cache.get_many(keys(3)) == [None, None, None]

    async def test_nothing_is_asked_kept_or_purged(self, cache: EmbeddingCache) -> None:
        assert await cache.get_many([]) == []
        await cache.put_many({})
        await cache.purge([])

    async def test_entries_come_back_in_the_order_asked(self, cache: EmbeddingCache) -> None:
        kept = entries(3)
        await cache.put_many(kept)
        first, second, third = kept
        (unknown,) = keys(1)
        asked = [third, unknown, first, third, second]
        assert await cache.get_many(asked) == [kept.get(key) for key in asked]

    @pytest.mark.parametrize("value", [b"", b"\x00", b"\r\n$-1\r\n", bytes(range(256)), bytes(4 * 4096)])
    async def test_any_bytes_come_back_as_they_were(self, cache: EmbeddingCache, value: bytes) -> None:
        (key,) = keys(1)
        await cache.put_many({key: value})
        assert await cache.get_many([key]) == [value]

    async def test_a_value_is_replaced(self, cache: EmbeddingCache) -> None:
        (key,) = keys(1)
        await cache.put_many({key: b"one"})
        await cache.put_many({key: b"another"})
        assert await cache.get_many([key]) == [b"another"]

    async def test_a_large_batch(self, cache: EmbeddingCache) -> None:
        kept = entries(1000)
        await cache.put_many(kept)
        assert await cache.get_many(list(kept)) == list(kept.values())
        await cache.purge(list(kept))
        assert await cache.get_many(list(kept)) == [None] * 1000

    async def test_what_is_at_hand_was_put(self, cache: EmbeddingCache) -> None:
        (key, unknown) = keys(2)
        await cache.put_many({key: b"value"})
        assert cache.at_hand(unknown) is None
        assert cache.at_hand(key) in (None, b"value")
        await cache.purge([key])
        assert cache.at_hand(key) is None

    async def test_a_purge_forgets_its_keys_and_no_others(self, cache: EmbeddingCache) -> None:
        kept = entries(3)
        await cache.put_many(kept)
        first, second, third = kept
        await cache.purge([second, *keys(2)])
        await cache.purge([second])
        assert await cache.get_many([first, second, third]) == [kept[first], None, kept[third]]

    async def test_concurrent_calls_do_not_mix(self, cache: EmbeddingCache) -> None:
        batches = [entries(7) for _ in range(20)]
        await asyncio.gather(*(cache.put_many(batch) for batch in batches))
        answers = await asyncio.gather(*(cache.get_many(list(batch)) for batch in batches))
        assert answers == [list(batch.values()) for batch in batches]

    async def test_a_cancelled_call_harms_no_other(self, cache: EmbeddingCache) -> None:
        kept = entries(40)
        await cache.put_many(kept)
        for turns in range(12):
            doomed = asyncio.ensure_future(cache.get_many(list(kept)))
            for _ in range(turns):
                await asyncio.sleep(0)
            doomed.cancel()
            await asyncio.wait([doomed])
            for key, value in list(kept.items())[:3]:
                assert await cache.get_many([key]) == [value]

    @settings(max_examples=40, deadline=None, suppress_health_check=SHARED)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("put"), st.sampled_from(NAMES), st.binary(max_size=40)),
                st.tuples(st.sampled_from(["get", "purge"]), st.sampled_from(NAMES), st.just(b"")),
            ),
            max_size=12,
        )
    )
    async def test_an_entry_is_what_was_put_last_or_nothing(
        self, cache: EmbeddingCache, steps: list[tuple[str, str, bytes]]
    ) -> None:
        key_of = dict(zip(NAMES, keys(len(NAMES)), strict=True))
        kept: dict[str, bytes] = {}
        purged: set[str] = set()
        for step, name, value in steps:
            key = key_of[name]
            if step == "put":
                await cache.put_many({key: value})
                kept[name] = value
            elif step == "purge":
                await cache.purge([key])
                kept.pop(name, None)
                purged.add(name)
            else:
                (found,) = await cache.get_many([key])
                # A cache may be slow to take up again what was purged.
                assert found == kept.get(name) or (found is None and name in purged)

    async def test_behind_an_embedder_it_changes_no_answer(self, cache: EmbeddingCache) -> None:
        plain, cached = HashEmbedder(), CachedEmbedder(HashEmbedder(), cache)
        texts = [os.urandom(8).hex() for _ in range(5)]
        expected = await plain.embed(texts, kind=EmbedKind.DOCUMENT)
        for _ in range(2):
            assert np.array_equal(await cached.embed(texts, kind=EmbedKind.DOCUMENT), expected)
        assert (cached.hits, cached.misses, cached.cache_failures) == (5, 5, 0)
        (kept,) = await cache.get_many([embedding_key(plain.model, texts[0])])
        assert kept == encode_vector(expected[0])
        await cached.purge(texts)
        assert np.array_equal(await cached.embed(texts, kind=EmbedKind.DOCUMENT), expected)
        assert (cached.hits, cached.misses, cached.cache_failures) == (5, 10, 0)

    async def test_after_close_it_gives_nothing(self, cache: EmbeddingCache) -> None:
        kept = entries(2)
        await cache.put_many(kept)
        await cache.close()
        await cache.close()
        found: list[bytes | None] = [None, None]
        with suppress(CacheUnavailable):
            found = await cache.get_many(list(kept))
        assert found == [None, None]
