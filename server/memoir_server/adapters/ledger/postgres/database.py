"""The connections of one ledger: a pool that heals, transactions that are run again when they lose a race."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from memoir_server.adapters.ledger.postgres.adaptation import ledger_adapters
from memoir_server.adapters.ledger.postgres.failures import LOST_RACES, detail_of, explain, translated
from memoir_server.adapters.ledger.postgres.options import PostgresOptions
from memoir_server.adapters.ledger.postgres.transaction import Reader, Row, Statement, Transaction
from memoir_server.domain.errors import StoreUnavailable

logger = logging.getLogger(__name__)

_BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_GRACE_SECONDS: Final = 2.0
"""How much later than the server this side gives a statement up."""
_REFUSED_WAIT_SECONDS: Final = 0.5
"""Longest that a call waits for a connection when the last attempt to make one failed."""
_RECONNECT_SECONDS: Final = 1.0
"""How long the pool tries to replace a connection by itself; after that, the next call makes it try again."""
_ASK_AGAIN: Final = 2
"""How often a query is repeated whose session has ended."""
_BACKOFF_SECONDS: Final = 0.01

_T = TypeVar("_T")


class _SessionEnded(psycopg.OperationalError):
    """The connection is gone, by no doing of this side."""


def connection_string(options: PostgresOptions, application: str = "memoir") -> str:
    """What libpq needs to connect: the URL, bounds of time, and the settings of the session."""
    milliseconds = int(options.statement_seconds * 1000)
    settings = {
        "search_path": options.schema,
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": 2 * milliseconds,
        "synchronous_commit": "on",
        "default_transaction_isolation": r"read\ committed",
        "timezone": "UTC",
        # One plan does not suit namespaces of ten memories and of a million, nor one id and a thousand.
        "plan_cache_mode": "force_custom_plan",
    }
    try:
        given = conninfo_to_dict(options.url).get("options")
        return make_conninfo(
            options.url,
            application_name=application,
            client_encoding="utf8",
            connect_timeout=max(1, round(options.connect_seconds)),
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=milliseconds,
            options=" ".join([str(given)] * bool(given) + [f"-c {name}={value}" for name, value in settings.items()]),
        )
    except psycopg.Error:
        # libpq quotes the string, and with it the password.
        raise StoreUnavailable("ledger", "its connection URL is malformed; see libpq's connection strings") from None


class Database:
    """Runs the statements of one ledger. All methods raise StoreUnavailable when the server cannot be used.

    `on_commit` learns, on the event loop, of each transaction that is durable.
    """

    def __init__(self, options: PostgresOptions, on_commit: Callable[[Transaction], None]) -> None:
        self.options = options
        self._on_commit = on_commit
        self._pool: AsyncConnectionPool[AsyncConnection[Row]] | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._refusal = ""
        self._closed = False
        self._numbers: dict[str, int] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._missed_at = 0.0

    async def open(self) -> None:
        """Connects. Raises StoreUnavailable when that fails within the time of one attempt."""
        database = self

        class Reporting(AsyncConnection[Row]):
            """Keeps why connecting failed: the pool itself only says that it took too long."""

            @classmethod
            async def connect(cls, *args: Any, **kwargs: Any) -> Any:
                try:
                    made = await super().connect(*args, **kwargs)
                except psycopg.Error as error:
                    unavailable = explain(error)
                    database._refusal = str(unavailable) if unavailable else detail_of(error)
                    raise
                database._refusal = ""
                # A server that went away may come back with what a backup held, where numbers mean other namespaces.
                database._numbers.clear()
                return made

        pool: AsyncConnectionPool[AsyncConnection[Row]] = AsyncConnectionPool(
            connection_string(self.options),
            connection_class=Reporting,
            kwargs={"autocommit": True, "context": ledger_adapters(), "prepare_threshold": 2},
            min_size=self.options.fewest_connections,
            max_size=self.options.most_connections,
            max_waiting=self.options.most_waiting,
            timeout=self.options.wait_seconds,
            reconnect_timeout=_RECONNECT_SECONDS,
            name="ledger",
            open=False,
        )
        await pool.open()
        self._pool = pool

    async def finish(self) -> None:
        """Takes no more transactions, and waits for those that were begun."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Finishes, and lets the connections go."""
        await self.finish()
        if self._pool is not None:
            await self._pool.close()

    def known_number(self, namespace: str) -> int | None:
        """The namespace's number as far as it is known without asking."""
        return self._numbers.get(namespace)

    async def number(self, namespace: str) -> int | None:
        """The namespace's number, which never changes; None while it does not exist."""
        known = self._numbers.get(namespace)
        if known is None:
            for (known,) in await self.fetch("SELECT ns FROM namespaces WHERE name = %s", (namespace,)):
                self._numbers[namespace] = known
        return known

    async def fetch(self, sql: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """All rows of one query, in a snapshot of its own."""
        return (await self.fetch_each([(sql, bindings)]))[0]

    async def fetch_each(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """All rows of several queries, in one round trip. Each has a snapshot of its own."""
        with translated():
            # A connection that was ended while nobody used it, or under the query: to ask once more is harmless.
            for _ in range(_ASK_AGAIN):
                with suppress(_SessionEnded):
                    return await self._ask(statements)
            return await self._ask(statements)

    async def _ask(self, statements: Sequence[Statement]) -> list[list[Row]]:
        async with self._connection() as connection:
            return await Reader(connection).fetch_each(statements)

    async def read(self, job: Callable[[Reader], Awaitable[_T]]) -> _T:
        """Runs queries that must see one and the same state of the ledger."""
        with translated():
            async with self._connection() as connection:
                await connection.execute(_BEGIN_READ)
                try:
                    return await job(Reader(connection))
                finally:
                    if connection.pgconn.transaction_status != TransactionStatus.UNKNOWN:
                        await connection.execute("ROLLBACK")

    async def run(
        self, job: Callable[[Transaction], Awaitable[_T]], *, durable: bool = True, namespace: str | None = None
    ) -> _T:
        """Runs a mutation in a transaction of its own, and again when it lost a race against another. So `job` must do
        nothing but through the transaction it is given.

        Without `durable` the commit does not wait for the disk: a crash of the database's machine may lose it.
        A caller that is cancelled does not undo it. When the connection is lost during the commit, nobody knows whether
        it took place: StoreUnavailable, and a repetition with the same idempotency key finds out.

        `namespace` is the one that the job locks. Jobs of this server that lock the same one take turns before they ask
        for a connection: all of them waiting in the database for its lock would leave no connection for anybody else.
        """
        if self._closed:
            raise StoreUnavailable("ledger", "it is closed")
        run = self._run(job, durable) if namespace is None else self._in_turn(namespace, job, durable)
        task = asyncio.ensure_future(run)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _in_turn(self, namespace: str, job: Callable[[Transaction], Awaitable[_T]], durable: bool) -> _T:
        turn = self._turns.get(namespace)
        if turn is None:
            turn = self._turns[namespace] = asyncio.Lock()
        loop = asyncio.get_running_loop()
        came = loop.time()
        try:
            async with asyncio.timeout(self.options.statement_seconds):
                await turn.acquire()
        except TimeoutError as error:
            why = f"other writes of namespace {namespace!r} took {self.options.statement_seconds:g} s"
            raise StoreUnavailable("ledger", why) from error
        try:
            if came < self._missed_at:
                # There was no connection to be had for those who came first: no need to find out one after the other.
                raise self._no_connection()
            return await self._run(job, durable)
        finally:
            turn.release()

    async def _run(self, job: Callable[[Transaction], Awaitable[_T]], durable: bool) -> _T:
        attempt = 1
        with translated():
            while True:
                try:
                    return await self._attempt(job, durable)
                except LOST_RACES as lost:
                    if attempt >= self.options.attempts:
                        why = f"a transaction lost {attempt} races against others ({detail_of(lost)})"
                        raise StoreUnavailable("ledger", why) from lost
                await asyncio.sleep(random.uniform(0, _BACKOFF_SECONDS * 2**attempt))
                attempt += 1

    async def _attempt(self, job: Callable[[Transaction], Awaitable[_T]], durable: bool) -> _T:
        async with self._connection() as connection:
            transaction = Transaction(connection, durable=durable)
            try:
                value = await job(transaction)
                await transaction.commit()
            except BaseException:
                await _undo(connection)
                raise
        self._numbers.update(transaction.numbers)
        for effect in transaction.effects:
            effect()
        self._on_commit(transaction)
        return value

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Row]]:
        """A connection from the pool, cut when it does not answer in time. Raises _SessionEnded when it is lost."""
        if self._pool is None:
            raise StoreUnavailable("ledger", "it is not open")
        connection = await self._take(self._pool)
        limit = self.options.statement_seconds + _GRACE_SECONDS
        cut = asyncio.get_running_loop().call_later(limit, _shut, connection)
        try:
            yield connection
        except BaseException as error:
            lost = connection.broken
            idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
            # After a failure, or when cut short, psycopg may take statements for prepared that the server never saw.
            if not idle or not isinstance(error, Exception) or isinstance(error, psycopg.Error):
                await connection.close()
            if not lost or not isinstance(error, psycopg.OperationalError):
                raise
            if cut.when() <= asyncio.get_running_loop().time():
                raise StoreUnavailable("ledger", f"it did not answer within {limit:g} s") from error
            raise _SessionEnded(*error.args) from error
        finally:
            cut.cancel()
            await self._pool.putconn(connection)

    def _no_connection(self) -> StoreUnavailable:
        why = self._refusal or "all connections are in use; raise most_connections, or look for slow statements"
        return StoreUnavailable("ledger", why.removeprefix("store 'ledger' is unavailable: "))

    async def _take(self, pool: AsyncConnectionPool[AsyncConnection[Row]]) -> AsyncConnection[Row]:
        loop = asyncio.get_running_loop()
        # While connecting is refused, callers learn it at once instead of queueing up for what is not there.
        wait = min(self.options.wait_seconds, _REFUSED_WAIT_SECONDS) if self._refusal else self.options.wait_seconds
        deadline = loop.time() + wait
        while True:
            try:
                connection = await pool.getconn(timeout=deadline - loop.time())
            except PoolTimeout as error:
                self._missed_at = loop.time()
                raise self._no_connection() from error
            except TooManyRequests as error:
                raise StoreUnavailable("ledger", f"{self.options.most_waiting} calls wait already") from error
            except PoolClosed as error:
                raise StoreUnavailable("ledger", "it is closed") from error
            if not _ended(connection):
                return connection
            await connection.close()
            await pool.putconn(connection)


def _ended(connection: AsyncConnection[Row]) -> bool:
    """Whether the server has something to say that nobody asked: nearly always, that it is gone. No round trip."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


def _shut(connection: AsyncConnection[Row]) -> None:
    """Ends the connection under whoever waits for its answer, who then hears of it at once."""
    with suppress(OSError, psycopg.Error):
        copy = socket.socket(fileno=os.dup(connection.pgconn.socket))
        with copy:
            logger.warning("the ledger's database did not answer in time; the connection is cut")
            copy.shutdown(socket.SHUT_RDWR)


async def _undo(connection: AsyncConnection[Row]) -> None:
    status = connection.pgconn.transaction_status
    if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        with suppress(psycopg.Error):
            await connection.execute("ROLLBACK")
