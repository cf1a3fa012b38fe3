"""Who has memories: users, agents or sessions, with counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from memoir_server.domain.memory import Scope
from memoir_server.domain.time import Instant


class ScopeDimension(IntEnum):
    """What a listing of scopes lists; the numbers are those of the contract."""

    USER = 1
    AGENT = 2
    SESSION = 3


@dataclass(frozen=True, slots=True)
class ScopeCount:
    """One entry of a listing of scopes: the listed id within the scope asked about, how many memories are in it, and
    their newest create_time."""

    scope: Scope
    memories: int
    newest: Instant
