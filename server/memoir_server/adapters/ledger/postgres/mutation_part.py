"""The part of the port that writes changes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from memoir_server.adapters.ledger.forms.changing import Entropy
from memoir_server.adapters.ledger.postgres.accesses import note_accesses
from memoir_server.adapters.ledger.postgres.ingestions import INGESTIONS_TOPIC
from memoir_server.adapters.ledger.postgres.mutations import Mutations
from memoir_server.adapters.ledger.postgres.opened import LedgerPart
from memoir_server.adapters.ledger.postgres.options import PostgresOptions
from memoir_server.adapters.ledger.postgres.transaction import Transaction
from memoir_server.adapters.ledger.postgres.vectors import keep_ready
from memoir_server.domain.access import Noted
from memoir_server.domain.change import Change, Origin
from memoir_server.domain.mutation import Committed, Mutation
from memoir_server.domain.time import Instant


class MutationPart(LedgerPart):
    """Mutations, failures, accesses."""

    def __init__(self, options: PostgresOptions, *, entropy: Entropy = os.urandom) -> None:
        super().__init__(options, entropy=entropy)
        self._mutations = Mutations(entropy)

    async def commit(self, mutation: Mutation) -> Committed:
        # Nothing is awaited before the transaction: a caller that goes away now has written all the same.
        known = self._database.known_number(mutation.namespace)

        async def job(transaction: Transaction) -> Committed:
            committed = await self._mutations.commit(transaction, mutation, known)
            if mutation.ingestion is not None:
                transaction.announce(INGESTIONS_TOPIC)
            if mutation.vectors is not None:
                row = await transaction.make_namespace(mutation.namespace)
                await keep_ready(transaction, row, mutation.vectors)
            return committed

        return await self._database.run(job, namespace=mutation.namespace)

    async def append_failure(
        self, namespace: str, memory_id: str, reason: str, *, now: Instant, origin: Origin
    ) -> Change:
        async def job(transaction: Transaction) -> Change:
            return await self._mutations.append_failure(
                transaction, namespace, memory_id, reason, now=now, origin=origin
            )

        return await self._database.run(job, namespace=namespace)

    async def note_accesses(self, namespace: str, noted: Sequence[Noted]) -> None:
        if not noted:
            return

        async def job(transaction: Transaction) -> None:
            row = await transaction.namespace(namespace)
            if row is not None:
                note_accesses(transaction, row.ns, noted)

        # Counts, not truth: the namespace is not kept locked while a disk syncs.
        await self._database.run(job, durable=False, namespace=namespace)
