"""Idempotency records (semantics 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from memoir_server.adapters.ledger.forms.changing import IDEMPOTENCY_US, Replay
from memoir_server.adapters.ledger.postgres.adaptation import Texts
from memoir_server.adapters.ledger.postgres.transaction import Row, Statement, Transaction
from memoir_server.domain.errors import RequestIdReused
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.time import Instant

_PURGE_AT_ONCE: Final = 64

_FIND: Final = (
    "SELECT fingerprint, first, last, revision, outcome FROM idempotency "
    "WHERE namespace = %s AND request_id = %s AND principal = %s AND method = %s AND created > %s"
)
_REMEMBER: Final = (
    # Rows that another transaction is about to drop are its own.
    "WITH purged AS (DELETE FROM idempotency WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency "
    "WHERE created <= %s AND request_id <> %s LIMIT %s FOR UPDATE SKIP LOCKED))) "
    "INSERT INTO idempotency (namespace, request_id, principal, method, fingerprint, first, last, revision, outcome, "
    "created, mentions) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text[]) "
    "ON CONFLICT (namespace, request_id, principal, method) DO UPDATE SET fingerprint = excluded.fingerprint, "
    "first = excluded.first, last = excluded.last, revision = excluded.revision, outcome = excluded.outcome, "
    "created = excluded.created, mentions = excluded.mentions"
)


def finding_replay(key: IdempotencyKey, now: Instant) -> Statement:
    """The record of the same request, for `replay_of`."""
    return _FIND, (key.namespace, key.request_id, key.principal, key.method, now - IDEMPOTENCY_US)


def replay_of(key: IdempotencyKey, rows: Sequence[Row]) -> Replay | None:
    """The record that was found. Raises RequestIdReused when it is of another payload."""
    if not rows:
        return None
    fingerprint, first, last, revision, outcome = rows[0]
    if fingerprint != key.fingerprint:
        raise RequestIdReused(key.request_id)
    return Replay(first, last, revision, outcome)


async def find_replay(transaction: Transaction, key: IdempotencyKey, now: Instant) -> Replay | None:
    """The record of the same request, if there was one within 24 h. The key's namespace must be locked: a duplicate in
    flight waits for the first. Raises RequestIdReused for another payload."""
    return replay_of(key, await transaction.fetch(*finding_replay(key, now)))


def remember(
    transaction: Transaction, key: IdempotencyKey, replay: Replay, now: Instant, *, mentions: Sequence[str] = ()
) -> None:
    """Records the request, and lets go of a few that are too old. `mentions` as in Decision."""
    transaction.put(
        _REMEMBER,
        (
            *(now - IDEMPOTENCY_US, key.request_id, _PURGE_AT_ONCE),
            *(key.namespace, key.request_id, key.principal, key.method, key.fingerprint),
            *(replay.first, replay.last, replay.revision, replay.outcome, now, Texts(mentions) if mentions else None),
        ),
    )
