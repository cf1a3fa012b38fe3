"""Page and resume tokens: opaque, versioned, bound to the parameters they were made for.

A token is base64url(msgpack payload || first 12 bytes of HMAC-SHA-256). The key follows from the ledger's identity, so
tokens outlive a restart, and those of another ledger are refused. They carry no permission: every call is authorised
by itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TypeAlias, TypeVar

import msgspec

from memoir_server.domain.errors import TokenInvalid

_MAC_BYTES = 12
_FINGERPRINT_BYTES = 12


class ListToken(msgspec.Struct, frozen=True, array_like=True, tag="l1"):
    """Place in a listing of memories, and the revision all its pages are read at."""

    fingerprint: bytes
    revision: int
    create_time: int
    memory_id: str


class HistoryToken(msgspec.Struct, frozen=True, array_like=True, tag="h1"):
    """Place in a listing of the history: after one revision, up to another."""

    fingerprint: bytes
    after: int
    until: int


class EntityToken(msgspec.Struct, frozen=True, array_like=True, tag="e1"):
    """Place in a listing of entities, and the revision all its pages are read at."""

    fingerprint: bytes
    revision: int
    name: str
    entity_id: str


class RelationToken(msgspec.Struct, frozen=True, array_like=True, tag="r1"):
    """Place in a listing of relations, and the revision and the moment all its pages are read at."""

    fingerprint: bytes
    revision: int
    reference: int
    valid_from: int | None
    relation_id: str


class ResumeToken(msgspec.Struct, frozen=True, array_like=True, tag="w1"):
    """Place in a watch: after a revision."""

    fingerprint: bytes
    revision: int


class ScopesToken(msgspec.Struct, frozen=True, array_like=True, tag="s1"):
    """Place in a listing of scopes: after an id."""

    fingerprint: bytes
    after: str


class IngestionToken(msgspec.Struct, frozen=True, array_like=True, tag="i1"):
    """Place in a listing of ingestions."""

    fingerprint: bytes
    create_time: int
    ingestion_id: str


class ExportToken(msgspec.Struct, frozen=True, array_like=True, tag="x1"):
    """Place in an export: the revision it shows, the birth of the last memory and the revision of the last event that
    were sent, and how many of each."""

    fingerprint: bytes
    revision: int
    birth: int
    event: int
    memories: int
    events: int


Token: TypeAlias = (
    ListToken | HistoryToken | EntityToken | RelationToken | ResumeToken | ScopesToken | IngestionToken | ExportToken
)
T = TypeVar(
    "T", ListToken, HistoryToken, EntityToken, RelationToken, ResumeToken, ScopesToken, IngestionToken, ExportToken
)


def fingerprint(*parts: bytes) -> bytes:
    """Digest of the parameters a token belongs to."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()[:_FINGERPRINT_BYTES]


class Tokens:
    """Makes and reads tokens of one ledger."""

    def __init__(self, ledger_id: str) -> None:
        self._key = hashlib.sha256(b"memoir-token\x00" + ledger_id.encode()).digest()

    def encode(self, token: Token) -> str:
        """The token as text."""
        payload = msgspec.msgpack.encode(token)
        return base64.urlsafe_b64encode(payload + self._mac(payload)).decode().rstrip("=")

    def decode(self, text: str, kind: type[T], expected: bytes, *, field: str) -> T:
        """Reads a token made for parameters with the fingerprint `expected`.

        Raises TokenInvalid, naming `field`, for one that is damaged, of another kind, or made for other parameters.
        """
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            payload, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(payload)):
                raise TokenInvalid(field)
            token = msgspec.msgpack.decode(payload, type=kind)
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            raise TokenInvalid(field) from None
        if token.fingerprint != expected:
            raise TokenInvalid(field)
        return token

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")[:_MAC_BYTES]
