"""Circuit breaker: stops asking a store that does not answer, and tries again after a while."""

from __future__ import annotations

import random
from collections.abc import Callable

from memoir_server.domain.store import BreakerState


class Breaker:
    """Opens after `threshold` failures in a row; then lets one attempt through after a delay that doubles with each
    further failure, from `first_delay` up to `max_delay` seconds, with full jitter (any part of the delay, so that
    several servers do not knock in step). `time` is a monotonic clock in seconds."""

    def __init__(
        self,
        time: Callable[[], float],
        *,
        threshold: int = 3,
        first_delay: float = 0.1,
        max_delay: float = 10.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._time = time
        self._threshold = threshold
        self._first_delay = first_delay
        self._max_delay = max_delay
        self._jitter = jitter
        self._failures = 0
        self._retry_at = 0.0

    @property
    def state(self) -> BreakerState:
        """CLOSED: calls pass. OPEN: wait. HALF_OPEN: the next call decides."""
        if self._failures < self._threshold:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._time() >= self._retry_at else BreakerState.OPEN

    @property
    def sound(self) -> bool:
        """Whether the last attempt worked, or none was made."""
        return not self._failures

    def delay(self) -> float:
        """Seconds to wait before the next attempt; 0 when one may be made now."""
        return max(0.0, self._retry_at - self._time()) if self._failures else 0.0

    def admit(self, seconds: float) -> bool:
        """Whether a call may be made now. Half open, one is let through, which decides, and for so many seconds no
        other."""
        state = self.state
        if state is BreakerState.HALF_OPEN:
            self._retry_at = self._time() + seconds
        return state is not BreakerState.OPEN

    def succeeded(self) -> None:
        """An attempt worked: closed."""
        self._failures = 0

    def failed(self) -> None:
        """An attempt did not work."""
        self._failures += 1
        ceiling = min(self._max_delay, self._first_delay * 2 ** min(self._failures - 1, 16))
        self._retry_at = self._time() + ceiling * self._jitter()

    def trip(self) -> None:
        """Opens at the next failure, however many came before."""
        self._failures = max(self._failures, self._threshold - 1)
