"""What a mutation writes through: one transaction of PostgreSQL, with few round trips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from psycopg import AsyncConnection, AsyncCursor, AsyncPipeline
from psycopg.pq import TransactionStatus

from memoir_server.adapters.ledger.forms.chain import origin_of
from memoir_server.domain.change import Head

Row: TypeAlias = tuple[Any, ...]
Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL with %s for each binding, and the bindings. A percent sign of the SQL itself is doubled."""

_BEGIN: Final = "BEGIN"
_LATE: Final = "SET LOCAL synchronous_commit TO off"
_FIND: Final = "SELECT ns, revision, commit_time, chain FROM namespaces WHERE name = %s FOR UPDATE"
_MAKE: Final = (
    # Two that make it at once: the second waits for the first, and finds what it has written.
    "INSERT INTO namespaces (name, revision, commit_time, chain) VALUES (%s, 0, 0, %s) "
    "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING ns, revision, commit_time, chain"
)
_MAKE_CURSORS: Final = "INSERT INTO cursors (store, ns) SELECT store, %s FROM projections ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """A namespace. `ns` is its number, `chain` the chain of digests up to its head."""

    ns: int
    name: str
    head: Head
    chain: bytes

    def moved_to(self, head: Head, chain: bytes) -> NamespaceRow:
        """The namespace, further on."""
        return replace(self, head=head, chain=chain)


async def ask(connection: AsyncConnection[Row], statements: Sequence[Statement]) -> list[list[Row]]:
    """The rows of each statement, all in one round trip."""
    if len(statements) == 1:
        cursor = await _send(connection, *statements[0])
        return [await cursor.fetchall() if cursor.description else []]
    async with connection.pipeline() as pipeline:
        with _gathering(pipeline):
            cursors = [await _send(connection, *statement) for statement in statements]
    return [await cursor.fetchall() if cursor.description else [] for cursor in cursors]


@contextmanager
def _gathering(pipeline: AsyncPipeline) -> Iterator[None]:
    """Keeps back what is sent until all of it is there. psycopg would send each statement by itself and look for
    answers after each, which took half of the time of a commit. It offers no switch for that; should a later version
    not ask this attribute any more, it sends as it likes."""
    pipeline._communicate_gen = lambda: iter(())  # type: ignore[method-assign,assignment,return-value]
    try:
        yield
    finally:
        del pipeline._communicate_gen


async def _send(connection: AsyncConnection[Row], sql: str, bindings: Sequence[Any]) -> AsyncCursor[Row]:
    # What has no bindings (BEGIN, COMMIT) is not worth a place among the prepared statements.
    return await connection.execute(sql, bindings, binary=True, prepare=None if bindings else False)


class Reader:
    """Statements of one snapshot, or of one statement."""

    def __init__(self, connection: AsyncConnection[Row]) -> None:
        self.connection = connection

    async def fetch(self, sql: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        return (await self.fetch_each([(sql, bindings)]))[0]

    async def fetch_each(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """All rows of each query, in one round trip."""
        return await ask(self.connection, statements)


class Transaction(Reader):
    """A transaction that has begun. Isolation is READ COMMITTED: lock the namespace first, then read.

    What is `put` travels with the next `fetch` or with the commit, in order: a failure shows there.
    """

    def __init__(self, connection: AsyncConnection[Row], *, durable: bool = True) -> None:
        super().__init__(connection)
        self.effects: list[Callable[[], None]] = []
        self.moved: dict[str, NamespaceRow] = {}
        self.topics: set[str] = set()
        self._held: dict[str, NamespaceRow] = {}
        self._begun = False
        self._waiting: list[Statement] = []
        self._durable = durable

    async def fetch_each(self, statements: Sequence[Statement]) -> list[list[Row]]:
        waiting, self._waiting = self._waiting, []
        if not self._begun:
            self._begun = True
            waiting[:0] = [(_BEGIN, ())] if self._durable else [(_BEGIN, ()), (_LATE, ())]
        return (await ask(self.connection, [*waiting, *statements]))[len(waiting) :]

    def put(self, sql: str, bindings: Sequence[Any] = ()) -> None:
        """Queues a statement whose result nobody needs."""
        self._waiting.append((sql, bindings))

    async def namespace(self, name: str) -> NamespaceRow | None:
        """The namespace, locked until the end of the transaction; None when it does not exist yet."""
        held = self._held.get(name)
        return held if held is not None else self.hold(name, await self.fetch(*locking(name)))

    async def make_namespace(self, name: str) -> NamespaceRow:
        """The namespace, locked, and created when it does not exist yet."""
        row = await self.namespace(name)
        if row is None:
            row = self.hold(name, await self.fetch(_MAKE, (name, origin_of(name))))
            assert row is not None
            self.put(_MAKE_CURSORS, (row.ns,))
        return row

    @property
    def numbers(self) -> Mapping[str, int]:
        """Numbers of the namespaces that were looked up."""
        return {name: row.ns for name, row in self._held.items()}

    def hold(self, name: str, rows: Sequence[Row]) -> NamespaceRow | None:
        """Takes in what the statement of `locking` has found."""
        if not rows:
            return None
        ns, revision, commit_time, chain = rows[0]
        row = self._held[name] = NamespaceRow(ns, name, Head(revision, commit_time), chain)
        return row

    def advance(self, row: NamespaceRow) -> None:
        """Sets the namespace's head and chain; written with the commit."""
        self._held[row.name] = self.moved[row.name] = row

    def after_commit(self, effect: Callable[[], None]) -> None:
        """Runs on the event loop once the transaction is durable, before the job's caller goes on."""
        self.effects.append(effect)

    def announce(self, topic: str) -> None:
        """Wakes, on every server, those who wait for the topic, once the transaction is durable."""
        self.topics.add(topic)

    async def commit(self) -> None:
        """Makes everything durable, in one round trip. Belongs to the Database."""
        for row in self.moved.values():
            self.put(
                "UPDATE namespaces SET revision = %s, commit_time = %s, chain = %s WHERE ns = %s",
                (row.head.revision, row.head.commit_time, row.chain, row.ns),
            )
        if self.connection.pgconn.transaction_status == TransactionStatus.INERROR:
            # COMMIT would be taken for ROLLBACK, without a word.
            raise RuntimeError("a statement of the transaction has failed, and its failure was passed over")
        if self._begun or self._waiting:
            await self.fetch("COMMIT")


def together(statements: Sequence[Statement]) -> Statement:
    """Writing statements as one, which costs one message and one answer. None of them may need to see what another has
    done, nor two of them change the same row. At least one."""
    *others, (sql, bindings) = statements
    parts = ", ".join(f"part_{number} AS ({other})" for number, (other, _) in enumerate(others))
    return f"WITH {parts} {sql}" if parts else sql, [b for _, bound in others for b in bound] + list(bindings)


def locking(name: str) -> Statement:
    """Locks the namespace and reads it."""
    return _FIND, (name,)
