"""What both SQLite projections share: one rebuildable file, its connections and its cursors.

The file follows the ledger and may be lost, so it syncs at checkpoints only. One thread writes; readers have
connections of their own and never wait for it (WAL).
"""

from __future__ import annotations

import asyncio
import json
import logging
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar, cast

import apsw

from memoir_server.domain.consistency import Portion
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.ports.projection import Projection

logger = logging.getLogger(__name__)

T = TypeVar("T")

_JOURNAL_BYTES: Final = 64 << 20
_PAGE_BYTES: Final = 8192
"""Holds five vectors of 384 components; in pages of 4096 a quarter of the space would be lost between them."""
_READERS: Final = 2
"""Reading threads: loading a large namespace does not hold up what others read."""
_BUSY_MS: Final = 5_000
_DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError)
_OUTAGE: Final = (
    *_DAMAGE,
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.ConnectionClosedError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
)

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS namespaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, applied INTEGER NOT NULL);
"""


def id_key(value: str | None) -> str:
    """An id as a column that takes part in keys: None is empty, "x" is "=x", so that no id is taken for none."""
    return "" if value is None else f"={value}"


def key_id(key: str) -> str | None:
    """The id behind a key of `id_key`."""
    return key[1:] if key else None


def scope_condition(scope: Scope, table: str = "") -> tuple[str, list[str]]:
    """SQL and bindings that hold for rows of the scope; the table has the columns user, agent and session."""
    prefix = f"{table}." if table else ""
    parts, bindings = [], []
    for column, value in (("user", scope.user_id), ("agent", scope.agent_id), ("session", scope.session_id)):
        if value is not None:
            parts.append(f" AND {prefix}{column} = ?")
            bindings.append(id_key(value))
    return "".join(parts), bindings


def portion_condition(portion: Portion, table: str) -> tuple[str, list[str | int]]:
    """SQL and bindings that hold for rows of the portion; the table has memory_id and revision beside the scope."""
    condition, of_scope = scope_condition(portion.scope, table)
    condition += f" AND {table}.revision <= ?"
    bindings: list[str | int] = [*of_scope, portion.until]
    for column, values in (("memory_id", portion.memory_ids), ("revision", portion.revisions)):
        if values is not None:
            condition += f" AND {table}.{column} IN (SELECT value FROM json_each(?))"
            bindings.append(json.dumps(list(values)))
    return condition, bindings


class SqliteProjection(Projection):
    """A projection in one SQLite file.

    Args:
        path: The file. Its directory is made when missing.
        store: Name of the store in errors.
        schema: Statements that create the tables where they are missing.
        version: Number of the schema; a file of another one is dropped and rebuilt.
    """

    def __init__(self, path: Path, *, store: str, schema: str, version: int) -> None:
        self._path = path
        self._store = store
        self._schema = schema
        self._version = version
        self._writer: apsw.Connection | None = None
        self._readers: SimpleQueue[apsw.Connection] = SimpleQueue()
        self._inline: apsw.Connection | None = None
        self._threads: tuple[ThreadPoolExecutor, ThreadPoolExecutor] | None = None
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()

    async def open(self) -> None:
        if self._threads is not None:
            return
        self._writing = asyncio.Lock()
        try:
            await asyncio.to_thread(self._open)
        except (apsw.Error, OSError) as failure:
            raise StoreUnavailable(self._store, f"cannot open {self._path.name}: {failure}") from failure
        self._threads = (
            ThreadPoolExecutor(1, thread_name_prefix=f"{self._store}-write"),
            ThreadPoolExecutor(_READERS, thread_name_prefix=f"{self._store}-read"),
        )

    async def close(self) -> None:
        if self._threads is None:
            return
        await asyncio.gather(*self._tasks, return_exceptions=True)
        threads, self._threads = self._threads, None
        for executor in threads:
            await asyncio.to_thread(executor.shutdown)
        writer, inline = self._writer, self._inline
        self._writer = self._inline = None
        for connection in (inline, *(self._readers.get() for _ in range(_READERS)), writer):
            if connection is not None:
                connection.close()

    async def ping(self) -> str:
        await self._read(lambda connection: connection.execute("SELECT count(*) FROM meta").get)
        return f"SQLite {apsw.sqlite_lib_version()}"

    async def ledger_id(self) -> str:
        return await self._read(lambda connection: meta(connection, "ledger_id"))

    async def adopt(self, ledger_id: str) -> None:
        def replace(connection: apsw.Connection) -> None:
            self._clear(connection)
            connection.execute("DELETE FROM namespaces")
            connection.execute("DELETE FROM meta")
            connection.execute("INSERT INTO meta VALUES ('ledger_id', ?)", (ledger_id,))

        await self._write(replace, self._forget_all)

    async def applied(self, namespace: str) -> int:
        def read(connection: apsw.Connection) -> int:
            found = connection.execute("SELECT applied FROM namespaces WHERE name = ?", (namespace,)).get
            return int(found) if found is not None else 0

        return await self._read(read)

    async def drop(self, namespace: str) -> None:
        def remove(connection: apsw.Connection) -> None:
            number = namespace_number(connection, namespace)
            if number is not None:
                self._clear_namespace(connection, number)
                connection.execute("DELETE FROM namespaces WHERE id = ?", (number,))

        await self._write(remove, lambda _: self._forget(namespace))

    async def settle(self, namespace: str) -> None:
        def tidy(connection: apsw.Connection) -> None:
            number = namespace_number(connection, namespace)
            if number is not None:
                self._settle(connection, number)

        await self._write(tidy, lambda _: self._forget(namespace))

    @abstractmethod
    def _settle(self, connection: apsw.Connection, number: int) -> None:
        """Recomputes what is derived from the entries of a namespace, and deletes what belongs to none."""

    @abstractmethod
    def _clear(self, connection: apsw.Connection) -> None:
        """Empties every table of the adapter."""

    @abstractmethod
    def _clear_namespace(self, connection: apsw.Connection, number: int) -> None:
        """Deletes everything of one namespace."""

    def _forget_all(self, _: object) -> None:
        """Lets go of what memory holds of the file."""

    def _forget(self, namespace: str) -> None:
        """Lets go of what memory holds of a namespace."""

    def _run(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Runs to its end whatever becomes of the caller: a cancelled caller must not part the file from memory."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _write(self, change: Callable[[apsw.Connection], T], then: Callable[[T], None] | None = None) -> T:
        """Runs `change` in one transaction, then `then` on the event loop; writes and what follows keep one order."""

        def transact() -> T:
            with self._failures():
                assert self._writer is not None
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    result = change(self._writer)
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    raise
                return result

        async def whole() -> T:
            async with self._writing:
                result = await self._in_thread(0, transact)
                if then is not None:
                    then(result)
                return result

        return await asyncio.shield(self._run(whole()))

    async def _read(self, query: Callable[[apsw.Connection], T]) -> T:
        """Runs `query` in a reading thread, over one consistent state of the file."""

        def consistent() -> T:
            connection = self._readers.get()
            try:
                with self._failures():
                    connection.execute("BEGIN")
                    try:
                        return query(connection)
                    finally:
                        connection.execute("ROLLBACK")
            finally:
                self._readers.put(connection)

        return await self._in_thread(1, consistent)

    def _read_inline(self, query: Callable[[apsw.Connection], T]) -> T:
        """Runs a `query` of a few page reads on the event loop, where a thread would cost more than the query."""
        with self._failures():
            if self._inline is None:
                raise StoreUnavailable(self._store, "it is closed")
            return query(self._inline)

    async def _in_thread(self, which: int, work: Callable[[], T]) -> T:
        if self._threads is None:
            raise StoreUnavailable(self._store, "it is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads[which], work)

    @property
    def _marker(self) -> Path:
        """Says to the next start that the file was found damaged."""
        return self._path.with_name(f"{self._path.name}.damaged")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except _OUTAGE as failure:
            if isinstance(failure, _DAMAGE):
                self._marker.touch()
                logger.error("%s is damaged and will be rebuilt at the next start: %s", self._path.name, failure)
            raise StoreUnavailable(self._store, f"{self._path.name}: {failure}") from failure

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            damage = self._damage()
            if damage:
                self._set_aside(damage)
        else:
            self._side_files_away()
        self._writer = self._connect()
        with self._writer:
            self._writer.execute(_SCHEMA)
            self._writer.execute(self._schema)
            self._writer.pragma("user_version", self._version)
        for _ in range(_READERS):
            self._readers.put(self._connect())
        self._inline = self._connect()

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), statementcachesize=256)
        connection.set_busy_timeout(_BUSY_MS)
        connection.pragma("page_size", _PAGE_BYTES)
        connection.pragma("journal_mode", "wal")
        connection.pragma("journal_size_limit", _JOURNAL_BYTES)
        connection.pragma("synchronous", "normal")
        connection.pragma("cache_size", -16_384)
        connection.pragma("temp_store", "memory")
        connection.pragma("secure_delete", True)
        return connection

    def _damage(self) -> str:
        """Why the file cannot be used; empty when it can. Reads every page, about 1 GB/s: damage that comes to light
        later costs an outage and another start."""
        if self._marker.exists():
            return "a read found it damaged"
        connection: apsw.Connection | None = None
        try:
            connection = apsw.Connection(str(self._path))
            connection.set_busy_timeout(_BUSY_MS)
            if self._path.stat().st_size == 0:
                return "it is empty"
            version = connection.pragma("user_version")
            if version != self._version:
                return f"it has schema {version}, this server writes {self._version}"
            found = connection.execute("PRAGMA quick_check(1)").get
        except (apsw.Error, UnicodeDecodeError) as failure:
            return str(failure)
        finally:
            if connection is not None:
                connection.close()
        return "" if found == "ok" else str(found)

    def _set_aside(self, why: str) -> None:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        self._path.rename(aside)
        self._side_files_away()
        logger.warning("%s: %s; kept as %s, to be rebuilt from the ledger", self._path.name, why, aside.name)

    def _side_files_away(self) -> None:
        """A journal without its file would be taken for the new one's."""
        self._marker.unlink(missing_ok=True)
        for suffix in ("-wal", "-shm", "-journal"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def rows(connection: apsw.Connection, sql: str, bindings: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
    """Rows of a query. Their types are those of the schema, which the type checker cannot see."""
    return cast(Iterator[tuple[Any, ...]], connection.execute(sql, cast(Any, bindings)))


def meta(connection: apsw.Connection, key: str) -> str:
    """A value of the file's own notes; empty when missing."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).get
    return "" if found is None else str(found)


def followed_ledger(path: Path) -> str:
    """Id of the ledger whose projection the file is; empty when it has followed none yet. Changes nothing in it.

    Raises apsw.Error or UnicodeDecodeError for a file that cannot be read as a projection.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        return meta(connection, "ledger_id")
    finally:
        connection.close()


def namespace_number(connection: apsw.Connection, namespace: str) -> int | None:
    """Number of a namespace in this file; None when the file knows nothing of it."""
    found = connection.execute("SELECT id FROM namespaces WHERE name = ?", (namespace,)).get
    return None if found is None else int(found)


def note_applied(connection: apsw.Connection, namespace: str, applied: int) -> int:
    """Raises the applied revision, makes the namespace known, and returns its number."""
    connection.execute(
        "INSERT INTO namespaces (name, applied) VALUES (?1, ?2)"
        " ON CONFLICT (name) DO UPDATE SET applied = max(applied, ?2)",
        (namespace, applied),
    )
    number = namespace_number(connection, namespace)
    assert number is not None
    return number
