"""Matching names to versions, by way of entities and the relations between them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import apsw

from memoir_server.adapters.graph.sqlite.names import NamedBy
from memoir_server.adapters.sqlite_projection import (
    id_key,
    key_id,
    namespace_number,
    portion_condition,
    rows,
    scope_condition,
)
from memoir_server.domain.consistency import Portion
from memoir_server.domain.graph import EntityRef, Relation
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import GraphMatch
from memoir_server.ports.projection import Held

_LAST_CHARACTER: Final = "\U0010ffff"

_SEEDS: Final = """
SELECT DISTINCT n.entity FROM json_each(?) j CROSS JOIN names n ON n.namespace = ? AND n.name = j.value
WHERE EXISTS (
    SELECT 1 FROM name_sources s JOIN versions v ON v.id = s.version
    WHERE s.name = n.id AND v.revision <= ? AND v.retired > ?
)
"""
_STEP: Final = """
SELECT DISTINCT j.value, r.{there} FROM json_each(?) j CROSS JOIN relations r ON r.{here} = j.value
WHERE EXISTS (
    SELECT 1 FROM relation_sources x JOIN versions v ON v.id = x.version
    WHERE x.relation = r.id AND v.revision <= ? AND v.retired > ?{valid}
)
"""
_MENTIONS: Final = """
SELECT m.entity, v.id, v.memory_id, v.revision FROM json_each(?) j CROSS JOIN mentions m ON m.entity = j.value
JOIN versions v ON v.id = m.version
WHERE NOT v.source_removed AND v.revision <= ? AND v.retired > ?
"""
_RELATIONS: Final = """
SELECT x.version, r.relation_id, s.entity_id, x.subject_name, s.type, r.predicate, o.entity_id, x.object_name, o.type,
    x.confidence, r.valid_from, x.valid_until, v.memory_id
FROM json_each(?) j CROSS JOIN relation_sources x ON x.version = j.value JOIN relations r ON r.id = x.relation
JOIN versions v ON v.id = x.version JOIN entities s ON s.id = r.subject JOIN entities o ON o.id = r.object
WHERE r.subject IN (SELECT value FROM json_each(?)) OR r.object IN (SELECT value FROM json_each(?))
ORDER BY r.relation_id
"""
_MENTIONED: Final = (
    "SELECT m.version, e.entity_id FROM json_each(?) j CROSS JOIN mentions m ON m.version = j.value"
    " JOIN entities e ON e.id = m.entity"
)
# A relation counts only with both of its ends.
_STATED: Final = (
    "SELECT x.version, r.relation_id FROM json_each(?) j CROSS JOIN relation_sources x ON x.version = j.value"
    " JOIN relations r ON r.id = x.relation JOIN entities s ON s.id = r.subject JOIN entities o ON o.id = r.object"
)


@dataclass(slots=True)
class _Reached:
    """A version, and the entities of the query it is nearest to."""

    memory_id: str
    revision: int
    hops: int
    entities: set[int]


def match(
    connection: apsw.Connection, namespace: str, names: Sequence[str], selection: Selection, *, depth: int, limit: int
) -> list[GraphMatch]:
    """`EntityGraph.match` over one state of the file."""
    number = namespace_number(connection, namespace)
    if number is None or not names or depth < 1 or limit < 1:
        return []
    moment = (selection.revision, selection.revision)
    condition, bindings = scope_condition(selection.scope.owner, "n")
    found = rows(connection, _SEEDS + condition, (_listed(set(names)), number, *moment, *bindings))
    seeds = {row[0] for row in found}
    if not seeds:
        return []
    reached: dict[int, _Reached] = {}
    # Entities at the current distance, with the seeds they are that far from; and the pairs met at any distance.
    frontier: dict[int, set[int]] = {seed: {seed} for seed in seeds}
    met = {(seed, seed) for seed in seeds}
    for hops in range(depth):
        if hops:
            frontier = _step(connection, frontier, met, selection)
        if not frontier:
            break
        _collect(connection, frontier, hops, selection, reached)
    ordered = sorted(reached.items(), key=lambda item: _rank(item[1]))[:limit]
    relations = _relations(connection, [version for version, _ in ordered], seeds)
    return [
        GraphMatch(
            memory_id=found.memory_id,
            revision=found.revision,
            hops=found.hops,
            entities=len(found.entities),
            relations=tuple(relations[version]),
        )
        for version, found in ordered
    ]


def known_names(connection: apsw.Connection, namespace: str, words: Iterable[str], scope: Scope) -> list[str]:
    """`EntityGraph.known_names` over one state of the file."""
    # Most owners have no entities: asked first, at a tenth of the price of looking for every word.
    condition, bindings = scope_condition(Scope(scope.user_id), "n")
    any_name = (
        "SELECT n.namespace FROM namespaces s CROSS JOIN names n ON n.namespace = s.id"
        f" WHERE s.name = ?{condition} LIMIT 1"
    )
    number = connection.execute(any_name, (namespace, *bindings)).get
    if number is None:
        return []
    condition, bindings = scope_condition(scope.owner, "n")
    query = (
        "SELECT DISTINCT n.name FROM json_each(?) w CROSS JOIN names n"
        f" WHERE n.namespace = ? AND n.name >= w.value AND n.name < w.value || ?{condition}"
    )
    wanted = _listed({word for word in words if word})
    return sorted(row[0] for row in rows(connection, query, (wanted, number, _LAST_CHARACTER, *bindings)))


def owned_names(connection: apsw.Connection, namespace: str, user_id: str, limit: int) -> list[NamedBy]:
    """Names of the user's entities, at most `limit`."""
    query = (
        "SELECT n.name, n.agent, count(*) FROM namespaces s CROSS JOIN names n ON n.namespace = s.id"
        " WHERE s.name = ? AND n.user = ? GROUP BY n.name, n.agent LIMIT ?"
    )
    return [(name, agent, count) for name, agent, count in rows(connection, query, (namespace, id_key(user_id), limit))]


def find(connection: apsw.Connection, namespace: str, memory_ids: Sequence[str]) -> list[tuple[str, int]]:
    """`Projection.find`: relations whose source was removed are no longer of a memory."""
    query = (
        "SELECT v.memory_id, v.revision FROM json_each(?) j"
        " CROSS JOIN versions v ON v.namespace = ? AND v.memory_id = j.value WHERE NOT v.source_removed"
    )
    found = rows(connection, query, (_listed(set(memory_ids)), namespace_number(connection, namespace)))
    return sorted((row[0], row[1]) for row in found)


def scan(connection: apsw.Connection, namespace: str, portion: Portion, after: int, limit: int) -> list[Held]:
    """`Projection.scan`, with the entities and relations of each version."""
    condition, bindings = portion_condition(portion, "v")
    found = list(
        rows(
            connection,
            "SELECT v.id, v.memory_id, v.revision, v.retired, v.user, v.agent, v.session, v.source_removed"
            f" FROM versions v WHERE v.namespace = ? AND v.revision > ?{condition} ORDER BY v.revision LIMIT ?",
            (namespace_number(connection, namespace), after, *bindings, limit),
        )
    )
    listed = _listed([row[0] for row in found])
    resources: dict[int, set[str]] = defaultdict(set)
    for query in (_MENTIONED, _STATED):
        for version, resource in rows(connection, query, (listed,)):
            resources[version].add(resource)
    return [
        Held(
            memory_id=memory_id,
            revision=revision,
            retired=retired,
            scope=Scope(key_id(user), key_id(agent), key_id(session)),
            resources=frozenset(resources[version]),
            source_removed=bool(source_removed),
        )
        for version, memory_id, revision, retired, user, agent, session, source_removed in found
    ]


def count(connection: apsw.Connection, namespace: str, scope: Scope) -> int:
    """`EntityGraph.count` over one state of the file."""
    condition, bindings = scope_condition(scope, "v")
    number = namespace_number(connection, namespace)
    return sum(
        next(
            rows(
                connection,
                f"SELECT count(*) FROM versions v JOIN {table} x ON x.version = v.id WHERE v.namespace = ?{condition}",
                (number, *bindings),
            )
        )[0]
        for table in ("mentions", "relation_sources")
    )


def _step(
    connection: apsw.Connection, frontier: dict[int, set[int]], met: set[tuple[int, int]], selection: Selection
) -> dict[int, set[int]]:
    """Entities one relation further, with the seeds that had not met them before."""
    valid, bounds = _validity(selection)
    here = _listed(frontier)
    moment = (selection.revision, selection.revision)
    further: dict[int, set[int]] = defaultdict(set)
    for ends in (("subject", "object"), ("object", "subject")):
        query = _STEP.format(here=ends[0], there=ends[1], valid=valid)
        for entity, neighbour in rows(connection, query, (here, *moment, *bounds)):
            further[neighbour].update(seed for seed in frontier[entity] if (neighbour, seed) not in met)
    met.update((entity, seed) for entity, seeds in further.items() for seed in seeds)
    return {entity: seeds for entity, seeds in further.items() if seeds}


def _validity(selection: Selection) -> tuple[str, list[int]]:
    """The world-time rule of `Selection` for relations, as SQL."""
    if selection.valid_at is not None:
        return (
            " AND (r.valid_from IS NULL OR r.valid_from <= ?) AND (x.valid_until IS NULL OR x.valid_until > ?)",
            [selection.valid_at, selection.valid_at],
        )
    if selection.include_superseded:
        return "", []
    return " AND (x.valid_until IS NULL OR x.valid_until > ?)", [selection.reference]


def _collect(
    connection: apsw.Connection,
    frontier: dict[int, set[int]],
    hops: int,
    selection: Selection,
    reached: dict[int, _Reached],
) -> None:
    """Adds the versions that mention entities of the frontier."""
    condition, bindings = scope_condition(selection.scope, "v")
    moment = (selection.revision, selection.revision)
    found = rows(connection, _MENTIONS + condition, (_listed(frontier), *moment, *bindings))
    for entity, version, memory_id, revision in found:
        known = reached.get(version)
        if known is None:
            reached[version] = _Reached(memory_id, revision, hops, set(frontier[entity]))
        elif known.hops == hops:
            known.entities |= frontier[entity]


def _rank(found: _Reached) -> tuple[int, int, str, int]:
    return found.hops, -len(found.entities), found.memory_id, found.revision


def _relations(connection: apsw.Connection, versions: Sequence[int], seeds: set[int]) -> dict[int, list[Relation]]:
    """Relations that touch a seed, by version, each as its version states it."""
    relations: dict[int, list[Relation]] = defaultdict(list)
    listed = _listed(seeds)
    for row in rows(connection, _RELATIONS, (_listed(versions), listed, listed)):
        relations[row[0]].append(
            Relation(
                relation_id=row[1],
                subject=EntityRef(entity_id=row[2], name=row[3], type=row[4]),
                predicate=row[5],
                object=EntityRef(entity_id=row[6], name=row[7], type=row[8]),
                confidence=row[9],
                valid_from=row[10],
                valid_until=row[11],
                memory_ids=(row[12],),
            )
        )
    return relations


def _listed(values: Iterable[int] | Iterable[str]) -> str:
    """Values as one binding, for json_each."""
    return json.dumps(list(values))
