"""Recomputing the chain of event digests (semantics 13)."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from typing import Final

from memoir_server.adapters.ledger.forms.chain import digest_of, link, origin_of, payload_of
from memoir_server.adapters.ledger.forms.layout import key_of, revision_of
from memoir_server.adapters.ledger.postgres.database import Database
from memoir_server.adapters.ledger.postgres.transaction import Row
from memoir_server.domain.change import EventType

_AT_ONCE: Final = 2000
_EVENTS: Final = (
    "SELECT e.key, e.commit_time, e.type, e.memory_id, e.before, e.detail, e.salt, e.digest, v.text, v.body "
    "FROM events e LEFT JOIN versions v ON v.key = e.key WHERE e.key > %s AND e.key <= %s ORDER BY e.key LIMIT %s"
)


async def verify(database: Database, ns: int, namespace: str) -> bool:
    """Recomputes every digest that can be, and the whole chain up to the head of this moment. An event that is erased
    meanwhile keeps its digest, so that the pages need not be of one moment."""
    ((head, expected),) = await database.fetch("SELECT revision, chain FROM namespaces WHERE ns = %s", (ns,))
    chain, position = origin_of(namespace), 0
    while position < head:
        rows = await database.fetch(_EVENTS, (key_of(ns, position), key_of(ns, head), _AT_ONCE))
        follows = await asyncio.to_thread(_follow, chain, position, rows)
        if follows is None or not rows:
            return False
        chain, position = follows, position + len(rows)
    return hmac.compare_digest(chain, expected)


def _follow(chain: bytes, position: int, rows: Sequence[Row]) -> bytes | None:
    """The chain after the events; None when one of them is not what it was."""
    for key, commit_time, type_, memory_id, before, detail, salt, digest, text, body in rows:
        revision = revision_of(key)
        if revision != position + 1:
            return None
        if type_ != EventType.ERASED:
            if salt is None or detail is None:
                return None
            payload = payload_of(revision, commit_time, type_, memory_id, revision_of(before or 0), detail, text, body)
            if not hmac.compare_digest(digest_of(salt, payload), digest):
                return None
        chain, position = link(chain, revision, digest), revision
    return chain
