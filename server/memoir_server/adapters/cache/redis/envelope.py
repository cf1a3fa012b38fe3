"""The form of a shared entry: a value sealed to its key and to the run of the store that took it.

    1 byte form, 8 bytes run, 16 bytes seal, the value
    seal = BLAKE2b-128 (RFC 7693), keyed with the servers' common secret where there is one, of form, run, key and value

A value that was cut, damaged, copied from another key (that of another model, say) or put there by another program
does not open.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import Enum
from typing import Final

PURGED: Final = b"\x00memoir purged"
"""Stands in the place of an entry that was purged. No envelope begins like it."""

MAX_SECRET_BYTES: Final = 64
"""BLAKE2b takes no longer keys."""

_FORM: Final = b"\x01"
_RUN_BYTES: Final = 8
_SEAL_BYTES: Final = 16
_HEAD_BYTES: Final = len(_FORM) + _RUN_BYTES + _SEAL_BYTES


class Unusable(Enum):
    """Why an entry does not open."""

    PURGED = "purged"
    EARLIER_RUN = "earlier run"
    DAMAGED = "damaged"


def run_tag(run: str) -> bytes:
    """The 8 bytes that stand for one run of the store."""
    return hashlib.blake2b(run.encode(), digest_size=_RUN_BYTES).digest()


def seal(key: bytes, value: bytes, run: bytes, secret: bytes) -> bytes:
    """The entry to store under `key`; `run` is a `run_tag`."""
    head = _FORM + run
    return head + _seal(head, key, value, secret) + value


def unseal(key: bytes, entry: bytes, run: bytes, secret: bytes) -> bytes | Unusable:
    """The value that `seal` was given for the same key, run and secret; otherwise why there is none."""
    if entry == PURGED:
        return Unusable.PURGED
    head, value = entry[: _HEAD_BYTES - _SEAL_BYTES], entry[_HEAD_BYTES:]
    sealed = entry[_HEAD_BYTES - _SEAL_BYTES : _HEAD_BYTES]
    if not hmac.compare_digest(sealed, _seal(head, key, value, secret)) or head[:1] != _FORM:
        return Unusable.DAMAGED
    return value if head[1:] == run else Unusable.EARLIER_RUN


def _seal(head: bytes, key: bytes, value: bytes, secret: bytes) -> bytes:
    digest = hashlib.blake2b(head, digest_size=_SEAL_BYTES, key=secret)
    # The length keeps a key's last bytes from passing for a value's first.
    digest.update(len(key).to_bytes(4, "big") + key)
    digest.update(value)
    return digest.digest()
