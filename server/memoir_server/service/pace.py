"""Keeps to a rate that somebody else enforces: so much per minute, in the order of asking."""

from __future__ import annotations

from collections.abc import Callable

_MINUTE = 60.0


class Pace:
    """Lets `per_minute` units pass in any minute (0: any number), as an even flow after a burst of `burst` units.

    A place is given out at once and told as a waiting time, so places go in the order of asking.

    Args:
        time: A monotonic clock, in seconds.
    """

    def __init__(self, time: Callable[[], float], per_minute: float, burst: float) -> None:
        self._time = time
        self._seconds_each = _MINUTE / per_minute if per_minute else 0.0
        self._ahead = burst * self._seconds_each
        self._next = 0.0
        self._not_before = 0.0

    def wait(self, units: float = 1.0) -> float:
        """Seconds until that many units may pass, without asking for them."""
        now = self._time()
        due = max(self._next, now) + units * self._seconds_each
        return max(0.0, self._not_before - now, due - self._ahead - now)

    def take(self, units: float = 1.0) -> float:
        """Takes the units, and tells the seconds to wait before using them."""
        seconds = self.wait(units)
        self._next = max(self._next, self._time()) + units * self._seconds_each
        return seconds

    def correct(self, units: float) -> None:
        """Takes more units afterwards, or gives some back where `units` is negative: an estimate was wrong."""
        self._next += units * self._seconds_each

    def pause(self, seconds: float) -> None:
        """Lets nothing pass for so long: the other side said so."""
        self._not_before = max(self._not_before, self._time() + seconds)
