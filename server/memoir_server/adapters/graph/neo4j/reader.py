"""Matching names to versions, and reading back what is held of versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from memoir_server.adapters.graph.neo4j.connection import Connection, Transaction, rows
from memoir_server.adapters.graph.neo4j.schema import KEY_CHARACTERS, id_key, key_id
from memoir_server.domain.consistency import Portion
from memoir_server.domain.graph import EntityRef, Relation
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import GraphMatch
from memoir_server.ports.projection import Held

# What stands between % signs is put in below: conditions that a call may do without.
_SEEDS: Final = """
UNWIND $names AS row
MATCH (n:MemoirName {space: $space, key: row.key})-[:NAMES]->(e:MemoirEntity {space: $space})
WHERE n.name = row.name %owner% AND EXISTS {
    MATCH (v:MemoirVersion {space: $space})-[:SPELLS]->(n) WHERE v.revision <= $revision AND v.retired > $revision
}
RETURN DISTINCT e.entity_id
"""
_STEP: Final = """
UNWIND $frontier AS id
MATCH (e:MemoirEntity {space: $space, entity_id: id})<-[:SUBJECT|OBJECT]-(r:MemoirRelation {space: $space})
MATCH (r)-[:SUBJECT|OBJECT]->(o:MemoirEntity {space: $space})
WHERE o <> e AND EXISTS {
    MATCH (v:MemoirVersion {space: $space})-[x:STATES]->(r)
    WHERE v.revision <= $revision AND v.retired > $revision %true%
}
RETURN DISTINCT id, o.entity_id
"""
_MENTIONS: Final = """
UNWIND $frontier AS row
MATCH (:MemoirEntity {space: $space, entity_id: row.entity_id})<-[:MENTIONS]-(v:MemoirVersion {space: $space})
WHERE NOT v.source_removed AND v.revision <= $revision AND v.retired > $revision
    AND NOT v.revision IN $reached %scope%
UNWIND row.seeds AS seed
WITH v, count(DISTINCT seed) AS entities
RETURN v.memory_id, v.revision, entities ORDER BY entities DESC, v.memory_id, v.revision LIMIT $limit
"""
_RELATIONS: Final = """
UNWIND $revisions AS revision
MATCH (v:MemoirVersion {space: $space, revision: revision})-[x:STATES]->(r:MemoirRelation {space: $space})
MATCH (r)-[:SUBJECT]->(s:MemoirEntity {space: $space})
MATCH (r)-[:OBJECT]->(o:MemoirEntity {space: $space})
WHERE s.entity_id IN $seeds OR o.entity_id IN $seeds
RETURN revision, r.relation_id, s.entity_id, x.subject_name, s.type, r.predicate, o.entity_id, x.object_name, o.type,
    x.confidence, r.valid_from, x.valid_until, v.memory_id
ORDER BY r.relation_id
"""
_NAMED: Final = "MATCH (h:MemoirNamespace {graph: $graph, name: $namespace}) "
_KNOWN: Final = """
UNWIND $words AS word
MATCH (n:MemoirName {space: %space%})
WHERE n.key STARTS WITH word.key AND n.name STARTS WITH word.name %owner%
RETURN DISTINCT n.name
"""
_FIND: Final = """
UNWIND $memory_ids AS memory_id
MATCH (v:MemoirVersion {space: $space, memory_id: memory_id})
WHERE NOT v.source_removed
RETURN v.memory_id, v.revision
"""
# An entity counts only with a name to find it by, a relation only with both of its ends.
_SCAN: Final = """
MATCH (v:MemoirVersion {space: $space})
WHERE v.revision > $after AND v.revision <= $until %portion%
WITH v ORDER BY v.revision LIMIT $limit
RETURN v.memory_id, v.revision, v.retired, v.user, v.agent, v.session, v.source_removed,
    COLLECT {
        MATCH (v)-[:MENTIONS]->(e:MemoirEntity {space: $space})
        WHERE EXISTS { (v)-[:SPELLS]->(:MemoirName {space: $space})-[:NAMES]->(e) }
        RETURN e.entity_id
    },
    COLLECT {
        MATCH (v)-[:STATES]->(r:MemoirRelation {space: $space})
        WHERE EXISTS { (r)-[:SUBJECT]->(:MemoirEntity {space: $space}) }
            AND EXISTS { (r)-[:OBJECT]->(:MemoirEntity {space: $space}) }
        RETURN r.relation_id
    }
ORDER BY v.revision
"""
_COUNT: Final = """
MATCH (v:MemoirVersion {space: $space})
WHERE true %scope%
RETURN sum(COUNT { (v)-[:MENTIONS]->() } + COUNT { (v)-[:STATES]->() })
"""


class Reader:
    """One read of one namespace.

    Args:
        transaction: The transaction.
        space: Space of the namespace; an empty one holds nothing.
    """

    def __init__(self, transaction: Transaction, space: str) -> None:
        self._transaction = transaction
        self._space = space

    async def match(
        self, names: Sequence[str], selection: Selection, *, depth: int, limit: int
    ) -> tuple[GraphMatch, ...]:
        """`EntityGraph.match`, two statements for each hop."""
        if not names or depth < 1 or limit < 1:
            return ()
        owner, bindings = scope_condition(selection.scope.owner, "n")
        found = await self._rows(
            _SEEDS.replace("%owner%", owner),
            names=[{"name": name, "key": name[:KEY_CHARACTERS]} for name in sorted(set(names))],
            revision=selection.revision,
            **bindings,
        )
        seeds = sorted(row[0] for row in found)
        matches: list[tuple[str, int, int, int]] = []
        # Entities at the current distance, with the seeds they are that far from; and the pairs met at any distance.
        frontier: dict[str, set[str]] = {seed: {seed} for seed in seeds}
        met = {(seed, seed) for seed in seeds}
        for hops in range(depth):
            if hops:
                frontier = await self._step(frontier, met, selection)
            if not frontier or len(matches) == limit:
                break
            matches += await self._mentions(frontier, hops, selection, [m[1] for m in matches], limit - len(matches))
        relations = await self._relations([m[1] for m in matches], seeds)
        return tuple(
            GraphMatch(
                memory_id=memory_id,
                revision=revision,
                hops=hops,
                entities=entities,
                relations=tuple(relations[revision]),
            )
            for memory_id, revision, hops, entities in matches
        )

    async def known_names(self, words: Iterable[str], scope: Scope) -> list[str]:
        """`EntityGraph.known_names`."""
        wanted = _beginnings(words)
        if not wanted:
            return []
        owner, bindings = scope_condition(scope.owner, "n")
        statement = _KNOWN.replace("%space%", "$space").replace("%owner%", owner)
        return sorted(row[0] for row in await self._rows(statement, words=wanted, **bindings))

    async def count(self, scope: Scope) -> int:
        """`EntityGraph.count`."""
        condition, bindings = scope_condition(scope, "v")
        [[found]] = await self._rows(_COUNT.replace("%scope%", condition), **bindings)
        return int(found)

    async def find(self, memory_ids: Sequence[str]) -> list[tuple[str, int]]:
        """`Projection.find`: relations whose source was removed are no longer of a memory."""
        found = await self._rows(_FIND, memory_ids=sorted(set(memory_ids)))
        return sorted((row[0], row[1]) for row in found)

    async def scan(self, portion: Portion, *, after: int, limit: int) -> list[Held]:
        """`Projection.scan`, with the entities and relations of each version."""
        condition, bindings = scope_condition(portion.scope, "v")
        if portion.memory_ids is not None:
            condition += " AND v.memory_id IN $memory_ids"
            bindings["memory_ids"] = list(portion.memory_ids)
        if portion.revisions is not None:
            condition += " AND v.revision IN $revisions"
            bindings["revisions"] = list(portion.revisions)
        found = await self._rows(
            _SCAN.replace("%portion%", condition), after=after, until=portion.until, limit=limit, **bindings
        )
        return [
            Held(
                memory_id=memory_id,
                revision=revision,
                retired=retired,
                scope=Scope(key_id(user), key_id(agent), key_id(session)),
                resources=frozenset(entities) | frozenset(relations),
                source_removed=source_removed,
            )
            for memory_id, revision, retired, user, agent, session, source_removed, entities, relations in found
        ]

    async def _step(
        self, frontier: dict[str, set[str]], met: set[tuple[str, str]], selection: Selection
    ) -> dict[str, set[str]]:
        """Entities one relation further, with the seeds that had not met them before."""
        true, bindings = true_condition(selection)
        found = await self._rows(
            _STEP.replace("%true%", true), frontier=sorted(frontier), revision=selection.revision, **bindings
        )
        further: dict[str, set[str]] = defaultdict(set)
        for entity, neighbour in found:
            further[neighbour].update(seed for seed in frontier[entity] if (neighbour, seed) not in met)
        met.update((entity, seed) for entity, seeds in further.items() for seed in seeds)
        return {entity: seeds for entity, seeds in further.items() if seeds}

    async def _mentions(
        self, frontier: dict[str, set[str]], hops: int, selection: Selection, reached: list[int], limit: int
    ) -> list[tuple[str, int, int, int]]:
        """(memory_id, revision, hops, entities) of versions that mention entities of the frontier, best first."""
        scope, bindings = scope_condition(selection.scope, "v")
        found = await self._rows(
            _MENTIONS.replace("%scope%", scope),
            frontier=[{"entity_id": entity, "seeds": sorted(seeds)} for entity, seeds in sorted(frontier.items())],
            revision=selection.revision,
            reached=reached,
            limit=limit,
            **bindings,
        )
        return [(memory_id, revision, hops, entities) for memory_id, revision, entities in found]

    async def _relations(self, revisions: Sequence[int], seeds: Sequence[str]) -> dict[int, list[Relation]]:
        """Relations that touch a seed, by revision, each as its version states it."""
        relations: dict[int, list[Relation]] = defaultdict(list)
        if not revisions:
            return relations
        for revision, *row in await self._rows(_RELATIONS, revisions=revisions, seeds=seeds):
            relations[revision].append(
                Relation(
                    relation_id=row[0],
                    subject=EntityRef(entity_id=row[1], name=row[2], type=row[3]),
                    predicate=row[4],
                    object=EntityRef(entity_id=row[5], name=row[6], type=row[7]),
                    confidence=row[8],
                    valid_from=row[9],
                    valid_until=row[10],
                    memory_ids=(row[11],),
                )
            )
        return relations

    async def _rows(self, statement: str, **parameters: object) -> list[list[Any]]:
        return await rows(self._transaction, statement, space=self._space, **parameters)


async def names_at_once(
    connection: Connection, graph: str, namespace: str, words: Iterable[str], scope: Scope
) -> list[str]:
    """`EntityGraph.known_names` in one statement, which every search asks: what it sees of a change under way may be a
    part. Raises StoreUnavailable, GraphRefused, GoneWhileReading."""
    wanted = _beginnings(words)
    if not wanted:
        return []
    owner, bindings = scope_condition(scope.owner, "n")
    statement = _NAMED + _KNOWN.replace("%space%", "h.space").replace("%owner%", owner)
    found = await connection.ask(statement, graph=graph, namespace=namespace, words=wanted, **bindings)
    return sorted(row[0] for row in found)


def _beginnings(words: Iterable[str]) -> list[dict[str, str]]:
    return [{"name": word, "key": word[:KEY_CHARACTERS]} for word in sorted({word for word in words if word})]


def scope_condition(scope: Scope, node: str) -> tuple[str, dict[str, object]]:
    """A condition on a node with the scope's properties, and the parameters it needs."""
    parts, bindings = [], {}
    for name, value in (("user", scope.user_id), ("agent", scope.agent_id), ("session", scope.session_id)):
        if value is not None:
            parts.append(f" AND {node}.{name} = ${name}")
            bindings[name] = id_key(value)
    return "".join(parts), dict(bindings)


def true_condition(selection: Selection) -> tuple[str, dict[str, object]]:
    """The world-time rule of the port, for the relation r as the statement x tells it."""
    if selection.valid_at is not None:
        begun = " AND (r.valid_from IS NULL OR r.valid_from <= $valid_at)"
        return f"{begun} AND (x.valid_until IS NULL OR x.valid_until > $valid_at)", {"valid_at": selection.valid_at}
    if selection.include_superseded:
        return "", {}
    return " AND (x.valid_until IS NULL OR x.valid_until > $reference)", {"reference": selection.reference}
