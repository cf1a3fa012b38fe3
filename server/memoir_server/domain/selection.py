"""Which memories a read is about, and at which moment of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from memoir_server.domain.filter import Filter
from memoir_server.domain.making import maker
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.time import Instant


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Half-open: start <= t < end. None does not bind."""

    start: Instant | None = None
    end: Instant | None = None

    def covers(self, t: Instant) -> bool:
        """Whether the instant lies in the range."""
        return (self.start is None or self.start <= t) and (self.end is None or t < self.end)


ANY_TIME = TimeRange()
"""Binds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Versions of memories that a read may return.

    `revision` is the moment of the ledger: versions with recorded <= revision < retired; NEVER - 1 stands for now.
    `now` is the wall clock for expiry: a memory that is gone now is gone at every moment (semantics 2).
    World time: with `valid_at`, only versions valid then; else, unless `include_superseded`, versions whose
    valid_until lies after `reference` (now, or the commit time of `revision` when reading the past).
    """

    scope: Scope = field(default_factory=Scope)
    filter: Filter | None = None
    created: TimeRange = field(default_factory=TimeRange)
    valid_at: Instant | None = None
    include_superseded: bool = False
    revision: int = NEVER - 1
    reference: Instant
    now: Instant

    @property
    def past(self) -> bool:
        """True when a past moment of the ledger is read."""
        return self.revision < NEVER - 1

    def covers_world_time(self, memory: Memory) -> bool:
        """Whether the version passes the world-time rule above."""
        if self.valid_at is not None:
            return memory.valid(self.valid_at)
        return self.include_superseded or memory.valid_until is None or memory.valid_until > self.reference


make_selection = maker(Selection)
"""`Selection`, where many are made."""
