"""Candidates as columns that ranking calculates with, from entries one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from memoir_server.domain.analysis import analyse
from memoir_server.domain.entry import CandidateColumns, asks
from memoir_server.domain.memory import Memory, MemoryKind, Scope


class SessionCodes:
    """Codes of sessions, equal for as long as the process runs. A session is one of its user and agent: two users who
    call theirs alike share no turns."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str | None, str | None, str], int] = {}
        self._next = itertools.count()

    def code(self, scope: Scope) -> int:
        """The code of the scope's session; -1 without one. Safe from any thread."""
        if scope.session_id is None:
            return -1
        key = (scope.user_id, scope.agent_id, scope.session_id)
        found = self._codes.get(key)
        return self._codes.setdefault(key, next(self._next)) if found is None else found


class Described(Protocol):
    """What ranking wants to know of one version; `length` is that of its terms, repeats included."""

    @property
    def memory_id(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def scope(self) -> Scope: ...
    @property
    def create_time(self) -> int: ...
    @property
    def turn(self) -> int: ...
    @property
    def speaker(self) -> str: ...
    @property
    def length(self) -> int: ...
    @property
    def asks(self) -> bool: ...
    @property
    def importance(self) -> float | None: ...
    @property
    def kind(self) -> MemoryKind: ...


def columns_of(found: Sequence[Described], sessions: SessionCodes) -> CandidateColumns:
    """The columns of the versions, in their order."""
    speakers: dict[str, int] = {}
    codes = [-1 if not f.speaker else speakers.setdefault(f.speaker, len(speakers)) for f in found]

    def whole(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array(values, dtype=np.int64)

    return CandidateColumns(
        memory_id=[f.memory_id for f in found],
        revision=whole([f.revision for f in found]),
        create_time=whole([f.create_time for f in found]),
        session=whole([sessions.code(f.scope) for f in found]),
        turn=whole([f.turn for f in found]),
        speaker=whole(codes),
        speaker_names=tuple(speakers),
        length=whole([f.length for f in found]),
        asks=np.array([f.asks for f in found], dtype=np.bool_),
        importance=np.array([0.5 if f.importance is None else f.importance for f in found], dtype=np.float64),
        kind=whole([int(f.kind) for f in found]),
    )


@dataclass(frozen=True, slots=True)
class DescribedMemory:
    """A version described by itself, where no index can be asked."""

    memory: Memory

    @property
    def memory_id(self) -> str:
        return self.memory.memory_id

    @property
    def revision(self) -> int:
        return self.memory.revision

    @property
    def scope(self) -> Scope:
        return self.memory.scope

    @property
    def create_time(self) -> int:
        return self.memory.create_time

    @property
    def turn(self) -> int:
        return self.memory.turn

    @property
    def speaker(self) -> str:
        return self.memory.speaker

    @property
    def length(self) -> int:
        return len(analyse(self.memory.indexed_text))

    @property
    def asks(self) -> bool:
        return asks(self.memory.text)

    @property
    def importance(self) -> float | None:
        return self.memory.importance

    @property
    def kind(self) -> MemoryKind:
        return self.memory.kind
