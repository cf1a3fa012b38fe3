"""The part of the port that reads memories."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.ledger.forms.layout import key_of, revision_of
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.postgres import accesses, log, reads, transfer
from memoir_server.adapters.ledger.postgres.opened import LedgerPart
from memoir_server.adapters.ledger.postgres.speakers import finding_speakers
from memoir_server.adapters.ledger.postgres.twins import finding_twins, matching
from memoir_server.domain.access import Kept
from memoir_server.domain.change import Head
from memoir_server.domain.duplicate import Twin
from memoir_server.domain.filter import Family
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.scopes import ScopeCount, ScopeDimension
from memoir_server.domain.selection import Selection
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Born, ListPosition

_HEAD = "SELECT revision, commit_time FROM namespaces WHERE name = %s"


class ReadingPart(LedgerPart):
    """Heads, memories by id, version and selection, scopes, speakers, accesses. Every answer is the database's of this
    moment, since another server may have written a moment ago."""

    async def namespaces(self) -> Sequence[str]:
        return [
            name
            for (name,) in await self._database.fetch("SELECT name FROM namespaces WHERE revision > 0 ORDER BY name")
        ]

    async def head(self, namespace: str) -> Head:
        for revision, commit_time in await self._database.fetch(_HEAD, (namespace,)):
            return Head(revision, commit_time)
        return Head()

    async def revision_at(self, namespace: str, time: Instant) -> int:
        ns = await self._database.number(namespace)
        if ns is None:
            return 0
        ((revision,),) = await self._database.fetch(*log.revision_at(ns, time))
        return int(revision)

    async def commit_time(self, namespace: str, revision: int) -> Instant:
        if revision == 0:
            return 0
        ns = await self._database.number(namespace)
        rows = [] if ns is None or revision < 0 else await self._database.fetch(*log.commit_time(ns, revision))
        if not rows:
            raise ValueError(f"revision {revision} of namespace {namespace!r} does not exist; the head is lower")
        return int(rows[0][0])

    async def get(
        self, namespace: str, memory_ids: Sequence[str], *, revision: int, now: Instant
    ) -> Mapping[str, Memory]:
        ns = await self._database.number(namespace)
        if ns is None or not memory_ids:
            return {}
        rows = await self._database.fetch(*reads.by_id(ns, memory_ids, revision=revision, now=now))
        memories = [read_memory(namespace, row) for row in rows]
        return {memory.memory_id: memory for memory in memories}

    async def twins(self, namespace: str, twins: Sequence[Twin], *, now: Instant) -> Sequence[Memory]:
        ns = await self._database.number(namespace)
        if ns is None or not twins:
            return []
        return matching(namespace, twins, await self._database.fetch(*finding_twins(ns, twins, now)))

    async def list_memories(
        self, namespace: str, selection: Selection, *, after: ListPosition | None, limit: int
    ) -> Sequence[Memory]:
        ns = await self._database.number(namespace)
        if ns is None:
            return []
        rows = await self._database.fetch(*reads.page(ns, selection, after=after, limit=limit))
        return [read_memory(namespace, row) for row in rows]

    async def list_born(self, namespace: str, selection: Selection, *, after: int, limit: int) -> Sequence[Born]:
        ns = await self._database.number(namespace)
        if ns is None:
            return []
        return await transfer.list_born(self._database, ns, namespace, selection, after=after, limit=limit)

    async def scopes(
        self, namespace: str, dimension: ScopeDimension, within: Scope, *, after: str, limit: int, now: Instant
    ) -> Sequence[ScopeCount]:
        ns = await self._database.number(namespace)
        if ns is None:
            return []
        rows = await self._database.fetch(*transfer.scopes(ns, dimension, within, after=after, limit=limit, now=now))
        return transfer.scope_counts(within, dimension, rows)

    async def versions_matching(self, namespace: str, selection: Selection) -> NDArray[np.int64]:
        ns = await self._database.number(namespace)
        if ns is None:
            return np.empty(0, dtype=np.int64)
        ((keys,),) = await self._database.fetch(*reads.keys_matching(ns, selection))
        revisions: NDArray[np.int64] = np.empty(0, dtype=np.int64) if keys is None else keys - key_of(ns, 0)
        return revisions

    async def hydrate(self, namespace: str, revisions: Sequence[int], selection: Selection) -> Mapping[int, Memory]:
        ns = await self._database.number(namespace)
        if ns is None or not revisions:
            return {}
        rows = await self._database.fetch(*reads.covered(ns, revisions, selection))
        return {revision_of(row[0]): read_memory(namespace, row) for row in rows}

    async def standing(
        self, namespace: str, versions: Collection[int], kept: Collection[int], *, now: Instant
    ) -> frozenset[int]:
        ns = await self._database.number(namespace)
        if ns is None or not (versions or kept):
            return frozenset()
        rows = await self._database.fetch(*reads.standing(ns, versions, kept, now))
        return frozenset(revision_of(key) for (key,) in rows)

    async def neighbours(
        self, namespace: str, memory: Memory, *, before: int, after: int, now: Instant
    ) -> Sequence[Memory]:
        ns = await self._database.number(namespace)
        if ns is None or not memory.turn:
            return []
        rows = await self._database.fetch(*reads.neighbours(ns, memory, before=before, after=after, now=now))
        return [read_memory(namespace, row) for row in rows]

    async def speakers(self, namespace: str, scope: Scope, *, limit: int, revision: int = NEVER - 1) -> Sequence[str]:
        ns = await self._database.number(namespace)
        if ns is None:
            return []
        return [name for (name,) in await self._database.fetch(*finding_speakers(ns, scope, limit, revision))]

    async def metadata_families(self, namespace: str, keys: frozenset[str]) -> Mapping[str, frozenset[Family]]:
        ns = await self._database.number(namespace)
        if ns is None or not keys:
            return {}
        found: dict[str, set[Family]] = {}
        for name, family in await self._database.fetch(*reads.families(ns, keys)):
            found.setdefault(name, set()).add(Family(family))
        return {name: frozenset(values) for name, values in found.items()}

    async def expired(self, now: Instant, *, limit: int) -> Sequence[tuple[str, str]]:
        return [(name, memory_id) for name, memory_id in await self._database.fetch(*reads.expired(now, limit))]

    async def accesses(self, namespace: str, memory_ids: Sequence[str]) -> Mapping[str, Kept]:
        ns = await self._database.number(namespace)
        if ns is None or not memory_ids:
            return {}
        return accesses.kept(await self._database.fetch(*accesses.reading_accesses(ns, memory_ids)))
