"""Bringing the schema of a ledger to the newest step, whoever else does the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import sql

from memoir_server.adapters.ledger.postgres import migrations
from memoir_server.adapters.ledger.postgres.database import connection_string
from memoir_server.adapters.ledger.postgres.failures import translated
from memoir_server.adapters.ledger.postgres.options import PostgresOptions
from memoir_server.adapters.ledger.postgres.unfinished import refuse_unfinished
from memoir_server.domain.errors import StoreUnavailable

VERSION_TABLE: Final = "schema_version"
_LOCK: Final = 0x4D454D4F
"""First half of the advisory lock ("MEMO"); the second is made of the schema's name."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a ledger is given when it is made."""

    ledger_id: str
    secret: bytes


Settle: TypeAlias = Callable[[psycopg.Connection[Any]], Identity]
"""Decides, in the transaction that migrates, whether the ledger may be opened, and as which."""


def migrate(options: PostgresOptions, settle: Settle) -> Identity:
    """Makes the schema and its tables where they are missing, and brings older ones forward, in one transaction under
    an advisory lock: of several servers that start at once, one does it and the others wait. Blocks.

    Args:
        options: Where to connect, and the name of the schema.
        settle: Called when the tables stand. What it raises undoes everything.

    Raises:
        StoreUnavailable: The server cannot be used, a newer server wrote the schema, or it holds something else.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    conninfo = connection_string(options, "memoir migration")
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool)
    with translated():
        try:
            with engine.begin() as connection:
                plain: Any = connection.connection.dbapi_connection
                assert plain is not None
                _check_encoding(plain)
                plain.execute("SELECT pg_advisory_xact_lock(%s::int, hashtext(%s))", (_LOCK, options.schema))
                # A step may take longer than any statement of a server should.
                plain.execute("SET LOCAL statement_timeout = 0")
                if plain.execute("SELECT to_regnamespace(%s)::text", (options.schema,)).fetchone() == (None,):
                    plain.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(options.schema)))
                _upgrade(connection, plain, options.schema)
                return settle(plain)
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error):
                raise error.orig from error
            raise


def _upgrade(connection: Any, plain: psycopg.Connection[Any], schema: str) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(Path(migrations.__path__[0]))
    known = {step.revision for step in script.walk_revisions()}
    tables = {
        name for (name,) in plain.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
    }
    if VERSION_TABLE in tables:
        version = sql.Identifier(schema, VERSION_TABLE)
        for (step,) in plain.execute(sql.SQL("SELECT version_num FROM {}").format(version)).fetchall():
            if step not in known:
                raise StoreUnavailable(
                    "ledger",
                    f"schema {schema!r} is at step {step}, this server knows up to {script.get_current_head()}; "
                    "use the newer server that wrote it",
                )
    elif tables:
        raise StoreUnavailable(
            "ledger", f"schema {schema!r} holds tables that are not a ledger of Memoir; choose another schema"
        )
    environment = EnvironmentContext(
        Config(), script, fn=lambda current, _: script._upgrade_revs("head", current), destination_rev="head"
    )
    with environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE, version_table_schema=schema)
        environment.run_migrations()


def serve_as(plain: psycopg.Connection[Any], entropy: Callable[[int], bytes]) -> Identity:
    """How a server opens the ledger: one that has no identity yet gets one. Raises StoreUnavailable while a move into
    it is not finished."""
    refuse_unfinished(plain)
    if plain.execute("SELECT 1 FROM meta WHERE name = 'ledger_id'").fetchone() is None:
        for name, value in (("ledger_id", entropy(16).hex().encode()), ("secret", entropy(32))):
            plain.execute("INSERT INTO meta (name, value) VALUES (%s, %s)", (name, value))
    return identity_of(plain)


def identity_of(plain: psycopg.Connection[Any]) -> Identity:
    """The identity of a ledger that has one."""
    found = dict(plain.execute("SELECT name, value FROM meta").fetchall())
    return Identity(found["ledger_id"].decode(), found["secret"])


def _check_encoding(plain: psycopg.Connection[Any]) -> None:
    encoding = plain.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreUnavailable(
            "ledger", f"the database is encoded as {encoding}; create one with ENCODING 'UTF8' TEMPLATE template0"
        )
