"""Transactions with a Neo4j server: bounded, retried where the server asks for it, and with errors of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

import neo4j
from neo4j.exceptions import ConfigurationError, DriverError, Neo4jError

from memoir_server.adapters.attempts import note_attempts
from memoir_server.domain.errors import StoreUnavailable

T = TypeVar("T")

Transaction: TypeAlias = neo4j.AsyncManagedTransaction
Work: TypeAlias = Callable[[Transaction], Awaitable[T]]

STORE: Final = "graph"
"""Name of the store in errors."""
_RETRY_SECONDS: Final = 2.0
"""How long the driver repeats a transaction that lost a deadlock or its connection; what takes longer is the
projector's."""
_CONNECT_SECONDS: Final = 2.0
_IDLE_SECONDS: Final = 30.0
"""A connection that lay unused for longer is tried before it is used."""
_POOL: Final = 32
_SCHEMES: Final = tuple(f"{name}{security}://" for name in ("bolt", "neo4j") for security in ("", "+s", "+ssc"))
_REFUSALS: Final = ("Neo.ClientError.", "Neo.DatabaseError.Statement.")
_OUTAGES: Final = ("Neo.ClientError.Security.", "Neo.ClientError.Transaction.", "Neo.ClientError.Database.")
"""Codes of refusals that are no fault of what was asked: a wrong password, a time limit, a stopped database."""
_GONE: Final = "Neo.ClientError.Statement.EntityNotFound"


class GraphRefused(Exception):
    """Neo4j answered, and does not take what it was asked to do: repeating it changes nothing. `code` is Neo4j's."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"store {STORE!r} refuses: {why} ({code})")
        self.code = code


class GoneWhileReading(Exception):
    """What a read had found was deleted before it was read: read again."""


@dataclass(frozen=True, slots=True)
class Neo4jLogin:
    """Where a Neo4j server is and who asks. `url` is bolt://host:port, or neo4j:// for a cluster."""

    url: str
    username: str
    password: str = field(repr=False)
    database: str = "neo4j"


class Connection:
    """The driver's pool of one server.

    Args:
        login: Where and as whom.
        seconds: The longest a transaction may take, all its repetitions included.
    """

    def __init__(self, login: Neo4jLogin, *, seconds: float) -> None:
        self._login = login
        self._seconds = seconds
        self._driver: neo4j.AsyncDriver | None = None

    @property
    def opened(self) -> bool:
        """Whether there is a pool; it says nothing about the server."""
        return self._driver is not None

    def open(self) -> None:
        """Makes the pool; nothing is connected yet. Raises StoreUnavailable when the URL is none."""
        if self._driver is not None:
            return
        if not self._login.url.startswith(_SCHEMES):
            raise StoreUnavailable(STORE, f"url {self._login.url!r} is none of Neo4j; give bolt://host:port")
        try:
            self._driver = neo4j.AsyncGraphDatabase.driver(
                self._login.url,
                auth=(self._login.username, self._login.password),
                connection_timeout=_CONNECT_SECONDS,
                connection_acquisition_timeout=self._seconds,
                liveness_check_timeout=_IDLE_SECONDS,
                max_connection_pool_size=_POOL,
                max_transaction_retry_time=min(_RETRY_SECONDS, self._seconds),
                notifications_min_severity="OFF",
                telemetry_disabled=True,
            )
        except (ConfigurationError, ValueError) as fault:
            raise StoreUnavailable(STORE, f"url {self._login.url!r}: {fault}; give bolt://host:port") from fault

    async def close(self) -> None:
        """Ends the pool. Transactions under way fail with StoreUnavailable."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()

    async def version(self) -> str:
        """What the server calls itself, as "Neo4j 5.26.0". Raises StoreUnavailable."""

        async def ask(driver: neo4j.AsyncDriver) -> str:
            info = await driver.get_server_info()
            return info.agent.replace("/", " ", 1)

        return await self._bounded(ask)

    async def read(self, work: Work[T]) -> T:
        """Runs the work in a reading transaction. Raises StoreUnavailable, GraphRefused, GoneWhileReading."""
        return await self._transact(work, neo4j.READ_ACCESS)

    async def ask(self, statement: str, **parameters: object) -> list[list[Any]]:
        """Rows of one statement that reads, by itself: a transaction would take several round trips more. Raises
        StoreUnavailable, GraphRefused, GoneWhileReading."""
        query = neo4j.Query(statement, timeout=self._seconds)

        async def run(driver: neo4j.AsyncDriver) -> list[list[Any]]:
            async with driver.session(database=self._login.database, default_access_mode=neo4j.READ_ACCESS) as session:
                note_attempts(1)
                result = await session.run(query, parameters)
                return [record.values() async for record in result]

        async def attempt(driver: neo4j.AsyncDriver) -> list[list[Any]]:
            try:
                return await run(driver)
            except (Neo4jError, DriverError) as failure:
                if not failure.is_retryable():
                    raise
            # A connection that was lost while it lay unused, as a rule. Transactions are repeated by the driver.
            return await self._transact(
                lambda transaction: rows(transaction, statement, **parameters), neo4j.READ_ACCESS
            )

        return await self._bounded(attempt)

    async def write(self, work: Work[T]) -> T:
        """Runs the work in a writing transaction, more than once where the server asks for that: it must be
        idempotent, since a commit whose answer got lost is repeated too. Raises StoreUnavailable and GraphRefused."""
        try:
            return await self._transact(work, neo4j.WRITE_ACCESS)
        except GoneWhileReading as failure:
            raise StoreUnavailable(STORE, f"another writer was faster: {failure}") from failure

    async def _transact(self, work: Work[T], access: str) -> T:
        attempts = 0

        # The server's own limit ends what a client that is gone has left behind, and with it its locks.
        @neo4j.unit_of_work(timeout=self._seconds)
        async def limited(transaction: Transaction) -> T:
            nonlocal attempts
            attempts += 1
            note_attempts(attempts)
            return await work(transaction)

        async def run(driver: neo4j.AsyncDriver) -> T:
            async with driver.session(database=self._login.database, default_access_mode=access) as session:
                if access == neo4j.READ_ACCESS:
                    return await session.execute_read(limited)
                return await session.execute_write(limited)

        return await self._bounded(run)

    async def _bounded(self, work: Callable[[neo4j.AsyncDriver], Awaitable[T]]) -> T:
        driver = self._driver
        if driver is None:
            raise StoreUnavailable(STORE, "it is closed")
        try:
            async with asyncio.timeout(self._seconds):
                return await work(driver)
        except TimeoutError as failure:
            raise StoreUnavailable(STORE, f"no answer within {self._seconds:g} s") from failure
        except Neo4jError as failure:
            raise _ours(failure) from failure
        except (DriverError, OSError) as failure:
            raise StoreUnavailable(STORE, f"{type(failure).__name__}: {failure}") from failure
        except RuntimeError as failure:
            # What uvloop says of writing to a connection that was reset a moment before.
            if "closed" not in str(failure):
                raise
            raise StoreUnavailable(STORE, str(failure)) from failure


async def rows(transaction: Transaction, statement: str, **parameters: object) -> list[list[Any]]:
    """Runs a statement and reads all its rows."""
    result = await transaction.run(statement, parameters)
    return [record.values() async for record in result]


async def execute(transaction: Transaction, statement: str, **parameters: object) -> None:
    """Runs a statement for its effect."""
    await (await transaction.run(statement, parameters)).consume()


def _ours(failure: Neo4jError) -> Exception:
    code, why = failure.code or "unknown", failure.message or str(failure)
    if code == _GONE:
        return GoneWhileReading(why)
    if code.startswith(_REFUSALS) and not code.startswith(_OUTAGES):
        return GraphRefused(code, why)
    return StoreUnavailable(STORE, f"{why} ({code})")
