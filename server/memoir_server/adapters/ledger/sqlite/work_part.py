"""The part of the port for projections: work, vectors, what they should hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.ledger.forms.layout import key_of
from memoir_server.adapters.ledger.sqlite import wanted
from memoir_server.adapters.ledger.sqlite.connection import translated
from memoir_server.adapters.ledger.sqlite.opened import INLINE_ROWS, LedgerPart
from memoir_server.adapters.ledger.sqlite.progress import INLINE, needless, read_due
from memoir_server.adapters.ledger.sqlite.rows import as_json
from memoir_server.adapters.ledger.sqlite.vectors import kept_facts
from memoir_server.domain.consistency import Portion, Version
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.graph import MemoryFacts
from memoir_server.domain.memory import Scope
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import (
    Claim,
    Claims,
    Lease,
    Work,
)


class WorkPart(LedgerPart):
    """Projection work and vectors. Leases cost nothing here: the directory belongs to one server."""

    async def renew(self, model: EmbeddingModel) -> float:
        return math.inf

    async def resign(self) -> None:
        pass

    async def others_with_another_model(self, model: EmbeddingModel) -> int:
        return 0

    async def claim(self, store: StoreKind, *, limit: int, now: Instant) -> Claims:
        seen = self._work_bell.rung
        due = await self.pending(store, limit=limit, now=now)
        claims = [
            Claim(Lease(store, namespace), self._applied(store, namespace), work) for namespace, work in due.items()
        ]
        return Claims(claims, seen)

    async def hold(self, store: StoreKind, namespace: str | None) -> Lease | None:
        return Lease(store, namespace)

    async def release(self, leases: Sequence[Lease], *, linger: float = 0.0) -> None:
        pass

    async def pending(self, store: StoreKind, *, limit: int, now: Instant) -> Mapping[str, Sequence[Work]]:
        opened = self._opened
        found: dict[str, Sequence[Work]] = {}
        for row, revisions in opened.progress.due(store, limit=limit, now=now):
            attempts = opened.progress.attempts(store, row)
            with translated():
                recent = self._recent.work(opened.readers.inline, row, revisions, attempts)
            if recent is not None:
                work = recent
            elif len(revisions) <= INLINE:
                with translated():
                    work = read_due(opened.readers.inline, row, revisions, attempts)
            else:
                work = await opened.readers.run(
                    lambda connection, row=row, revisions=revisions, attempts=attempts: read_due(  # type: ignore[misc]
                        connection, row, revisions, attempts
                    )
                )
            due = opened.progress.in_order(store, row, work, now)
            if due:
                found[row.name] = due
        return found

    async def complete(
        self, store: StoreKind, namespace: str, revisions: Sequence[int], *, lease: Lease | None = None
    ) -> None:
        row, progress = self._row(namespace), self._opened.progress
        progress.complete(store, row, revisions)
        self._recent.drop_through(row.ns, min(progress.watermark(each, row) for each in PROJECTIONS))

    async def postpone(
        self,
        store: StoreKind,
        namespace: str,
        revisions: Sequence[int],
        *,
        until: Instant,
        error: str,
        lease: Lease | None = None,
    ) -> None:
        row = self._row(namespace)
        with translated():
            rows = self._opened.readers.inline.execute(
                "SELECT key, memory_id FROM events WHERE key IN (SELECT value FROM json_each(?))",
                (as_json([key_of(row.ns, revision) for revision in revisions]),),
            )
            memory_ids = {key - key_of(row.ns, 0): memory_id for key, memory_id in rows}
        self._opened.progress.postpone(store, row, memory_ids, until=until, error=error)

    async def give_up(
        self, store: StoreKind, namespace: str, revision: int, *, error: str, lease: Lease | None = None
    ) -> None:
        self._opened.progress.give_up(store, self._row(namespace), revision, error)

    def _applied(self, store: StoreKind, namespace: str) -> int:
        row = self._opened.heads.row(namespace)
        return 0 if row is None else self._opened.progress.watermark(store, row)

    async def watermark(self, store: StoreKind, namespace: str) -> int:
        return self._applied(store, namespace)

    async def degraded(self, store: StoreKind, namespace: str) -> int:
        row = self._opened.heads.row(namespace)
        return 0 if row is None else self._opened.progress.degraded(store, row)

    async def requeue(self, store: StoreKind, namespace: str, *, after: int) -> int:
        row = self._opened.heads.row(namespace)
        if row is None or after >= row.head.revision:
            return 0
        progress = self._opened.progress
        count = await self._opened.writer.run(lambda transaction: progress.requeue(transaction, store, row, after))
        self._work_bell.ring()
        return count

    async def requeue_changes(self, store: StoreKind, namespace: str, revisions: Sequence[int]) -> None:
        row = self._opened.heads.row(namespace)
        if row is None or not revisions:
            return
        progress = self._opened.progress
        await self._opened.writer.run(lambda transaction: progress.requeue_changes(transaction, store, row, revisions))
        self._work_bell.ring()

    async def requeued(self, store: StoreKind, namespace: str) -> frozenset[int]:
        row = self._opened.heads.row(namespace)
        return frozenset() if row is None else self._opened.progress.requeued(store, row)

    async def replay_size(self, store: StoreKind, namespace: str) -> int:
        row = self._opened.heads.row(namespace)
        if row is None:
            return 0
        head = row.head.revision
        left_out = await self._opened.readers.run(lambda connection: needless(connection, store, row.ns, 0, head))
        return head - len(left_out)

    async def backlog(self, store: StoreKind, namespace: str, *, until: int) -> int:
        row = self._opened.heads.row(namespace)
        return 0 if row is None else self._opened.progress.backlog(store, row, until)

    async def behind(self, store: StoreKind) -> int:
        opened = self._opened
        return sum(row.head.revision - opened.progress.watermark(store, row) for row in opened.heads.rows())

    async def wait_for_work(self, timeout: float, *, seen: int = -1) -> None:
        if seen in (-1, self._work_bell.rung):
            await self._work_bell.wait(timeout)

    async def vectors(
        self, namespace: str, content_hashes: Sequence[bytes], model: EmbeddingModel
    ) -> Mapping[bytes, NDArray[np.float32]]:
        opened = self._opened
        row = opened.heads.row(namespace)
        if row is None or not content_hashes:
            return {}
        taken = opened.vectors.take(row, content_hashes, model)
        others = (
            [content_hash for content_hash in content_hashes if content_hash not in taken] if taken else content_hashes
        )
        if not others:
            return taken
        if len(others) <= INLINE_ROWS:
            with translated():
                return taken | opened.vectors.read(opened.readers.inline, row, others, model)
        return taken | await opened.readers.run(lambda connection: opened.vectors.read(connection, row, others, model))

    async def keep_vectors(
        self, namespace: str, model: EmbeddingModel, vectors: Mapping[bytes, NDArray[np.float32]]
    ) -> None:
        row = self._opened.heads.row(namespace)
        if row is not None and vectors:
            self._opened.vectors.keep(row, model, vectors)

    async def kept_facts(self, namespace: str) -> Sequence[MemoryFacts]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return []
        return await self._opened.readers.run(lambda connection: kept_facts(connection, row.ns))

    async def versions(self, namespace: str, portion: Portion, *, after: int, limit: int) -> Sequence[Version]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return []
        return await self._opened.readers.run(
            lambda connection: wanted.versions(connection, row.ns, namespace, portion, after, limit)
        )

    async def count_memories(self, namespace: str, scope: Scope) -> int:
        row = self._opened.heads.row(namespace)
        if row is None:
            return 0
        return await self._opened.readers.run(lambda connection: wanted.count(connection, row.ns, scope))

    async def sample_memories(self, namespace: str, scope: Scope, *, limit: int) -> Sequence[str]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return []
        return await self._opened.readers.run(lambda connection: wanted.sample(connection, row.ns, scope, limit))
