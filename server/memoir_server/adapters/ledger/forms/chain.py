"""The chain of event digests (semantics 13).

digest_n = HMAC-SHA-256(salt_n, payload_n), chain_n = SHA-256(chain_{n-1} || revision_n || digest_n). Erasing an event
removes its salt and payload; its digest stays and says nothing about them, so the chain can still be recomputed.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

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
