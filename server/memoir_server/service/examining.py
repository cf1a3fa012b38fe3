"""Looking for disagreements between the ledger and the projections, batch by batch.

Ledger and stores are read one after the other while both go on changing, so what looks wrong is only suspected. Each
suspicion is looked at once more while nothing is applied to that store, and counts only when it is still true.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.change import EventType
from memoir_server.domain.consistency import Finding, Portion, Version
from memoir_server.domain.memory import NEVER
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import HistoryQuery, Ledger
from memoir_server.ports.projection import Held, Projection
from memoir_server.service.comparing import Situation, compare
from memoir_server.service.projector import Projector

BATCH = 200
"""Versions compared at a time: a few milliseconds of the event loop, and a few hundred kilobytes of vectors."""
_REMOVALS = frozenset({EventType.DELETED, EventType.EXPIRED})


class Examiner:
    """Finds out where a projection disagrees with the ledger."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        projections: Mapping[StoreKind, Projection],
        embedder: Embedder,
        projector: Projector,
    ) -> None:
        self._ledger = ledger
        self._projections = projections
        self._embedder = embedder
        self._projector = projector

    async def examine(self, namespace: str, portion: Portion) -> AsyncIterator[Sequence[Finding] | int]:
        """Findings of a portion as they are confirmed, and after each batch the number of memories in it."""
        after, more = 0, True
        while more:
            # The watermarks first: what is applied from here on is not missed for being late.
            situations = [await self._situation(store, namespace) for store in PROJECTIONS]
            page = await self._ledger.versions(namespace, portion, after=after, limit=BATCH)
            more = len(page) == BATCH
            until = page[-1].revision if more else portion.until
            vectors = await self._vectors(namespace, page)
            for situation in situations:
                span = replace(portion, until=until)
                async for suspects in self._suspects(namespace, span, situation, page, vectors, after):
                    yield await self._look_again(situation.store, namespace, suspects)
            yield sum(v.memory is not None and v.retired > portion.until for v in page)
            after = until

    async def examine_beyond(self, namespace: str, portion: Portion) -> AsyncIterator[Sequence[Finding]]:
        """Findings about entries of revisions after `portion.until` that the ledger has not reached."""
        for store in PROJECTIONS:
            after, more = portion.until, True
            while more:
                held = await self._projections[store].scan(
                    namespace, replace(portion, until=NEVER), after=after, limit=BATCH
                )
                head = (await self._ledger.head(namespace)).revision
                yield await self._look_again(store, namespace, [h.revision for h in held if h.revision > head])
                more = len(held) == BATCH
                after = held[-1].revision if held else after

    async def findings(
        self, store: StoreKind, namespace: str, revisions: Sequence[int], *, pending: bool = False
    ) -> list[Finding]:
        """What is wrong with the revisions; only while the store is still (`Projector.still`). With `pending`, changes
        that were requeued count as not applied rather than as on their way."""
        found: list[Finding] = []
        for start in range(0, len(revisions), BATCH):
            chunk = sorted(set(revisions[start : start + BATCH]))
            situation = await self._situation(store, namespace)
            if pending:
                situation = replace(situation, again=frozenset())
            portion = Portion(revisions=chunk)
            versions = await self._ledger.versions(namespace, portion, after=0, limit=len(chunk))
            held = await self._projections[store].scan(namespace, portion, after=0, limit=len(chunk))
            situation = replace(situation, head=(await self._ledger.head(namespace)).revision)
            vectors = await self._vectors(namespace, versions)
            wanted = {version.revision: version for version in versions}
            for revision, entry in _paired(wanted, held):
                version = wanted.get(revision)
                removed_at = 0
                if entry is not None and version is None:
                    # The last one: a memory is removed twice when an erasure takes the relations a reset had kept.
                    removed_at = max(await self.removals_after(namespace, entry.memory_id, revision), default=0)
                found.extend(
                    compare(situation, version, entry, vector=_vector(version, vectors), removed_at=removed_at)
                )
        return found

    async def removals_after(self, namespace: str, memory_id: str, revision: int) -> Sequence[int]:
        """Revisions after one that removed the memory, ascending; the first BATCH of them."""
        query = HistoryQuery(after=revision, memory_id=memory_id, types=_REMOVALS)
        return [event.revision for event in await self._ledger.history(namespace, query, limit=BATCH)]

    async def _suspects(
        self,
        namespace: str,
        span: Portion,
        situation: Situation,
        page: Sequence[Version],
        vectors: Mapping[bytes, NDArray[np.float32]],
        after: int,
    ) -> AsyncIterator[Sequence[int]]:
        """Revisions in after < revision <= span.until that look wrong, as the store is read batch by batch."""
        more = True
        while more:
            held = await self._projections[situation.store].scan(namespace, span, after=after, limit=BATCH)
            more = len(held) == BATCH
            end = held[-1].revision if more else span.until
            current = replace(situation, head=(await self._ledger.head(namespace)).revision)
            wanted = {version.revision: version for version in page if after < version.revision <= end}
            yield [
                revision
                for revision, entry in _paired(wanted, held)
                if any(compare(current, version := wanted.get(revision), entry, vector=_vector(version, vectors)))
            ]
            after = end

    async def _look_again(self, store: StoreKind, namespace: str, revisions: Sequence[int]) -> Sequence[Finding]:
        if not revisions:
            return []
        async with self._projector.still(store, namespace):
            return await self.findings(store, namespace, revisions)

    async def _situation(self, store: StoreKind, namespace: str) -> Situation:
        return Situation(
            store=store,
            watermark=await self._ledger.watermark(store, namespace),
            again=await self._ledger.requeued(store, namespace),
            head=(await self._ledger.head(namespace)).revision,
            model=self._embedder.model,
        )

    async def _vectors(self, namespace: str, versions: Sequence[Version]) -> Mapping[bytes, NDArray[np.float32]]:
        hashes = {version.memory.content_hash for version in versions if version.memory is not None}
        return await self._ledger.vectors(namespace, list(hashes), self._embedder.model)


def _vector(version: Version | None, vectors: Mapping[bytes, NDArray[np.float32]]) -> NDArray[np.float32] | None:
    return None if version is None or version.memory is None else vectors.get(version.memory.content_hash)


def _paired(wanted: Mapping[int, Version], held: Sequence[Held]) -> list[tuple[int, Held | None]]:
    """Every revision of either side, ascending, with what the store holds of it."""
    entries = {entry.revision: entry for entry in held}
    return [(revision, entries.get(revision)) for revision in sorted(wanted.keys() | entries.keys())]
