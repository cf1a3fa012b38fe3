"""The chain of event digests (semantics 13).

digest_n = HMAC-SHA-256(salt_n, payload_n), chain_n = SHA-256(chain_{n-1} || revision_n || digest_n). Erasing an event
removes its salt and payload; its digest stays and says nothing about them, so the chain can still be recomputed.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import apsw
import msgspec

from memoir_server.adapters.ledger.sqlite.layout import key_of, revision_of
from memoir_server.domain.change import EventType

SALT_BYTES: Final = 16

_encode = msgspec.msgpack.Encoder().encode


def origin_of(namespace: str) -> bytes:
    """chain_0 of a namespace."""
    return hashlib.sha256(b"memoir-chain\x00" + namespace.encode()).digest()


def payload_of(
    revision: int,
    commit_time: int,
    type_: int,
    memory_id: str,
    before: int,
    detail: bytes,
    text: str | None,
    body: bytes | None,
) -> bytes:
    """Canonical bytes of an event: its position, its columns and the version it made. `before` is a revision, 0 for
    none; the version itself is covered by the event that made it."""
    return _encode((revision, commit_time, type_, memory_id, before, detail, text, body))


def digest_of(salt: bytes, payload: bytes) -> bytes:
    """Digest of one event."""
    return hmac.digest(salt, payload, "sha256")


def link(chain: bytes, revision: int, digest: bytes) -> bytes:
    """The chain, one event further."""
    return hashlib.sha256(chain + revision.to_bytes(8, "big") + digest).digest()


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
