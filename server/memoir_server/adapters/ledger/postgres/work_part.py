"""The part of the port for projections: leases, work, vectors, what they should hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.ledger.forms.changing import Entropy
from memoir_server.adapters.ledger.forms.layout import revision_of
from memoir_server.adapters.ledger.postgres import leases, progress, vectors, wanted
from memoir_server.adapters.ledger.postgres.candidates import AGAIN_SECONDS, Candidates
from memoir_server.adapters.ledger.postgres.options import PostgresOptions
from memoir_server.adapters.ledger.postgres.server_part import WORK_TOPIC, ServerPart
from memoir_server.adapters.ledger.postgres.transaction import Transaction
from memoir_server.domain.consistency import Portion, Version
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.graph import MemoryFacts
from memoir_server.domain.memory import Scope
from memoir_server.domain.store import StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Claim, Claims, Lease, Work


class WorkPart(ServerPart):
    """Leases of this server, projection work, vectors, what projections should hold."""

    def __init__(self, options: PostgresOptions, *, entropy: Entropy = os.urandom) -> None:
        super().__init__(options, entropy=entropy)
        self._known: dict[StoreKind, Candidates] = {}

    # -- servers that share the ledger

    async def claim(self, store: StoreKind, *, limit: int, now: Instant) -> Claims:
        seen, candidates = self._opened.watch.news, self._candidates(store)
        claimed = await candidates.claim(limit)
        if not claimed:
            return Claims((), seen)
        share = max(1, limit // len(claimed))
        found = await self._database.fetch_each([progress.finding_due(store, c.ns, share, now) for c in claimed])
        claims = [
            Claim(c.lease, c.applied, progress.due(c.lease.namespace or "", rows))
            for c, rows in zip(claimed, found, strict=True)
        ]
        for claim in claims:
            if 0 < len(claim.work) < share:
                candidates.got(claim.lease, claim.work)
        return Claims(claims, seen)

    def _candidates(self, store: StoreKind) -> Candidates:
        opened = self._opened
        known = self._known.get(store)
        if known is None or not known.of(opened.owner):
            known = self._known[store] = Candidates(opened.database, opened.watch, opened.owner, store)
        return known

    async def hold(self, store: StoreKind, namespace: str | None) -> Lease | None:
        async def job(transaction: Transaction) -> Lease | None:
            if namespace is None:
                return await leases.hold_projection(transaction, self.owner, store)
            assert ns is not None
            return await leases.hold_namespace(transaction, self.owner, store, namespace, ns)

        ns = None if namespace is None else await self._database.number(namespace)
        if namespace is not None and ns is None:
            # There is nothing that anybody could change.
            return Lease(store, namespace)
        return await self._database.run(job)

    async def release(self, leases_: Sequence[Lease], *, linger: float = 0.0) -> None:
        statements = []
        for lease in leases_:
            ns = None if lease.namespace is None else await self._database.number(lease.namespace)
            if ns is not None or lease.namespace is None:
                statements.append(leases.releasing(self.owner, lease, ns, linger))

        async def job(transaction: Transaction) -> None:
            for statement in statements:
                transaction.put(*statement)
            transaction.announce(WORK_TOPIC)

        await self._database.run(job)

    # -- projection work

    async def pending(self, store: StoreKind, *, limit: int, now: Instant) -> Mapping[str, Sequence[Work]]:
        found: dict[str, Sequence[Work]] = {}
        for ns, namespace in await self._fetch(progress.finding_left(store)):
            if limit <= 0:
                break
            work = progress.due(namespace, await self._fetch(progress.finding_due(store, ns, limit, now)))
            if work:
                found[namespace] = work
                limit -= len(work)
        return found

    async def complete(
        self, store: StoreKind, namespace: str, revisions: Sequence[int], *, lease: Lease | None = None
    ) -> None:
        ns = await self._must_exist(namespace)
        candidates = self._candidates(store)
        ends = lease is not None and candidates.ends(lease, revisions)
        statement = progress.completing(self.owner, store, ns, revisions, lease, ends=ends)
        if not await self._fetch(statement):
            raise leases.lost(store, namespace)
        if lease is not None and ends:
            candidates.ended(lease)

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
        async def job(transaction: Transaction) -> None:
            await progress.postpone(
                transaction, self.owner, store, namespace, ns, revisions, lease, until=until, error=error
            )

        ns = await self._must_exist(namespace)
        await self._database.run(job, durable=False)

    async def give_up(
        self, store: StoreKind, namespace: str, revision: int, *, error: str, lease: Lease | None = None
    ) -> None:
        async def job(transaction: Transaction) -> None:
            await progress.give_up(transaction, self.owner, store, namespace, ns, revision, lease, error=error)

        ns = await self._must_exist(namespace)
        await self._database.run(job, durable=False)

    async def watermark(self, store: StoreKind, namespace: str) -> int:
        return await self._number_of(
            (
                (
                    "SELECT least(c.applied, n.revision) FROM namespaces n JOIN cursors c ON c.ns = n.ns "
                    "WHERE n.name = %s AND c.store = %s"
                ),
                (namespace, int(store)),
            )
        )

    async def degraded(self, store: StoreKind, namespace: str) -> int:
        ns = await self._database.number(namespace)
        return 0 if ns is None else len(await self._fetch(progress.exceptions_of(store, ns, "given_up")))

    async def requeue(self, store: StoreKind, namespace: str, *, after: int) -> int:
        async def job(transaction: Transaction) -> int:
            row = await transaction.namespace(namespace)
            if row is None or after >= row.head.revision:
                return 0
            transaction.announce(WORK_TOPIC)
            return await progress.requeue(transaction, store, row.ns, row.head.revision, after)

        return await self._database.run(job)

    async def requeue_changes(self, store: StoreKind, namespace: str, revisions: Sequence[int]) -> None:
        async def job(transaction: Transaction) -> None:
            row = await transaction.namespace(namespace)
            if row is not None:
                transaction.announce(WORK_TOPIC)
                await progress.requeue_changes(transaction, store, row.ns, revisions)

        if revisions:
            await self._database.run(job)

    async def requeued(self, store: StoreKind, namespace: str) -> frozenset[int]:
        ns = await self._database.number(namespace)
        if ns is None:
            return frozenset()
        return frozenset(revision_of(key) for (key,) in await self._fetch(progress.exceptions_of(store, ns, "again")))

    async def replay_size(self, store: StoreKind, namespace: str) -> int:
        ns = await self._database.number(namespace)
        if ns is None:
            return 0
        head = (await self.head(namespace)).revision
        return head - await self._number_of(progress.counting_replay(store, ns, head))

    async def backlog(self, store: StoreKind, namespace: str, *, until: int) -> int:
        ns = await self._database.number(namespace)
        return 0 if ns is None else max(0, await self._number_of(progress.counting_backlog(store, ns, until)))

    async def behind(self, store: StoreKind) -> int:
        return await self._number_of(
            (
                (
                    "SELECT coalesce(sum(greatest(n.revision - c.applied, 0)), 0)::bigint FROM namespaces n "
                    "JOIN cursors c ON c.ns = n.ns WHERE c.store = %s"
                ),
                (int(store),),
            )
        )

    async def wait_for_work(self, timeout: float, *, seen: int = -1) -> None:
        watch = self._opened.watch
        if any(candidates.elsewhere for candidates in self._known.values()):
            timeout = min(timeout, AGAIN_SECONDS)
        if seen in (-1, watch.news):
            await watch.wait_for_work(timeout)

    async def vectors(
        self, namespace: str, content_hashes: Sequence[bytes], model: EmbeddingModel
    ) -> Mapping[bytes, NDArray[np.float32]]:
        ns = await self._database.number(namespace)
        if ns is None or not content_hashes:
            return {}
        return vectors.found(await self._fetch(vectors.finding(ns, content_hashes, model)), model)

    async def keep_vectors(
        self, namespace: str, model: EmbeddingModel, vectors_: Mapping[bytes, NDArray[np.float32]]
    ) -> None:
        async def job(transaction: Transaction) -> None:
            assert ns is not None
            await vectors.keep(transaction, ns, model, vectors_)

        ns = await self._database.number(namespace)
        if ns is not None and vectors_:
            await self._database.run(job, durable=False)

    async def kept_facts(self, namespace: str) -> Sequence[MemoryFacts]:
        ns = await self._database.number(namespace)
        return [] if ns is None else vectors.kept_facts(await self._fetch(vectors.finding_kept_facts(ns)))

    # -- what projections should hold

    async def versions(self, namespace: str, portion: Portion, *, after: int, limit: int) -> Sequence[Version]:
        ns = await self._database.number(namespace)
        if ns is None:
            return []
        return await self._database.read(lambda reader: wanted.versions(reader, ns, namespace, portion, after, limit))

    async def count_memories(self, namespace: str, scope: Scope) -> int:
        ns = await self._database.number(namespace)
        return 0 if ns is None else await self._number_of(wanted.counting(ns, scope))

    async def sample_memories(self, namespace: str, scope: Scope, *, limit: int) -> Sequence[str]:
        ns = await self._database.number(namespace)
        if ns is None:
            return []
        return [memory_id for (memory_id,) in await self._fetch(wanted.sampling(ns, scope, limit))]
