"""The ledger port on SQLite: one file, one writer, readers that never wait for it."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.ledger.forms.changing import Entropy
from memoir_server.adapters.ledger.forms.layout import key_of
from memoir_server.adapters.ledger.sqlite import (
    accesses,
    beginning,
    chain,
    erasure,
    ingestions,
    log,
    reads,
    resets,
    transfer,
    wanted,
)
from memoir_server.adapters.ledger.sqlite.caches import DEFAULT_CAPACITY_BYTES, LedgerCaches
from memoir_server.adapters.ledger.sqlite.connection import (
    DirectoryLock,
    checkpoint_at_close,
    connect_writer,
    translated,
    translating,
)
from memoir_server.adapters.ledger.sqlite.heads import Bell, Heads
from memoir_server.adapters.ledger.sqlite.moved import refuse_moved
from memoir_server.adapters.ledger.sqlite.mutations import Mutations
from memoir_server.adapters.ledger.sqlite.progress import INLINE, Progress, needless, read_due
from memoir_server.adapters.ledger.sqlite.readers import Readers
from memoir_server.adapters.ledger.sqlite.recent import RecentChanges
from memoir_server.adapters.ledger.sqlite.resets import ResetRecords, read_reset, token_of
from memoir_server.adapters.ledger.sqlite.rows import as_json, fetch
from memoir_server.adapters.ledger.sqlite.schema import migrate
from memoir_server.adapters.ledger.sqlite.speakers import speakers_of
from memoir_server.adapters.ledger.sqlite.twins import twins_of
from memoir_server.adapters.ledger.sqlite.vectors import VectorStore, kept_facts
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow, Transaction, Writer
from memoir_server.domain.access import Kept, Noted
from memoir_server.domain.change import Change, Head, Origin
from memoir_server.domain.consistency import Portion, Version
from memoir_server.domain.duplicate import Twin
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.filter import Family
from memoir_server.domain.graph import MemoryFacts
from memoir_server.domain.ingestion import Ingestion, IngestionState
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.mutation import Committed, IdempotencyKey, Mutation
from memoir_server.domain.reset import Reset, ResetReceipt, ResetState, ResetTarget
from memoir_server.domain.scopes import ScopeCount, ScopeDimension
from memoir_server.domain.selection import Selection
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.ingestions import IngestionPosition
from memoir_server.ports.ledger import (
    Born,
    Claim,
    Claims,
    HistoryQuery,
    Lease,
    Ledger,
    ListPosition,
    Recount,
    TargetCount,
    Work,
)

_INLINE_ROWS = 100
"""Rows that are read on the event loop; more go to a thread."""
_HEADS_SECONDS = 1.0
"""Longest wait for news of a commit that is in the file already."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """What exists between open and close."""

    ledger_id: str
    secret: bytes
    lock: DirectoryLock
    connection: apsw.Connection
    writer: Writer
    readers: Readers
    heads: Heads
    progress: Progress
    vectors: VectorStore
    caches: LedgerCaches


class SqliteLedger(Ledger):
    """See the port. `directory` holds `ledger.db` and belongs to one server at a time.

    `entropy` makes salts and the ledger's identity; tests that need the same bytes each time give their own.
    `projections` are the files that follow this ledger: beside those of another one no new ledger is begun.
    `cache_bytes` is the memory for versions and speakers that searches have read; 0 holds none.
    """

    def __init__(
        self,
        directory: Path,
        *,
        entropy: Entropy = os.urandom,
        projections: Sequence[Path] = (),
        cache_bytes: int = DEFAULT_CAPACITY_BYTES,
    ) -> None:
        self._directory = directory
        self._cache_bytes = cache_bytes
        self._projections = projections
        self._entropy = entropy
        self._mutations = Mutations(entropy)
        self._resets = ResetRecords(self._mutations)
        self._recent = RecentChanges()
        self._work_bell = Bell()
        self._ingestion_bell = Bell()
        self._reset_bells: dict[tuple[str, str], Bell] = {}
        self._state: _Opened | None = None

    @property
    def _opened(self) -> _Opened:
        if self._state is None:
            raise StoreUnavailable("ledger", "it is not open")
        return self._state

    @property
    def ledger_id(self) -> str:
        return self._opened.ledger_id

    @translating
    def _open_file(self) -> tuple[apsw.Connection, str, bytes]:
        refuse_moved(self._directory)
        beginning.check_file(self._directory, self._projections)
        connection = connect_writer(self._directory)
        try:
            beginning.check_content(connection, self._directory, self._projections)
            migrate(connection)
            with connection:
                connection.execute(
                    "INSERT OR IGNORE INTO meta (name, value) VALUES ('ledger_id', ?), ('secret', ?)",
                    (self._entropy(16).hex(), self._entropy(32)),
                )
            meta: dict[str, Any] = dict(fetch(connection, "SELECT name, value FROM meta"))
        except BaseException:
            connection.close()
            raise
        return connection, str(meta["ledger_id"]), bytes(meta["secret"])

    async def open(self) -> None:
        try:
            lock = DirectoryLock(self._directory)
        except OSError as error:
            raise StoreUnavailable("ledger", f"{self._directory} cannot be used: {error.strerror}") from error
        try:
            connection, ledger_id, secret = self._open_file()
            heads = Heads(self._work_bell.ring)
            caches = LedgerCaches(self._cache_bytes)
            writer = Writer(connection, asyncio.get_running_loop(), heads.move, caches.settle)
            progress = Progress(heads, writer)
            with translated():
                caches.attach(connection)
                readers = Readers(self._directory)
                heads.load(writer.start())
                progress.load(readers.inline)
        except BaseException:
            lock.release()
            raise
        self._recent = RecentChanges()
        self._state = _Opened(
            ledger_id, secret, lock, connection, writer, readers, heads, progress, VectorStore(writer), caches
        )

    async def close(self) -> None:
        state, self._state = self._state, None
        if state is None:
            return
        await state.writer.stop()
        state.readers.close()
        with translated():
            checkpoint_at_close(state.connection, True)
            state.connection.close()
        state.lock.release()
        self._work_bell.ring()
        self._ingestion_bell.ring()
        for bell in self._reset_bells.values():
            bell.ring()

    # -- mutations

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

    # -- ingestions

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

    # -- reads

    async def namespaces(self) -> Sequence[str]:
        return self._opened.heads.names()

    async def head(self, namespace: str) -> Head:
        return self._opened.heads.head(namespace)

    @translating
    def _revision_at(self, row: NamespaceRow, time: Instant) -> int:
        return log.revision_at(self._opened.readers.inline, row.ns, row.head.revision, time)

    async def revision_at(self, namespace: str, time: Instant) -> int:
        row = self._opened.heads.row(namespace)
        if row is None:
            return 0
        return row.head.revision if row.head.commit_time <= time else self._revision_at(row, time)

    @translating
    def _commit_time(self, row: NamespaceRow, revision: int) -> Instant:
        return log.commit_time(self._opened.readers.inline, row.ns, revision)

    async def commit_time(self, namespace: str, revision: int) -> Instant:
        row = self._opened.heads.row(namespace)
        if revision == 0:
            return 0
        if row is None or not 0 < revision <= row.head.revision:
            raise ValueError(f"revision {revision} of namespace {namespace!r} does not exist; the head is lower")
        return self._commit_time(row, revision)

    @translating
    def _get_inline(
        self, row: NamespaceRow, memory_ids: Sequence[str], revision: int, now: Instant
    ) -> dict[str, Memory]:
        connection = self._opened.readers.inline
        if len(memory_ids) == 1 and revision >= NEVER - 1:
            memory = reads.current_memory(connection, row.ns, row.name, memory_ids[0], now)
            return {} if memory is None else {memory.memory_id: memory}
        return reads.memories_by_id(connection, row.ns, row.name, memory_ids, revision=revision, now=now)

    async def get(
        self, namespace: str, memory_ids: Sequence[str], *, revision: int, now: Instant
    ) -> Mapping[str, Memory]:
        opened = self._opened
        row = opened.heads.row(namespace)
        if row is None or not memory_ids:
            return {}
        if len(memory_ids) <= _INLINE_ROWS:
            return self._get_inline(row, memory_ids, revision, now)
        return await opened.readers.run(
            lambda connection: reads.memories_by_id(
                connection, row.ns, namespace, memory_ids, revision=revision, now=now
            )
        )

    async def twins(self, namespace: str, twins: Sequence[Twin], *, now: Instant) -> Sequence[Memory]:
        row = self._opened.heads.row(namespace)
        if row is None or not twins:
            return []
        return await self._opened.readers.run(lambda connection: twins_of(connection, row.ns, namespace, twins, now))

    async def list_memories(
        self, namespace: str, selection: Selection, *, after: ListPosition | None, limit: int
    ) -> Sequence[Memory]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return []
        return await self._opened.readers.run(
            lambda connection: reads.page(connection, row.ns, namespace, selection, after=after, limit=limit)
        )

    async def list_born(self, namespace: str, selection: Selection, *, after: int, limit: int) -> Sequence[Born]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return []
        return await self._opened.readers.run(
            lambda connection: transfer.list_born(connection, row.ns, namespace, selection, after=after, limit=limit)
        )

    async def scopes(
        self, namespace: str, dimension: ScopeDimension, within: Scope, *, after: str, limit: int, now: Instant
    ) -> Sequence[ScopeCount]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return []
        return await self._opened.readers.run(
            lambda connection: transfer.scopes(connection, row.ns, dimension, within, after=after, limit=limit, now=now)
        )

    async def versions_matching(self, namespace: str, selection: Selection) -> NDArray[np.int64]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return np.empty(0, dtype=np.int64)
        return await self._opened.readers.run(
            lambda connection: reads.revisions_matching(connection, row.ns, selection)
        )

    @translating
    def _hydrate_inline(self, row: NamespaceRow, revisions: Sequence[int], selection: Selection) -> dict[int, Memory]:
        opened = self._opened
        return reads.hydrated(opened.readers.inline, opened.caches.versions, row.ns, row.name, revisions, selection)

    async def hydrate(self, namespace: str, revisions: Sequence[int], selection: Selection) -> Mapping[int, Memory]:
        opened = self._opened
        row = opened.heads.row(namespace)
        if row is None or not revisions:
            return {}
        if len(revisions) <= _INLINE_ROWS:
            return self._hydrate_inline(row, revisions, selection)
        return await opened.readers.run(
            lambda connection: reads.hydrated(
                connection, opened.caches.versions, row.ns, namespace, revisions, selection
            )
        )

    @translating
    def _standing_inline(
        self, row: NamespaceRow, versions: Collection[int], kept: Collection[int], now: Instant
    ) -> frozenset[int]:
        return reads.standing(self._opened.readers.inline, row.ns, versions, kept, now)

    async def standing(
        self, namespace: str, versions: Collection[int], kept: Collection[int], *, now: Instant
    ) -> frozenset[int]:
        row = self._opened.heads.row(namespace)
        if row is None or not (versions or kept):
            return frozenset()
        if len(versions) + len(kept) <= _INLINE_ROWS:
            return self._standing_inline(row, versions, kept, now)
        return await self._opened.readers.run(
            lambda connection: reads.standing(connection, row.ns, versions, kept, now)
        )

    @translating
    def _neighbours(self, row: NamespaceRow, memory: Memory, before: int, after: int, now: Instant) -> list[Memory]:
        return reads.neighbours(self._opened.readers.inline, row.ns, memory, before=before, after=after, now=now)

    async def neighbours(
        self, namespace: str, memory: Memory, *, before: int, after: int, now: Instant
    ) -> Sequence[Memory]:
        row = self._opened.heads.row(namespace)
        return [] if row is None or not memory.turn else self._neighbours(row, memory, before, after, now)

    @translating
    def _speakers(self, row: NamespaceRow, scope: Scope, limit: int, revision: int) -> Sequence[str]:
        opened = self._opened
        return speakers_of(opened.readers.inline, opened.caches.speakers, row.ns, scope, limit, revision)

    async def speakers(self, namespace: str, scope: Scope, *, limit: int, revision: int = NEVER - 1) -> Sequence[str]:
        row = self._opened.heads.row(namespace)
        return [] if row is None else self._speakers(row, scope, limit, revision)

    @translating
    def _families(self, row: NamespaceRow, keys: frozenset[str]) -> Mapping[str, frozenset[Family]]:
        return reads.families(self._opened.readers.inline, row.ns, keys)

    async def metadata_families(self, namespace: str, keys: frozenset[str]) -> Mapping[str, frozenset[Family]]:
        row = self._opened.heads.row(namespace)
        return {} if row is None or not keys else self._families(row, keys)

    # -- history

    async def history(self, namespace: str, query: HistoryQuery, *, limit: int) -> Sequence[Change]:
        row = self._opened.heads.row(namespace)
        if row is None:
            return []

        def read(connection: apsw.Connection) -> list[Change]:
            first, last = log.bounds(connection, row.ns, row.head.revision, query)
            return log.events(connection, row.ns, namespace, first, last, query, limit) if first <= last else []

        until = row.head.revision if query.until is None else min(query.until, row.head.revision)
        if until - query.after <= INLINE:
            with translated():
                return read(self._opened.readers.inline)
        return await self._opened.readers.run(read)

    async def wait_beyond(self, namespace: str, revision: int, timeout: float) -> int:
        return await self._opened.heads.wait_beyond(namespace, revision, timeout)

    async def verify_chain(self, namespace: str) -> bool:
        row = self._opened.heads.row(namespace)
        if row is None:
            return True
        return await self._opened.readers.run(lambda connection: chain.verify(connection, row.ns, namespace))

    # -- servers that share the ledger: the directory belongs to this one alone

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

    # -- projection work

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

    async def replay_size(self, namespace: str) -> int:
        row = self._opened.heads.row(namespace)
        if row is None:
            return 0
        head = row.head.revision
        return head - len(await self._opened.readers.run(lambda connection: needless(connection, row.ns, 0, head)))

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
        if len(others) <= _INLINE_ROWS:
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

    # -- what projections should hold

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

    # -- expiry

    async def expired(self, now: Instant, *, limit: int) -> Sequence[tuple[str, str]]:
        with translated():
            return reads.expired(self._opened.readers.inline, now, limit)

    # -- accesses

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

    # -- resets

    async def count_target(self, namespace: str, target: ResetTarget, *, sample: int, now: Instant) -> TargetCount:
        row = self._opened.heads.row(namespace)
        if row is None:
            return TargetCount(memories=0, versions=0, events=0, with_facts=0, sample=(), changed_revision=0)
        return await self._opened.readers.run(
            lambda connection: resets.count_target(connection, row.ns, target, sample)
        )

    async def save_plan(self, reset: Reset, *, key: IdempotencyKey | None, now: Instant) -> Reset:
        return await self._opened.writer.run(lambda transaction: self._resets.save_plan(transaction, reset, key, now))

    async def confirm_token(self, namespace: str, reset_id: str) -> str:
        return token_of(self._opened.secret, namespace, reset_id)

    @translating
    def _read_reset(self, namespace: str, reset_id: str) -> tuple[int, Reset]:
        row = self._opened.heads.row(namespace)
        return read_reset(self._opened.readers.inline, row.ns if row else None, namespace, reset_id)

    async def get_reset(self, namespace: str, reset_id: str) -> Reset:
        return self._read_reset(namespace, reset_id)[1]

    async def unfinished_resets(self) -> Sequence[Reset]:
        return await self._opened.readers.run(resets.running)

    async def claim_reset(self, namespace: str, reset_id: str) -> bool:
        return self._read_reset(namespace, reset_id)[1].state is ResetState.RUNNING

    async def execute_reset(
        self,
        namespace: str,
        reset_id: str,
        *,
        allow_drift: bool,
        now: Instant,
        origin: Origin,
        recount: Recount,
        key: IdempotencyKey | None = None,
    ) -> Reset:
        def job(transaction: Transaction) -> Reset:
            transaction.after_commit(lambda: self._announce(namespace, reset_id))
            return self._resets.once(
                transaction,
                key,
                now,
                lambda: self._resets.execute(
                    transaction,
                    namespace,
                    reset_id,
                    allow_drift=allow_drift,
                    now=now,
                    origin=origin,
                    recount=recount,
                ),
            )

        return await self._opened.writer.run(job)

    async def cancel_reset(
        self, namespace: str, reset_id: str, *, now: Instant, key: IdempotencyKey | None = None
    ) -> Reset:
        def job(transaction: Transaction) -> Reset:
            transaction.after_commit(lambda: self._announce(namespace, reset_id))
            return self._resets.once(
                transaction, key, now, lambda: self._resets.cancel(transaction, namespace, reset_id)
            )

        return await self._opened.writer.run(job)

    async def save_progress(self, reset: Reset) -> Reset:
        def job(transaction: Transaction) -> Reset:
            transaction.after_commit(lambda: self._announce(reset.namespace, reset.reset_id))
            return self._resets.save_progress(transaction, reset)

        return await self._opened.writer.run(job)

    async def removed_memories(self, namespace: str, reset_id: str, *, after: str, limit: int) -> Sequence[str]:
        number, _ = self._read_reset(namespace, reset_id)
        return await self._opened.readers.run(
            lambda connection: resets.removed_memories(connection, number, after, limit)
        )

    async def versions_of_others(self, namespace: str, reset_id: str, revisions: Collection[int]) -> frozenset[int]:
        number, _ = self._read_reset(namespace, reset_id)
        ns = self._row(namespace).ns
        return await self._opened.readers.run(
            lambda connection: resets.versions_of_others(connection, ns, number, revisions)
        )

    async def removed_versions(self, namespace: str, reset_id: str, *, after: int, limit: int) -> Sequence[Memory]:
        number, reset = self._read_reset(namespace, reset_id)
        ns = self._row(namespace).ns
        return await self._opened.readers.run(
            lambda connection: resets.removed_versions(connection, ns, number, reset, after, limit)
        )

    async def erase(self, namespace: str, reset_id: str, *, limit: int) -> int:
        self._read_reset(namespace, reset_id)
        row = self._row(namespace)
        progress = self._opened.progress

        def job(transaction: Transaction) -> int:
            erased = erasure.erase(transaction, row, reset_id, limit)
            transaction.after_commit(lambda: progress.forget(row.ns, erased))
            transaction.after_commit(lambda: self._recent.forget(row.ns, erased))
            transaction.after_commit(self._opened.vectors.forget)
            transaction.after_commit(lambda: self._announce(namespace, reset_id))
            return len(erased)

        return await self._opened.writer.run(job)

    async def finish_reset(self, namespace: str, reset_id: str, receipt: ResetReceipt, *, origin: Origin) -> Reset:
        opened = self._opened
        reset = await self.get_reset(namespace, reset_id)
        row = self._row(namespace)
        if reset.target.include_history and not reset.state.terminal:
            await opened.writer.run(lambda transaction: erasure.strip_traces(transaction, row, reset_id, receipt))
            await opened.writer.run_alone(erasure.rewrite_file)

        def job(transaction: Transaction) -> Reset:
            finished = self._resets.finish(transaction, namespace, reset_id, receipt, origin=origin)
            assert finished.receipt is not None
            revision = finished.receipt.revision
            transaction.after_commit(lambda: opened.progress.skip(row.ns, [revision]))
            transaction.after_commit(lambda: self._announce(namespace, reset_id))
            return finished

        return await opened.writer.run(job)

    async def wait_reset(self, namespace: str, reset_id: str, after_sequence: int, timeout: float) -> Reset:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            reset = await self.get_reset(namespace, reset_id)
            left = deadline - loop.time()
            if reset.sequence > after_sequence or reset.state.terminal or left <= 0:
                return reset
            bell = self._reset_bells.setdefault((namespace, reset_id), Bell())
            await bell.wait(left)

    def _announce(self, namespace: str, reset_id: str) -> None:
        bell = self._reset_bells.pop((namespace, reset_id), None)
        if bell is not None:
            bell.ring()

    def _row(self, namespace: str) -> NamespaceRow:
        """A namespace that must exist, because work or a reset in it is spoken of."""
        row = self._opened.heads.row(namespace)
        if row is None:
            raise ValueError(f"namespace {namespace!r} does not exist")
        return row
