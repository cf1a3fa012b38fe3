"""Instants as whole microseconds since the Unix epoch, UTC.

Integers compare, store and subtract exactly in every language and store; a `datetime` does neither cheaply nor,
across time zones, safely.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z. May be negative."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(instant: Instant) -> datetime:
    """The instant as an aware UTC datetime. Raises OverflowError outside years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=instant)


def from_datetime(moment: datetime) -> Instant:
    """The aware datetime as an instant. Raises ValueError for a naive one, which names no moment."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; use an aware datetime, such as datetime.now(UTC)")
    return (moment - _EPOCH) // _MICROSECOND
