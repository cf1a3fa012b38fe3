"""The embedded graph behind its port."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, TypeVar

import apsw

from memoir_server.adapters.graph.sqlite import reader, writer
from memoir_server.adapters.graph.sqlite.browser import Browser
from memoir_server.adapters.graph.sqlite.names import MOST_OF_OWNER, NameBook, NamedBy
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

GRAPH_FILE: Final = "graph.db"
_INLINE_NAMES: Final = 500
"""Names that are read on the event loop; more are read in a thread."""

T = TypeVar("T")


class SqliteGraph(SqliteProjection, EntityGraph):
    """Entities, relations and mentions in one file, `graph.db`.

    Args:
        directory: Directory of the file.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / GRAPH_FILE, store="graph", schema=TABLES, version=VERSION)
        self._names = NameBook()

    async def close(self) -> None:
        await super().close()
        self._names.clear()

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
        user_id = scope.user_id
        if user_id is not None and not self._names.knows(namespace, user_id):
            await self._hold_names(namespace, user_id)
        return self._read_inline(lambda connection: reader.known_names(connection, namespace, words, scope))

    def names_at_hand(self, namespace: str, words: Sequence[str], scope: Scope) -> Collection[str] | None:
        return self._names.within(namespace, words, scope)

    async def _hold_names(self, namespace: str, user_id: str) -> None:
        """Reads the names of an owner, for `names_at_hand`."""
        moment = self._names.moment

        def few(connection: apsw.Connection) -> list[NamedBy] | None:
            newest = connection.txn_state() == apsw.SQLITE_TXN_NONE
            found = reader.owned_names(connection, namespace, user_id, _INLINE_NAMES + 1)
            return found if newest and len(found) <= _INLINE_NAMES else None

        names = self._read_inline(few)
        if names is None:
            names = await self._read(
                lambda connection: reader.owned_names(connection, namespace, user_id, MOST_OF_OWNER + 1)
            )
        self._names.keep(namespace, user_id, names, moment)

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

    async def _write(self, change: Callable[[apsw.Connection], T], then: Callable[[T], None] | None = None) -> T:
        def begun(connection: apsw.Connection) -> T:
            self._names.begin()
            return change(connection)

        def settled(result: T) -> None:
            self._names.settle()
            if then is not None:
                then(result)

        return await super()._write(begun, settled)

    def _open(self) -> None:
        super()._open()
        assert self._writer is not None
        self._names.attach(self._writer)

    def _settle(self, connection: apsw.Connection, number: int) -> None:
        writer.settle(connection, number)

    def _clear(self, connection: apsw.Connection) -> None:
        writer.clear(connection)

    def _clear_namespace(self, connection: apsw.Connection, number: int) -> None:
        writer.clear_namespace(connection, number)
