"""Time and identity as they are."""

from __future__ import annotations

import os
import time
from typing import Final

from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock, IdSource

_RANDOM_BYTES: Final = 10


class SystemClock(Clock):
    """The machine's wall clock."""

    def now(self) -> Instant:
        return time.time_ns() // 1000


class UuidV7(IdSource):
    """Random identifiers that sort by the millisecond of their making: UUID version 7 (RFC 9562, section 5.7)."""

    def __init__(self) -> None:
        # Drawn for many at once: asking the system for ten bytes takes longer than all the rest.
        self._random = b""

    def new_id(self) -> str:
        if len(self._random) < _RANDOM_BYTES:
            self._random = os.urandom(400 * _RANDOM_BYTES)
        random, self._random = int.from_bytes(self._random[:_RANDOM_BYTES], "big"), self._random[_RANDOM_BYTES:]
        milliseconds = time.time_ns() // 1_000_000
        value = (
            (milliseconds & (1 << 48) - 1) << 80
            | 0x7 << 76
            | (random >> 62 & 0xFFF) << 64
            | 0b10 << 62
            | (random & (1 << 62) - 1)
        )
        digits = f"{value:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
