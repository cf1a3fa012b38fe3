"""Idempotency records (semantics 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from memoir_server.adapters.ledger.forms.changing import IDEMPOTENCY_US, Replay
from memoir_server.adapters.ledger.sqlite.rows import as_json
from memoir_server.domain.errors import RequestIdReused
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.time import Instant

_PURGE_AT_ONCE: Final = 64


def find_replay(connection: apsw.Connection, key: IdempotencyKey, now: Instant) -> Replay | None:
    """The record of the same request, if there was one within 24 h. Raises RequestIdReused for another payload."""
    found = connection.execute(
        "SELECT fingerprint, first, last, revision, outcome FROM idempotency "
        "WHERE namespace = ? AND request_id = ? AND principal = ? AND method = ? AND created > ?",
        (key.namespace, key.request_id, key.principal, key.method, now - IDEMPOTENCY_US),
    ).get
    if found is None:
        return None
    fingerprint, first, last, revision, outcome = found
    if fingerprint != key.fingerprint:
        raise RequestIdReused(key.request_id)
    return Replay(first, last, revision, outcome)


def remember(
    connection: apsw.Connection, key: IdempotencyKey, replay: Replay, now: Instant, *, mentions: Sequence[str] = ()
) -> None:
    """Records the request, and lets go of a few that are too old. `mentions` as in Decision."""
    connection.execute(
        "INSERT OR REPLACE INTO idempotency (namespace, request_id, principal, method, fingerprint, first, last, "
        "revision, outcome, created, mentions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(key.namespace, key.request_id, key.principal, key.method, key.fingerprint),
            *(replay.first, replay.last, replay.revision, replay.outcome, now, as_json(mentions) if mentions else None),
        ),
    )
    old = connection.execute(
        "SELECT namespace, request_id, principal, method FROM idempotency WHERE created <= ? LIMIT ?",
        (now - IDEMPOTENCY_US, _PURGE_AT_ONCE),
    ).fetchall()
    if old:
        connection.executemany(
            "DELETE FROM idempotency WHERE namespace = ? AND request_id = ? AND principal = ? AND method = ?", old
        )
