"""Which stores searches may ask: one that keeps them waiting is left alone for a while.

A store that refuses is asked each time: that costs nothing, and it is heard of as soon as it is back. One that takes
the call and says nothing costs every search its time, so its breaker opens: phases that need it fail at once, and now
and then one of them tries. What the projector hears of a store counts as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from memoir_server.domain.store import StoreKind
from memoir_server.service.breaker import Breaker

PHASE_SECONDS: Final = 5.0
"""Longest that a phase of a search takes, unless the operator says otherwise."""
SLOW_SECONDS: Final = 0.2
"""What a failed phase may cost before its store counts as one that keeps searches waiting."""
FIRST_DELAY_SECONDS: Final = 0.1
MAX_DELAY_SECONDS: Final = 0.5
"""Between two tries. Short: one search at a time waits, all others pay nothing for it."""

REFUSAL: Final = "it keeps searches waiting; its circuit breaker is open"


class Reach:
    """What searches know of the stores they ask.

    Args:
        phase_seconds: Longest that a phase of a search takes, within the caller's deadline.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        *,
        phase_seconds: float = PHASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._silent: set[StoreKind] = set()
        self._clock = clock
        self._breakers: dict[StoreKind, Breaker] = {}
        self.phase_seconds = phase_seconds

    @property
    def troubled(self) -> bool:
        """Whether any store needs care; as a rule none does, and nothing else has to be asked."""
        return bool(self._breakers or self._silent)

    def admits(self, store: StoreKind) -> bool:
        """Whether a phase may ask the store. Where its answer decides whether others may, they wait for it."""
        breaker = self._breakers.get(store)
        if breaker is not None:
            return breaker.admit(self.phase_seconds)
        return store not in self._silent

    def answered(self, store: StoreKind) -> None:
        """A phase got its answer."""
        self._breakers.pop(store, None)

    def heard(self, store: StoreKind) -> None:
        """The store did what the projector asked of it."""
        self._silent.discard(store)
        self._breakers.pop(store, None)

    def found_silent(self, store: StoreKind) -> None:
        """The store does not even answer a ping; `heard`, or an answer that is a refusal, ends it."""
        self._silent.add(store)

    def refuses(self, store: StoreKind) -> None:
        """The store fails, and says so at once."""
        self._silent.discard(store)

    def kept_waiting(self, store: StoreKind, seconds: float, *, cut: bool) -> None:
        """A phase got none.

        Args:
            store: Whom it waited for.
            seconds: How long.
            cut: It had all the time that a phase may take. Otherwise its caller gave it less, or the store failed, and
                only several in a row count.
        """
        if seconds < SLOW_SECONDS:
            return
        breaker = self._breakers.get(store)
        if breaker is None:
            breaker = self._breakers[store] = Breaker(
                self._clock, first_delay=FIRST_DELAY_SECONDS, max_delay=MAX_DELAY_SECONDS
            )
        if cut:
            breaker.trip()
        breaker.failed()
