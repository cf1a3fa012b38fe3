"""Ingestions in the ledger's file."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import apsw

from memoir_server.adapters.ledger.forms.changing import Replay
from memoir_server.adapters.ledger.forms.ingestions import (
    FORGOTTEN_AT_ONCE,
    INGESTION_COLUMNS,
    KEPT_US,
    cancelled_by,
    read_ingestion,
    values_of,
)
from memoir_server.adapters.ledger.forms.layout import key_of
from memoir_server.adapters.ledger.sqlite.requests import find_replay, remember
from memoir_server.adapters.ledger.sqlite.rows import as_json
from memoir_server.adapters.ledger.sqlite.writer import Transaction
from memoir_server.domain.errors import IngestionLost, IngestionNotFound, ScopeMoved
from memoir_server.domain.ingestion import Ingestion, IngestionEnd, IngestionState, Undisturbed
from memoir_server.domain.memory import MemoryKind, Scope
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.time import Instant
from memoir_server.ports.ingestions import IngestionPosition

_PENDING: Final = int(IngestionState.PENDING)
_RUNNING: Final = int(IngestionState.RUNNING)
_FAILED: Final = int(IngestionState.FAILED)
_COLUMNS: Final = INGESTION_COLUMNS.replace("i.", "")
_SCOPE_COLUMNS: Final = ("user_id", "agent_id", "session_id")


def accept(transaction: Transaction, ingestion: Ingestion, key: IdempotencyKey | None) -> Ingestion:
    """See Ingestions.accept_ingestion."""
    connection, now = transaction.connection, ingestion.create_time
    row = transaction.make_namespace(ingestion.namespace)
    if key is not None:
        replay = find_replay(connection, key, now)
        if replay is not None:
            return find(connection, row.ns, ingestion.namespace, replay.outcome.decode())
    connection.execute(
        "DELETE FROM ingestions WHERE id IN (SELECT id FROM ingestions WHERE state > ? AND update_time <= ? LIMIT ?)",
        (_RUNNING, now - KEPT_US, FORGOTTEN_AT_ONCE),
    )
    values = values_of(ingestion)
    connection.execute(
        f"INSERT INTO ingestions (ns, {_COLUMNS}) VALUES (?, {', '.join('?' * len(values))})", (row.ns, *values)
    )
    if key is not None:
        revision = row.head.revision
        remember(connection, key, Replay(1, 0, revision, ingestion.ingestion_id.encode()), now)
    return ingestion


def find(connection: apsw.Connection, ns: int | None, namespace: str, ingestion_id: str) -> Ingestion:
    """An ingestion. Raises IngestionNotFound."""
    row = connection.execute(
        f"SELECT {INGESTION_COLUMNS} FROM ingestions i WHERE ns = ? AND ingestion_id = ?", (ns, ingestion_id)
    ).fetchone()
    if row is None:
        raise IngestionNotFound(namespace, ingestion_id)
    return read_ingestion(namespace, row)


def listed(
    connection: apsw.Connection,
    ns: int,
    namespace: str,
    scope: Scope,
    states: Collection[IngestionState],
    *,
    after: IngestionPosition | None,
    limit: int,
) -> list[Ingestion]:
    """See Ingestions.list_ingestions."""
    where, bindings = _within(scope)
    terms, values = ["i.ns = ?", *where], [ns, *bindings]
    if states:
        terms.append("i.state IN (SELECT value FROM json_each(?))")
        values.append(as_json(sorted(int(state) for state in states)))
    if after is not None:
        terms.append("(i.create_time < ? OR (i.create_time = ? AND i.ingestion_id > ?))")
        values += [after.create_time, after.create_time, after.ingestion_id]
    rows = connection.execute(
        f"SELECT {INGESTION_COLUMNS} FROM ingestions i WHERE {' AND '.join(terms)} "
        "ORDER BY i.create_time DESC, i.ingestion_id LIMIT ?",
        (*values, limit),
    )
    return [read_ingestion(namespace, row) for row in rows]


def claim(transaction: Transaction, at_work: Collection[str], now: Instant) -> Ingestion | None:
    """See Ingestions.claim_ingestion."""
    connection = transaction.connection
    found = connection.execute(
        "SELECT i.id, n.name FROM ingestions i JOIN namespaces n ON n.ns = i.ns WHERE i.state < 3 AND i.due <= ? "
        "AND i.ingestion_id NOT IN (SELECT value FROM json_each(?)) "
        "AND NOT EXISTS (SELECT 1 FROM ingestions e WHERE e.state < 3 AND e.ns = i.ns AND e.user_id IS i.user_id "
        "AND e.agent_id IS i.agent_id AND e.id < i.id) ORDER BY i.id LIMIT 1",
        (now, as_json(sorted(at_work))),
    ).fetchone()
    if found is None:
        return None
    number, namespace = found
    connection.execute(
        "UPDATE ingestions SET state = ?, attempts = attempts + 1, update_time = ? WHERE id = ?",
        (_RUNNING, now, number),
    )
    row = connection.execute(f"SELECT {INGESTION_COLUMNS} FROM ingestions i WHERE id = ?", (number,)).fetchone()
    assert row is not None
    return read_ingestion(namespace, row)


def postpone(transaction: Transaction, ingestion: Ingestion, *, until: Instant, error: str, now: Instant) -> None:
    """See Ingestions.postpone_ingestion."""
    number = _held(transaction, ingestion.namespace, ingestion.ingestion_id, ingestion.attempts)
    transaction.connection.execute(
        "UPDATE ingestions SET state = ?, due = ?, error = ?, update_time = ? WHERE id = ?",
        (_PENDING, until, error, now, number),
    )


def hold(transaction: Transaction, namespace: str, end: IngestionEnd) -> int:
    """The number of the row that a commit is to end. Raises IngestionLost."""
    return _held(transaction, namespace, end.ingestion_id, end.attempt)


def finish(
    transaction: Transaction,
    number: int,
    end: IngestionEnd,
    *,
    first: int,
    last: int,
    revision: int,
    outcome: bytes,
    now: Instant,
) -> None:
    """Ends an ingestion with what its commit has made."""
    transaction.connection.execute(
        "UPDATE ingestions SET state = ?, first = ?, last = ?, revision = ?, outcome = ?, error = ?, update_time = ?, "
        "work = x'' WHERE id = ?",
        (int(end.state), first, last, revision, outcome, end.error, now, number),
    )


def check_undisturbed(transaction: Transaction, namespace: str, condition: Undisturbed) -> None:
    """Raises ScopeMoved where the owner's memories were written after the revision."""
    row = transaction.namespace(namespace)
    if row is None or row.head.revision <= condition.revision:
        return
    scope = condition.scope
    moved = transaction.connection.execute(
        "SELECT 1 FROM versions WHERE key > ? AND key <= ? AND user_id IS ? AND agent_id IS ? AND kind <> ? LIMIT 1",
        (
            key_of(row.ns, condition.revision),
            key_of(row.ns, row.head.revision),
            scope.user_id,
            scope.agent_id,
            int(MemoryKind.EPISODE),
        ),
    ).get
    if moved is not None:
        raise ScopeMoved(namespace)


def cancel(connection: apsw.Connection, ns: int, scope: Scope | None, reset_id: str, now: Instant) -> None:
    """What a reset does to accepted work of its target."""
    where, bindings = _within(scope)
    connection.execute(
        f"UPDATE ingestions AS i SET state = ?, error = ?, work = x'', update_time = ? "
        f"WHERE {' AND '.join(['i.ns = ?', 'i.state < 3', *where])}",
        (_FAILED, cancelled_by(reset_id), now, ns, *bindings),
    )


def forget(connection: apsw.Connection, ns: int, scope: Scope | None) -> None:
    """What an erasure does to all work of its target."""
    where, bindings = _within(scope)
    connection.execute(f"DELETE FROM ingestions AS i WHERE {' AND '.join(['i.ns = ?', *where])}", (ns, *bindings))


def _within(scope: Scope | None) -> tuple[list[str], list[Any]]:
    wanted = Scope() if scope is None else scope
    given = [
        (column, value)
        for column, value in zip(_SCOPE_COLUMNS, (wanted.user_id, wanted.agent_id, wanted.session_id), strict=True)
        if value is not None
    ]
    return [f"i.{column} = ?" for column, _ in given], [value for _, value in given]


def _held(transaction: Transaction, namespace: str, ingestion_id: str, attempt: int) -> int:
    row = transaction.namespace(namespace)
    number: int | None = transaction.connection.execute(
        "SELECT id FROM ingestions WHERE ns = ? AND ingestion_id = ? AND state = ? AND attempts = ?",
        (None if row is None else row.ns, ingestion_id, _RUNNING, attempt),
    ).get
    if number is None:
        raise IngestionLost(ingestion_id)
    return number
