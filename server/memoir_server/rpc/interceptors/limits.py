"""How much a caller, and all callers together, may ask at once. Health checks do not pass here."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from memoir_server.rpc.refusals import Overloaded, RateLimited

_PRINCIPALS = 4096
"""Buckets kept; the longest unused go first, and start full when they come back."""


class Limits:
    """Concurrency limits, and a token bucket per principal.

    `max_calls` unary calls and searches and `max_watches` open watches are served side by side. More is refused, so
    that those in hand end in time. `rate` calls per second and principal, with bursts of `burst`; 0 means no limit.
    `time` is a monotonic clock in seconds.
    """

    def __init__(self, *, max_calls: int, max_watches: int, rate: float, burst: int, time: Callable[[], float]) -> None:
        self._max_calls = max_calls
        self._max_watches = max_watches
        self._rate = rate
        self._burst = float(max(burst, 1))
        self._time = time
        self._calls = 0
        self._watches = 0
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def in_hand(self) -> int:
        """Calls and watches being served now."""
        return self._calls + self._watches

    def enter(self, principal: str, *, watch: bool) -> None:
        """Takes a place for a call; `leave` gives it back. Raises RateLimited, Overloaded: no place is taken then."""
        if self._rate:
            self._spend(principal)
        if watch:
            if self._watches >= self._max_watches:
                raise Overloaded(self._max_watches)
            self._watches += 1
        else:
            if self._calls >= self._max_calls:
                raise Overloaded(self._max_calls)
            self._calls += 1

    def leave(self, *, watch: bool) -> None:
        """Gives a place back."""
        if watch:
            self._watches -= 1
        else:
            self._calls -= 1

    def _spend(self, principal: str) -> None:
        now = self._time()
        tokens, since = self._buckets.get(principal, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[principal] = (tokens - 1.0 if allowed else tokens, now)
        self._buckets.move_to_end(principal)
        if len(self._buckets) > _PRINCIPALS:
            self._buckets.popitem(last=False)
        if not allowed:
            # Rounded up to the millisecond: a caller that waits exactly this long gets through.
            wait = math.ceil((1.0 - tokens) / self._rate * 1000) / 1000
            raise RateLimited(principal, limit=self._rate, retry_after=wait)
