"""Reading entities and relations themselves: by id, page by page, and along the relations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar, cast

import apsw

from memoir_server.adapters.sqlite_projection import id_key, key_id, namespace_number
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

_LAST_CHARACTER: Final = "\U0010ffff"
_BEFORE_ALL: Final = -(2**63)
"""Stands for a valid_from that does not bind: older than any."""

_SEEN: Final = (
    "v.revision <= :revision AND v.retired > :revision AND v.revision NOT IN (SELECT value FROM json_each(:hidden))"
)
_SAID: Final = f"""
SELECT 1 FROM names n JOIN name_sources x ON x.name = n.id JOIN versions v ON v.id = x.version
WHERE n.entity = e.id AND {_SEEN}
"""
_NAMED: Final = f"""
SELECT n.entity FROM names n JOIN name_sources x ON x.name = n.id JOIN versions v ON v.id = x.version
WHERE n.namespace = :namespace AND n.name >= :prefix AND n.name < :beyond AND {_SEEN}
"""
_STATED: Final = f"""
EXISTS (
    SELECT 1 FROM relation_sources x JOIN versions v ON v.id = x.version
    WHERE x.relation = r.id AND {_SEEN} AND {{true}}
) AND (:any OR r.predicate IN (SELECT value FROM json_each(:predicates)))
"""
_ENTITIES: Final = """
SELECT e.id, e.entity_id, e.type, e.user, e.agent FROM json_each(:entities) j CROSS JOIN entities e ON e.id = j.value
"""
_WRITTEN: Final = f"""
SELECT e.id, n.name = e.name, n.name, x.written, v.revision, v.source_removed
FROM json_each(:entities) j CROSS JOIN entities e ON e.id = j.value JOIN names n ON n.entity = e.id
JOIN name_sources x ON x.name = n.id JOIN versions v ON v.id = x.version
WHERE {_SEEN} ORDER BY v.revision
"""
_SOURCES: Final = f"""
SELECT r.id, r.relation_id, s.entity_id, s.type, r.predicate, o.entity_id, o.type, r.valid_from,
    x.subject_name, x.object_name, x.confidence, x.valid_until, v.memory_id, v.revision, v.source_removed
FROM json_each(:relations) j CROSS JOIN relations r ON r.id = j.value JOIN relation_sources x ON x.relation = r.id
JOIN versions v ON v.id = x.version JOIN entities s ON s.id = r.subject JOIN entities o ON o.id = r.object
WHERE {_SEEN} ORDER BY v.revision
"""
_START: Final = f"""
SELECT e.id, e.entity_id FROM json_each(:start) j CROSS JOIN entities e
    ON e.namespace = :namespace AND e.entity_id = j.value
WHERE EXISTS ({_SAID}) ORDER BY e.sort, e.entity_id
"""
_NEXT: Final = """
SELECT e.id FROM (
    SELECT r.object AS id FROM json_each(:frontier) j CROSS JOIN relations r ON r.subject = j.value WHERE {stated}
    UNION
    SELECT r.subject FROM json_each(:frontier) j CROSS JOIN relations r ON r.object = j.value WHERE {stated}
) AS near CROSS JOIN entities e ON e.id = near.id
WHERE e.id NOT IN (SELECT value FROM json_each(:met)) ORDER BY e.sort, e.entity_id LIMIT :limit
"""
_AMONG: Final = """
SELECT r.id FROM json_each(:entities) j CROSS JOIN relations r ON r.subject = j.value
WHERE r.object IN (SELECT value FROM json_each(:entities)) AND {stated}
ORDER BY coalesce(r.valid_from, :before_all), r.relation_id
"""
_OF_ENTITY: Final = """
SELECT r.id FROM entities e JOIN relations r ON r.subject = e.id
WHERE e.namespace = :namespace AND e.entity_id = :anchor
UNION
SELECT r.id FROM entities e JOIN relations r ON r.object = e.id
WHERE e.namespace = :namespace AND e.entity_id = :anchor
"""
_OF_MEMORY: Final = f"""
SELECT x.relation FROM versions v JOIN relation_sources x ON x.version = v.id
WHERE v.namespace = :namespace AND v.memory_id = :anchor AND NOT v.source_removed AND {_SEEN}
"""


class Browser:
    """One read over one state of the file. It notes every version its answer rests on.

    Args:
        connection: A connection inside a transaction.
        namespace: Name of the namespace; one the file does not know is empty.
        selection: Moment, world time and scope, as the port says.
        hidden: Revisions of versions to leave out.
    """

    def __init__(
        self, connection: apsw.Connection, namespace: str, selection: Selection, hidden: AbstractSet[int]
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._bindings: dict[str, object] = {
            "namespace": namespace_number(connection, namespace),
            "revision": selection.revision,
            "hidden": _listed(hidden),
            "valid_at": selection.valid_at,
            "reference": selection.reference,
            "before_all": _BEFORE_ALL,
            "any": True,
            "predicates": "[]",
        }
        self._stated = _STATED.format(true=_true(selection))
        self._versions: set[int] = set()
        self._kept: set[int] = set()

    def entity(self, entity_id: str) -> Answer[Entity | None]:
        """`EntityGraph.entity`."""
        found = [row[0] for row in self._rows(_START, start=_listed([entity_id]))]
        return self._answer(next(iter(self._entities(found)), None))

    def entities(
        self, *, type_: str, prefix: str, after: EntityPosition | None, limit: int
    ) -> Answer[tuple[Entity, ...]]:
        """`EntityGraph.entities`."""
        scope = self._selection.scope
        conditions = ["e.namespace = :namespace"]
        within = []
        # An owner's part is the same for an entity and for the versions that mention it; its session is the version's.
        for column, value in (("user", scope.user_id), ("agent", scope.agent_id)):
            if value is not None:
                conditions.append(f"e.{column} = :{column}")
        if scope.session_id is not None:
            within.append(" AND v.session = :session")
        if type_:
            conditions.append("e.type = :type")
        if prefix:
            conditions.append(f"e.id IN ({_NAMED})")
        if after is not None:
            conditions.append("(e.sort, e.entity_id) > (:after_name, :after_id)")
        conditions.append(f"EXISTS ({_SAID}{''.join(within)})")
        found = self._rows(
            f"SELECT e.id FROM entities e WHERE {' AND '.join(conditions)} ORDER BY e.sort, e.entity_id LIMIT :limit",
            user=id_key(scope.user_id),
            agent=id_key(scope.agent_id),
            session=id_key(scope.session_id),
            type=type_,
            prefix=prefix,
            beyond=prefix + _LAST_CHARACTER,
            after_name=after.name if after else "",
            after_id=after.entity_id if after else "",
            limit=limit,
        )
        return self._answer(tuple(self._entities([row[0] for row in found])))

    def relations(
        self, anchor: RelationAnchor, *, after: RelationPosition | None, limit: int
    ) -> Answer[tuple[Relation, ...]]:
        """`EntityGraph.relations`."""
        of_entity = isinstance(anchor, OfEntity)
        place = "(coalesce(r.valid_from, :before_all), r.relation_id)"
        later = "" if after is None else f" AND {place} > (:after_from, :after_id)"
        found = self._rows(
            f"SELECT r.id FROM relations r WHERE r.id IN ({_OF_ENTITY if of_entity else _OF_MEMORY}){later}"
            f" AND {self._stated} ORDER BY coalesce(r.valid_from, :before_all), r.relation_id LIMIT :limit",
            anchor=anchor.entity_id if isinstance(anchor, OfEntity) else anchor.memory_id,
            after_from=_BEFORE_ALL if after is None or after.valid_from is None else after.valid_from,
            after_id=after.relation_id if after else "",
            limit=limit,
        )
        return self._answer(tuple(self._relations([row[0] for row in found])))

    def traverse(
        self, start: Sequence[str], *, depth: int, predicates: AbstractSet[str], limit: int
    ) -> Answer[Neighbourhood]:
        """`EntityGraph.traverse`, one statement for each step."""
        self._bindings["any"] = not predicates
        self._bindings["predicates"] = _listed(sorted(predicates))
        begun = list(self._rows(_START, start=_listed(dict.fromkeys(start))))
        known = {row[1] for row in begun}
        met: list[int] = [row[0] for row in begun]
        truncated = len(met) > limit
        del met[limit:]
        frontier: list[int] = met
        step = _NEXT.format(stated=self._stated)
        for _ in range(depth):
            if truncated or not frontier:
                break
            room = limit - len(met)
            near = [row[0] for row in self._rows(step, frontier=_listed(frontier), met=_listed(met), limit=room + 1)]
            truncated = len(near) > room
            frontier = near[:room]
            met = met + frontier
        among = self._rows(_AMONG.format(stated=self._stated), entities=_listed(met))
        return self._answer(
            Neighbourhood(
                entities=tuple(self._entities(met)),
                relations=tuple(self._relations([row[0] for row in among])),
                truncated=truncated,
                missing=tuple(entity_id for entity_id in start if entity_id not in known),
            )
        )

    def _entities(self, numbers: Sequence[int]) -> Iterator[Entity]:
        """The entities, in the order given."""
        listed = _listed(numbers)
        names: dict[int, dict[str, str]] = {number: {} for number in numbers}
        displayed: dict[int, str] = {}
        mentions = dict.fromkeys(numbers, 0)
        for number, own, name, written, revision, source_removed in self._rows(_WRITTEN, entities=listed):
            self._note(revision, source_removed)
            if own:
                displayed.setdefault(number, written)
                mentions[number] += not source_removed
            else:
                names[number].setdefault(name, written)
        for number, entity_id, type_, user, agent in self._rows(_ENTITIES, entities=listed):
            yield Entity(
                entity_id=entity_id,
                name=displayed[number],
                type=type_,
                aliases=tuple(written for _, written in sorted(names[number].items())),
                mention_count=mentions[number],
                owner=Scope(key_id(user), key_id(agent)),
            )

    def _relations(self, numbers: Sequence[int]) -> list[Relation]:
        """The relations, in the order given."""
        sources: dict[int, list[tuple[Any, ...]]] = {number: [] for number in numbers}
        for row in self._rows(_SOURCES, relations=_listed(numbers)):
            self._note(row[13], row[14])
            sources[row[0]].append(row)
        return [_merged(said) for said in sources.values()]

    def _note(self, revision: int, source_removed: int) -> None:
        (self._kept if source_removed else self._versions).add(revision)

    def _answer(self, found: T) -> Answer[T]:
        return Answer(found, frozenset(self._versions), frozenset(self._kept))

    def _rows(self, sql: str, **bindings: object) -> Iterator[tuple[Any, ...]]:
        found = self._connection.execute(sql, cast(Any, {**self._bindings, **bindings}))
        return cast(Iterator[tuple[Any, ...]], found)


def _true(selection: Selection) -> str:
    """The world-time rule of the port as SQL, for the relation r as the source x states it."""
    if selection.valid_at is not None:
        begun = "(r.valid_from IS NULL OR r.valid_from <= :valid_at)"
        return f"{begun} AND (x.valid_until IS NULL OR x.valid_until > :valid_at)"
    return "TRUE" if selection.include_superseded else "(x.valid_until IS NULL OR x.valid_until > :reference)"


def _merged(said: Sequence[tuple[Any, ...]]) -> Relation:
    """One relation of what its versions say, oldest first."""
    _, relation_id, subject, subject_type, predicate, object_, object_type, valid_from, *_ = said[0]
    ends = [row[11] for row in said]
    memories = tuple(row[12] for row in said if not row[14])
    return Relation(
        relation_id=relation_id,
        subject=EntityRef(entity_id=subject, name=said[0][8], type=subject_type),
        predicate=predicate,
        object=EntityRef(entity_id=object_, name=said[0][9], type=object_type),
        confidence=max(row[10] for row in said),
        valid_from=valid_from,
        valid_until=None if None in ends else max(ends),
        memory_ids=memories,
        source_removed=not memories,
    )


def _listed(values: Iterable[int] | Iterable[str]) -> str:
    """Values as one binding, for json_each."""
    return json.dumps(list(values))
