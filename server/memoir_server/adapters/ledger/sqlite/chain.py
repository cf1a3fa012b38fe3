"""Recomputing the chain of event digests (semantics 13)."""

from __future__ import annotations

import hmac
from typing import Any

import apsw

from memoir_server.adapters.ledger.forms.chain import digest_of, link, origin_of, payload_of
from memoir_server.adapters.ledger.forms.layout import key_of, revision_of
from memoir_server.domain.change import EventType


def verify(connection: apsw.Connection, ns: int, namespace: str) -> bool:
    """Recomputes every digest that can be, and the whole chain. To be called inside a read transaction."""
    found: list[tuple[Any, ...]] = connection.execute(
        "SELECT revision, chain FROM namespaces WHERE ns = ?", (ns,)
    ).fetchall()
    ((head, expected),) = found
    chain, position = origin_of(namespace), 0
    rows = connection.execute(
        "SELECT e.key, e.commit_time, e.type, e.memory_id, e.before, e.detail, e.salt, e.digest, v.text, v.body "
        "FROM events e LEFT JOIN versions v ON v.key = e.key WHERE e.key BETWEEN ? AND ? ORDER BY e.key",
        (key_of(ns, 1), key_of(ns, head)),
    )
    for key, commit_time, type_, memory_id, before, detail, salt, digest, text, body in rows:
        revision = revision_of(key)
        if revision != position + 1:
            return False
        if type_ != EventType.ERASED:
            if salt is None or detail is None:
                return False
            payload = payload_of(revision, commit_time, type_, memory_id, revision_of(before or 0), detail, text, body)
            if not hmac.compare_digest(digest_of(salt, payload), digest):
                return False
        chain, position = link(chain, revision, digest), revision
    return position == head and hmac.compare_digest(chain, expected)
