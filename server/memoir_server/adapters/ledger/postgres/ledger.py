"""The ledger port on PostgreSQL: several servers on one database, which alone knows the truth.

Nothing that another server may change is held in memory: every read asks the database.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import psycopg

from memoir_server.adapters.ledger.postgres.database import Database
from memoir_server.adapters.ledger.postgres.history_part import HistoryPart
from memoir_server.adapters.ledger.postgres.ingestion_part import IngestionPart
from memoir_server.adapters.ledger.postgres.mutation_part import MutationPart
from memoir_server.adapters.ledger.postgres.opened import Opened
from memoir_server.adapters.ledger.postgres.reading_part import ReadingPart
from memoir_server.adapters.ledger.postgres.reset_part import ResetPart
from memoir_server.adapters.ledger.postgres.schema import Identity, migrate, serve_as
from memoir_server.adapters.ledger.postgres.transaction import Transaction
from memoir_server.adapters.ledger.postgres.watching import Watch
from memoir_server.adapters.ledger.postgres.work_part import WorkPart
from memoir_server.ports.ledger_copy import LedgerTarget, MoveTarget


class PostgresLedger(MutationPart, IngestionPart, ReadingPart, HistoryPart, WorkPart, ResetPart, MoveTarget):
    """See the port, and PostgresOptions. `entropy` makes salts and the ledger's identity."""

    @property
    def ledger_id(self) -> str:
        return self._opened.identity.ledger_id

    async def open(self) -> None:
        identity = await asyncio.to_thread(migrate, self._options, self._settle)
        database = Database(self._options, self._committed)
        await database.open()
        watch = Watch(database)
        watch.start()
        self._state = Opened(secrets.token_hex(8), identity, database, watch)

    def move_target(self) -> LedgerTarget:
        from memoir_server.adapters.ledger.postgres.copying import PostgresLedgerTarget

        return PostgresLedgerTarget(self._options)

    def _settle(self, plain: psycopg.Connection[Any]) -> Identity:
        return serve_as(plain, self._entropy)

    async def close(self) -> None:
        state = self._state
        if state is None:
            return
        await state.database.finish()
        self._state = None
        await state.watch.stop()
        await state.database.close()

    def _committed(self, transaction: Transaction) -> None:
        if self._state is not None:
            heads = {name: row.head.revision for name, row in transaction.moved.items()}
            self._state.watch.committed(heads, transaction.topics)
