"""Stamps: a few bytes per user that change whenever the user's entries have changed, so that every server can tell with
one small question whether what it counted still holds.

Users share a fixed number of stamps, so that their number does not grow with that of users; one more is for the
namespace as a whole. One that is missing, or begins with a question mark, vouches for nothing.
"""

from __future__ import annotations

import secrets
import zlib
from typing import Final

from memoir_server.adapters.index.weaviate.changes import Changes
from memoir_server.domain.memory import Scope

SLOTS: Final = 1_024
WHOLE: Final = 0
"""The slot that every change of the namespace touches."""
_OPEN: Final = "?"


def slot_of(scope: Scope) -> int:
    """The slot whose stamp vouches for what is counted of a scope."""
    return WHOLE if scope.user_id is None else _slot(scope.user_id)


def slots_of(changes: Changes) -> set[int]:
    """The slots that changes touch."""
    if changes.anybody:
        return set(range(SLOTS + 1))
    users = {_slot(user) for user in changes.users if user is not None}
    return {WHOLE, *users} if changes.users else set()


def new_stamp() -> str:
    """A stamp that nothing was counted under."""
    return secrets.token_hex(8)


def open_stamp() -> str:
    """A stamp for the time in which entries are being removed: nothing can be known under it."""
    return _OPEN + new_stamp()


def vouches(stamp: str) -> bool:
    """Whether what is counted under the stamp may be kept."""
    return bool(stamp) and not stamp.startswith(_OPEN)


def key_of(collection: str, namespace: str, slot: int) -> str:
    """Key of the note that holds the stamp."""
    return f"stamp/{collection}/{namespace}/{slot}"


def _slot(user: str) -> int:
    return 1 + zlib.crc32(user.encode("utf-8", "surrogatepass")) % SLOTS
