"""The embedded graph behind its port."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import apsw

from memoir_server.adapters.graph.sqlite import reader, writer
from memoir_server.adapters.graph.sqlite.browser import Browser
from memoir_server.adapters.graph.sqlite.schema import TABLES, VERSION
from memoir_server.adapters.graph.sqlite.writer import Writer
from memoir_server.adapters.sqlite_projection import SqliteProjection, note_applied
from memoir_server.domain.consistency import Portion
from memoir_server.domain.graph import Entity, Relation
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import (
    Answer,
    EntityGraph,
    EntityPosition,
    GraphAction,
    GraphMatch,
    Neighbourhood,
    RelationAnchor,
    RelationPosition,
)
from memoir_server.ports.projection import Held


class SqliteGraph(SqliteProjection, EntityGraph):
    """Entities, relations and mentions in one file, `graph.db`.

    Args:
        directory: Directory of the file.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "graph.db", store="graph", schema=TABLES, version=VERSION)

    async def apply(self, namespace: str, actions: Sequence[GraphAction], *, applied: int) -> None:
        def change(connection: apsw.Connection) -> None:
            number = note_applied(connection, namespace, applied)
            Writer(connection, number).apply(actions)

        await self._write(change)

    async def match(
        self, namespace: str, names: Sequence[str], selection: Selection, *, depth: int, limit: int
    ) -> Sequence[GraphMatch]:
        return await self._read(
            lambda connection: reader.match(connection, namespace, names, selection, depth=depth, limit=limit)
        )

    async def known_names(self, namespace: str, words: Sequence[str], scope: Scope) -> Sequence[str]:
        return self._read_inline(lambda connection: reader.known_names(connection, namespace, words, scope))

    async def count(self, namespace: str, scope: Scope) -> int:
        return await self._read(lambda connection: reader.count(connection, namespace, scope))

    async def entity(
        self, namespace: str, entity_id: str, selection: Selection, *, hidden: AbstractSet[int]
    ) -> Answer[Entity | None]:
        return await self._read(lambda connection: Browser(connection, namespace, selection, hidden).entity(entity_id))

    async def entities(
        self,
        namespace: str,
        selection: Selection,
        *,
        type_: str,
        prefix: str,
        after: EntityPosition | None,
        limit: int,
        hidden: AbstractSet[int],
    ) -> Answer[tuple[Entity, ...]]:
        return await self._read(
            lambda connection: Browser(connection, namespace, selection, hidden).entities(
                type_=type_, prefix=prefix, after=after, limit=limit
            )
        )

    async def relations(
        self,
        namespace: str,
        anchor: RelationAnchor,
        selection: Selection,
        *,
        after: RelationPosition | None,
        limit: int,
        hidden: AbstractSet[int],
    ) -> Answer[tuple[Relation, ...]]:
        return await self._read(
            lambda connection: Browser(connection, namespace, selection, hidden).relations(
                anchor, after=after, limit=limit
            )
        )

    async def traverse(
        self,
        namespace: str,
        start: Sequence[str],
        selection: Selection,
        *,
        depth: int,
        predicates: AbstractSet[str],
        limit: int,
        hidden: AbstractSet[int],
    ) -> Answer[Neighbourhood]:
        return await self._read(
            lambda connection: Browser(connection, namespace, selection, hidden).traverse(
                start, depth=depth, predicates=predicates, limit=limit
            )
        )

    async def find(self, namespace: str, memory_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        return await self._read(lambda connection: reader.find(connection, namespace, memory_ids))

    async def scan(self, namespace: str, portion: Portion, *, after: int, limit: int) -> Sequence[Held]:
        return await self._read(lambda connection: reader.scan(connection, namespace, portion, after, limit))

    def _settle(self, connection: apsw.Connection, number: int) -> None:
        writer.settle(connection, number)

    def _clear(self, connection: apsw.Connection) -> None:
        writer.clear(connection)

    def _clear_namespace(self, connection: apsw.Connection, number: int) -> None:
        writer.clear_namespace(connection, number)
