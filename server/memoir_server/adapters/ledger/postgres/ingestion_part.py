"""The part of the port that keeps accepted inference work."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from memoir_server.adapters.ledger.forms.ingestions import read_ingestion
from memoir_server.adapters.ledger.postgres import ingestions
from memoir_server.adapters.ledger.postgres.server_part import ServerPart
from memoir_server.adapters.ledger.postgres.transaction import Transaction
from memoir_server.domain.ingestion import Ingestion, IngestionState
from memoir_server.domain.memory import Scope
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.time import Instant
from memoir_server.ports.ingestions import IngestionPosition


class IngestionPart(ServerPart):
    """Ingestions. Which server is at one is a lease, like those of the projections."""

    async def accept_ingestion(self, ingestion: Ingestion, *, key: IdempotencyKey | None) -> Ingestion:
        return await self._database.run(lambda transaction: ingestions.accept(transaction, ingestion, key))

    async def get_ingestion(self, namespace: str, ingestion_id: str) -> Ingestion:
        rows = await self._fetch(ingestions.finding(namespace, ingestion_id))
        return ingestions.found(namespace, ingestion_id, rows)

    async def list_ingestions(
        self,
        namespace: str,
        scope: Scope,
        states: Collection[IngestionState],
        *,
        after: IngestionPosition | None,
        limit: int,
    ) -> Sequence[Ingestion]:
        rows = await self._fetch(ingestions.listing(namespace, scope, states, after=after, limit=limit))
        return [read_ingestion(namespace, row) for row in rows]

    async def claim_ingestion(self, at_work: Collection[str], *, now: Instant) -> Ingestion | None:
        async def job(transaction: Transaction) -> Ingestion | None:
            return ingestions.claimed(await transaction.fetch(*ingestions.claiming(self.owner, at_work, now)))

        return await self._database.run(job)

    async def postpone_ingestion(self, ingestion: Ingestion, *, until: Instant, error: str, now: Instant) -> None:
        await self._database.run(
            lambda transaction: ingestions.postpone(transaction, ingestion, until=until, error=error, now=now)
        )

    async def wait_for_ingestions(self, timeout: float) -> None:
        await self._opened.watch.wait_topic(ingestions.INGESTIONS_TOPIC, timeout)
