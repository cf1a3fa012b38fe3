"""The ledger in PostgreSQL: the suite of every ledger, and what only a server shared with others can suffer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from memoir_conformance.ledger_doctor_suite import DoctorSuite
from memoir_conformance.ledger_duplicates_suite import AccessSuite, TwinSuite
from memoir_conformance.ledger_filter_suite import FilterSuite
from memoir_conformance.ledger_ingestion_suite import IngestionSuite
from memoir_conformance.ledger_model import OpenLedger, Reopen
from memoir_conformance.ledger_sources_suite import SourcesSuite
from memoir_conformance.ledger_suite import ReadingSuite, WritingSuite
from memoir_conformance.ledger_transfer_suite import TransferSuite
from memoir_conformance.ledger_work_suite import ResetSuite, WorkSuite
from memoir_server.adapters.ledger.postgres import PostgresLedger
from memoir_server.ports.ledger import Ledger
from stores.postgresql import Postgresql
from tests.conformance.postgres_model import options, server

pytestmark = pytest.mark.stores

__all__ = ["server"]


@pytest.fixture
async def ledgers() -> AsyncIterator[list[PostgresLedger]]:
    opened: list[PostgresLedger] = []
    yield opened
    for ledger in opened:
        await ledger.close()


@pytest.fixture
def open_ledger(server: Postgresql, ledgers: list[PostgresLedger]) -> OpenLedger:
    async def open_() -> Ledger:
        ledger = PostgresLedger(options(server))
        await ledger.open()
        ledgers.append(ledger)
        return ledger

    return open_


@pytest.fixture
def reopen(ledgers: list[PostgresLedger]) -> Reopen:
    """What the next server finds while the killed one has not let go of anything."""

    async def reopen_(ledger: Ledger) -> Ledger:
        assert isinstance(ledger, PostgresLedger)
        again = PostgresLedger(ledger.options)
        await again.open()
        ledgers.append(again)
        return again

    return reopen_


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def run(runner: asyncio.Runner) -> Callable[[Awaitable[None]], None]:
    async def wait(law: Awaitable[None]) -> None:
        await law

    return lambda law: runner.run(wait(law))


@pytest.fixture(scope="module")
def shared_ledger(runner: asyncio.Runner, server: Postgresql) -> Iterator[Ledger]:
    ledger = PostgresLedger(options(server))
    runner.run(ledger.open())
    yield ledger
    runner.run(ledger.close())


class TestPostgresWriting(WritingSuite):
    pass


class TestPostgresReading(ReadingSuite):
    pass


class TestPostgresDoctor(DoctorSuite):
    pass


class TestPostgresTwins(TwinSuite):
    pass


class TestPostgresAccesses(AccessSuite):
    pass


class TestPostgresFilters(FilterSuite):
    pass


class TestPostgresSources(SourcesSuite):
    pass


class TestPostgresWork(WorkSuite):
    pass


class TestPostgresResets(ResetSuite):
    pass


class TestPostgresIngestions(IngestionSuite):
    pass


class TestPostgresTransfer(TransferSuite):
    pass
