"""A ledger's file as the source of a copy: read row by row, never written to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import msgspec

from memoir_server.adapters.ledger.forms.layout import REVISION_BITS, revision_of
from memoir_server.adapters.ledger.sqlite import chain
from memoir_server.adapters.ledger.sqlite.connection import FILE_NAME, DirectoryLock, connect_reader, translated
from memoir_server.adapters.ledger.sqlite.moved import NOTE_FILE, read_note, write_note
from memoir_server.adapters.ledger.sqlite.rows import fetch
from memoir_server.adapters.ledger.sqlite.schema import APPLICATION_ID, MIGRATIONS
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.ledger_copy import (
    AccessCopy,
    EventCopy,
    Identity,
    IngestionCopy,
    KeptFactsCopy,
    LedgerSource,
    MetadataTypeCopy,
    ModelCopy,
    MoveRefused,
    NamespaceCopy,
    Page,
    Part,
    RequestCopy,
    ResetCopy,
    ResetMemoryCopy,
    Row,
    SourceNote,
    SpeakerCopy,
    TurnsCopy,
    VectorCopy,
    VersionCopy,
)

MOST_ROWS: Final = 2_000
MOST_BYTES: Final = 4 * 1024 * 1024
"""Bounds of a page: its rows, and about how much they hold."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a part is read. `key`: its primary key, by which it is walked through; those columns come first."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    make: Callable[..., Row]

    def query(self, begun: bool) -> str:
        """The rows after a key, or from the first on."""
        keys = ", ".join(self.key)
        after = f" WHERE ({keys}) > ({', '.join('?' * len(self.key))})" if begun else ""
        columns = ", ".join((*self.key, *self.columns))
        return f"SELECT {columns} FROM {self.table}{after} ORDER BY {keys} LIMIT {MOST_ROWS}"


def _ns_of(key: int) -> int:
    return key >> REVISION_BITS


def _event(key: int, commit_time: int, type_: int, memory_id: str, born: int, before: int | None, *rest: Any) -> Row:
    previous = None if before is None else revision_of(before)
    return EventCopy(_ns_of(key), revision_of(key), commit_time, type_, memory_id, born, previous, *rest)


def _version(key: int, *rest: Any) -> Row:
    return VersionCopy(_ns_of(key), revision_of(key), *rest)


def _request(*row: Any) -> Row:
    fields: tuple[Any, ...] = (*row[:10], tuple(msgspec.json.decode(row[10])) if row[10] else ())
    return RequestCopy(*fields)


_READINGS: Final[Mapping[Part, _Reading]] = {
    Part.NAMESPACES: _Reading("namespaces", ("ns",), ("name", "revision", "commit_time", "chain"), NamespaceCopy),
    Part.MODELS: _Reading(
        "models",
        ("id",),
        ("name", "version", "dimension", "asymmetric"),
        lambda model, name, version, dimension, asymmetric: ModelCopy(
            model, name, version, dimension, bool(asymmetric)
        ),
    ),
    Part.EVENTS: _Reading(
        "events",
        ("key",),
        ("commit_time", "type", "memory_id", "born", "before", "detail", "salt", "digest"),
        _event,
    ),
    Part.VERSIONS: _Reading("versions", ("key",), ("memory_id", "born", "retired", "gone", "text", "body"), _version),
    Part.METADATA_TYPES: _Reading("metadata_types", ("ns", "name", "family"), (), MetadataTypeCopy),
    Part.TURNS: _Reading(
        "turns", ("id",), ("ns", "user_id", "agent_id", "session_id", "last"), lambda _, *row: TurnsCopy(*row)
    ),
    Part.SPEAKERS: _Reading(
        "speakers",
        ("id",),
        ("ns", "name", "user_id", "agent_id", "session_id", "first", "memories"),
        lambda _, *row: SpeakerCopy(*row),
    ),
    Part.REQUESTS: _Reading(
        "idempotency",
        ("namespace", "request_id", "principal", "method"),
        ("fingerprint", "first", "last", "revision", "outcome", "created", "mentions"),
        _request,
    ),
    Part.VECTORS: _Reading(
        "vectors", ("id",), ("ns", "content_hash", "model", "data"), lambda _, *row: VectorCopy(*row)
    ),
    Part.KEPT_FACTS: _Reading(
        "kept_facts",
        ("key",),
        ("memory_id", "born", "facts"),
        lambda key, *row: KeptFactsCopy(_ns_of(key), revision_of(key), *row),
    ),
    Part.RESETS: _Reading(
        "resets",
        ("id",),
        ("ns", "reset_id", "state", "executed", "body"),
        lambda reset, ns, reset_id, state, executed, body: ResetCopy(reset, ns, reset_id, state, bool(executed), body),
    ),
    Part.RESET_MEMORIES: _Reading("reset_memories", ("reset", "memory_id", "born"), (), ResetMemoryCopy),
    Part.INGESTIONS: _Reading(
        "ingestions",
        ("id",),
        (
            "ns",
            "ingestion_id",
            "user_id",
            "agent_id",
            "session_id",
            "state",
            "attempts",
            "due",
            "create_time",
            "update_time",
            "first",
            "last",
            "revision",
            "error",
            "work",
            "outcome",
        ),
        IngestionCopy,
    ),
    Part.ACCESSES: _Reading("accesses", ("ns", "memory_id"), ("count", "last"), AccessCopy),
}


class SqliteLedgerSource(LedgerSource):
    """See the port. `directory` is the data directory of a server that does not run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: DirectoryLock | None = None
        self._connection: apsw.Connection | None = None
        self._identity: Identity | None = None

    @property
    def name(self) -> str:
        return str(self._directory)

    @property
    def note_name(self) -> str:
        return str(self._directory / NOTE_FILE)

    @property
    def identity(self) -> Identity:
        if self._identity is None:
            raise StoreUnavailable("ledger", "it is not open")
        return self._identity

    async def open(self) -> None:
        path = self._directory / FILE_NAME
        if not path.is_file() or not path.stat().st_size:
            raise MoveRefused(
                f"{self._directory} holds no ledger ({FILE_NAME}); name the data directory of an embedded server"
            )
        try:
            self._lock = DirectoryLock(self._directory)
        except OSError as error:
            raise StoreUnavailable("ledger", f"{self._directory} cannot be used: {error.strerror}") from error
        try:
            await asyncio.to_thread(self._open_file)
        except BaseException:
            await self.close()
            raise

    def _open_file(self) -> None:
        with translated():
            connection = self._connection = connect_reader(self._directory)
            version, newest = int(connection.pragma("user_version")), len(MIGRATIONS)
            if int(connection.pragma("application_id")) != APPLICATION_ID or not version:
                raise MoveRefused(f"{self._directory / FILE_NAME} is not a ledger of Memoir; name another directory")
            if version > newest:
                raise MoveRefused(
                    f"{self._directory / FILE_NAME} has schema version {version}, this command knows up to {newest}; "
                    "use the newer release that wrote it"
                )
            if version < newest:
                raise MoveRefused(
                    f"{self._directory / FILE_NAME} has schema version {version}, and what is moved must have "
                    f"{newest}; start a server of this release on it once, which brings it forward, and stop it"
                )
            # Pages of the write-ahead log and the file as they are now, whatever happens beside.
            connection.execute("BEGIN")
            meta = dict(fetch(connection, "SELECT name, value FROM meta"))
        self._identity = Identity(str(meta["ledger_id"]), bytes(meta["secret"]))

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        lock, self._lock = self._lock, None
        if connection is not None:
            connection.close()
        if lock is not None:
            lock.release()

    async def namespaces(self) -> Sequence[NamespaceCopy]:
        query = "SELECT ns, name, revision, commit_time, chain FROM namespaces ORDER BY ns"
        return [NamespaceCopy(*row) for row in await self._run(lambda connection: fetch(connection, query))]

    async def verify_chain(self, namespace: NamespaceCopy) -> bool:
        return await self._run(lambda connection: chain.verify(connection, namespace.ns, namespace.name))

    async def count(self, part: Part) -> int:
        table = _READINGS[part].table
        return int(await self._run(lambda connection: connection.execute(f"SELECT count(*) FROM {table}").get))

    async def read(self, part: Part, after: bytes) -> Page:
        return await self._run(lambda connection: _read(connection, _READINGS[part], after))

    async def note(self) -> SourceNote | None:
        return read_note(self._directory)

    async def keep_note(self, note: SourceNote | None) -> None:
        try:
            await asyncio.to_thread(write_note, self._directory, note)
        except OSError as error:
            raise StoreUnavailable("ledger", f"{self._directory} cannot be written to: {error.strerror}") from error

    async def _run(self, job: Callable[[apsw.Connection], _T]) -> _T:
        connection = self._connection
        if connection is None:
            raise StoreUnavailable("ledger", "it is not open")

        def run() -> _T:
            with translated():
                return job(connection)

        return await asyncio.to_thread(run)


def _read(connection: apsw.Connection, reading: _Reading, after: bytes) -> Page:
    key = msgspec.msgpack.decode(after) if after else ()
    rows: list[Row] = []
    size = 0
    last: tuple[Any, ...] = ()
    cursor = connection.execute(reading.query(bool(after)), tuple(key))
    for row in cursor:
        rows.append(reading.make(*row))
        last = row
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size >= MOST_BYTES:
            break
    cursor.close()
    if not rows:
        return Page(())
    return Page(rows, msgspec.msgpack.encode(last[: len(reading.key)]))
