"""Embedding cache shared between servers over the Redis protocol: bounded waits, checked values, a breaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from opentelemetry import metrics
from redis.exceptions import RedisError, ResponseError

from memoir_server.adapters.cache.redis.bounds import CacheBounds
from memoir_server.adapters.cache.redis.breaker import CacheBreaker
from memoir_server.adapters.cache.redis.connections import Connections, Conversation
from memoir_server.adapters.cache.redis.envelope import MAX_SECRET_BYTES, PURGED, Unusable, seal, unseal
from memoir_server.domain.store import BreakerState
from memoir_server.ports.cache import CacheUnavailable, EmbeddingCache

DEFAULT_PREFIX: Final = "memoir:embedding:"

_BATCH: Final = 128
"""Keys per command: the store does nothing else while it runs one."""

# pcall: whatever another program keeps under the name, a list say, is no barrier and is replaced.
_PUT: Final = b"""
for i = 1, #KEYS do
  if redis.pcall('GET', KEYS[i]) ~= ARGV[1] then
    redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[2])
  end
end
return #KEYS
"""

_BAR: Final = b"""
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
end
return #KEYS
"""


class RedisEmbeddingCache(EmbeddingCache):
    """Vectors in a store of the Redis protocol, one string per key, shared by all servers that name the same store,
    database and prefix. Commands used: AUTH, SELECT, INFO, PING, MGET, DEL and EVAL of GET and SET.

    * **Bounded**: no call takes longer than its bound. After some failures in a row a breaker opens: calls fail at
      once, and a task in the background finds out when the store is back.
    * **Checked**: an entry opens only under the key it was put under (:mod:`.envelope`); any other bytes are none.
    * **Purged for good**: a purged key takes no value for `bounds.barrier` seconds, so no write that was under way,
      here or on another server, brings it back. Entries belong to one run of the store's process: what an older
      snapshot brings back after a crash does not open. The bytes of such an entry stay in the store until they expire;
      run the store without snapshots (`save ""`) to be rid of them at once.
    * `get_many` of no keys asks the store for a sign of life.

    Args:
        url: ``redis://[user:password@]host:port/database``, ``rediss://`` for TLS, ``unix://`` for a socket.
        prefix: Begins every key, so that a store can be shared with others.
        secret: Known to all servers that share the cache, at most 64 bytes. With one, nobody who can merely write to
            the store can make an entry that opens.
        bounds: Times and numbers.

    Raises:
        ValueError: If the address is none, the prefix empty or the secret too long.
    """

    def __init__(
        self, url: str, *, prefix: str = DEFAULT_PREFIX, secret: bytes = b"", bounds: CacheBounds | None = None
    ) -> None:
        if not prefix:
            raise ValueError(f"cache prefix={prefix!r}: give a word that no other user of the store begins keys with")
        if len(secret) > MAX_SECRET_BYTES:
            raise ValueError(f"cache secret of {len(secret)} bytes: give at most {MAX_SECRET_BYTES}")
        self._prefix = prefix.encode()
        self._secret = secret
        self._bounds = bounds or CacheBounds()
        self._connections = Connections(url, self._bounds.connections)
        self._breaker = CacheBreaker(
            self._probe,
            threshold=self._bounds.failures,
            first_delay=self._bounds.first_retry,
            last_delay=self._bounds.last_retry,
        )
        self._closed = False
        meter = metrics.get_meter("memoir_server.cache")
        self._entries_counter = meter.create_counter(
            "memoir.cache.shared.entries", "{entry}", "Entries asked of the shared cache"
        )
        self._failure_counter = meter.create_counter(
            "memoir.cache.shared.failures", "{call}", "Calls of the shared cache that failed"
        )

    @property
    def breaker(self) -> BreakerState:
        """State of the breaker: anything but CLOSED means that calls fail without asking the store."""
        return self._breaker.state

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if not keys:
            await self._probe_unless_open()
            return []
        found: list[bytes | None] = []
        async with self._talk(self._bounds.read) as conversation:
            for start in range(0, len(keys), _BATCH):
                batch = keys[start : start + _BATCH]
                entries = await conversation.values([self._prefix + key for key in batch])
                found += [self._opened(key, entry, conversation.run) for key, entry in zip(batch, entries, strict=True)]
        return found

    async def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        if not entries:
            return
        lifetime = _milliseconds(self._bounds.entry)
        async with self._talk(self._bounds.write) as conversation:
            remaining = iter(entries.items())
            while batch := list(islice(remaining, _BATCH)):
                names = [self._prefix + key for key, _ in batch]
                sealed = [seal(key, value, conversation.run, self._secret) for key, value in batch]
                await conversation.ask(b"EVAL", _PUT, b"%d" % len(names), *names, PURGED, lifetime, *sealed)

    async def purge(self, keys: Sequence[bytes]) -> None:
        lifetime = _milliseconds(self._bounds.barrier)
        for start in range(0, len(keys), _BATCH):
            names = [self._prefix + key for key in keys[start : start + _BATCH]]
            # The breaker has no say: an erasure would rather wait than leave something behind.
            async with self._talk(self._bounds.purge, even_if_open=True) as conversation:
                # First of all: a full store takes no barriers, but there is room after this.
                await conversation.ask(b"DEL", *names)
                await conversation.ask(b"EVAL", _BAR, b"%d" % len(names), *names, PURGED, lifetime)

    async def close(self) -> None:
        self._closed = True
        await self._breaker.close()
        await self._connections.close()

    def _opened(self, key: bytes, entry: bytes | None, run: bytes) -> bytes | None:
        value = None if entry is None else unseal(key, entry, run, self._secret)
        result = "miss" if value is None else value.value if isinstance(value, Unusable) else "hit"
        self._entries_counter.add(1, {"memoir.cache.result": result})
        return None if isinstance(value, Unusable) else value

    async def _probe_unless_open(self) -> None:
        if self.breaker is not BreakerState.CLOSED:
            raise CacheUnavailable("cache: does not answer and is tried again in the background")
        await self._probe()

    async def _probe(self) -> None:
        async with self._talk(self._bounds.probe, even_if_open=True) as conversation:
            await conversation.ask(b"PING")

    @asynccontextmanager
    async def _talk(self, seconds: float, *, even_if_open: bool = False) -> AsyncIterator[Conversation]:
        """A connection for at most `seconds`; every failure becomes CacheUnavailable and is counted."""
        if self._closed:
            raise CacheUnavailable("cache: closed")
        if not even_if_open and self.breaker is not BreakerState.CLOSED:
            self._failure_counter.add(1, {"memoir.cache.failure": "breaker open"})
            raise CacheUnavailable("cache: does not answer and is tried again in the background")
        try:
            async with asyncio.timeout(seconds), self._connections.borrowed() as conversation:
                yield conversation
        except ResponseError as error:
            # The store is there and quick about it: full, read-only, a command forbidden. Reads may well work.
            self._failure_counter.add(1, {"memoir.cache.failure": "refused"})
            raise CacheUnavailable(f"cache: refused: {error}") from error
        except TimeoutError as error:
            self._failed("slow")
            raise CacheUnavailable(f"cache: no answer within {seconds} s") from error
        except (RedisError, OSError, ValueError) as error:
            self._failed("unreachable")
            raise CacheUnavailable(f"cache: {error}") from error
        self._breaker.succeeded()

    def _failed(self, failure: str) -> None:
        self._failure_counter.add(1, {"memoir.cache.failure": failure})
        if not self._closed:
            self._breaker.failed()


def _milliseconds(seconds: float) -> bytes:
    return b"%d" % max(1, round(seconds * 1000))
