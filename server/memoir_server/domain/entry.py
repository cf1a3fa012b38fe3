"""Entries of the index: one per version of a memory."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.making import maker
from memoir_server.domain.memory import NEVER, Memory, MemoryKind, Scope
from memoir_server.domain.time import Instant

_ENTRY_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://memoir.dev/entry")


def entry_id(namespace: str, memory_id: str, revision: int) -> uuid.UUID:
    """Id of the version's entry in any index: uuid5(namespace, memory_id, revision) (semantics 5)."""
    return uuid.uuid5(_ENTRY_NAMESPACE, f"{namespace}\n{memory_id}\n{revision}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """What the index keeps of one version. Immutable but for `retired`.

    `terms` are the analysed terms of text and speaker, in order, repeats included; `vector` is float32, unit norm,
    shape (dimension,).
    """

    memory_id: str
    revision: int
    retired: int = NEVER
    scope: Scope
    kind: MemoryKind
    create_time: Instant
    valid_from: Instant | None
    valid_until: Instant | None
    importance: float | None
    speaker: str
    turn: int
    asks: bool
    terms: tuple[str, ...]
    vector: NDArray[np.float32]


_make_entry = maker(IndexEntry)


def asks(text: str) -> bool:
    """Whether a text ends as a question does."""
    return text.rstrip().endswith(("?", "？", "؟"))


def describe(
    memory: Memory, *, terms: tuple[str, ...], vector: NDArray[np.float32], retired: int = NEVER
) -> IndexEntry:
    """The entry of a version whose terms and vector are known."""
    return _make_entry(
        memory_id=memory.memory_id,
        revision=memory.revision,
        retired=retired,
        scope=memory.scope,
        kind=memory.kind,
        create_time=memory.create_time,
        valid_from=memory.valid_from,
        valid_until=memory.valid_until,
        importance=memory.importance,
        speaker=memory.speaker,
        turn=memory.turn,
        asks=asks(memory.text),
        terms=terms,
        vector=vector,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateColumns:
    """Versions of memories as columns of equal length n, so that ranking is arithmetic over arrays.

    A revision names one version within its namespace, so `revision` is the key that joins the columns of two arms.
    `session` and `speaker` hold codes: equal code, equal value; -1 is none. `speaker_names[code]` is the name; codes
    of `session` are stable within the namespace for as long as the process runs, codes of `speaker` index
    `speaker_names` of this object.
    """

    memory_id: Sequence[str]
    revision: NDArray[np.int64]
    create_time: NDArray[np.int64]
    session: NDArray[np.int64]
    turn: NDArray[np.int64]
    speaker: NDArray[np.int64]
    speaker_names: tuple[str, ...]
    length: NDArray[np.int64]
    """Terms in the entry, repeats included."""
    asks: NDArray[np.bool_]
    importance: NDArray[np.float64]
    """0.5 where the memory has none."""
    kind: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.revision)

    def at(self, rows: NDArray[np.int64]) -> CandidateColumns:
        """The columns of some rows, copied."""
        return CandidateColumns(
            memory_id=[self.memory_id[row] for row in rows.tolist()],
            revision=self.revision[rows],
            create_time=self.create_time[rows],
            session=self.session[rows],
            turn=self.turn[rows],
            speaker=self.speaker[rows],
            speaker_names=self.speaker_names,
            length=self.length[rows],
            asks=self.asks[rows],
            importance=self.importance[rows],
            kind=self.kind[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeywordCandidates:
    """Entries that hold at least one query term: the `rows` of a `table`, ascending by revision. An index that answers
    both arms from one table passes the same object, and nothing needs to be copied or matched by revision.

    `frequency[i, j]` is how often query term j occurs in candidate i. `document_count`, `mean_length` (terms) and
    `document_frequency[j]` are statistics of the entries of the selection's owner scope that are current at its
    revision, so that neither another user's data nor later writes move the scores. `vectors`, where the index was
    asked to bring them and did, has the candidates' unit vectors, float32, shape (n, dimension), rows of NaN for none.
    """

    table: CandidateColumns
    rows: NDArray[np.int64]
    frequency: NDArray[np.int64]
    document_count: int
    mean_length: float
    document_frequency: NDArray[np.int64]
    vectors: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> CandidateColumns:
        """The candidates' own columns, copied."""
        return self.table.at(self.rows)


make_keyword_candidates = maker(KeywordCandidates)
"""`KeywordCandidates`, where many are made."""


def cosines(vectors: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines of unit vectors, shape (n, dimension), with another: in float64, rounded to 1e-6. Multiplied and summed,
    not a matrix product: the order in which that one sums depends on the number of rows (semantics 11)."""
    found: NDArray[np.float64] = np.round((vectors.astype(np.float64) * vector.astype(np.float64)).sum(axis=1), 6)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseCandidates:
    """Nearest entries, and those asked for by name: the `rows` of a `table`, ascending by revision.

    `cosine[i]` is computed from the stored float32 vectors in float64, rounded to 1e-6. `nearest` of the rows are there
    for being near.
    """

    table: CandidateColumns
    rows: NDArray[np.int64]
    cosine: NDArray[np.float64]
    nearest: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> CandidateColumns:
        """The candidates' own columns, copied."""
        return self.table.at(self.rows)


make_dense_candidates = maker(DenseCandidates)
"""`DenseCandidates`, where many are made."""
