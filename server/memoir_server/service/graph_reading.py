"""Reading the graph: entities, relations, and what lies around some entities.

The graph follows the ledger and may be behind it. What an answer rests on is therefore held against the ledger before
it is given: whatever rests on memories that are gone is read again without them, so that a late graph can cost a
mention, never show a deleted memory's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeVar

from memoir_server.domain.errors import EntityNotFound, MemoryNotFound
from memoir_server.domain.graph import Entity, Relation, normalise_prefix
from memoir_server.domain.memory import Scope
from memoir_server.domain.search import AsOf
from memoir_server.domain.selection import Selection
from memoir_server.domain.store import StoreKind
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock
from memoir_server.ports.graph import (
    Answer,
    EntityGraph,
    EntityPosition,
    Neighbourhood,
    OfEntity,
    RelationAnchor,
    RelationPosition,
)
from memoir_server.ports.ledger import Ledger
from memoir_server.service.call import Call
from memoir_server.service.freshness import Freshness
from memoir_server.service.moment import revision_of

DEFAULT_DEPTH: Final = 1
"""Hops of a walk that names none."""
DEFAULT_ENTITIES: Final = 100
"""Entities of a walk that names no number."""
MAX_ENTITIES: Final = 1000
"""Entities of a walk at most."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitySpec:
    """Which entities to list. Empty strings do not bind."""

    scope: Scope
    type: str = ""
    name_prefix: str = ""


@dataclass(frozen=True, slots=True)
class EntityPlace:
    """Where the next page of entities begins, and the revision all pages are read at."""

    revision: int
    after: EntityPosition


@dataclass(frozen=True, slots=True)
class EntityPage:
    """One page of entities."""

    entities: Sequence[Entity]
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationSpec:
    """Which relations to list. `valid_at` overrides `include_superseded`; with neither, those true now, or when the
    past moment of `as_of` was now."""

    anchor: RelationAnchor
    valid_at: Instant | None = None
    include_superseded: bool = False
    as_of: AsOf | None = None


@dataclass(frozen=True, slots=True)
class RelationPlace:
    """Where the next page of relations begins, and the revision and the moment all pages are read at."""

    revision: int
    reference: Instant
    after: RelationPosition


@dataclass(frozen=True, slots=True)
class RelationPage:
    """One page of relations."""

    relations: Sequence[Relation]
    revision: int
    reference: Instant


class GraphReading:
    """The reads of the graph. All raise FreshnessTimeout, and StoreUnavailable when the graph or the ledger is down."""

    def __init__(self, *, ledger: Ledger, graph: EntityGraph, freshness: Freshness, clock: Clock) -> None:
        self._ledger = ledger
        self._graph = graph
        self._freshness = freshness
        self._clock = clock

    async def entity(self, namespace: str, entity_id: str, *, min_revision: int, call: Call) -> Entity:
        """The entity. Raises EntityNotFound."""
        await self._fresh(namespace, min_revision, call)
        now = self._clock.now()
        return await self._entity(namespace, entity_id, Selection(reference=now, now=now))

    async def entities(
        self, namespace: str, spec: EntitySpec, place: EntityPlace | None, *, limit: int, min_revision: int, call: Call
    ) -> EntityPage:
        """One page, by name. `place` is None for the first."""
        await self._fresh(namespace, min_revision, call)
        revision = place.revision if place else (await self._ledger.head(namespace)).revision
        now = self._clock.now()
        selection = Selection(scope=spec.scope, revision=revision, reference=now, now=now)
        found = await self._standing(
            namespace,
            now,
            lambda hidden: self._graph.entities(
                namespace,
                selection,
                type_=spec.type,
                prefix=normalise_prefix(spec.name_prefix),
                after=place.after if place else None,
                limit=limit,
                hidden=hidden,
            ),
        )
        return EntityPage(found, revision)

    async def relations(
        self,
        namespace: str,
        spec: RelationSpec,
        place: RelationPlace | None,
        *,
        limit: int,
        min_revision: int,
        call: Call,
    ) -> RelationPage:
        """One page, oldest first. `place` is None for the first.

        Raises EntityNotFound or MemoryNotFound when there is nothing to list relations of, FieldInvalid for a moment
        that has not been.
        """
        await self._fresh(namespace, min_revision, call)
        now = self._clock.now()
        if place is not None:
            revision, reference = place.revision, place.reference
        elif spec.as_of is None:
            revision, reference = (await self._ledger.head(namespace)).revision, now
        else:
            revision = await revision_of(self._ledger, namespace, spec.as_of, "as_of")
            reference = await self._ledger.commit_time(namespace, revision)
        selection = Selection(
            valid_at=_moment(spec, reference),
            include_superseded=spec.include_superseded,
            revision=revision,
            reference=reference,
            now=now,
        )
        found = await self._standing(
            namespace,
            now,
            lambda hidden: self._graph.relations(
                namespace,
                spec.anchor,
                selection,
                after=place.after if place else None,
                limit=limit,
                hidden=hidden,
            ),
        )
        if not found and place is None:
            await self._check_anchor(namespace, spec.anchor, selection)
        return RelationPage(found, revision, reference)

    async def traverse(
        self,
        namespace: str,
        start: Sequence[str],
        *,
        depth: int,
        predicates: AbstractSet[str],
        max_entities: int,
        valid_at: Instant | None,
        min_revision: int,
        call: Call,
    ) -> Neighbourhood:
        """What lies around the entities of `start`; 0 stands for the defaults. Raises EntityNotFound when one of them
        does not exist."""
        await self._fresh(namespace, min_revision, call)
        now = self._clock.now()
        selection = Selection(valid_at=now if valid_at is None else valid_at, reference=now, now=now)
        found = await self._standing(
            namespace,
            now,
            lambda hidden: self._graph.traverse(
                namespace,
                start,
                selection,
                depth=depth or DEFAULT_DEPTH,
                predicates=predicates,
                limit=min(max_entities or DEFAULT_ENTITIES, MAX_ENTITIES),
                hidden=hidden,
            ),
        )
        if found.missing:
            raise EntityNotFound(namespace, found.missing[0])
        return found

    async def _fresh(self, namespace: str, min_revision: int, call: Call) -> None:
        await self._freshness.before_read(namespace, min_revision, (StoreKind.GRAPH,), call)

    async def _entity(self, namespace: str, entity_id: str, selection: Selection) -> Entity:
        found = await self._standing(
            namespace,
            selection.now,
            lambda hidden: self._graph.entity(namespace, entity_id, selection, hidden=hidden),
        )
        if found is None:
            raise EntityNotFound(namespace, entity_id)
        return found

    async def _check_anchor(self, namespace: str, anchor: RelationAnchor, selection: Selection) -> None:
        """Tells nothing to list from nothing to list it of."""
        if isinstance(anchor, OfEntity):
            await self._entity(namespace, anchor.entity_id, selection)
            return
        memory_id = anchor.memory_id
        found = await self._ledger.get(namespace, [memory_id], revision=selection.revision, now=selection.now)
        if memory_id not in found:
            raise MemoryNotFound(namespace, memory_id)

    async def _standing(
        self, namespace: str, now: Instant, read: Callable[[AbstractSet[int]], Awaitable[Answer[T]]]
    ) -> T:
        """Reads, without what the ledger says is gone, until everything the answer rests on stands. Each round hides
        versions that no later one sees, so it ends; mostly with the first."""
        hidden: frozenset[int] = frozenset()
        while True:
            answer = await read(hidden)
            standing = await self._ledger.standing(namespace, answer.versions, answer.kept, now=now)
            gone = (answer.versions | answer.kept) - standing
            if not gone:
                return answer.found
            hidden |= gone


def _moment(spec: RelationSpec, reference: Instant) -> Instant | None:
    """When a listed relation has to be true; None where that plays no part."""
    if spec.valid_at is not None or spec.include_superseded:
        return spec.valid_at
    return reference
