"""The part of the port that reads memories and their history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import apsw
import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.ledger.sqlite import (
    chain,
    log,
    reads,
    transfer,
)
from memoir_server.adapters.ledger.sqlite.connection import (
    translated,
    translating,
)
from memoir_server.adapters.ledger.sqlite.opened import INLINE_ROWS, LedgerPart
from memoir_server.adapters.ledger.sqlite.progress import INLINE
from memoir_server.adapters.ledger.sqlite.speakers import speakers_of
from memoir_server.adapters.ledger.sqlite.twins import twins_of
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow
from memoir_server.domain.change import Change, Head
from memoir_server.domain.duplicate import Twin
from memoir_server.domain.filter import Family
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.scopes import ScopeCount, ScopeDimension
from memoir_server.domain.selection import Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import (
    Born,
    HistoryQuery,
    ListPosition,
)


class ReadingPart(LedgerPart):
    """Reads: the few rows of a search on the event loop, the rest on threads."""

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
        if len(memory_ids) <= INLINE_ROWS:
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
        if len(revisions) <= INLINE_ROWS:
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
        if len(versions) + len(kept) <= INLINE_ROWS:
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
