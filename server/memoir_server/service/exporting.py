"""Export: the memories of one moment, page by page.

No snapshot is held. Each page is read by itself, as of the same revision and in the order in which the memories were
created, so an export may take as long as it likes, break, and go on later (semantics 16).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from memoir_server.domain.change import Change
from memoir_server.domain.embedding import EmbeddingModel, Vector
from memoir_server.domain.filter import Filter
from memoir_server.domain.memory import Memory, Scope
from memoir_server.domain.search import AsOf
from memoir_server.domain.selection import Selection
from memoir_server.ports.clock import Clock
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import Born, HistoryQuery, Ledger
from memoir_server.service.call import Call
from memoir_server.service.freshness import Freshness
from memoir_server.service.moment import check_filter, revision_of

PAGE = 200
"""Memories or events read at a time; bounds what one export holds in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """What to export. `as_of` None: the moment at which the export begins."""

    scope: Scope
    filter: Filter | None
    as_of: AsOf | None
    include_history: bool
    include_embeddings: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlace:
    """How far an export is: the revision it shows, the birth of the last memory and the revision of the last event
    that were sent, and how many of each."""

    revision: int
    birth: int = 0
    event: int = 0
    memories: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """First record. `estimated_memories` were there when the export began; those removed while it runs are missing."""

    revision: int
    estimated_memories: int


@dataclass(frozen=True, slots=True)
class ExportedMemory:
    """A memory, with its vector where vectors were asked for and this one is kept."""

    memory: Memory
    model: EmbeddingModel | None = None
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Last record: what was sent, resumed parts included."""

    memories: int
    events: int


ExportRecord: TypeAlias = ExportHeader | ExportedMemory | Change | ExportSummary


@dataclass(frozen=True, slots=True)
class Exported:
    """A record, and the place after it."""

    record: ExportRecord
    place: ExportPlace


class Exporting:
    """Sends memories as they were at one revision."""

    def __init__(self, ledger: Ledger, embedder: Embedder, freshness: Freshness, clock: Clock) -> None:
        self._ledger = ledger
        self._embedder = embedder
        self._freshness = freshness
        self._clock = clock

    async def export(
        self, namespace: str, spec: ExportSpec, call: Call, *, place: ExportPlace | None
    ) -> AsyncIterator[Exported]:
        """The header, the memories in the order of their creation, on request their events in the order of the log, and
        the summary. With `place`, what comes after it.

        The memories are those of the list with superseded ones included; their events are those up to the same
        revision, from the creation of each memory on.

        Raises FieldInvalid for a filter that cannot be used or a moment that has not been.
        """
        if spec.filter is not None:
            await check_filter(self._ledger, namespace, spec.filter, "filter")
        if place is None:
            place = await self._begin(namespace, spec, call)
            estimate = len(await self._ledger.versions_matching(namespace, self._selection(spec, place)))
            yield Exported(ExportHeader(place.revision, estimate), place)
        while page := await self._ledger.list_born(
            namespace, self._selection(spec, place), after=place.birth, limit=PAGE
        ):
            for born, record in zip(page, await self._with_vectors(namespace, page, spec), strict=True):
                place = replace(place, birth=born.birth, memories=place.memories + 1)
                yield Exported(record, place)
        while spec.include_history and (events := await self._events(namespace, spec, place)):
            for event in events:
                place = replace(place, event=event.revision, events=place.events + 1)
                yield Exported(event, place)
        # The place of the summary is the one before it: to resume there gives the summary again, never an empty stream.
        yield Exported(ExportSummary(place.memories, place.events), place)

    async def _begin(self, namespace: str, spec: ExportSpec, call: Call) -> ExportPlace:
        if spec.as_of is None:
            revision = (await self._ledger.head(namespace)).revision
        else:
            revision = await revision_of(self._ledger, namespace, spec.as_of, "as_of")
        if spec.include_embeddings:
            # Vectors of the newest writes are on their way; those that do not come in time are left out.
            await self._freshness.after_write(namespace, revision, call)
        return ExportPlace(revision=revision)

    def _selection(self, spec: ExportSpec, place: ExportPlace) -> Selection:
        now = self._clock.now()
        return Selection(
            scope=spec.scope,
            filter=spec.filter,
            include_superseded=True,
            revision=place.revision,
            reference=now,
            now=now,
        )

    async def _with_vectors(self, namespace: str, page: Sequence[Born], spec: ExportSpec) -> Sequence[ExportedMemory]:
        if not spec.include_embeddings:
            return [ExportedMemory(born.memory) for born in page]
        model = self._embedder.model
        hashes = [born.memory.content_hash for born in page]
        kept = await self._ledger.vectors(namespace, list(dict.fromkeys(hashes)), model)
        return [
            ExportedMemory(born.memory, model, kept.get(content_hash))
            for born, content_hash in zip(page, hashes, strict=True)
        ]

    async def _events(self, namespace: str, spec: ExportSpec, place: ExportPlace) -> Sequence[Change]:
        query = HistoryQuery(after=place.event, until=place.revision, scope=spec.scope, of=self._selection(spec, place))
        return await self._ledger.history(namespace, query, limit=PAGE)
