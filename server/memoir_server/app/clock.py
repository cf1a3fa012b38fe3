"""Time and identity as they are."""

from __future__ import annotations

import os
import time

from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock, IdSource


class SystemClock(Clock):
    """The machine's wall clock."""

    def now(self) -> Instant:
        return time.time_ns() // 1000


class UuidV7(IdSource):
    """Random identifiers that sort by the millisecond of their making: UUID version 7 (RFC 9562, section 5.7)."""

    def new_id(self) -> str:
        milliseconds = time.time_ns() // 1_000_000
        random = int.from_bytes(os.urandom(10), "big")
        value = (
            (milliseconds & (1 << 48) - 1) << 80
            | 0x7 << 76
            | (random >> 62 & 0xFFF) << 64
            | 0b10 << 62
            | (random & (1 << 62) - 1)
        )
        digits = f"{value:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
