"""The ledger port on SQLite: one file, one writer, readers that never wait for it."""

from __future__ import annotations

import asyncio
from typing import Any

import apsw

from memoir_server.adapters.ledger.sqlite import beginning
from memoir_server.adapters.ledger.sqlite.caches import LedgerCaches
from memoir_server.adapters.ledger.sqlite.connection import (
    DirectoryLock,
    checkpoint_at_close,
    connect_writer,
    translated,
    translating,
)
from memoir_server.adapters.ledger.sqlite.heads import Heads
from memoir_server.adapters.ledger.sqlite.ingestion_part import IngestionPart
from memoir_server.adapters.ledger.sqlite.moved import refuse_moved
from memoir_server.adapters.ledger.sqlite.mutation_part import MutationPart
from memoir_server.adapters.ledger.sqlite.opened import Opened
from memoir_server.adapters.ledger.sqlite.progress import Progress
from memoir_server.adapters.ledger.sqlite.readers import Readers
from memoir_server.adapters.ledger.sqlite.reading_part import ReadingPart
from memoir_server.adapters.ledger.sqlite.recent import RecentChanges
from memoir_server.adapters.ledger.sqlite.reset_part import ResetPart
from memoir_server.adapters.ledger.sqlite.rows import fetch
from memoir_server.adapters.ledger.sqlite.schema import migrate
from memoir_server.adapters.ledger.sqlite.vectors import VectorStore
from memoir_server.adapters.ledger.sqlite.work_part import WorkPart
from memoir_server.adapters.ledger.sqlite.writer import Writer
from memoir_server.domain.errors import StoreUnavailable


class SqliteLedger(MutationPart, IngestionPart, ReadingPart, WorkPart, ResetPart):
    """See the port. `directory` holds `ledger.db` and belongs to one server at a time.

    `entropy` makes salts and the ledger's identity; tests that need the same bytes each time give their own.
    `projections` are the files that follow this ledger: beside those of another one no new ledger is begun.
    `cache_bytes` is the memory for versions and speakers that searches have read; 0 holds none.
    """

    @property
    def ledger_id(self) -> str:
        return self._opened.ledger_id

    @translating
    def _open_file(self) -> tuple[apsw.Connection, str, bytes]:
        refuse_moved(self._directory)
        beginning.check_file(self._directory, self._projections)
        connection = connect_writer(self._directory)
        try:
            beginning.check_content(connection, self._directory, self._projections)
            migrate(connection)
            with connection:
                connection.execute(
                    "INSERT OR IGNORE INTO meta (name, value) VALUES ('ledger_id', ?), ('secret', ?)",
                    (self._entropy(16).hex(), self._entropy(32)),
                )
            meta: dict[str, Any] = dict(fetch(connection, "SELECT name, value FROM meta"))
        except BaseException:
            connection.close()
            raise
        return connection, str(meta["ledger_id"]), bytes(meta["secret"])

    async def open(self) -> None:
        try:
            lock = DirectoryLock(self._directory)
        except OSError as error:
            raise StoreUnavailable("ledger", f"{self._directory} cannot be used: {error.strerror}") from error
        try:
            connection, ledger_id, secret = self._open_file()
            heads = Heads(self._work_bell.ring)
            caches = LedgerCaches(self._cache_bytes)
            writer = Writer(connection, asyncio.get_running_loop(), heads.move, caches.settle)
            progress = Progress(heads, writer)
            with translated():
                caches.attach(connection)
                readers = Readers(self._directory)
                heads.load(writer.start())
                progress.load(readers.inline)
        except BaseException:
            lock.release()
            raise
        self._recent = RecentChanges()
        self._state = Opened(
            ledger_id, secret, lock, connection, writer, readers, heads, progress, VectorStore(writer), caches
        )

    async def close(self) -> None:
        state, self._state = self._state, None
        if state is None:
            return
        await state.writer.stop()
        state.readers.close()
        with translated():
            checkpoint_at_close(state.connection, True)
            state.connection.close()
        state.lock.release()
        self._work_bell.ring()
        self._ingestion_bell.ring()
        for bell in self._reset_bells.values():
            bell.ring()
