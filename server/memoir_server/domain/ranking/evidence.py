"""Evidence about the candidates of one query, gathered arm by arm and joined by revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.compiled import compiled
from memoir_server.domain.entry import CandidateColumns, DenseCandidates, KeywordCandidates
from memoir_server.domain.making import maker


@dataclass(frozen=True, slots=True)
class GraphEvidence:
    """What the graph knows of a candidate: `hops` from the query's entities (0: it mentions one itself) and how many
    matched `entities` it reaches at that distance."""

    hops: int
    entities: int


_NO_ROWS = np.empty(0, dtype=np.int64)
_NO_COLUMNS = CandidateColumns(
    memory_id=(),
    revision=_NO_ROWS,
    create_time=_NO_ROWS,
    session=_NO_ROWS,
    turn=_NO_ROWS,
    speaker=_NO_ROWS,
    speaker_names=(),
    length=_NO_ROWS,
    asks=np.empty(0, dtype=np.bool_),
    importance=np.empty(0, dtype=np.float64),
    kind=_NO_ROWS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Candidates by ascending revision, each once, with what each arm said of them.

    Attributes:
        table: What is known of the candidates, and perhaps of others.
        rows: Where in the table the n candidates are.
        cosine: Shape (n,); NaN where unknown.
        frequency: Shape (n, terms): how often each query term occurs; 0 for candidates the keyword arm did not give.
        document_count, mean_length, document_frequency: Statistics of the owner, as in `KeywordCandidates`.
    """

    table: CandidateColumns
    rows: NDArray[np.int64]
    cosine: NDArray[np.float64]
    frequency: NDArray[np.int64]
    document_count: int
    mean_length: float
    document_frequency: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Evidence:
        """No candidates yet."""
        return _EMPTY

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> CandidateColumns:
        """The candidates' own columns, copied."""
        return self.table.at(self.rows)

    @property
    def revision(self) -> NDArray[np.int64]:
        """Of each candidate, ascending, shape (n,)."""
        found: NDArray[np.int64] = self.table.revision[self.rows]
        return found

    def with_keyword(self, candidates: KeywordCandidates) -> Evidence:
        """Adds what the keyword arm found; the statistics and frequencies of an earlier call are replaced."""
        table, own, added = self._in_one_table(candidates.table, candidates.rows)
        rows, cosine, frequency = added, np.full(len(added), np.nan), candidates.frequency
        if len(own):
            rows, cosine, frequency = self._joined(table, own, added, cosine, frequency, of_added=True)
        return make_evidence(
            table=table,
            rows=rows,
            cosine=cosine,
            frequency=frequency,
            document_count=candidates.document_count,
            mean_length=candidates.mean_length,
            document_frequency=candidates.document_frequency,
        )

    def with_cosine(self, cosine: NDArray[np.float64]) -> Evidence:
        """The same candidates with these cosines, in their order."""
        return replace(self, cosine=cosine)

    def with_dense(self, candidates: DenseCandidates) -> Evidence:
        """Adds what the dense arm found, or cosines looked up for candidates known already. A cosine that is NaN adds
        the candidate and says nothing about its cosine."""
        table, own, added = self._in_one_table(candidates.table, candidates.rows)
        rows, cosine, frequency = self._joined(table, own, added, candidates.cosine, self.frequency, of_added=False)
        return make_evidence(
            table=table,
            rows=rows,
            cosine=cosine,
            frequency=frequency,
            document_count=self.document_count,
            mean_length=self.mean_length,
            document_frequency=self.document_frequency,
        )

    def _joined(
        self,
        table: CandidateColumns,
        own: NDArray[np.int64],
        added: NDArray[np.int64],
        added_cosine: NDArray[np.float64],
        frequency: NDArray[np.int64],
        *,
        of_added: bool,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Rows, cosines and frequencies of both; the frequencies are those of the added candidates or of the own."""
        most = len(own) + len(added)
        rows, cosine = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.float64)
        frequencies = np.empty((most, frequency.shape[1]), dtype=np.int64)
        count = _join(
            *(table.revision, own, self.cosine, added, added_cosine, frequency, of_added),
            *(rows, cosine, frequencies),
        )
        return rows[:count], cosine[:count], frequencies[:count]

    def without_cosine(self) -> NDArray[np.int64]:
        """Ascending revisions whose cosine is unknown."""
        return self.revision[np.isnan(self.cosine)]

    def unknown(self, revisions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the revisions that are no candidates, ascending, each once."""
        return np.setdiff1d(revisions, self.revision)

    def _in_one_table(
        self, table: CandidateColumns, rows: NDArray[np.int64]
    ) -> tuple[CandidateColumns, NDArray[np.int64], NDArray[np.int64]]:
        """A table with the candidates of both, and where in it the own ones and the others are."""
        if not len(self) or table is self.table:
            return table, self.rows, rows
        union = _union(self.columns, table.at(rows))
        own = np.searchsorted(union.revision, self.revision)
        return union, own, np.searchsorted(union.revision, table.revision[rows])


make_evidence = maker(Evidence)
"""`Evidence`, where many are made."""


_EMPTY = Evidence(
    table=_NO_COLUMNS,
    rows=_NO_ROWS,
    cosine=np.empty(0, dtype=np.float64),
    frequency=np.empty((0, 0), dtype=np.int64),
    document_count=0,
    mean_length=0.0,
    document_frequency=_NO_ROWS,
)


@compiled(
    "int64(int64[::1], int64[::1], float64[::1], int64[::1], float64[::1], int64[:, ::1], boolean,"
    " int64[::1], float64[::1], int64[:, ::1])"
)
def _join(
    revision: NDArray[np.int64],
    own: NDArray[np.int64],
    own_cosine: NDArray[np.float64],
    added: NDArray[np.int64],
    added_cosine: NDArray[np.float64],
    frequency: NDArray[np.int64],
    frequency_of_added: bool,
    rows: NDArray[np.int64],
    cosine: NDArray[np.float64],
    frequencies: NDArray[np.int64],
) -> int:
    """Merges two sets of rows of one table, each ascending by revision, into the last three; returns how many."""
    count, i, j = 0, 0, 0
    while i < len(own) or j < len(added):
        left = i < len(own) and (j == len(added) or revision[own[i]] <= revision[added[j]])
        right = j < len(added) and (i == len(own) or revision[added[j]] <= revision[own[i]])
        cosine[count] = np.nan
        if left:
            rows[count] = own[i]
            cosine[count] = own_cosine[i]
            if not frequency_of_added:
                frequencies[count] = frequency[i]
            i += 1
        elif not frequency_of_added:
            frequencies[count] = 0
        if right:
            rows[count] = added[j]
            if not np.isnan(added_cosine[j]):
                cosine[count] = added_cosine[j]
            if frequency_of_added:
                frequencies[count] = frequency[j]
            j += 1
        elif frequency_of_added:
            frequencies[count] = 0
        count += 1
    return count


def _union(left: CandidateColumns, right: CandidateColumns) -> CandidateColumns:
    """Both by ascending revision, each revision once."""
    revision, kept = np.unique(np.concatenate((left.revision, right.revision)), return_index=True)
    names, left_speaker, right_speaker = _joined_speakers(left, right)

    def ints(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
        joined: NDArray[np.int64] = np.concatenate((one, other))[kept]
        return joined

    return CandidateColumns(
        memory_id=_joined_ids(left.memory_id, right.memory_id, kept),
        revision=revision,
        create_time=ints(left.create_time, right.create_time),
        session=ints(left.session, right.session),
        turn=ints(left.turn, right.turn),
        speaker=ints(left_speaker, right_speaker),
        speaker_names=names,
        length=ints(left.length, right.length),
        asks=np.concatenate((left.asks, right.asks))[kept],
        importance=np.concatenate((left.importance, right.importance))[kept],
        kind=ints(left.kind, right.kind),
    )


def _joined_ids(left: Sequence[str], right: Sequence[str], kept: NDArray[np.int64]) -> list[str]:
    ids = [*left, *right]
    return [ids[i] for i in kept.tolist()]


def _joined_speakers(
    left: CandidateColumns, right: CandidateColumns
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Names of both and the speaker columns in terms of them."""
    if left.speaker_names == right.speaker_names:
        return right.speaker_names, left.speaker, right.speaker
    codes = {name: code for code, name in enumerate(left.speaker_names)}
    # The last place is what code -1, nobody, reads.
    mapping = np.array([codes.setdefault(name, len(codes)) for name in right.speaker_names] + [-1], dtype=np.int64)
    return tuple(codes), left.speaker, mapping[right.speaker]
