"""Time, identity and randomness that are the same in every run, for golden tests. Never for real data."""

from __future__ import annotations

import hashlib
import itertools

from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock, IdSource

BEGIN: Instant = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""
STEP_US = 1_000
"""How far each reading moves the clock."""


class SteppingClock(Clock):
    """Starts at BEGIN; each reading is 1 ms later than the one before."""

    def __init__(self) -> None:
        self.readings = 0

    def now(self) -> Instant:
        self.readings += 1
        return BEGIN + STEP_US * (self.readings - 1)


class WatchingClock(Clock):
    """Shows the time of another clock without moving it: for background work, which wakes at times of its own."""

    def __init__(self, clock: SteppingClock) -> None:
        self._clock = clock

    def now(self) -> Instant:
        return BEGIN + STEP_US * self._clock.readings


class CountingIds(IdSource):
    """UUID-shaped ids that count up from 1."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new_id(self) -> str:
        return f"00000000-0000-7000-8000-{next(self._numbers):012x}"


class CountingEntropy:
    """Bytes that look random and are not: SHA-256 in counter mode over a fixed seed."""

    def __init__(self) -> None:
        self._blocks = itertools.count()

    def __call__(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += hashlib.sha256(b"memoir-testing" + next(self._blocks).to_bytes(8, "big")).digest()
        return data[:count]
