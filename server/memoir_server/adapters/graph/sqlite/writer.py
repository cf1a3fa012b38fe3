"""Applying actions to the graph's file, inside one transaction."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import apsw

from memoir_server.adapters.sqlite_projection import id_key, key_id, rows
from memoir_server.domain.graph import Entity, EntityRef, MemoryFacts, Relation, normalise_name, sort_name
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.ports.graph import GraphAction, PutFacts
from memoir_server.ports.projection import Remove, Retire


@dataclass(slots=True)
class Writer:
    """One transaction's work on one namespace."""

    connection: apsw.Connection
    namespace: int
    _entities: dict[str, int] = field(default_factory=dict)
    _names: dict[tuple[str, int], int] = field(default_factory=dict)

    def apply(self, actions: Sequence[GraphAction]) -> None:
        """Applies the actions in order."""
        for action in actions:
            if isinstance(action, PutFacts):
                self._put(action.facts, action.retired, source_removed=action.source_removed)
            elif isinstance(action, Retire):
                self.connection.execute(
                    "UPDATE versions SET retired = ? WHERE namespace = ? AND revision = ? AND memory_id = ?"
                    " AND NOT source_removed",
                    (action.retired, self.namespace, action.revision, action.memory_id),
                )
            else:
                self._remove(action)

    def _put(self, facts: MemoryFacts, retired: int, *, source_removed: bool) -> None:
        found = rows(
            self.connection,
            "SELECT id FROM versions WHERE namespace = ? AND revision = ?",
            (self.namespace, facts.revision),
        )
        self._delete_versions([row[0] for row in found])
        if not facts.relations and (source_removed or not facts.entities):
            return
        user, agent = id_key(facts.scope.user_id), id_key(facts.scope.agent_id)
        self.connection.execute(
            "INSERT INTO versions (namespace, memory_id, revision, retired, user, agent, session, source_removed)"
            " VALUES (?,?,?,?,?,?,?,?)",
            (
                self.namespace,
                facts.memory_id,
                facts.revision,
                retired,
                user,
                agent,
                id_key(facts.scope.session_id),
                int(source_removed),
            ),
        )
        version = self.connection.last_insert_rowid()
        owner = facts.scope.owner
        if not source_removed:
            self._mention(version, owner, facts.entities)
        for relation in facts.relations:
            self._relate(version, owner, relation)

    def _mention(self, version: int, owner: Scope, entities: Iterable[Entity]) -> None:
        for entity in entities:
            number = self._entity(owner, entity.entity_id, entity.type, entity.name)
            self.connection.execute("INSERT OR REPLACE INTO mentions VALUES (?,?,?)", (number, version, entity.name))
            self._name(version, owner, number, entity.name)
            for alias in entity.aliases:
                if normalise_name(alias):
                    self._name(version, owner, number, alias)

    def _relate(self, version: int, owner: Scope, relation: Relation) -> None:
        ends = [self._end(version, owner, end) for end in (relation.subject, relation.object)]
        self.connection.execute(
            "INSERT OR IGNORE INTO relations (namespace, relation_id, subject, predicate, object, valid_from)"
            " VALUES (?,?,?,?,?,?)",
            (self.namespace, relation.relation_id, ends[0], relation.predicate, ends[1], relation.valid_from),
        )
        self.connection.execute(
            "INSERT OR REPLACE INTO relation_sources"
            " SELECT id, ?, ?, ?, ?, ? FROM relations WHERE namespace = ? AND relation_id = ?",
            (
                version,
                relation.confidence,
                relation.valid_until,
                relation.subject.name,
                relation.object.name,
                self.namespace,
                relation.relation_id,
            ),
        )

    def _end(self, version: int, owner: Scope, end: EntityRef) -> int:
        number = self._entity(owner, end.entity_id, end.type, end.name)
        self._name(version, owner, number, end.name)
        return number

    def _entity(self, owner: Scope, entity_id: str, type_: str, written: str) -> int:
        number = self._entities.get(entity_id)
        if number is None:
            query = "SELECT id FROM entities WHERE namespace = ? AND entity_id = ?"
            found = self.connection.execute(query, (self.namespace, entity_id)).get
            if found is None:
                self.connection.execute(
                    "INSERT INTO entities (namespace, entity_id, user, agent, type, name, sort) VALUES (?,?,?,?,?,?,?)",
                    (
                        *(self.namespace, entity_id, id_key(owner.user_id), id_key(owner.agent_id), type_),
                        *(normalise_name(written), sort_name(written)),
                    ),
                )
                found = self.connection.last_insert_rowid()
            number = self._entities[entity_id] = int(found)
        return number

    def _name(self, version: int, owner: Scope, entity: int, written: str) -> None:
        name = normalise_name(written)
        number = self._names.get((name, entity))
        if number is None:
            key = (self.namespace, id_key(owner.user_id), name, id_key(owner.agent_id), entity)
            query = "SELECT id FROM names WHERE namespace = ? AND user = ? AND name = ? AND agent = ? AND entity = ?"
            found = self.connection.execute(query, key).get
            if found is None:
                self.connection.execute(
                    "INSERT INTO names (namespace, user, name, agent, entity) VALUES (?,?,?,?,?)", key
                )
                found = self.connection.last_insert_rowid()
            number = self._names[name, entity] = int(found)
        self.connection.execute("INSERT OR IGNORE INTO name_sources VALUES (?,?,?)", (number, version, written))

    def _remove(self, action: Remove) -> None:
        columns = "id, revision, retired, user, agent, session, source_removed"
        found = list(
            rows(
                self.connection,
                f"SELECT {columns} FROM versions WHERE namespace = ? AND memory_id = ? AND revision <= ?",
                (self.namespace, action.memory_id, action.upto),
            )
        )
        kept: list[MemoryFacts] = []
        gone: list[int] = []
        for version, revision, retired, user, agent, session, source_removed in found:
            if (action.keep_relations or action.spare_kept) and source_removed:
                continue
            gone.append(version)
            # What a replaced version said is no longer so; only the last word of the memory stays.
            if action.keep_relations and retired == NEVER:
                scope = Scope(key_id(user), key_id(agent), key_id(session))
                kept.append(self._said(version, action.memory_id, revision, scope))
        self._delete_versions(gone)
        for facts in kept:
            self._put(facts, NEVER, source_removed=True)

    def _said(self, version: int, memory_id: str, revision: int, scope: Scope) -> MemoryFacts:
        """The relations of a version, as they were put."""
        found = rows(
            self.connection,
            "SELECT r.relation_id, s.entity_id, x.subject_name, s.type, r.predicate, o.entity_id, x.object_name,"
            " o.type, x.confidence, r.valid_from, x.valid_until"
            " FROM relation_sources x JOIN relations r ON r.id = x.relation"
            " JOIN entities s ON s.id = r.subject JOIN entities o ON o.id = r.object WHERE x.version = ?",
            (version,),
        )
        relations = tuple(
            Relation(
                relation_id=row[0],
                subject=EntityRef(entity_id=row[1], name=row[2], type=row[3]),
                predicate=row[4],
                object=EntityRef(entity_id=row[5], name=row[6], type=row[7]),
                confidence=row[8],
                valid_from=row[9],
                valid_until=row[10],
                memory_ids=(memory_id,),
            )
            for row in found
        )
        return MemoryFacts(memory_id=memory_id, revision=revision, scope=scope, entities=(), relations=relations)

    def _delete_versions(self, versions: Sequence[int]) -> None:
        """Deletes versions, and what nothing else says."""
        for version in versions:
            relations = self._ids("SELECT relation FROM relation_sources WHERE version = ?", version)
            names = self._ids("SELECT name FROM name_sources WHERE version = ?", version)
            touched = set(self._ids("SELECT entity FROM mentions WHERE version = ?", version))
            for table in ("relation_sources", "name_sources", "mentions"):
                self.connection.execute(f"DELETE FROM {table} WHERE version = ?", (version,))
            self.connection.execute("DELETE FROM versions WHERE id = ?", (version,))
            for relation in relations:
                touched.update(
                    itertools.chain.from_iterable(
                        rows(self.connection, "SELECT subject, object FROM relations WHERE id = ?", (relation,))
                    )
                )
                self.connection.execute(
                    "DELETE FROM relations WHERE id = ?1 AND NOT EXISTS"
                    " (SELECT 1 FROM relation_sources WHERE relation = ?1)",
                    (relation,),
                )
            for name in names:
                self.connection.execute(
                    "DELETE FROM names WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM name_sources WHERE name = ?1)",
                    (name,),
                )
            for entity in touched:
                self.connection.execute(
                    "DELETE FROM entities WHERE id = ?1"
                    " AND NOT EXISTS (SELECT 1 FROM mentions WHERE entity = ?1)"
                    " AND NOT EXISTS (SELECT 1 FROM relations WHERE subject = ?1)"
                    " AND NOT EXISTS (SELECT 1 FROM relations WHERE object = ?1)",
                    (entity,),
                )
        if versions:
            self._entities.clear()
            self._names.clear()

    def _ids(self, query: str, version: int) -> list[int]:
        return [row[0] for row in rows(self.connection, query, (version,))]


def settle(connection: apsw.Connection, namespace: int) -> None:
    """Deletes what no version of the namespace says any more, and relations that have lost an end. What hangs on
    versions that are gone belongs to no namespace."""
    end = "SELECT 1 FROM entities e WHERE e.id = relations."
    connection.execute(
        f"DELETE FROM relations WHERE namespace = ? AND (NOT EXISTS ({end}subject) OR NOT EXISTS ({end}object))",
        (namespace,),
    )
    for table, column, source in (
        ("mentions", "version", "versions"),
        ("name_sources", "version", "versions"),
        ("relation_sources", "version", "versions"),
        ("mentions", "entity", "entities"),
        ("name_sources", "name", "names"),
        ("relation_sources", "relation", "relations"),
    ):
        connection.execute(
            f"DELETE FROM {table} WHERE NOT EXISTS (SELECT 1 FROM {source} s WHERE s.id = {table}.{column})"
        )
    said = {
        "relations": "SELECT 1 FROM relation_sources x WHERE x.relation = relations.id",
        "names": "SELECT 1 FROM name_sources x WHERE x.name = names.id",
        "entities": "SELECT 1 FROM mentions x WHERE x.entity = entities.id"
        " UNION ALL SELECT 1 FROM relations r WHERE r.subject = entities.id"
        " UNION ALL SELECT 1 FROM relations r WHERE r.object = entities.id",
    }
    for table, query in said.items():
        connection.execute(f"DELETE FROM {table} WHERE namespace = ? AND NOT EXISTS ({query})", (namespace,))


def clear_namespace(connection: apsw.Connection, namespace: int) -> None:
    """Deletes everything of a namespace."""
    versions = "SELECT id FROM versions WHERE namespace = ?"
    for table in ("mentions", "name_sources", "relation_sources"):
        connection.execute(f"DELETE FROM {table} WHERE version IN ({versions})", (namespace,))
    for table in ("versions", "entities", "names", "relations"):
        connection.execute(f"DELETE FROM {table} WHERE namespace = ?", (namespace,))


def clear(connection: apsw.Connection) -> None:
    """Empties the graph."""
    for table in ("mentions", "name_sources", "relation_sources", "versions", "entities", "names", "relations"):
        connection.execute(f"DELETE FROM {table}")
