"""Reading entities and relations themselves: by id, page by page, and along the relations."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

from memoir_server.adapters.graph.neo4j.connection import Transaction, rows
from memoir_server.adapters.graph.neo4j.reader import scope_condition, true_condition
from memoir_server.adapters.graph.neo4j.schema import KEY_CHARACTERS, key_id
from memoir_server.domain.graph import Entity, EntityRef, Relation
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import (
    Answer,
    EntityPosition,
    Neighbourhood,
    OfEntity,
    RelationAnchor,
    RelationPosition,
)

T = TypeVar("T")

_BEFORE_ALL: Final = -(2**63)
"""Stands for a valid_from that does not bind: older than any."""

_SEEN: Final = "v.revision <= $revision AND v.retired > $revision AND NOT v.revision IN $hidden"
# What stands between % signs is put in by each read.
_SAID: Final = f"""
EXISTS {{
    MATCH (e)<-[:NAMES]-(:MemoirName {{space: $space}})<-[:SPELLS]-(v:MemoirVersion {{space: $space}})
    WHERE {_SEEN} %session%
}}
"""
_STATED: Final = f"""
EXISTS {{
    MATCH (v:MemoirVersion {{space: $space}})-[x:STATES]->(r) WHERE {_SEEN} %true%
}} AND ($any OR r.predicate IN $predicates)
"""
_START: Final = f"""
UNWIND $start AS id
MATCH (e:MemoirEntity {{space: $space, entity_id: id}})
WHERE {_SAID.replace("%session%", "")}
RETURN e.entity_id ORDER BY e.sort, e.entity_id
"""
_ALL: Final = "MATCH (e:MemoirEntity {space: $space})"
_NAMED: Final = f"""
MATCH (n:MemoirName {{space: $space}})
WHERE n.key STARTS WITH $key AND n.name STARTS WITH $prefix %owner% AND EXISTS {{
    MATCH (v:MemoirVersion {{space: $space}})-[:SPELLS]->(n) WHERE {_SEEN}
}}
MATCH (n)-[:NAMES]->(e:MemoirEntity {{space: $space}})
WITH DISTINCT e
"""
_PAGE: Final = f"""
WHERE e.sort >= $after_name AND (e.sort > $after_name OR e.entity_id > $after_id) %owner% AND {_SAID}
RETURN e.entity_id ORDER BY e.sort, e.entity_id LIMIT $limit
"""
_WRITTEN: Final = f"""
UNWIND $ids AS id
MATCH (e:MemoirEntity {{space: $space, entity_id: id}})<-[:NAMES]-(n:MemoirName {{space: $space}})
MATCH (n)<-[x:SPELLS]-(v:MemoirVersion {{space: $space}})
WHERE {_SEEN}
RETURN id, e.type, e.user, e.agent, n.name = e.name, n.name, x.written, v.revision, v.source_removed
ORDER BY v.revision
"""
_SOURCES: Final = f"""
UNWIND $ids AS id
MATCH (v:MemoirVersion {{space: $space}})-[x:STATES]->(r:MemoirRelation {{space: $space, relation_id: id}})
WHERE {_SEEN}
MATCH (r)-[:SUBJECT]->(s:MemoirEntity {{space: $space}})
MATCH (r)-[:OBJECT]->(o:MemoirEntity {{space: $space}})
RETURN id, s.entity_id, x.subject_name, s.type, r.predicate, o.entity_id, x.object_name, o.type, r.valid_from,
    x.confidence, x.valid_until, v.memory_id, v.revision, v.source_removed
ORDER BY v.revision
"""
_NEXT: Final = """
UNWIND $frontier AS id
MATCH (f:MemoirEntity {space: $space, entity_id: id})<-[:SUBJECT|OBJECT]-(r:MemoirRelation {space: $space})
WHERE %stated%
MATCH (r)-[:SUBJECT|OBJECT]->(e:MemoirEntity {space: $space})
WHERE NOT e.entity_id IN $met
WITH DISTINCT e
RETURN e.entity_id ORDER BY e.sort, e.entity_id LIMIT $limit
"""
_AMONG: Final = """
UNWIND $ids AS id
MATCH (s:MemoirEntity {space: $space, entity_id: id})<-[:SUBJECT]-(r:MemoirRelation {space: $space})
MATCH (r)-[:OBJECT]->(o:MemoirEntity {space: $space})
WHERE o.entity_id IN $ids AND %stated%
RETURN r.relation_id ORDER BY coalesce(r.valid_from, $before_all), r.relation_id
"""
_OF_ENTITY: Final = """
MATCH (:MemoirEntity {space: $space, entity_id: $anchor})<-[:SUBJECT|OBJECT]-(r:MemoirRelation {space: $space})
WITH DISTINCT r
"""
_OF_MEMORY: Final = f"""
MATCH (v:MemoirVersion {{space: $space, memory_id: $anchor}})-[:STATES]->(r:MemoirRelation {{space: $space}})
WHERE NOT v.source_removed AND {_SEEN}
WITH DISTINCT r
"""
_PLACED: Final = """
WITH r, coalesce(r.valid_from, $before_all) AS begun
WHERE (begun > $after_from OR begun = $after_from AND r.relation_id > $after_id) AND %stated%
RETURN r.relation_id ORDER BY begun, r.relation_id LIMIT $limit
"""


class Browser:
    """One read of one namespace. It notes every version its answer rests on.

    Args:
        transaction: The transaction.
        space: Space of the namespace; an empty one holds nothing.
        selection: Moment, world time and scope, as the port says.
        hidden: Revisions of versions to leave out.
    """

    def __init__(self, transaction: Transaction, space: str, selection: Selection, hidden: AbstractSet[int]) -> None:
        self._transaction = transaction
        self._selection = selection
        true, bindings = true_condition(selection)
        self._stated = _STATED.replace("%true%", true)
        self._bindings: dict[str, object] = {
            "space": space,
            "revision": selection.revision,
            "hidden": sorted(hidden),
            "before_all": _BEFORE_ALL,
            "any": True,
            "predicates": [],
            **bindings,
        }
        self._versions: set[int] = set()
        self._kept: set[int] = set()

    async def entity(self, entity_id: str) -> Answer[Entity | None]:
        """`EntityGraph.entity`."""
        found = await self._entities([entity_id])
        return self._answer(found[0] if found else None)

    async def entities(
        self, *, type_: str, prefix: str, after: EntityPosition | None, limit: int
    ) -> Answer[tuple[Entity, ...]]:
        """`EntityGraph.entities`."""
        scope = self._selection.scope
        # An owner's part is the same for an entity and for the versions that mention it; its session is the version's.
        of_name, _ = scope_condition(scope.owner, "n")
        owner, bindings = scope_condition(scope.owner, "e")
        session, of_session = scope_condition(Scope(session_id=scope.session_id), "v")
        if type_:
            owner += " AND e.type = $type"
        begin = _NAMED.replace("%owner%", of_name) if prefix else _ALL
        found = await self._rows(
            begin + _PAGE.replace("%owner%", owner).replace("%session%", session),
            key=prefix[:KEY_CHARACTERS],
            prefix=prefix,
            type=type_,
            after_name=after.name if after else "",
            after_id=after.entity_id if after else "",
            limit=limit,
            **bindings,
            **of_session,
        )
        return self._answer(tuple(await self._entities([row[0] for row in found])))

    async def relations(
        self, anchor: RelationAnchor, *, after: RelationPosition | None, limit: int
    ) -> Answer[tuple[Relation, ...]]:
        """`EntityGraph.relations`."""
        of_entity = isinstance(anchor, OfEntity)
        found = await self._rows(
            (_OF_ENTITY if of_entity else _OF_MEMORY) + _PLACED.replace("%stated%", self._stated),
            anchor=anchor.entity_id if isinstance(anchor, OfEntity) else anchor.memory_id,
            after_from=_BEFORE_ALL if after is None or after.valid_from is None else after.valid_from,
            after_id=after.relation_id if after else "",
            limit=limit,
        )
        return self._answer(tuple(await self._relations([row[0] for row in found])))

    async def traverse(
        self, start: Sequence[str], *, depth: int, predicates: AbstractSet[str], limit: int
    ) -> Answer[Neighbourhood]:
        """`EntityGraph.traverse`, one statement for each step."""
        self._bindings["any"] = not predicates
        self._bindings["predicates"] = sorted(predicates)
        begun = await self._rows(_START, start=sorted(set(start)))
        met: list[str] = [row[0] for row in begun]
        known = set(met)
        truncated = len(met) > limit
        del met[limit:]
        frontier = met
        step = _NEXT.replace("%stated%", self._stated)
        for _ in range(depth):
            if truncated or not frontier:
                break
            room = limit - len(met)
            near = [row[0] for row in await self._rows(step, frontier=frontier, met=met, limit=room + 1)]
            truncated = len(near) > room
            frontier = near[:room]
            met = met + frontier
        among = await self._rows(_AMONG.replace("%stated%", self._stated), ids=met) if met else []
        return self._answer(
            Neighbourhood(
                entities=tuple(await self._entities(met)),
                relations=tuple(await self._relations([row[0] for row in among])),
                truncated=truncated,
                missing=tuple(entity_id for entity_id in start if entity_id not in known),
            )
        )

    async def _entities(self, ids: Sequence[str]) -> list[Entity]:
        """Those of the entities that exist, in the order given."""
        if not ids:
            return []
        said: dict[str, list[list[Any]]] = {identity: [] for identity in ids}
        for row in await self._rows(_WRITTEN, ids=list(ids)):
            self._note(row[7], row[8])
            said[row[0]].append(row)
        return [_entity(entries) for entries in said.values() if any(row[4] for row in entries)]

    async def _relations(self, ids: Sequence[str]) -> list[Relation]:
        """Those of the relations that are stated, in the order given."""
        if not ids:
            return []
        said: dict[str, list[list[Any]]] = {identity: [] for identity in ids}
        for row in await self._rows(_SOURCES, ids=list(ids)):
            self._note(row[12], row[13])
            said[row[0]].append(row)
        return [_relation(entries) for entries in said.values() if entries]

    def _note(self, revision: int, source_removed: bool) -> None:
        (self._kept if source_removed else self._versions).add(revision)

    def _answer(self, found: T) -> Answer[T]:
        return Answer(found, frozenset(self._versions), frozenset(self._kept))

    async def _rows(self, statement: str, **parameters: object) -> list[list[Any]]:
        return await rows(self._transaction, statement, **self._bindings, **parameters)


def _entity(said: Sequence[Sequence[Any]]) -> Entity:
    """One entity of what its versions write, oldest first."""
    identity, type_, user, agent, *_ = said[0]
    own = [row for row in said if row[4]]
    others: dict[str, str] = {}
    for row in said:
        if not row[4]:
            others.setdefault(row[5], row[6])
    return Entity(
        entity_id=identity,
        name=own[0][6],
        type=type_,
        aliases=tuple(written for _, written in sorted(others.items())),
        mention_count=sum(not row[8] for row in own),
        owner=Scope(key_id(user), key_id(agent)),
    )


def _relation(said: Sequence[Sequence[Any]]) -> Relation:
    """One relation of what its versions state, oldest first."""
    identity, subject, subject_name, subject_type, predicate, object_, object_name, object_type, valid_from, *_ = said[
        0
    ]
    ends = [row[10] for row in said]
    memories = tuple(row[11] for row in said if not row[13])
    return Relation(
        relation_id=identity,
        subject=EntityRef(entity_id=subject, name=subject_name, type=subject_type),
        predicate=predicate,
        object=EntityRef(entity_id=object_, name=object_name, type=object_type),
        confidence=max(row[9] for row in said),
        valid_from=valid_from,
        valid_until=None if None in ends else max(ends),
        memory_ids=memories,
        source_removed=not memories,
    )
