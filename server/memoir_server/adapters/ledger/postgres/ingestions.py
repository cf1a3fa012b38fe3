"""Ingestions in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

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
from memoir_server.adapters.ledger.postgres.adaptation import Int8s, Texts
from memoir_server.adapters.ledger.postgres.leases import LIVES
from memoir_server.adapters.ledger.postgres.requests import find_replay, remember
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement, Transaction
from memoir_server.domain.errors import IngestionLost, IngestionNotFound, ScopeMoved
from memoir_server.domain.ingestion import Ingestion, IngestionEnd, IngestionState, Undisturbed
from memoir_server.domain.memory import MemoryKind, Scope
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.time import Instant
from memoir_server.ports.ingestions import IngestionPosition

INGESTIONS_TOPIC: Final = "ingestions"
"""What is announced when an ingestion was accepted or has ended."""

_PENDING: Final = int(IngestionState.PENDING)
_RUNNING: Final = int(IngestionState.RUNNING)
_FAILED: Final = int(IngestionState.FAILED)
_COLUMNS: Final = INGESTION_COLUMNS.replace("i.", "")
_FIND: Final = (
    f"SELECT {INGESTION_COLUMNS} FROM namespaces n JOIN ingestions i ON i.ns = n.ns "
    "WHERE n.name = %s AND i.ingestion_id = %s"
)
_FORGET: Final = (
    "DELETE FROM ingestions WHERE id = ANY(ARRAY(SELECT id FROM ingestions WHERE state > 2 AND update_time <= %s "
    "LIMIT %s FOR UPDATE SKIP LOCKED))"
)
_CLAIM: Final = (
    f"UPDATE ingestions i SET state = {_RUNNING}, attempts = i.attempts + 1, owner = %s, update_time = %s "
    "FROM namespaces n WHERE n.ns = i.ns AND i.id = (SELECT c.id FROM ingestions c WHERE c.state < 3 AND c.due <= %s "
    f"AND (c.state = {_PENDING} OR CASE WHEN c.owner = %s THEN c.ingestion_id <> ALL(%s) "
    f"ELSE NOT {LIVES.format(row='c')} END) "
    "AND NOT EXISTS (SELECT FROM ingestions e WHERE e.state < 3 AND e.id < c.id AND e.ns = c.ns "
    "AND e.user_id IS NOT DISTINCT FROM c.user_id AND e.agent_id IS NOT DISTINCT FROM c.agent_id) "
    f"ORDER BY c.id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING n.name, {INGESTION_COLUMNS}"
)
_HELD: Final = (
    "SELECT i.id FROM namespaces n JOIN ingestions i ON i.ns = n.ns "
    f"WHERE n.name = %s AND i.ingestion_id = %s AND i.state = {_RUNNING} AND i.attempts = %s FOR UPDATE OF i"
)
_DISTURBED: Final = (
    "SELECT 1 FROM versions WHERE key > %s AND key <= %s AND user_id IS NOT DISTINCT FROM %s::text "
    "AND agent_id IS NOT DISTINCT FROM %s::text AND kind <> %s LIMIT 1"
)


async def accept(transaction: Transaction, ingestion: Ingestion, key: IdempotencyKey | None) -> Ingestion:
    """See Ingestions.accept_ingestion."""
    now, row = ingestion.create_time, await transaction.make_namespace(ingestion.namespace)
    if key is not None:
        replay = await find_replay(transaction, key, now)
        if replay is not None:
            first = replay.outcome.decode()
            return found(ingestion.namespace, first, await transaction.fetch(*finding(ingestion.namespace, first)))
    transaction.put(_FORGET, (now - KEPT_US, FORGOTTEN_AT_ONCE))
    values = values_of(ingestion)
    transaction.put(
        f"INSERT INTO ingestions (ns, {_COLUMNS}) VALUES (%s, {', '.join(['%s'] * len(values))})", (row.ns, *values)
    )
    if key is not None:
        remember(transaction, key, Replay(1, 0, row.head.revision, ingestion.ingestion_id.encode()), now)
    transaction.announce(INGESTIONS_TOPIC)
    return ingestion


def finding(namespace: str, ingestion_id: str) -> Statement:
    """An ingestion, for `found`."""
    return _FIND, (namespace, ingestion_id)


def found(namespace: str, ingestion_id: str, rows: Sequence[Row]) -> Ingestion:
    """The answer to `finding`. Raises IngestionNotFound."""
    if not rows:
        raise IngestionNotFound(namespace, ingestion_id)
    return read_ingestion(namespace, rows[0])


def listing(
    namespace: str,
    scope: Scope,
    states: Collection[IngestionState],
    *,
    after: IngestionPosition | None,
    limit: int,
) -> Statement:
    """See Ingestions.list_ingestions."""
    terms, bindings = _within(scope)
    if states:
        terms.append("i.state = ANY(%s)")
        bindings.append(Int8s(sorted(int(state) for state in states)))
    if after is not None:
        terms.append("(i.create_time < %s OR (i.create_time = %s AND i.ingestion_id > %s))")
        bindings += [after.create_time, after.create_time, after.ingestion_id]
    return (
        f"SELECT {INGESTION_COLUMNS} FROM namespaces n JOIN ingestions i ON i.ns = n.ns "
        f"WHERE {' AND '.join(['n.name = %s', *terms])} ORDER BY i.create_time DESC, i.ingestion_id LIMIT %s"
    ), (namespace, *bindings, limit)


def claiming(owner: str, at_work: Collection[str], now: Instant) -> Statement:
    """See Ingestions.claim_ingestion; `claimed` reads the answer."""
    return _CLAIM, (owner, now, now, owner, Texts(sorted(at_work)))


def claimed(rows: Sequence[Row]) -> Ingestion | None:
    """The answer to `claiming`."""
    return read_ingestion(rows[0][0], rows[0][1:]) if rows else None


async def postpone(transaction: Transaction, ingestion: Ingestion, *, until: Instant, error: str, now: Instant) -> None:
    """See Ingestions.postpone_ingestion."""
    number = await _held(transaction, ingestion.namespace, ingestion.ingestion_id, ingestion.attempts)
    transaction.put(
        "UPDATE ingestions SET state = %s, due = %s, error = %s, update_time = %s, owner = NULL WHERE id = %s",
        (_PENDING, until, error, now, number),
    )


async def hold(transaction: Transaction, namespace: str, end: IngestionEnd) -> int:
    """The number of the row that a commit is to end, locked. Raises IngestionLost."""
    return await _held(transaction, namespace, end.ingestion_id, end.attempt)


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
    transaction.put(
        "UPDATE ingestions SET state = %s, first = %s, last = %s, revision = %s, outcome = %s, error = %s, "
        "update_time = %s, work = '', owner = NULL WHERE id = %s",
        (int(end.state), first, last, revision, outcome, end.error, now, number),
    )


async def check_undisturbed(transaction: Transaction, namespace: str, condition: Undisturbed) -> None:
    """Raises ScopeMoved where the owner's memories were written after the revision. The namespace is locked."""
    row = await transaction.namespace(namespace)
    if row is None or row.head.revision <= condition.revision:
        return
    scope = condition.scope
    keys = key_of(row.ns, condition.revision), key_of(row.ns, row.head.revision)
    if await transaction.fetch(_DISTURBED, (*keys, scope.user_id, scope.agent_id, int(MemoryKind.EPISODE))):
        raise ScopeMoved(namespace)


def cancel(transaction: Transaction, ns: int, scope: Scope | None, reset_id: str, now: Instant) -> None:
    """What a reset does to accepted work of its target."""
    terms, bindings = _within(scope)
    transaction.put(
        "UPDATE ingestions i SET state = %s, error = %s, work = '', update_time = %s, owner = NULL "
        f"WHERE {' AND '.join(['i.ns = %s', 'i.state < 3', *terms])}",
        (_FAILED, cancelled_by(reset_id), now, ns, *bindings),
    )


def forget(transaction: Transaction, ns: int, scope: Scope | None) -> None:
    """What an erasure does to all work of its target."""
    terms, bindings = _within(scope)
    transaction.put(f"DELETE FROM ingestions i WHERE {' AND '.join(['i.ns = %s', *terms])}", (ns, *bindings))


def _within(scope: Scope | None) -> tuple[list[str], list[Any]]:
    wanted = Scope() if scope is None else scope
    given = [
        (column, value)
        for column, value in (
            ("user_id", wanted.user_id),
            ("agent_id", wanted.agent_id),
            ("session_id", wanted.session_id),
        )
        if value is not None
    ]
    return [f"i.{column} = %s" for column, _ in given], [value for _, value in given]


async def _held(transaction: Transaction, namespace: str, ingestion_id: str, attempt: int) -> int:
    rows = await transaction.fetch(_HELD, (namespace, ingestion_id, attempt))
    if not rows:
        raise IngestionLost(ingestion_id)
    number: int = rows[0][0]
    return number
