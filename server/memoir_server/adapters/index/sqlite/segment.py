"""Entries of one user, or of one namespace, as columns in memory.

Rows are only ever added; what is gone has `retired` 0, which no moment of the ledger lies before. So a view taken on
the event loop stays usable in a thread while the segment grows.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.index.sqlite.schema import split_terms
from memoir_server.adapters.sqlite_projection import key_id
from memoir_server.domain.columns import SessionCodes
from memoir_server.domain.entry import CandidateColumns, IndexEntry
from memoir_server.domain.memory import NEVER, Scope
from memoir_server.ports.index import IndexQuery

FREQUENCY_BITS: Final = 24
"""Of an entry of the postings, beside its row."""
_EARLIEST: Final = int(np.iinfo(np.int64).min)
_ABSENT: Final = -2
_LATEST: Final = int(np.iinfo(np.int64).max)
_ENTRY_BYTES: Final = 320
"""Columns, id, map from revision to row."""
_POSTING_BYTES: Final = 40
"""Average, with the dictionary of terms: most terms of a user occur once or twice."""


def estimated_bytes(entries: int, terms: int) -> int:
    """Memory of a segment without vectors, in bytes, before it is loaded."""
    return entries * _ENTRY_BYTES + terms * _POSTING_BYTES


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of equal length. `agent`, `session_id` and `speaker` are codes of the segment, `session` of the
    namespace; missing bounds of validity are the least and the greatest int64; `entry` is the id in the file."""

    entry: NDArray[np.int64]
    revision: NDArray[np.int64]
    retired: NDArray[np.int64]
    memory_id: NDArray[np.object_]
    agent: NDArray[np.int32]
    session_id: NDArray[np.int32]
    session: NDArray[np.int64]
    turn: NDArray[np.int64]
    speaker: NDArray[np.int64]
    create_time: NDArray[np.int64]
    valid_from: NDArray[np.int64]
    valid_until: NDArray[np.int64]
    length: NDArray[np.int64]
    asks: NDArray[np.bool_]
    importance: NDArray[np.float64]
    kind: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.revision)

    def cut(self, count: int) -> Rows:
        """The first rows, without copying."""
        return Rows(*(getattr(self, name)[:count] for name in _COLUMN_NAMES))


_COLUMN_NAMES: Final = tuple(column.name for column in fields(Rows))
_TYPES: Final[dict[str, Any]] = {
    "memory_id": np.object_,
    "agent": np.int32,
    "session_id": np.int32,
    "asks": np.bool_,
    "importance": np.float64,
}


def _empty(capacity: int) -> Rows:
    return Rows(*(np.zeros(capacity, dtype=_TYPES.get(name, np.int64)) for name in _COLUMN_NAMES))


@dataclass(frozen=True, slots=True)
class Postings:
    """Which rows hold which of the terms asked for, and how often: `counts[j]` entries of term j, one after the other
    in `packed`, each row << FREQUENCY_BITS | frequency."""

    counts: NDArray[np.int64]
    packed: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ScopeCodes:
    """A scope in the codes of a segment: None where any will do; a code no row has where the segment does not know the
    id."""

    agent: int | None
    session: int | None


_ANYWHERE: Final = ScopeCodes(None, None)


@dataclass(frozen=True, slots=True)
class View:
    """A segment at one moment. `table` holds of the rows what ranking needs; `documents` and `terms` are statistics of
    its current entries; `ascending` says that the rows are in the order of their revisions; `vectors`, where they are
    loaded, has one row per row."""

    rows: Rows
    table: CandidateColumns
    ascending: bool
    documents: int
    terms: int
    vectors: NDArray[np.float32] | None
    all_rows: NDArray[np.bool_] | None
    """True for every row, where all are current and world time ends none of them; else None."""
    begins: bool
    """Whether world time begins for some row later than for all of them."""
    answered: list[tuple[IndexQuery, NDArray[np.bool_]]] = field(default_factory=list)
    """The last query, and which rows it allows."""


class Segment:
    """Columns, postings and, once asked for, vectors.

    Args:
        sessions: Session codes of the namespace.
        capacity: Rows to make room for.
    """

    def __init__(self, sessions: SessionCodes, capacity: int = 64) -> None:
        self._sessions = sessions
        self._rows = _empty(max(capacity, 8))
        self._count = 0
        self._dead = 0
        self._documents = 0
        self._terms = 0
        self._row_of: dict[int, int] = {}
        self._agents: dict[str | None, int] = {None: -1}
        self._session_ids: dict[str | None, int] = {None: -1}
        self._speakers: dict[str, int] = {"": -1}
        self._postings: dict[str, int | array[int]] = {}
        self._posting_count = 0
        self._vectors: NDArray[np.float32] | None = None
        self._awaited: dict[int, NDArray[np.float32]] | None = None
        self._view: View | None = None

    @property
    def count(self) -> int:
        """Rows, those gone included."""
        return self._count

    @property
    def nbytes(self) -> int:
        """Memory it takes, estimated, in bytes."""
        vectors = 0 if self._vectors is None else self._vectors.nbytes
        return estimated_bytes(len(self._rows), self._posting_count) + vectors

    @property
    def capacity(self) -> int:
        """Rows there is room for."""
        return len(self._rows)

    @property
    def has_vectors(self) -> bool:
        """Whether its vectors are loaded."""
        return self._vectors is not None

    @property
    def worn(self) -> bool:
        """True when most rows are gone, so that loading it anew saves memory."""
        return self._dead > 1_000 and 2 * self._dead > self._count

    def put(self, entry: IndexEntry, entry_id: int, vector: NDArray[np.float32] | None) -> None:
        """Adds an entry; one of the same revision goes."""
        self.delete(entry.revision)
        row = self._count
        if row == len(self._rows):
            self._grow(2 * row)
        self._count = row + 1
        rows, scope = self._rows, entry.scope
        rows.entry[row] = entry_id
        rows.revision[row] = entry.revision
        rows.retired[row] = entry.retired
        rows.memory_id[row] = entry.memory_id
        rows.agent[row] = self._agents.setdefault(scope.agent_id, len(self._agents))
        rows.session_id[row] = self._session_ids.setdefault(scope.session_id, len(self._session_ids))
        rows.session[row] = self._sessions.code(scope)
        rows.turn[row] = entry.turn
        rows.speaker[row] = self._speakers.setdefault(entry.speaker, len(self._speakers) - 1)
        rows.create_time[row] = entry.create_time
        rows.valid_from[row] = _EARLIEST if entry.valid_from is None else entry.valid_from
        rows.valid_until[row] = _LATEST if entry.valid_until is None else entry.valid_until
        rows.length[row] = len(entry.terms)
        rows.asks[row] = entry.asks
        rows.importance[row] = 0.5 if entry.importance is None else entry.importance
        rows.kind[row] = int(entry.kind)
        self._row_of[entry.revision] = row
        if entry.retired == NEVER:
            self._documents += 1
            self._terms += len(entry.terms)
        self._post(row, entry.terms)
        if vector is not None:
            if self._awaited is not None:
                self._awaited[row] = vector
            if self._vectors is not None:
                self._vectors[row] = vector
        self._view = None

    def extend(self, stored: Sequence[tuple[Any, ...]], *, only: Collection[str] | None = None) -> None:
        """Adds entries as the file has them, whole columns at a time. None of their revisions may be here yet.

        Args:
            stored: Rows of `schema.COLUMNS`.
            only: Terms to keep postings of; None for all.
        """
        if not stored:
            return
        first, end = self._count, self._count + len(stored)
        if end > len(self._rows):
            self._grow(max(end, 2 * first))
        self._count = end
        entry, revision, retired, memory_id, user, agent, session, kind, create_time, valid_from, *rest = zip(
            *stored, strict=True
        )
        valid_until, importance, speaker, turn, asks, length, terms = rest
        scopes = [Scope(key_id(u), key_id(a), key_id(s)) for u, a, s in zip(user, agent, session, strict=True)]
        agents, session_ids, speakers = self._agents, self._session_ids, self._speakers
        rows, at = self._rows, slice(first, end)
        rows.entry[at] = entry
        rows.revision[at] = revision
        rows.retired[at] = retired
        rows.memory_id[at] = memory_id
        rows.agent[at] = [agents.setdefault(s.agent_id, len(agents)) for s in scopes]
        rows.session_id[at] = [session_ids.setdefault(s.session_id, len(session_ids)) for s in scopes]
        rows.session[at] = [self._sessions.code(s) for s in scopes]
        rows.turn[at] = turn
        rows.speaker[at] = [speakers.setdefault(name, len(speakers) - 1) for name in speaker]
        rows.create_time[at] = create_time
        rows.valid_from[at] = [_EARLIEST if t is None else t for t in valid_from]
        rows.valid_until[at] = [_LATEST if t is None else t for t in valid_until]
        rows.length[at] = length
        rows.asks[at] = asks
        rows.importance[at] = [0.5 if i is None else i for i in importance]
        rows.kind[at] = kind
        self._row_of.update(zip(revision, range(first, end), strict=True))
        current = rows.retired[at] == NEVER
        self._documents += int(np.count_nonzero(current))
        self._terms += int(rows.length[at][current].sum())
        for row, column in enumerate(terms, first):
            held = split_terms(column)
            self._post(row, held if only is None else [term for term in held if term in only])
        self._view = None

    def retire(self, revision: int, retired: int) -> None:
        """Ends the interval of an entry; nothing happens when it is not here."""
        row = self._row_of.get(revision)
        if row is None:
            return
        self._leave(row)
        self._rows.retired[row] = retired
        if retired == NEVER:
            self._documents += 1
            self._terms += int(self._rows.length[row])
        self._view = None

    def delete(self, revision: int) -> None:
        """Removes an entry; nothing happens when it is not here."""
        row = self._row_of.pop(revision, None)
        if row is None:
            return
        self._leave(row)
        self._rows.retired[row] = 0
        self._rows.memory_id[row] = None
        self._dead += 1
        self._view = None

    def view(self) -> View:
        """The segment as it is now."""
        if self._view is None:
            rows = self._rows.cut(self._count)
            lasting = self._documents == self._count and bool((rows.valid_until == _LATEST).all())
            self._view = View(
                rows=rows,
                table=CandidateColumns(
                    memory_id=rows.memory_id,  # type: ignore[arg-type]  # an array of strings, read by place
                    revision=rows.revision,
                    create_time=rows.create_time,
                    session=rows.session,
                    turn=rows.turn,
                    speaker=rows.speaker,
                    speaker_names=tuple(self._speakers)[1:],
                    length=rows.length,
                    asks=rows.asks,
                    importance=rows.importance,
                    kind=rows.kind,
                ),
                ascending=bool((rows.revision[1:] > rows.revision[:-1]).all()),
                documents=self._documents,
                terms=self._terms,
                vectors=None if self._vectors is None else self._vectors[: self._count],
                all_rows=np.ones(self._count, dtype=np.bool_) if lasting else None,
                begins=bool((rows.valid_from != _EARLIEST).any()),
            )
        return self._view

    def postings(self, terms: Sequence[str]) -> Postings:
        """Postings of the terms, rows gone included; copies, so that the segment may grow meanwhile."""
        pieces: list[array[int]] = []
        counts: list[int] = []
        for term in terms:
            known = self._postings.get(term)
            if known is None:
                counts.append(0)
                continue
            piece = array("q", (known,)) if isinstance(known, int) else known
            pieces.append(piece)
            counts.append(len(piece))
        packed = np.frombuffer(bytearray().join(pieces), dtype=np.int64) if pieces else np.empty(0, dtype=np.int64)
        return Postings(np.array(counts, dtype=np.int64), packed)

    def scope_codes(self, scope: Scope) -> ScopeCodes:
        """Codes of the scope's agent and session, as far as it names them."""
        if scope.agent_id is None and scope.session_id is None:
            return _ANYWHERE
        return ScopeCodes(
            None if scope.agent_id is None else self._agents.get(scope.agent_id, _ABSENT),
            None if scope.session_id is None else self._session_ids.get(scope.session_id, _ABSENT),
        )

    def await_vectors(self) -> NDArray[np.int64]:
        """From now on keeps the vectors of new rows aside; returns the ids in the file of the rows so far."""
        self._awaited = {}
        return self._rows.entry[: self._count].copy()

    def forget_vectors(self) -> None:
        """Ends `await_vectors` without vectors, after a failure."""
        self._awaited = None

    def attach(self, vectors: NDArray[np.float32]) -> None:
        """Takes the vectors of the rows that `await_vectors` named, and those kept aside since."""
        awaited, self._awaited = self._awaited or {}, None
        if len(vectors) < len(self._rows):
            room = np.zeros((len(self._rows), vectors.shape[1]), dtype=np.float32)
            room[: len(vectors)] = vectors
            vectors = room
        for row, vector in awaited.items():
            vectors[row] = vector
        self._vectors = vectors
        self._view = None

    def _leave(self, row: int) -> None:
        if int(self._rows.retired[row]) == NEVER:
            self._documents -= 1
            self._terms -= int(self._rows.length[row])

    def _post(self, row: int, terms: Sequence[str]) -> None:
        frequencies: dict[str, int] = {}
        for term in terms:
            frequencies[term] = frequencies.get(term, 0) + 1
        self._posting_count += len(frequencies)
        postings, base = self._postings, row << FREQUENCY_BITS
        for term, frequency in frequencies.items():
            known = postings.get(term)
            if known is None:
                postings[term] = base | frequency
            elif isinstance(known, int):
                postings[term] = array("q", (known, base | frequency))
            else:
                known.append(base | frequency)

    def _grow(self, capacity: int) -> None:
        room = _empty(capacity)
        for name in _COLUMN_NAMES:
            getattr(room, name)[: self._count] = getattr(self._rows, name)[: self._count]
        self._rows = room
        if self._vectors is not None:
            vectors = np.zeros((capacity, self._vectors.shape[1]), dtype=np.float32)
            vectors[: self._count] = self._vectors[: self._count]
            self._vectors = vectors
        self._view = None
