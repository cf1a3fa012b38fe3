"""The graph in Neo4j behind its port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from memoir_server.adapters.graph.neo4j.browser import Browser
from memoir_server.adapters.graph.neo4j.connection import (
    STORE,
    Connection,
    GoneWhileReading,
    Neo4jLogin,
    Transaction,
)
from memoir_server.adapters.graph.neo4j.reader import Reader, names_at_once
from memoir_server.adapters.graph.neo4j.spaces import NamespaceDropped, Spaces
from memoir_server.adapters.graph.neo4j.writer import Writer
from memoir_server.domain.consistency import Portion
from memoir_server.domain.errors import StoreUnavailable
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

T = TypeVar("T")

_READINGS: Final = 4
"""How often a read is done in all when writers keep changing its namespace; the last one counts as it is."""
_WRITINGS: Final = 3
"""How often a write is begun in all when its namespace is dropped before it."""


class Neo4jGraph(EntityGraph):
    """Entities, relations and mentions in one Neo4j database, which several servers may share.

    Neo4j reads what is committed, statement by statement, and knows no snapshot. So a read of several statements looks
    at the namespace's count of changes before and after, and is done again when a write came between. A read that falls
    into the moment in which Neo4j lays down a commit, piece by piece, may see a part of it: it misses what will be
    there a moment later, and tells by revision what it rests on.

    A write locks its namespace first; writes of different namespaces go side by side. Those of one server queue here:
    Neo4j takes many transactions in one queue for a deadlock.

    Args:
        login: Where the server is and as whom to work.
        graph: Name of this graph: several may live in one database and see nothing of each other.
        seconds: The longest a call waits for one transaction.
    """

    may_return = True

    def __init__(self, login: Neo4jLogin, *, graph: str = "memoir", seconds: float = 10.0) -> None:
        self._connection = Connection(login, seconds=seconds)
        self._spaces = Spaces(graph)
        self._prepared = False
        self._preparing = asyncio.Lock()
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self) -> None:
        """As the port says. When the server is not there, raises StoreUnavailable and stays open: the first call that
        finds it there prepares it."""
        if not self._connection.opened:
            self._preparing = asyncio.Lock()
            self._queues.clear()
            self._connection.open()
        await self._prepare()

    async def close(self) -> None:
        await self._connection.close()
        self._prepared = False

    async def ping(self) -> str:
        return await self._connection.version()

    async def ledger_id(self) -> str:
        await self._prepare()
        return await self._connection.read(self._spaces.ledger_id)

    async def adopt(self, ledger_id: str) -> None:
        await self._prepare()
        await self._connection.write(lambda transaction: self._spaces.adopt(transaction, ledger_id))
        await self._spaces.sweep(self._connection)

    async def applied(self, namespace: str) -> int:
        await self._prepare()
        place = await self._connection.read(lambda transaction: self._spaces.place(transaction, namespace))
        return place.applied

    async def apply(self, namespace: str, actions: Sequence[GraphAction], *, applied: int) -> None:
        async def change(transaction: Transaction) -> None:
            space = await self._spaces.lock(transaction, namespace, applied)
            await Writer(transaction, space).apply(actions)

        await self._write(namespace, change)

    async def match(
        self, namespace: str, names: Sequence[str], selection: Selection, *, depth: int, limit: int
    ) -> Sequence[GraphMatch]:
        return await self._read(
            namespace,
            lambda transaction, space: Reader(transaction, space).match(names, selection, depth=depth, limit=limit),
        )

    async def known_names(self, namespace: str, words: Sequence[str], scope: Scope) -> Sequence[str]:
        await self._prepare()
        with contextlib.suppress(GoneWhileReading):
            return await names_at_once(self._connection, self._spaces.graph, namespace, words, scope)
        return await self._read(
            namespace, lambda transaction, space: Reader(transaction, space).known_names(words, scope)
        )

    async def count(self, namespace: str, scope: Scope) -> int:
        return await self._read(namespace, lambda transaction, space: Reader(transaction, space).count(scope))

    async def entity(
        self, namespace: str, entity_id: str, selection: Selection, *, hidden: AbstractSet[int]
    ) -> Answer[Entity | None]:
        return await self._read(
            namespace,
            lambda transaction, space: Browser(transaction, space, selection, hidden).entity(entity_id),
        )

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
            namespace,
            lambda transaction, space: Browser(transaction, space, selection, hidden).entities(
                type_=type_, prefix=prefix, after=after, limit=limit
            ),
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
            namespace,
            lambda transaction, space: Browser(transaction, space, selection, hidden).relations(
                anchor, after=after, limit=limit
            ),
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
            namespace,
            lambda transaction, space: Browser(transaction, space, selection, hidden).traverse(
                start, depth=depth, predicates=predicates, limit=limit
            ),
        )

    async def find(self, namespace: str, memory_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        return await self._read(namespace, lambda transaction, space: Reader(transaction, space).find(memory_ids))

    async def scan(self, namespace: str, portion: Portion, *, after: int, limit: int) -> Sequence[Held]:
        return await self._read(
            namespace,
            lambda transaction, space: Reader(transaction, space).scan(portion, after=after, limit=limit),
        )

    async def settle(self, namespace: str) -> None:
        async def tidy(transaction: Transaction) -> None:
            place = await self._spaces.place(transaction, namespace)
            if place.space:
                space = await self._spaces.lock(transaction, namespace, place.applied)
                await Writer(transaction, space).settle()

        await self._write(namespace, tidy)
        await self._spaces.sweep(self._connection)

    async def drop(self, namespace: str) -> None:
        await self._prepare()
        await self._connection.write(lambda transaction: self._spaces.drop(transaction, namespace))
        await self._spaces.sweep(self._connection)

    async def _prepare(self) -> None:
        if self._prepared:
            return
        async with self._preparing:
            if not self._prepared:
                await self._spaces.prepare(self._connection)
                self._prepared = True

    async def _read(self, namespace: str, work: Callable[[Transaction, str], Awaitable[T]]) -> T:
        """One state of the namespace, or the last of a few readings when none was left alone."""
        await self._prepare()

        async def attempt(transaction: Transaction) -> tuple[T, bool]:
            before = await self._spaces.place(transaction, namespace)
            found = await work(transaction, before.space)
            return found, await self._spaces.place(transaction, namespace) == before

        for last in (False,) * (_READINGS - 1) + (True,):
            with contextlib.suppress(GoneWhileReading):
                found, undisturbed = await self._connection.read(attempt)
                if undisturbed or last:
                    return found
        raise StoreUnavailable(STORE, f"{namespace!r} was changed during each of {_READINGS} readings")

    async def _write(self, namespace: str, change: Callable[[Transaction], Awaitable[None]]) -> None:
        await self._prepare()
        queue = self._queues.setdefault(namespace, asyncio.Lock())
        async with queue:
            for _ in range(_WRITINGS):
                with contextlib.suppress(NamespaceDropped):
                    await self._connection.write(change)
                    return
        raise StoreUnavailable(STORE, f"{namespace!r} was dropped before each of {_WRITINGS} attempts to write")
