"""What a server remembers of the statistics of owners, and how it knows that they still hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from memoir_server.domain.memory import Scope

_MOST_NUMBERS: Final = 500_000
"""Remembered in all, one per owner and term; some 60 MB."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose statistics: an owner scope of a namespace, in one collection."""

    collection: str
    namespace: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Statistics:
    """How many entries of an owner are current, how many terms they have together, and how many hold a term, for the
    terms that were asked for."""

    documents: int
    length: int
    frequency: Mapping[str, int]


class KnownStatistics:
    """Statistics that were counted while an owner's stamp was the one they are kept with.

    A stamp is changed after every change of the owner's entries and before that change counts as applied
    (`stamps.Stamps`). So what was counted after a stamp was read holds for as long as the stamp is the same, up to
    changes that are still under way.

    Args:
        most: Numbers remembered; beyond it the owners that were not asked about for longest are forgotten.
    """

    def __init__(self, most: int = _MOST_NUMBERS) -> None:
        self._most = most
        self._held = 0
        self._known: OrderedDict[Owner, tuple[str, Statistics]] = OrderedDict()

    def of(self, owner: Owner, stamp: str) -> Statistics | None:
        """What is known under the stamp."""
        known = self._known.get(owner)
        if known is None or known[0] != stamp:
            return None
        self._known.move_to_end(owner)
        return known[1]

    def keep(self, owner: Owner, stamp: str, counted: Statistics) -> None:
        """Remembers what was counted after the stamp was read, beside what is known under it already."""
        before = self.of(owner, stamp)
        if before is not None:
            counted = Statistics(counted.documents, counted.length, {**before.frequency, **counted.frequency})
        self._forget(owner)
        self._known[owner] = stamp, counted
        self._held += _numbers(counted)
        while self._held > self._most and len(self._known) > 1:
            self._forget(next(iter(self._known)))

    def move(self, owner: Owner, stamp: str, to: str, change: Statistics) -> None:
        """The owner's stamp was changed by this server, and what changed with it is known: `change` has differences,
        0 for a term that it does not name."""
        known = self.of(owner, stamp)
        if known is None:
            return
        frequency = {term: count + change.frequency.get(term, 0) for term, count in known.frequency.items()}
        moved = Statistics(known.documents + change.documents, known.length + change.length, frequency)
        self._known[owner] = to, moved

    def knows(self, owner: Owner) -> bool:
        """Whether anything is remembered of the owner."""
        return owner in self._known

    def forget_all(self) -> None:
        """Forgets everything: the store may have lost what it had acknowledged, or an erasure asks for it."""
        self._known.clear()
        self._held = 0

    def _forget(self, owner: Owner) -> None:
        known = self._known.pop(owner, None)
        if known is not None:
            self._held -= _numbers(known[1])


def _numbers(statistics: Statistics) -> int:
    return len(statistics.frequency) + 2
