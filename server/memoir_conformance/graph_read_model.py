"""Reads of entities and relations by brute force over a list of versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TypeVar

from memoir_conformance.graph_model import Model, Version, spoken, walk, walkable
from memoir_server.domain.graph import Entity, Relation, normalise_name, sort_name
from memoir_server.domain.memory import NEVER
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import Answer, GraphAction, Neighbourhood, OfEntity, RelationAnchor

T = TypeVar("T")


class ReadModel:
    """What `EntityGraph` says of its reads, over the versions that a selection and `hidden` leave."""

    def __init__(self, actions: Sequence[GraphAction], selection: Selection, hidden: AbstractSet[int]) -> None:
        self._selection = selection
        self._seen = [
            version
            for revision, version in sorted(Model(actions).versions.items())
            if revision <= selection.revision < version.retired and revision not in hidden
        ]
        self._entities = {e: self._entity(e) for e in {e for v in self._seen for _, e in spoken(v.facts)}}
        said: dict[str, list[tuple[Version, Relation]]] = defaultdict(list)
        for version in self._seen:
            for relation in version.facts.relations:
                said[relation.relation_id].append((version, relation))
        self._relations = {key: _merged(sources) for key, sources in said.items()}
        self._true = {key for key, sources in said.items() if any(walkable(r, selection) for _, r in sources)}

    def entity(self, entity_id: str) -> Answer[Entity | None]:
        found = self._entities.get(entity_id)
        return self._answer(found, [found] if found else [], [])

    def entities(self, type_: str, prefix: str) -> list[Entity]:
        """All pages."""
        scope = self._selection.scope
        inside = {e for v in self._seen if scope.covers(v.facts.scope) for _, e in spoken(v.facts)}
        found = [
            e
            for e in self._entities.values()
            if e.entity_id in inside
            and type_ in ("", e.type)
            and any(normalise_name(name).startswith(prefix) for name in (e.name, *e.aliases))
        ]
        return sorted(found, key=_place)

    def relations(self, anchor: RelationAnchor) -> list[Relation]:
        """All pages."""
        if isinstance(anchor, OfEntity):
            of = {k for k, r in self._relations.items() if anchor.entity_id in _ends(r)}
        else:
            of = {k for k, r in self._relations.items() if anchor.memory_id in r.memory_ids}
        return _ordered(self._relations[key] for key in of & self._true)

    def traverse(
        self, start: Sequence[str], depth: int, predicates: AbstractSet[str], limit: int
    ) -> Answer[Neighbourhood]:
        walked = [
            r for k, r in self._relations.items() if k in self._true and (not predicates or r.predicate in predicates)
        ]
        edges: dict[str, set[str]] = defaultdict(set)
        for relation in walked:
            subject, object_ = _ends(relation)
            edges[subject].add(object_)
            edges[object_].add(subject)
        distance: dict[str, int] = {}
        for entity_id in start:
            if entity_id in self._entities:
                for reached, hops in walk(entity_id, edges, depth).items():
                    distance[reached] = min(hops, distance.get(reached, hops))
        order = sorted(distance, key=lambda e: (distance[e], *_place(self._entities[e])))
        shown = set(order[:limit])
        neighbourhood = Neighbourhood(
            entities=tuple(self._entities[e] for e in order[:limit]),
            relations=tuple(_ordered(r for r in walked if shown.issuperset(_ends(r)))),
            truncated=len(order) > limit,
            missing=tuple(e for e in start if e not in self._entities),
        )
        return self._answer(neighbourhood, neighbourhood.entities, neighbourhood.relations)

    def answer(self, found: tuple[Entity, ...] | tuple[Relation, ...]) -> Answer[object]:
        """A page with what it rests on."""
        entities = [item for item in found if isinstance(item, Entity)]
        return self._answer(found, entities, [item for item in found if isinstance(item, Relation)])

    def _answer(self, found: T, entities: Iterable[Entity], relations: Iterable[Relation]) -> Answer[T]:
        named = {e.entity_id for e in entities}
        told = {r.relation_id for r in relations}
        rests = [
            v
            for v in self._seen
            if named & {e for _, e in spoken(v.facts)} or told & {r.relation_id for r in v.facts.relations}
        ]
        return Answer(
            found,
            frozenset(v.facts.revision for v in rests if not v.source_removed),
            frozenset(v.facts.revision for v in rests if v.source_removed),
        )

    def _entity(self, entity_id: str) -> Entity:
        own: list[str] = []
        others: dict[str, str] = {}
        mentions = 0
        for version in self._seen:
            said = version.facts
            ends = [end for r in said.relations for end in (r.subject, r.object) if end.entity_id == entity_id]
            mentioned = [e for e in said.entities if e.entity_id == entity_id]
            mentions += not version.source_removed and bool(mentioned or ends)
            own += [e.name for e in mentioned] + [end.name for end in ends]
            for alias in (alias for e in mentioned for alias in e.aliases):
                if normalise_name(alias) != normalise_name(own[0]):
                    others.setdefault(normalise_name(alias), alias)
        kinds = [e.type for v in self._seen for e in v.facts.entities if e.entity_id == entity_id]
        kinds += [
            end.type
            for v in self._seen
            for r in v.facts.relations
            for end in (r.subject, r.object)
            if end.entity_id == entity_id
        ]
        owners = {v.facts.scope.owner for v in self._seen if entity_id in {e for _, e in spoken(v.facts)}}
        assert len(owners) == 1, "an entity of two owners"
        return Entity(
            entity_id=entity_id,
            name=own[0],
            type=kinds[0],
            aliases=tuple(others[name] for name in sorted(others)),
            mention_count=mentions,
            owner=owners.pop(),
        )


def _merged(sources: Sequence[tuple[Version, Relation]]) -> Relation:
    ends = [NEVER if r.valid_until is None else r.valid_until for _, r in sources]
    memories = tuple(v.facts.memory_id for v, _ in sources if not v.source_removed)
    return replace(
        sources[0][1],
        confidence=max(r.confidence for _, r in sources),
        valid_until=None if max(ends) == NEVER else max(ends),
        memory_ids=memories,
        source_removed=not memories,
    )


def _ends(relation: Relation) -> tuple[str, str]:
    return relation.subject.entity_id, relation.object.entity_id


def _place(entity: Entity) -> tuple[str, str]:
    return sort_name(entity.name), entity.entity_id


def _ordered(relations: Iterable[Relation]) -> list[Relation]:
    return sorted(
        relations, key=lambda r: (r.valid_from is not None, 0 if r.valid_from is None else r.valid_from, r.relation_id)
    )
