"""The namespaces of a graph: their spaces, their cursors, and cleaning up after those that were dropped."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Final

from memoir_server.adapters.graph.neo4j.connection import Connection, GraphRefused, Transaction, execute, rows
from memoir_server.adapters.graph.neo4j.schema import LAWS, NODES

_MADE_BY_ANOTHER: Final = re.compile(r"Neo\.ClientError\.Schema\.\w+AlreadyExists")
_SWEEP: Final = 2_000
"""Nodes deleted in one transaction: a server keeps the whole of one in memory."""

# A seek in a unique index locks the entry, when its statement writes, before the node: two of them may wait for each
# other. So the node is found by a statement that only reads, locked by its own id, and made at the first write alone.
_WHICH: Final = "MATCH (n:MemoirNamespace {graph: $graph, name: $name}) RETURN elementId(n)"
_LOCK: Final = "MATCH (n:MemoirNamespace) WHERE elementId(n) = $id SET n.changes = n.changes + 1"
_MAKE: Final = """
MERGE (n:MemoirNamespace {graph: $graph, name: $name})
ON CREATE SET n.space = $fresh, n.applied = 0, n.changes = 0
RETURN elementId(n)
"""
_NOTE: Final = """
MATCH (n:MemoirNamespace) WHERE elementId(n) = $id AND n.graph = $graph AND n.name = $name
SET n.applied = CASE WHEN n.applied < $applied THEN $applied ELSE n.applied END
RETURN n.space
"""
_PLACE: Final = """
MATCH (n:MemoirNamespace {graph: $graph, name: $name})
RETURN n.space, n.changes, n.applied
"""
_DROP: Final = """
MATCH (n:MemoirNamespace {graph: $graph, name: $name})
SET n.dropped = true, n.changes = n.changes + 1
REMOVE n.name
"""
_ADOPT: Final = """
MERGE (g:MemoirGraph {name: $graph})
SET g.ledger_id = $ledger_id
WITH g
MATCH (n:MemoirNamespace {graph: $graph})
SET n.dropped = true, n.changes = n.changes + 1
REMOVE n.name
"""
_DROPPED: Final = "MATCH (n:MemoirNamespace {graph: $graph}) WHERE n.dropped RETURN n.space ORDER BY n.space"
_SWEEP_NODES: Final = """
MATCH (n:%label% {space: $space})
WITH n LIMIT $limit
DETACH DELETE n
RETURN count(*)
"""
_FORGET: Final = "MATCH (n:MemoirNamespace {space: $space}) WHERE n.dropped DETACH DELETE n"
_LEDGER: Final = "MATCH (g:MemoirGraph {name: $graph}) RETURN g.ledger_id"


class NamespaceDropped(Exception):
    """The namespace was dropped while the transaction waited for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a namespace is held, how often it was changed, and its applied revision. An unknown one is empty."""

    space: str = ""
    changes: int = 0
    applied: int = 0


class Spaces:
    """The namespaces of one graph.

    Args:
        graph: Name of the graph among those in the database.

    Attributes:
        graph: The same.
    """

    def __init__(self, graph: str) -> None:
        self.graph = graph

    async def prepare(self, connection: Connection) -> None:
        """Makes the constraints and indexes that are missing. Raises StoreUnavailable."""

        async def missing(transaction: Transaction) -> list[str]:
            found = {row[0] for row in await rows(transaction, "SHOW INDEXES YIELD name, state WHERE state = 'ONLINE'")}
            return [law for name, law in LAWS.items() if name not in found]

        laws = await connection.read(missing)
        for law in laws:

            async def make(transaction: Transaction, law: str = law) -> None:
                await execute(transaction, f"CREATE {law}")

            try:
                await connection.write(make)
            except GraphRefused as refused:
                # Another server made it in the same moment; IF NOT EXISTS is no help then.
                if not _MADE_BY_ANOTHER.fullmatch(refused.code):
                    raise
        if laws:

            async def wait(transaction: Transaction) -> None:
                await execute(transaction, "CALL db.awaitIndexes()")

            await connection.read(wait)

    async def lock(self, transaction: Transaction, namespace: str, applied: int) -> str:
        """Locks the namespace until the transaction ends, makes it where it is new, and notes the applied revision
        where it is larger. Returns its space. Raises NamespaceDropped; the transaction is to be begun anew."""
        found = await rows(transaction, _WHICH, graph=self.graph, name=namespace)
        if not found:
            found = await rows(transaction, _MAKE, graph=self.graph, name=namespace, fresh=str(uuid.uuid4()))
        [[node]] = found
        await execute(transaction, _LOCK, id=node)
        # Whoever dropped it may have held the lock that this transaction waited for.
        noted = await rows(transaction, _NOTE, id=node, graph=self.graph, name=namespace, applied=applied)
        if not noted:
            raise NamespaceDropped(namespace)
        return str(noted[0][0])

    async def place(self, transaction: Transaction, namespace: str) -> Place:
        """Where the namespace is, as of now."""
        found = await rows(transaction, _PLACE, graph=self.graph, name=namespace)
        return Place(*found[0]) if found else Place()

    async def ledger_id(self, transaction: Transaction) -> str:
        """The ledger that the graph follows, empty when it follows none."""
        found = await rows(transaction, _LEDGER, graph=self.graph)
        return str(found[0][0]) if found else ""

    async def adopt(self, transaction: Transaction, ledger_id: str) -> None:
        """Parts with all namespaces at once and follows that ledger. `sweep` deletes what they held."""
        await execute(transaction, _ADOPT, graph=self.graph, ledger_id=ledger_id)

    async def drop(self, transaction: Transaction, namespace: str) -> None:
        """Parts with one namespace at once. `sweep` deletes what it held."""
        await execute(transaction, _DROP, graph=self.graph, name=namespace)

    async def sweep(self, connection: Connection) -> None:
        """Deletes everything of dropped namespaces, in bounded transactions. One that was broken off is resumed by the
        next. Raises StoreUnavailable."""

        async def dropped(transaction: Transaction) -> list[str]:
            return [row[0] for row in await rows(transaction, _DROPPED, graph=self.graph)]

        for space in await connection.read(dropped):
            for label in NODES:
                while await self._sweep_some(connection, label, space):
                    pass

            async def forget(transaction: Transaction, space: str = space) -> None:
                await execute(transaction, _FORGET, space=space)

            await connection.write(forget)

    async def _sweep_some(self, connection: Connection, label: str, space: str) -> bool:
        """Whether more may be left."""

        async def delete(transaction: Transaction) -> int:
            statement = _SWEEP_NODES.replace("%label%", label)
            [[deleted]] = await rows(transaction, statement, space=space, limit=_SWEEP)
            return int(deleted)

        return await connection.write(delete) == _SWEEP
