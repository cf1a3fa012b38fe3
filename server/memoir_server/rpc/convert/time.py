"""Timestamps and durations. Instants are whole microseconds; finer digits of a timestamp are cut off."""

from __future__ import annotations

from typing import Any

from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.selection import ANY_TIME, TimeRange
from memoir_server.domain.time import Instant

MIN_SECONDS = -62_135_596_800
"""0001-01-01T00:00:00Z."""
MAX_SECONDS = 253_402_300_799
"""9999-12-31T23:59:59Z."""


def read_time(timestamp: Any, path: str) -> Instant:
    """A google.protobuf.Timestamp as an instant. Raises FieldInvalid outside years 1 to 9999."""
    seconds, nanos = timestamp.seconds, timestamp.nanos
    if not MIN_SECONDS <= seconds <= MAX_SECONDS or not 0 <= nanos <= 999_999_999:
        raise FieldInvalid(
            path,
            f"seconds={seconds}, nanos={nanos} is no timestamp; it must lie in the years 1 to 9999, with nanos in "
            "0..999999999",
        )
    return int(seconds * 1_000_000 + nanos // 1000)


def read_optional_time(message: Any, field: str, path: str) -> Instant | None:
    """The timestamp in a field of a message, None where it is not set. `path` is the message's."""
    if not message.HasField(field):
        return None
    return read_time(getattr(message, field), f"{path}.{field}" if path else field)


def read_range(message: Any, field: str, path: str = "") -> TimeRange:
    """The TimeRange in a field of a message; both sides open where it is not set."""
    if not message.HasField(field):
        return ANY_TIME
    inner = f"{path}.{field}" if path else field
    time_range = getattr(message, field)
    return TimeRange(
        read_optional_time(time_range, "start_time", inner), read_optional_time(time_range, "end_time", inner)
    )


def write_time(timestamp: Any, instant: Instant) -> None:
    """Sets a google.protobuf.Timestamp."""
    seconds, micros = divmod(instant, 1_000_000)
    timestamp.seconds = seconds
    timestamp.nanos = micros * 1000


def write_duration(duration: Any, micros: int) -> None:
    """Sets a google.protobuf.Duration from non-negative microseconds."""
    seconds, rest = divmod(micros, 1_000_000)
    duration.seconds = seconds
    duration.nanos = rest * 1000
