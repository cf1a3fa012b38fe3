"""What tests of the ledger on PostgreSQL share: the server, and ledgers in schemas of their own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from memoir_server.adapters.ledger.postgres import PostgresLedger, PostgresOptions
from stores.four import bounded_stores
from stores.postgresql import Postgresql

LIFE_SECONDS = 1800.0

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgresql]:
    with bounded_stores(("postgresql",), seconds=LIFE_SECONDS) as stores:
        yield stores.postgresql


def options(server: Postgresql, **settings: Any) -> PostgresOptions:
    """A schema that nobody has, unless the settings name one."""
    return PostgresOptions(**{"url": server.address.url, "schema": f"test_{next(_numbers)}", **settings})


@asynccontextmanager
async def opened(settings: PostgresOptions) -> AsyncIterator[PostgresLedger]:
    ledger = PostgresLedger(settings)
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.close()


def others_see(settings: PostgresOptions) -> psycopg.Connection[Any]:
    """A connection beside the ledger's, in its schema, that commits each statement."""
    return psycopg.connect(settings.url, autocommit=True, options=f"-c search_path={settings.schema}")


END_SESSIONS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE application_name = %s AND datname = current_database()"
)
"""Ends the connections of that name, as an administrator would."""
