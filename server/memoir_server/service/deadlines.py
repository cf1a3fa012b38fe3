"""Ends work at its deadline, with one timer for all of it.

A timer of its own per piece of work costs more than a point read does (measured: 20 us), and nearly all of them are set
only to be taken back. Here the work in hand is looked through every few milliseconds, and only while there is any.
"""

from __future__ import annotations

import asyncio

TICK_SECONDS = 0.005
"""How late work may be ended."""


class Deadline:
    """The end of one piece of work. `expired` tells a cancellation by the deadline from one by the caller."""

    __slots__ = ("at", "expired", "task")

    def __init__(self, at: float, task: asyncio.Task[object]) -> None:
        self.at = at
        self.task = task
        self.expired = False


class Deadlines:
    """Deadlines of the work in hand, which may nest. Times are readings of the event loop's clock, in seconds. All its
    work runs on one event loop."""

    def __init__(self) -> None:
        self._in_hand: set[Deadline] = set()
        self._ticking = False
        self._known_loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """A reading of the event loop's clock."""
        return self._loop.time()

    def enter(self, at: float) -> Deadline:
        """From `at` on the current task is cancelled, once. `leave` must follow."""
        loop = self._loop
        task = asyncio.current_task(loop)
        assert task is not None
        deadline = Deadline(at, task)
        self._in_hand.add(deadline)
        if not self._ticking:
            self._ticking = True
            loop.call_later(TICK_SECONDS, self._tick)
        return deadline

    def leave(self, deadline: Deadline) -> None:
        """The work has ended by itself, or has noticed its cancellation."""
        self._in_hand.discard(deadline)
        if deadline.expired:
            deadline.task.uncancel()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        # Asked for once: in CPython 3.11 each asking is a system call.
        loop = self._known_loop
        if loop is None:
            loop = self._known_loop = asyncio.get_running_loop()
        return loop

    def _tick(self) -> None:
        loop = self._loop
        now = loop.time()
        for deadline in [d for d in self._in_hand if d.at <= now]:
            self._in_hand.discard(deadline)
            deadline.expired = True
            deadline.task.cancel()
        self._ticking = bool(self._in_hand)
        if self._ticking:
            loop.call_later(TICK_SECONDS, self._tick)
