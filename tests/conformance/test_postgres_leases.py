"""Leases of servers that share a ledger in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from memoir_conformance.ledger_lease_suite import LeaseSuite, SharingSuite
from memoir_conformance.ledger_model import OpenLedger
from memoir_server.ports.ledger import Ledger
from stores.postgresql import Postgresql
from tests.conformance.postgres_model import opened, options, server

pytestmark = pytest.mark.stores

__all__ = ["server"]


@pytest.fixture
async def open_ledger(server: Postgresql) -> AsyncIterator[OpenLedger]:
    async with opened(options(server)) as ledger:

        async def open_() -> Ledger:
            return ledger

        yield open_


class TestPostgresLeases(LeaseSuite):
    pass


class TestPostgresSharing(SharingSuite):
    @pytest.fixture
    async def pair(self, server: Postgresql) -> AsyncIterator[tuple[Ledger, Ledger]]:
        settings = options(server, lease_seconds=1.0)
        async with opened(settings) as first, opened(settings) as second:
            yield first, second
