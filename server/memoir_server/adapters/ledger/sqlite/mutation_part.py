"""The part of the port that writes changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memoir_server.adapters.ledger.sqlite import (
    accesses,
    reads,
)
from memoir_server.adapters.ledger.sqlite.connection import translated
from memoir_server.adapters.ledger.sqlite.opened import LedgerPart
from memoir_server.adapters.ledger.sqlite.writer import Transaction
from memoir_server.domain.access import Kept, Noted
from memoir_server.domain.change import Change, Origin
from memoir_server.domain.mutation import Committed, Mutation
from memoir_server.domain.time import Instant


class MutationPart(LedgerPart):
    """Mutations, failures, expiry, accesses."""

    async def commit(self, mutation: Mutation) -> Committed:
        def job(transaction: Transaction) -> Committed:
            committed = self._mutations.commit(transaction, mutation)
            if mutation.ingestion is not None:
                transaction.after_commit(self._ingestion_bell.ring)
            if mutation.vectors is not None and not committed.replayed:
                made = [change.after.content_hash for change in committed.changes if change.after is not None]
                self._opened.vectors.keep_ready(transaction, mutation.namespace, mutation.vectors, made)
            if committed.changes and not committed.replayed:
                ns = transaction.make_namespace(mutation.namespace).ns
                transaction.after_commit(lambda: self._recent.note(ns, committed.changes))
            return committed

        return await self._opened.writer.run(job)

    async def append_failure(
        self, namespace: str, memory_id: str, reason: str, *, now: Instant, origin: Origin
    ) -> Change:
        progress = self._opened.progress

        def job(transaction: Transaction) -> Change:
            change = self._mutations.append_failure(transaction, namespace, memory_id, reason, now=now, origin=origin)
            ns = transaction.make_namespace(namespace).ns
            transaction.after_commit(lambda: progress.skip(ns, [change.revision]))
            return change

        return await self._opened.writer.run(job)

    async def expired(self, now: Instant, *, limit: int) -> Sequence[tuple[str, str]]:
        with translated():
            return reads.expired(self._opened.readers.inline, now, limit)

    async def note_accesses(self, namespace: str, noted: Sequence[Noted]) -> None:
        row = self._opened.heads.row(namespace)
        if row is not None and noted:
            await self._opened.writer.run(
                lambda transaction: accesses.note_accesses(transaction.connection, row.ns, noted)
            )

    async def accesses(self, namespace: str, memory_ids: Sequence[str]) -> Mapping[str, Kept]:
        row = self._opened.heads.row(namespace)
        if row is None or not memory_ids:
            return {}
        with translated():
            return accesses.read_accesses(self._opened.readers.inline, row.ns, memory_ids)
