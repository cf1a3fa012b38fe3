"""Time and identity, as ports so that tests can fix them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from memoir_server.domain.time import Instant


class Clock(ABC):
    """The wall clock."""

    @abstractmethod
    def now(self) -> Instant:
        """Microseconds since the epoch, UTC."""


class IdSource(ABC):
    """Makes identifiers."""

    @abstractmethod
    def new_id(self) -> str:
        """A fresh id, unique for all practical purposes; sorts by time of making where that is possible."""
