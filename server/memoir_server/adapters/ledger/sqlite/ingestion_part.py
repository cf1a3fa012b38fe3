"""The part of the port that keeps accepted inference work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from memoir_server.adapters.ledger.sqlite import ingestions
from memoir_server.adapters.ledger.sqlite.connection import translating
from memoir_server.adapters.ledger.sqlite.opened import LedgerPart
from memoir_server.adapters.ledger.sqlite.writer import Transaction
from memoir_server.domain.ingestion import Ingestion, IngestionState
from memoir_server.domain.memory import Scope
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.time import Instant
from memoir_server.ports.ingestions import IngestionPosition

_HEADS_SECONDS: Final = 1.0
"""Longest wait for news of a commit that is in the file already."""


class IngestionPart(LedgerPart):
    """Ingestions. One server has the ledger: what it does not know to be at is free."""

    async def accept_ingestion(self, ingestion: Ingestion, *, key: IdempotencyKey | None) -> Ingestion:
        def job(transaction: Transaction) -> Ingestion:
            transaction.after_commit(self._ingestion_bell.ring)
            return ingestions.accept(transaction, ingestion, key)

        return await self._opened.writer.run(job)

    @translating
    def _get_ingestion(self, namespace: str, ingestion_id: str) -> Ingestion:
        row = self._opened.heads.row(namespace)
        ns = None if row is None else row.ns
        return ingestions.find(self._opened.readers.inline, ns, namespace, ingestion_id)

    async def get_ingestion(self, namespace: str, ingestion_id: str) -> Ingestion:
        found = self._get_ingestion(namespace, ingestion_id)
        await self._caught_up(namespace, [found])
        return found

    async def _caught_up(self, namespace: str, found: Sequence[Ingestion]) -> None:
        """The file may be ahead of what this process knows of it, for a moment: then the history would not yet have the
        changes that an ingestion speaks of."""
        newest = max((ingestion.revision for ingestion in found), default=0)
        await self._opened.heads.wait_beyond(namespace, newest - 1, _HEADS_SECONDS)

    async def list_ingestions(
        self,
        namespace: str,
        scope: Scope,
        states: Collection[IngestionState],
        *,
        after: IngestionPosition | None,
        limit: int,
    ) -> Sequence[Ingestion]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return []
        found = await self._opened.readers.run(
            lambda connection: ingestions.listed(connection, row.ns, namespace, scope, states, after=after, limit=limit)
        )
        await self._caught_up(namespace, found)
        return found

    async def claim_ingestion(self, at_work: Collection[str], *, now: Instant) -> Ingestion | None:
        return await self._opened.writer.run(lambda transaction: ingestions.claim(transaction, at_work, now))

    async def postpone_ingestion(self, ingestion: Ingestion, *, until: Instant, error: str, now: Instant) -> None:
        await self._opened.writer.run(
            lambda transaction: ingestions.postpone(transaction, ingestion, until=until, error=error, now=now)
        )

    async def wait_for_ingestions(self, timeout: float) -> None:
        await self._ingestion_bell.wait(timeout)
