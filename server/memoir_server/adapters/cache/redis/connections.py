"""Connections to one store, each knowing which run of the store it talks to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, InvalidResponse, ResponseError

from memoir_server.adapters.cache.redis.envelope import run_tag

# A run is named by the server itself where it can be (Redis, Valkey), else by its replication history, which there
# begins anew at every start.
_NAMES_OF_A_RUN: Final = ((b"server", b"run_id:"), (b"replication", b"master_replid:"))


class RunUnknown(ConnectionError):
    """The store does not say which run of it answers, so nobody could tell what a restart brought back."""


class Connections:
    """At most `limit` connections, made when needed and used again.

    What redis-py pools, and not its pool: giving a connection back never waits here, so that a caller which is
    cancelled at whatever moment leaves no place occupied.

    Raises:
        ValueError: If the address is none.
    """

    def __init__(self, url: str, limit: int) -> None:
        # One attempt: a cache is not worth a second one, the caller's bound would cut it anyway.
        retry = Retry(NoBackoff(), 0)
        try:
            self._factory = ConnectionPool.from_url(
                url, protocol=2, decode_responses=False, retry=retry, redis_connect_func=self._greet
            )
        except ValueError as error:
            # The address itself may hold a password.
            raise ValueError(f"cache address: {error}: give redis://[user:password@]host:port/database") from error
        self._idle: list[AbstractConnection] = []
        self._places = asyncio.Semaphore(limit)
        self._runs: WeakKeyDictionary[AbstractConnection, bytes] = WeakKeyDictionary()
        self._closed = False

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Conversation]:
        """A connection that answers, for one user at a time. Raises RedisError, OSError or ValueError."""
        async with self._places:
            connection = self._idle.pop() if self._idle else self._factory.make_connection()  # type: ignore[no-untyped-call]
            try:
                await _ready(connection)
                yield Conversation(connection, self._runs[connection])
            except ResponseError:
                # An answer like any other, read to its end.
                raise
            except BaseException as failure:
                # An answer may still be on its way: it must not be taken for that to the next question.
                await connection.disconnect(nowait=True)
                if isinstance(failure, RuntimeError):
                    # What uvloop says of writing to a connection that was reset a moment before.
                    raise ConnectionError(str(failure)) from failure
                raise
            finally:
                if self._closed:
                    await connection.disconnect(nowait=True)
                else:
                    self._idle.append(connection)

    async def close(self) -> None:
        """Hang up; what is in use is hung up when it comes back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)

    async def _greet(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        for section, name in _NAMES_OF_A_RUN:
            await connection.send_command(b"INFO", section)
            answer = await connection.read_response()
            for line in answer.split(b"\r\n") if isinstance(answer, bytes) else ():
                if line.startswith(name) and len(line) > len(name):
                    self._runs[connection] = run_tag(line.decode("latin-1"))
                    return
        raise RunUnknown("the store's INFO has neither run_id nor master_replid")


class Conversation:
    """One connection in one user's hands.

    Attributes:
        run: The `run_tag` of the store's process at the other end. A connection does not survive that process.
    """

    def __init__(self, connection: AbstractConnection, run: bytes) -> None:
        self._connection = connection
        self.run = run

    async def ask(self, *command: bytes) -> Any:
        """The answer to one command, as the protocol has it. Raises ResponseError when the store refuses, RedisError,
        OSError or ValueError when there is no proper answer."""
        await self._connection.send_command(*command)
        return await self._connection.read_response()

    async def values(self, names: list[bytes]) -> list[bytes | None]:
        """The strings stored under these names, None for those that are not or are no strings."""
        answer = await self.ask(b"MGET", *names)
        if not isinstance(answer, list) or len(answer) != len(names):
            raise InvalidResponse("MGET: not one answer per key")
        if not all(value is None or isinstance(value, bytes) for value in answer):
            raise InvalidResponse("MGET: an answer is no string")
        return answer


async def _ready(connection: AbstractConnection) -> None:
    await connection.connect()  # type: ignore[no-untyped-call]
    try:
        # Nothing was asked yet, so what can be read is the end of the connection, or none of our business.
        stale = await connection.can_read_destructive()  # type: ignore[no-untyped-call]
    except (ConnectionError, OSError):
        stale = True
    if stale:
        await connection.disconnect(nowait=True)
        await connection.connect()  # type: ignore[no-untyped-call]
