"""The cache's circuit breaker: while the store does not answer, nobody waits for it but one task in the background."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from memoir_server.domain.store import BreakerState
from memoir_server.ports.cache import CacheUnavailable


class CacheBreaker:
    """Opens after `threshold` failures in a row; from then on a task of its own asks the store, after pauses that
    double from `first_delay` up to `last_delay` seconds (halved at random, so that several servers do not knock in
    step), and closes it again at the first answer. No caller ever pays for finding out.

    Args:
        probe: Asks the store. Bounded in time; raises CacheUnavailable while it does not answer.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[None]], *, threshold: int, first_delay: float, last_delay: float
    ) -> None:
        self._probe = probe
        self._threshold = threshold
        self._first_delay = first_delay
        self._last_delay = last_delay
        self._failures = 0
        self._probing = False
        self._recovery: asyncio.Task[None] | None = None

    @property
    def state(self) -> BreakerState:
        """CLOSED: calls pass. OPEN: nobody asks. HALF_OPEN: the store is being asked in the background."""
        if self._recovery is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._probing else BreakerState.OPEN

    def succeeded(self) -> None:
        """A call worked. An open breaker stays so until its own question is answered: a late answer proves little."""
        self._failures = 0

    def failed(self) -> None:
        """A call did not work."""
        self._failures += 1
        if self._failures >= self._threshold and self._recovery is None:
            self._recovery = asyncio.create_task(self._recover(), name="memoir cache recovery")

    async def close(self) -> None:
        """Ends the background task; idempotent."""
        recovery, self._recovery = self._recovery, None
        if recovery is not None:
            recovery.cancel()
            await asyncio.wait([recovery])

    async def _recover(self) -> None:
        delay = self._first_delay
        while True:
            await asyncio.sleep(delay * (0.5 + 0.5 * random.random()))
            self._probing = True
            try:
                await self._probe()
            except CacheUnavailable:
                delay = min(2 * delay, self._last_delay)
            else:
                self._failures, self._recovery = 0, None
                return
            finally:
                self._probing = False
