"""Two embedding caches as one: the process's own memory in front, a shared cache behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memoir_server.adapters.cache.memory import MemoryEmbeddingCache
from memoir_server.domain.store import BreakerState
from memoir_server.ports.cache import CacheUnavailable, EmbeddingCache


class LayeredEmbeddingCache(EmbeddingCache):
    """Answers from `near`, asks `far` for the rest, and keeps near what that had. While `far` is down, `near` goes on
    alone. `get_many` of no keys asks `far` for a sign of life. Closing closes both.

    A purge reaches the near memory of this process and the far cache. What an erasure removes, each server purges by
    itself.
    """

    def __init__(self, near: MemoryEmbeddingCache, far: EmbeddingCache) -> None:
        self._near = near
        self._far = far
        self._purges = 0

    @property
    def breaker(self) -> BreakerState:
        return self._far.breaker

    def at_hand(self, key: bytes) -> bytes | None:
        return self._near.at_hand(key)

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if not keys:
            return await self._far.get_many(keys)
        found = await self._near.get_many(keys)
        missing = [key for key, value in zip(keys, found, strict=True) if value is None]
        if not missing:
            return found
        purges = self._purges
        try:
            answers = await self._far.get_many(missing)
        except CacheUnavailable:
            if len(missing) == len(keys):
                raise
            return found
        if len(answers) != len(missing):
            raise CacheUnavailable(f"cache: {len(answers)} answers to {len(missing)} keys")
        fetched = {key: value for key, value in zip(missing, answers, strict=True) if value is not None}
        # What was read before a purge may be what that purge removed. Nothing can come between this and the keeping:
        # memory never waits.
        if purges == self._purges:
            await self._near.put_many(fetched)
        return [fetched.get(key) if value is None else value for key, value in zip(keys, found, strict=True)]

    async def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        await self._near.put_many(entries)
        await self._far.put_many(entries)

    async def purge(self, keys: Sequence[bytes]) -> None:
        try:
            await self._far.purge(keys)
        finally:
            # Also when the far cache failed: what can be forgotten is.
            self._purges += 1
            await self._near.purge(keys)

    def forget(self) -> None:
        self._purges += 1
        self._near.forget()

    async def close(self) -> None:
        try:
            await self._far.close()
        finally:
            await self._near.close()
