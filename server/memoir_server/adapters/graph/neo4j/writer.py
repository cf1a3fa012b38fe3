"""Applying actions to the graph, inside one transaction that holds the namespace.

Rows of every statement are sorted by id: two transactions that MERGE the same nodes lock them in the same order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from memoir_server.adapters.graph.neo4j.batch import Change, Removal, steps
from memoir_server.adapters.graph.neo4j.connection import Transaction, execute, rows
from memoir_server.adapters.graph.neo4j.schema import KEY_CHARACTERS, id_key, key_id
from memoir_server.domain.graph import EntityRef, MemoryFacts, Relation, normalise_name, sort_name
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.ports.graph import GraphAction, PutFacts

Row: TypeAlias = dict[str, Any]
"""One row of a statement's parameter `rows`."""

_VERSIONS: Final = """
UNWIND $rows AS row
CREATE (v:MemoirVersion {space: $space, revision: row.revision})
SET v.memory_id = row.memory_id, v.retired = row.retired, v.user = row.user, v.agent = row.agent,
    v.session = row.session, v.source_removed = row.source_removed
"""
_ENTITIES: Final = """
UNWIND $rows AS row
MERGE (e:MemoirEntity {space: $space, entity_id: row.entity_id})
ON CREATE SET e.user = row.user, e.agent = row.agent, e.type = row.type, e.name = row.name, e.sort = row.sort
"""
_MENTIONS: Final = """
UNWIND $rows AS row
MATCH (v:MemoirVersion {space: $space, revision: row.revision})
MATCH (e:MemoirEntity {space: $space, entity_id: row.entity_id})
CREATE (v)-[:MENTIONS]->(e)
"""
_NAMES: Final = """
UNWIND $rows AS row
MATCH (e:MemoirEntity {space: $space, entity_id: row.entity_id})
MERGE (e)<-[:NAMES]-(n:MemoirName {space: $space, name: row.name})
ON CREATE SET n.key = row.key, n.user = e.user, n.agent = e.agent
"""
_SPELLINGS: Final = """
UNWIND $rows AS row
MATCH (v:MemoirVersion {space: $space, revision: row.revision})
MATCH (:MemoirEntity {space: $space, entity_id: row.entity_id})<-[:NAMES]-(n:MemoirName {space: $space, name: row.name})
CREATE (v)-[:SPELLS {written: row.written}]->(n)
"""
_RELATIONS: Final = """
UNWIND $rows AS row
MATCH (s:MemoirEntity {space: $space, entity_id: row.subject})
MATCH (o:MemoirEntity {space: $space, entity_id: row.object})
MERGE (r:MemoirRelation {space: $space, relation_id: row.relation_id})
ON CREATE SET r.predicate = row.predicate, r.valid_from = row.valid_from
MERGE (r)-[:SUBJECT]->(s)
MERGE (r)-[:OBJECT]->(o)
"""
_STATEMENTS: Final = """
UNWIND $rows AS row
MATCH (v:MemoirVersion {space: $space, revision: row.revision})
MATCH (r:MemoirRelation {space: $space, relation_id: row.relation_id})
CREATE (v)-[x:STATES {confidence: row.confidence, subject_name: row.subject_name, object_name: row.object_name}]->(r)
SET x.valid_until = row.valid_until
"""
_RETIRE: Final = """
UNWIND $rows AS row
MATCH (v:MemoirVersion {space: $space, revision: row.revision})
WHERE v.memory_id = row.memory_id AND NOT v.source_removed
SET v.retired = row.retired
"""
_PRESENT: Final = """
UNWIND $revisions AS revision
MATCH (v:MemoirVersion {space: $space, revision: revision})
RETURN v.revision
"""
_OF_MEMORIES: Final = """
UNWIND $rows AS row
MATCH (v:MemoirVersion {space: $space, memory_id: row.memory_id})
WHERE v.revision <= row.upto AND NOT ($keep AND v.source_removed)
RETURN v.revision, v.memory_id, v.retired, v.user, v.agent, v.session ORDER BY v.revision
"""
_SAID: Final = """
UNWIND $revisions AS revision
MATCH (v:MemoirVersion {space: $space, revision: revision})-[x:STATES]->(r:MemoirRelation {space: $space})
MATCH (r)-[:SUBJECT]->(s:MemoirEntity {space: $space})
MATCH (r)-[:OBJECT]->(o:MemoirEntity {space: $space})
RETURN revision, r.relation_id, s.entity_id, x.subject_name, s.type, r.predicate, o.entity_id, x.object_name, o.type,
    x.confidence, r.valid_from, x.valid_until
"""
_STATED: Final = """
UNWIND $revisions AS revision
MATCH (:MemoirVersion {space: $space, revision: revision})-[:STATES]->(r:MemoirRelation {space: $space})
RETURN DISTINCT r.relation_id
"""
_TOUCHED: Final = """
UNWIND $revisions AS revision
MATCH (v:MemoirVersion {space: $space, revision: revision})
CALL (v) {
    MATCH (v)-[:MENTIONS]->(e:MemoirEntity {space: $space}) RETURN e
    UNION
    MATCH (v)-[:SPELLS]->(:MemoirName {space: $space})-[:NAMES]->(e:MemoirEntity {space: $space}) RETURN e
    UNION
    MATCH (v)-[:STATES]->(:MemoirRelation {space: $space})-[:SUBJECT|OBJECT]->(e:MemoirEntity {space: $space}) RETURN e
}
RETURN DISTINCT e.entity_id
"""
_DELETE_VERSIONS: Final = """
UNWIND $revisions AS revision
MATCH (v:MemoirVersion {space: $space, revision: revision})
DETACH DELETE v
"""
_DELETE_RELATIONS: Final = """
UNWIND $ids AS id
MATCH (r:MemoirRelation {space: $space, relation_id: id})
WHERE NOT EXISTS { (:MemoirVersion {space: $space})-[:STATES]->(r) }
DETACH DELETE r
"""
_DELETE_NAMES: Final = """
UNWIND $ids AS id
MATCH (:MemoirEntity {space: $space, entity_id: id})<-[:NAMES]-(n:MemoirName {space: $space})
WHERE NOT EXISTS { (:MemoirVersion {space: $space})-[:SPELLS]->(n) }
DETACH DELETE n
"""
_UNSAID: Final = """
NOT EXISTS { (:MemoirVersion {space: $space})-[:MENTIONS]->(e) }
AND NOT EXISTS { (:MemoirRelation {space: $space})-[:SUBJECT|OBJECT]->(e) }
"""
_DELETE_ENTITIES: Final = f"""
UNWIND $ids AS id
MATCH (e:MemoirEntity {{space: $space, entity_id: id}})
WHERE {_UNSAID}
DETACH DELETE e
"""

_SETTLE: Final = (
    # A relation counts only with both of its ends.
    """
    MATCH (r:MemoirRelation {space: $space})
    WHERE NOT EXISTS { (:MemoirVersion {space: $space})-[:STATES]->(r) }
        OR NOT EXISTS { (r)-[:SUBJECT]->(:MemoirEntity {space: $space}) }
        OR NOT EXISTS { (r)-[:OBJECT]->(:MemoirEntity {space: $space}) }
    DETACH DELETE r
    """,
    """
    MATCH (n:MemoirName {space: $space})
    WHERE NOT EXISTS { (:MemoirVersion {space: $space})-[:SPELLS]->(n) }
        OR NOT EXISTS { (n)-[:NAMES]->(:MemoirEntity {space: $space}) }
    DETACH DELETE n
    """,
    f"""
    MATCH (e:MemoirEntity {{space: $space}})
    WHERE {_UNSAID}
    DETACH DELETE e
    """,
)


@dataclass(slots=True)
class _Said:
    """Rows of what versions say, each once."""

    versions: list[Row] = field(default_factory=list)
    entities: dict[str, Row] = field(default_factory=dict)
    mentions: dict[tuple[str, int], Row] = field(default_factory=dict)
    names: dict[tuple[str, str], Row] = field(default_factory=dict)
    spellings: dict[tuple[str, str, int], Row] = field(default_factory=dict)
    relations: dict[str, Row] = field(default_factory=dict)
    statements: dict[tuple[str, int], Row] = field(default_factory=dict)

    def add(self, put: PutFacts) -> None:
        facts, revision = put.facts, put.facts.revision
        entities = () if put.source_removed else facts.entities
        if not entities and not facts.relations:
            return
        owner = facts.scope.owner
        self.versions.append(
            {
                "revision": revision,
                "memory_id": facts.memory_id,
                "retired": put.retired,
                "user": id_key(facts.scope.user_id),
                "agent": id_key(facts.scope.agent_id),
                "session": id_key(facts.scope.session_id),
                "source_removed": put.source_removed,
            }
        )
        for entity in entities:
            identity = entity.entity_id
            self._name(revision, owner, identity, entity.type, entity.name, entity.name)
            self.mentions[identity, revision] = {"entity_id": identity, "revision": revision}
            for alias in entity.aliases:
                if normalise_name(alias):
                    self._name(revision, owner, identity, entity.type, entity.name, alias)
        for relation in facts.relations:
            self._relate(revision, owner, relation)

    def _relate(self, revision: int, owner: Scope, relation: Relation) -> None:
        for end in (relation.subject, relation.object):
            self._name(revision, owner, end.entity_id, end.type, end.name, end.name)
        self.relations[relation.relation_id] = {
            "relation_id": relation.relation_id,
            "subject": relation.subject.entity_id,
            "object": relation.object.entity_id,
            "predicate": relation.predicate,
            "valid_from": relation.valid_from,
        }
        self.statements[relation.relation_id, revision] = {
            "relation_id": relation.relation_id,
            "revision": revision,
            "confidence": relation.confidence,
            "valid_until": relation.valid_until,
            "subject_name": relation.subject.name,
            "object_name": relation.object.name,
        }

    def _name(self, revision: int, owner: Scope, identity: str, type_: str, own: str, written: str) -> None:
        """The entity, and one of its names as the version writes it; the first spelling of a name counts."""
        self.entities.setdefault(
            identity,
            {
                "entity_id": identity,
                "user": id_key(owner.user_id),
                "agent": id_key(owner.agent_id),
                "type": type_,
                "name": normalise_name(own),
                "sort": sort_name(own),
            },
        )
        name = normalise_name(written)
        self.names.setdefault((identity, name), {"entity_id": identity, "name": name, "key": name[:KEY_CHARACTERS]})
        self.spellings.setdefault(
            (identity, name, revision),
            {"entity_id": identity, "name": name, "revision": revision, "written": written},
        )


class Writer:
    """One transaction's work on one namespace, which it has locked.

    Args:
        transaction: The transaction.
        space: Space of the namespace.
    """

    def __init__(self, transaction: Transaction, space: str) -> None:
        self._transaction = transaction
        self._space = space

    async def apply(self, actions: Sequence[GraphAction]) -> None:
        """Applies the actions in order."""
        for step in steps(actions):
            if isinstance(step, Change):
                await self._change(step)
            else:
                await self._remove(step)

    async def settle(self) -> None:
        """Deletes what no version of the namespace says any more, and relations that have lost an end."""
        for statement in _SETTLE:
            await self._execute(statement)

    async def _change(self, change: Change) -> None:
        retired = [
            {"memory_id": memory_id, "revision": revision, "retired": action.retired}
            for (memory_id, revision), action in sorted(change.retired.items())
        ]
        if retired:
            await self._execute(_RETIRE, rows=retired)
        await self._put(list(change.put.values()))

    async def _put(self, put: Sequence[PutFacts]) -> None:
        revisions = sorted(action.facts.revision for action in put)
        if not revisions:
            return
        present = await self._rows(_PRESENT, revisions=revisions)
        await self._delete([revision for (revision,) in present])
        said = _Said()
        for action in sorted(put, key=lambda action: action.facts.revision):
            said.add(action)
        for statement, entries in (
            (_VERSIONS, said.versions),
            (_ENTITIES, _sorted(said.entities)),
            (_MENTIONS, _sorted(said.mentions)),
            (_NAMES, _sorted(said.names)),
            (_SPELLINGS, _sorted(said.spellings)),
            (_RELATIONS, _sorted(said.relations)),
            (_STATEMENTS, _sorted(said.statements)),
        ):
            if entries:
                await self._execute(statement, rows=entries)

    async def _remove(self, removal: Removal) -> None:
        found = await self._rows(
            _OF_MEMORIES,
            rows=[{"memory_id": memory_id, "upto": upto} for memory_id, upto in sorted(removal.upto.items())],
            keep=removal.keep_relations or removal.spare_kept,
        )
        kept: list[PutFacts] = []
        if removal.keep_relations:
            # What a replaced version said is no longer so; only the last word of the memory stays.
            last = [row for row in found if row[2] == NEVER]
            relations = await self._said([row[0] for row in last])
            for revision, memory_id, _, user, agent, session in last:
                facts = MemoryFacts(
                    memory_id=memory_id,
                    revision=revision,
                    scope=Scope(key_id(user), key_id(agent), key_id(session)),
                    entities=(),
                    relations=tuple(relations[revision]),
                )
                kept.append(PutFacts(facts, source_removed=True))
        await self._delete([row[0] for row in found])
        await self._put(kept)

    async def _said(self, revisions: Sequence[int]) -> dict[int, list[Relation]]:
        """The relations of versions, as they were put."""
        relations: dict[int, list[Relation]] = defaultdict(list)
        for revision, *row in await self._rows(_SAID, revisions=list(revisions)):
            relations[revision].append(
                Relation(
                    relation_id=row[0],
                    subject=EntityRef(entity_id=row[1], name=row[2], type=row[3]),
                    predicate=row[4],
                    object=EntityRef(entity_id=row[5], name=row[6], type=row[7]),
                    confidence=row[8],
                    valid_from=row[9],
                    valid_until=row[10],
                )
            )
        return relations

    async def _delete(self, revisions: Iterable[int]) -> None:
        """Deletes versions, and what nothing else says."""
        gone = sorted(revisions)
        if not gone:
            return
        relations = sorted(row[0] for row in await self._rows(_STATED, revisions=gone))
        touched = sorted(row[0] for row in await self._rows(_TOUCHED, revisions=gone))
        await self._execute(_DELETE_VERSIONS, revisions=gone)
        await self._execute(_DELETE_RELATIONS, ids=relations)
        await self._execute(_DELETE_NAMES, ids=touched)
        await self._execute(_DELETE_ENTITIES, ids=touched)

    async def _rows(self, statement: str, **parameters: object) -> list[list[Any]]:
        return await rows(self._transaction, statement, space=self._space, **parameters)

    async def _execute(self, statement: str, **parameters: object) -> None:
        await execute(self._transaction, statement, space=self._space, **parameters)


def _sorted(entries: dict[Any, Row]) -> list[Row]:
    return [entry for _, entry in sorted(entries.items())]
