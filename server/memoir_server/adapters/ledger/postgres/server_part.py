"""The part of the port that says that this server lives."""

from __future__ import annotations

from memoir_server.adapters.ledger.postgres import leases
from memoir_server.adapters.ledger.postgres.opened import LedgerPart
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement, Transaction
from memoir_server.domain.embedding import EmbeddingModel

WORK_TOPIC = "work"
"""Announced when there may be work for others without a commit of the log."""


class ServerPart(LedgerPart):
    """One server among those that share the ledger."""

    async def renew(self, model: EmbeddingModel) -> float:
        seconds = self._options.lease_seconds
        await self._fetch(leases.renewing(self.owner, _label(model), seconds))
        return seconds

    async def resign(self) -> None:
        async def job(transaction: Transaction) -> None:
            for statement in leases.resigning(self.owner):
                transaction.put(*statement)
            transaction.announce(WORK_TOPIC)

        await self._database.run(job)

    async def others_with_another_model(self, model: EmbeddingModel) -> int:
        return await self._number_of(leases.counting_others(self.owner, _label(model)))

    async def _fetch(self, statement: Statement) -> list[Row]:
        return await self._database.fetch(*statement)

    async def _number_of(self, statement: Statement) -> int:
        """The number a query answers with; 0 when it finds no row."""
        rows = await self._database.fetch(*statement)
        return int(rows[0][0]) if rows else 0

    async def _must_exist(self, namespace: str) -> int:
        """The number of a namespace that must exist, because work in it is spoken of."""
        ns = await self._database.number(namespace)
        if ns is None:
            raise ValueError(f"namespace {namespace!r} does not exist")
        return ns


def _label(model: EmbeddingModel) -> str:
    """All that makes it another model."""
    return f"{model.name}@{model.version} {model.dimension} {'asymmetric' if model.asymmetric else 'symmetric'}"
