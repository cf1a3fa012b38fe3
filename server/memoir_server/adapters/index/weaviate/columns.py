"""Objects as columns the domain ranks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from memoir_server.adapters.index.weaviate.schema import Found
from memoir_server.domain.entry import CandidateColumns
from memoir_server.domain.memory import Scope


class SessionCodes:
    """Codes of sessions, equal for as long as the process runs. A session is one of its user and agent."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str | None, str | None, str], int] = {}
        self._next = itertools.count()

    def code(self, scope: Scope) -> int:
        """The code of the scope's session; -1 without one."""
        if scope.session_id is None:
            return -1
        key = (scope.user_id, scope.agent_id, scope.session_id)
        known = self._codes.get(key)
        return self._codes.setdefault(key, next(self._next)) if known is None else known


def table_of(found: Sequence[Found], sessions: SessionCodes) -> CandidateColumns:
    """The columns of the objects, in their order."""
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
