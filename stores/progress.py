"""Lines that tell what is being done and for how long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

INTERVAL_SECONDS = 10.0
"""Time between two lines of a step that takes long."""


class Progress:
    """Writes one line when a step begins and one when it ends; a long step adds lines of its own. Safe for threads."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """`stream` takes the lines; None means standard error."""
        self._stream = stream if stream is not None else sys.stderr
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Write one line now."""
        with self._lock:
            self._stream.write(f"stores: {text}\n")
            self._stream.flush()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Announce a step, and its seconds when it is over. A step that raises says so and raises on."""
        self.line(f"{name} ...")
        step = Step(self, name)
        try:
            yield step
        except BaseException:
            self.line(f"{name} failed after {step.seconds:.1f} s")
            raise
        self.line(f"{name} done in {step.seconds:.1f} s")


class Step:
    """A step under way."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self._started = time.monotonic()
        self._said = self._started

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def tick(self, state: str) -> None:
        """Say how far it is, at most every INTERVAL_SECONDS."""
        now = time.monotonic()
        if now - self._said >= INTERVAL_SECONDS:
            self._said = now
            self._progress.line(f"{self._name}: {state}, {self.seconds:.0f} s")


class Silent(Progress):
    """Says nothing; for tests."""

    def line(self, text: str) -> None:
        """Drop the line."""
