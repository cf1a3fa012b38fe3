"""Evidence about the candidates of one query, gathered arm by arm and joined by revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.entry import CandidateColumns, DenseCandidates, KeywordCandidates


@dataclass(frozen=True, slots=True)
class GraphEvidence:
    """What the graph knows of a candidate: `hops` from the query's entities (0: it mentions one itself) and how many
    matched `entities` it reaches at that distance."""

    hops: int
    entities: int


def _no_columns() -> CandidateColumns:
    none = np.empty(0, dtype=np.int64)
    return CandidateColumns(
        memory_id=(),
        revision=none,
        create_time=none,
        session=none,
        turn=none,
        speaker=none,
        speaker_names=(),
        length=none,
        asks=np.empty(0, dtype=np.bool_),
        importance=np.empty(0, dtype=np.float64),
        kind=none,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Candidates by ascending revision, each once, with what each arm said of them.

    Attributes:
        columns: Of n candidates.
        cosine: Shape (n,); NaN where unknown.
        frequency: Shape (n, terms): how often each query term occurs; 0 for candidates the keyword arm did not give.
        document_count, mean_length, document_frequency: Statistics of the owner, as in `KeywordCandidates`.
    """

    columns: CandidateColumns
    cosine: NDArray[np.float64]
    frequency: NDArray[np.int64]
    document_count: int
    mean_length: float
    document_frequency: NDArray[np.int64]

    @classmethod
    def empty(cls) -> Evidence:
        """No candidates yet."""
        return cls(
            columns=_no_columns(),
            cosine=np.empty(0, dtype=np.float64),
            frequency=np.empty((0, 0), dtype=np.int64),
            document_count=0,
            mean_length=0.0,
            document_frequency=np.empty(0, dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.columns)

    def with_keyword(self, candidates: KeywordCandidates) -> Evidence:
        """Adds what the keyword arm found; the statistics and frequencies of an earlier call are replaced."""
        grown = self._grown(candidates.columns)
        if grown.columns is candidates.columns:
            frequency = candidates.frequency
        else:
            frequency = np.zeros((len(grown), len(candidates.document_frequency)), dtype=np.int64)
            frequency[np.searchsorted(grown.columns.revision, candidates.columns.revision)] = candidates.frequency
        return Evidence(
            columns=grown.columns,
            cosine=grown.cosine,
            frequency=frequency,
            document_count=candidates.document_count,
            mean_length=candidates.mean_length,
            document_frequency=candidates.document_frequency,
        )

    def with_dense(self, candidates: DenseCandidates) -> Evidence:
        """Adds what the dense arm found, or cosines looked up for candidates known already. A cosine that is NaN adds
        the candidate and says nothing about its cosine."""
        grown = self._grown(candidates.columns)
        known = ~np.isnan(candidates.cosine)
        if grown.columns is candidates.columns and known.all():
            cosine = candidates.cosine
        else:
            cosine = grown.cosine.copy()
            place = np.searchsorted(grown.columns.revision, candidates.columns.revision[known])
            cosine[place] = candidates.cosine[known]
        return grown._with(grown.columns, cosine, grown.frequency)

    def without_cosine(self) -> NDArray[np.int64]:
        """Ascending revisions whose cosine is unknown."""
        return self.columns.revision[np.isnan(self.cosine)]

    def unknown(self, revisions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the revisions that are no candidates, ascending, each once."""
        return np.setdiff1d(revisions, self.columns.revision)

    def _grown(self, added: CandidateColumns) -> Evidence:
        """With the added candidates; those known already stay as they are."""
        place = _places(self.columns.revision, added.revision)
        if place is not None:
            # The first arm, or one that found all that the first did, as in the scope of a small owner: its columns
            # serve as they are, which saves half of the join.
            cosine = np.full(len(added), np.nan)
            cosine[place] = self.cosine
            frequency = np.zeros((len(added), self.frequency.shape[1]), dtype=np.int64)
            frequency[place] = self.frequency
            return self._with(added, cosine, frequency)
        columns, kept = _union(self.columns, added)
        old = kept < len(self)
        cosine = np.full(len(kept), np.nan)
        cosine[old] = self.cosine[kept[old]]
        frequency = np.zeros((len(kept), self.frequency.shape[1]), dtype=np.int64)
        frequency[old] = self.frequency[kept[old]]
        return self._with(columns, cosine, frequency)

    def _with(self, columns: CandidateColumns, cosine: NDArray[np.float64], frequency: NDArray[np.int64]) -> Evidence:
        """The same statistics with other candidates; `dataclasses.replace` would take ten times as long."""
        return Evidence(
            columns=columns,
            cosine=cosine,
            frequency=frequency,
            document_count=self.document_count,
            mean_length=self.mean_length,
            document_frequency=self.document_frequency,
        )


def _places(some: NDArray[np.int64], all_: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Where in `all_` the ascending revisions of `some` are; None when one is missing there, or `all_` does not
    ascend."""
    if len(some) > len(all_) or not (all_[1:] > all_[:-1]).all():
        return None
    if not len(some):
        return np.empty(0, dtype=np.int64)
    place = np.searchsorted(all_, some)
    held = place[-1] < len(all_) and bool((all_[place] == some).all())
    return place if held else None


def _union(left: CandidateColumns, right: CandidateColumns) -> tuple[CandidateColumns, NDArray[np.int64]]:
    """Both by ascending revision, each revision once, and the place of each row in left followed by right."""
    revision, kept = np.unique(np.concatenate((left.revision, right.revision)), return_index=True)
    names, left_speaker, right_speaker = _joined_speakers(left, right)

    def ints(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
        joined: NDArray[np.int64] = np.concatenate((one, other))[kept]
        return joined

    columns = CandidateColumns(
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
    return columns, kept


def _joined_ids(left: Sequence[str], right: Sequence[str], kept: NDArray[np.int64]) -> list[str]:
    ids = [*left, *right]
    return [ids[i] for i in kept.tolist()]


def _joined_speakers(
    left: CandidateColumns, right: CandidateColumns
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Names of both and the speaker columns in terms of them."""
    if not len(left) or left.speaker_names == right.speaker_names:
        return right.speaker_names, left.speaker, right.speaker
    codes = {name: code for code, name in enumerate(left.speaker_names)}
    # The last place is what code -1, nobody, reads.
    mapping = np.array([codes.setdefault(name, len(codes)) for name in right.speaker_names] + [-1], dtype=np.int64)
    return tuple(codes), left.speaker, mapping[right.speaker]
