"""Contradictions between dated statements, settled by interval arithmetic.

Once a conflict is named, by the caller or by the reconciler, nothing is left to judge: of two statements that cannot
both be true, each holds until the other begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memoir_server.domain.memory import Memory


@dataclass(frozen=True, slots=True)
class Supersession:
    """The new memory, perhaps closed, and the older ones that end where it begins."""

    memory: Memory
    closed: tuple[Memory, ...]


def supersede(memory: Memory, contradicted: Sequence[Memory]) -> Supersession:
    """Settles a new memory against the ones it contradicts.

    * Validity that does not overlap does not conflict: both stay as they are.
    * A contradicted memory that began earlier, or at the same moment, ends where the new one begins.
    * A contradicted memory that began later closes the new one, which arrived late, at its own beginning.

    The new memory has a valid_from, since a creation fills it in. In the others a missing valid_from reads as the
    beginning of time, a missing valid_until as its end.
    """
    closed = []
    for other in contradicted:
        if not _overlap(memory, other):
            continue
        if _begin(other) > _begin(memory):
            memory = replace(memory, valid_until=other.valid_from, superseded_by=other.memory_id)
        else:
            closed.append(replace(other, valid_until=memory.valid_from, superseded_by=memory.memory_id))
    ids = tuple(other.memory_id for other in closed)
    return Supersession(memory if memory.supersedes == ids else replace(memory, supersedes=ids), tuple(closed))


def _begin(memory: Memory) -> float:
    return float("-inf") if memory.valid_from is None else memory.valid_from


def _end(memory: Memory) -> float:
    return float("inf") if memory.valid_until is None else memory.valid_until


def _overlap(a: Memory, b: Memory) -> bool:
    # One that was closed at its own beginning was never true: it overlaps nothing.
    return max(_begin(a), _begin(b)) < min(_end(a), _end(b))
