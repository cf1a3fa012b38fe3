"""Time and identity as they are."""

from __future__ import annotations

import os
import time
from typing import Final

from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock, IdSource

_RANDOM_DIGITS: Final = 20
"""Of one identifier: eighteen that it shows, one for its variant, and one to make whole bytes."""
_DRAWN: Final = 400
"""Identifiers to draw for at once."""
_VARIANTS: Final = "89ab"


class SystemClock(Clock):
    """The machine's wall clock."""

    def now(self) -> Instant:
        return time.time_ns() // 1000


class UuidV7(IdSource):
    """Random identifiers that sort by the millisecond of their making: UUID version 7 (RFC 9562, section 5.7)."""

    def __init__(self) -> None:
        # Drawn for many at once: asking the system for a few bytes takes longer than all the rest.
        self._digits = ""
        self._next = 0

    def new_id(self) -> str:
        begin = self._next
        if begin == len(self._digits):
            self._digits, begin = os.urandom(_DRAWN * _RANDOM_DIGITS // 2).hex(), 0
        self._next = end = begin + _RANDOM_DIGITS
        random = self._digits[begin:end]
        milliseconds = f"{time.time_ns() // 1_000_000:012x}"
        # The version is 7; the variant is two bits, 10, before two random ones.
        variant = _VARIANTS[int(random[18], 16) & 3]
        return f"{milliseconds[:8]}-{milliseconds[8:]}-7{random[:3]}-{variant}{random[3:6]}-{random[6:18]}"
