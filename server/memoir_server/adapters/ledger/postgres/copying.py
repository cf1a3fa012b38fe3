"""A schema of PostgreSQL as the target of a copy.

The record of the move stands in the table meta and is replaced in the same transaction as rows are added: a process
that is killed at any point left whole pages and the position behind the last of them, and two that write notice each
other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict

from memoir_server.adapters.ledger.postgres.copied_rows import WALKS, writing
from memoir_server.adapters.ledger.postgres.database import Database
from memoir_server.adapters.ledger.postgres.ledger import PostgresLedger
from memoir_server.adapters.ledger.postgres.options import PostgresOptions
from memoir_server.adapters.ledger.postgres.schema import Identity as SchemaIdentity
from memoir_server.adapters.ledger.postgres.schema import identity_of, migrate
from memoir_server.adapters.ledger.postgres.transaction import Statement, Transaction
from memoir_server.adapters.ledger.postgres.unfinished import RECORD_NAME, decode_record, encode_record
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.ledger_copy import (
    Identity,
    LedgerTarget,
    MoveRecord,
    MoveRefused,
    Page,
    Part,
    Row,
    Stage,
    Standing,
)

_REPLACE = f"UPDATE meta SET value = %s WHERE name = '{RECORD_NAME}' AND value = %s RETURNING name"


class _UnfinishedLedger(PostgresLedger):
    """The ledger as the move itself opens it."""

    def _settle(self, plain: psycopg.Connection[Any]) -> SchemaIdentity:
        return identity_of(plain)


class PostgresLedgerTarget(LedgerTarget):
    """See the port, and PostgresOptions."""

    def __init__(self, options: PostgresOptions) -> None:
        self._options = options
        self._database: Database | None = None

    @property
    def name(self) -> str:
        try:
            parts = conninfo_to_dict(self._options.url)
        except psycopg.Error as error:
            raise StoreUnavailable("ledger", "its connection URL is malformed") from error
        place = f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
        return f"postgresql://{place}, schema {self._options.schema}"

    async def open(self) -> None:
        database = Database(self._options, lambda _: None)
        await database.open()
        self._database = database

    async def close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            await database.close()

    async def standing(self) -> Standing:
        tables = await self._opened.fetch(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = %s", (self._options.schema,)
        )
        if not tables:
            return Standing()
        if ("meta",) not in tables:
            raise MoveRefused(f"{self.name} holds tables that are no ledger of Memoir; choose another schema")
        meta: dict[str, bytes] = dict(await self._opened.fetch("SELECT name, value FROM meta"))
        if "ledger_id" not in meta:
            return Standing()
        value = meta.get(RECORD_NAME)
        record = None if value is None else decode_record(value)
        if record is not None and record.stage is not Stage.FINISHED:
            # Begun by an earlier release, perhaps.
            await asyncio.to_thread(migrate, self._options, identity_of)
        return Standing(meta["ledger_id"].decode(), record)

    async def begin(self, identity: Identity, record: MoveRecord) -> None:
        def settle(plain: psycopg.Connection[Any]) -> SchemaIdentity:
            found = dict(plain.execute("SELECT name, value FROM meta").fetchall())
            if "ledger_id" in found:
                held = found["ledger_id"].decode()
                raise MoveRefused(f"{self.name} holds the ledger {held} by now; name an empty database or schema")
            for name, value in (
                ("ledger_id", identity.ledger_id.encode()),
                ("secret", identity.secret),
                (RECORD_NAME, encode_record(record)),
            ):
                plain.execute("INSERT INTO meta (name, value) VALUES (%s, %s)", (name, value))
            return identity_of(plain)

        await asyncio.to_thread(migrate, self._options, settle)

    async def write(self, part: Part, rows: Sequence[Row], record: MoveRecord, before: MoveRecord) -> None:
        await self._replace(record, before, writing(part, rows) if rows else ())

    async def keep_record(self, record: MoveRecord, before: MoveRecord) -> None:
        await self._replace(record, before, ())

    async def _replace(self, record: MoveRecord, before: MoveRecord, statements: Sequence[Statement]) -> None:
        async def job(transaction: Transaction) -> bool:
            found = await transaction.fetch(_REPLACE, (encode_record(record), encode_record(before)))
            if found:
                for sql, bindings in statements:
                    transaction.put(sql, bindings)
            return bool(found)

        if not await self._opened.run(job):
            raise MoveRefused(f"another process moves into {self.name}, or it was emptied; end that and run this again")

    async def read(self, part: Part, after: bytes) -> Page:
        walk = WALKS[part]
        rows = await self._opened.fetch(*walk.page(msgspec.msgpack.decode(after) if after else ()))
        if not rows:
            return Page(())
        return Page([walk.make(*row) for row in rows], msgspec.msgpack.encode(rows[-1][: len(walk.key)]))

    def ledger(self) -> Ledger:
        return _UnfinishedLedger(self._options)

    @property
    def _opened(self) -> Database:
        if self._database is None:
            raise StoreUnavailable("ledger", "it is not open")
        return self._database
