"""How often memories were returned to callers, and when last."""

from __future__ import annotations

from dataclasses import dataclass

from memoir_server.domain.time import Instant


@dataclass(frozen=True, slots=True)
class Access:
    """How often a memory was returned, and when last. Count 0: never, at the instant 0."""

    count: int = 0
    last: Instant = 0

    def after(self, earlier: Access) -> Access:
        """Both together."""
        return Access(self.count + earlier.count, max(self.last, earlier.last))


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a memory that exists, and the revision that created it."""

    born: int
    access: Access


@dataclass(frozen=True, slots=True)
class Noted:
    """Accesses of one memory that are to be kept. `seen` is a revision at which it existed: a memory that took over its
    id later was not the one returned."""

    memory_id: str
    access: Access
    seen: int
