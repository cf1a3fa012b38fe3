"""Candidates of a query over the columns of a segment: arithmetic over arrays, no SQL, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.index.sqlite.segment import Postings, Rows, ScopeCodes, View
from memoir_server.domain.entry import CandidateColumns, DenseCandidates, KeywordCandidates
from memoir_server.domain.memory import NEVER
from memoir_server.ports.index import IndexQuery

_K1: Final = 1.2
_B: Final = 0.75
_FLOAT32_DOUBT: Final = 4e-6
"""How far a float32 product of two unit vectors may be from the rounded cosine: below this of the last one kept, the
exact cosine decides."""


@dataclass(frozen=True, slots=True)
class OwnerStatistics:
    """Statistics of the owner's entries that are current at the selection's revision: how many, and how many terms in
    them."""

    documents: int
    terms: int


def keyword_candidates(
    view: View,
    postings: Postings,
    query: IndexQuery,
    codes: ScopeCodes,
    statistics: OwnerStatistics | None = None,
) -> KeywordCandidates:
    """Entries with at least one of the terms.

    Beyond the depth those with the best BM25 stay (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75, idf
    ln(1 + (N - n + 0.5) / (n + 0.5))), the newer one where it is equal.

    Args:
        statistics: Of the owner, when the segment holds only some of its entries; else they are counted here.
    """
    rows = view.rows
    past = query.selection.past
    if statistics is None and codes.agent is None and not past and view.documents == len(rows):
        # Every row counts, as in most segments of the present.
        statistics = OwnerStatistics(view.documents, view.terms)
        counted = postings.term
    else:
        current = _at(rows, query.selection.revision) if past else rows.retired == NEVER
        if codes.agent is not None:
            current &= rows.agent == codes.agent
        if statistics is None:
            statistics = _count(view, current, whole=codes.agent is None and not past)
        counted = postings.term[current[postings.rows]]
    document_frequency = np.bincount(counted, minlength=postings.terms)
    mean_length = statistics.terms / statistics.documents if statistics.documents else 0.0
    held = np.zeros(len(rows), dtype=np.bool_)
    held[postings.rows] = True
    found = _eligible(view, query, codes, held)
    if len(found) > query.depth:
        scores = _bm25(view, postings, statistics.documents, mean_length, document_frequency)[found]
        found = found[_best(np.round(scores, 9), rows.revision[found], query.depth)]
    found = _by_revision(view, found)
    # Entries of rows that were not found go to one row more, which is cut off.
    place = np.full(len(rows), len(found), dtype=np.int64)
    place[found] = np.arange(len(found))
    frequency = np.zeros((len(found) + 1, postings.terms), dtype=np.int64)
    frequency[place[postings.rows], postings.term] = postings.frequency
    return KeywordCandidates(
        columns=_columns(view, found),
        frequency=frequency[:-1],
        document_count=statistics.documents,
        mean_length=mean_length,
        document_frequency=document_frequency,
    )


def dense_candidates(view: View, vector: NDArray[np.float32], query: IndexQuery, codes: ScopeCodes) -> DenseCandidates:
    """The nearest entries; the newer one where the rounded cosine is equal. The view must have vectors."""
    rows, vectors = view.rows, view.vectors
    assert vectors is not None
    found = _eligible(view, query, codes, None)
    if len(found) > query.depth > 0:
        # A product with the whole matrix reads it once and in order; only for a small part is copying it cheaper.
        few = 3 * len(found) < len(rows)
        near = vectors[found] @ vector if few else (vectors @ vector)[found]
        last = np.partition(near, len(near) - query.depth)[len(near) - query.depth]
        found = found[near >= last - np.float32(_FLOAT32_DOUBT)]
    # All rows of a small owner: their vectors need not be copied.
    cosine = exact_cosines(vectors if len(found) == len(vectors) else vectors[found], vector)
    if len(found) > query.depth:
        best = _best(cosine, rows.revision[found], query.depth)
        found, cosine = found[best], cosine[best]
    elif view.ascending:
        return DenseCandidates(columns=_columns(view, found), cosine=cosine)
    order = np.argsort(rows.revision[found], kind="stable")
    return DenseCandidates(columns=_columns(view, found[order]), cosine=cosine[order])


def exact_cosines(vectors: NDArray[np.float32], vector: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines of unit vectors, shapes (n, dimension) and (dimension,), summed row by row in float64 and rounded to
    1e-6: the same for an entry whatever stands beside it (semantics 11)."""
    exact = np.einsum("ij,j->i", vectors.astype(np.float64), vector.astype(np.float64))
    rounded: NDArray[np.float64] = np.round(exact, 6) + 0.0  # no negative zero
    return rounded


def merge_dense(parts: Sequence[DenseCandidates], depth: int) -> DenseCandidates:
    """The best of several segments' candidates; the parts share session codes, not speakers."""
    names: dict[str, int] = {}
    speakers = []
    for part in parts:
        codes = np.array([names.setdefault(n, len(names)) for n in part.columns.speaker_names] + [-1], dtype=np.int64)
        speakers.append(codes[part.columns.speaker])
    cosine = np.concatenate([part.cosine for part in parts])
    columns = [part.columns for part in parts]
    revision = np.concatenate([c.revision for c in columns])
    best = _best(cosine, revision, depth)
    best = best[np.argsort(revision[best], kind="stable")]
    memory_ids = [memory_id for c in columns for memory_id in c.memory_id]
    merged = CandidateColumns(
        memory_id=[memory_ids[i] for i in best.tolist()],
        revision=revision[best],
        create_time=np.concatenate([c.create_time for c in columns])[best],
        session=np.concatenate([c.session for c in columns])[best],
        turn=np.concatenate([c.turn for c in columns])[best],
        speaker=np.concatenate(speakers)[best],
        speaker_names=tuple(names),
        length=np.concatenate([c.length for c in columns])[best],
        asks=np.concatenate([c.asks for c in columns])[best],
        importance=np.concatenate([c.importance for c in columns])[best],
        kind=np.concatenate([c.kind for c in columns])[best],
    )
    return DenseCandidates(columns=merged, cosine=cosine[best])


def _at(rows: Rows, revision: int) -> NDArray[np.bool_]:
    """Rows that were current at a past revision."""
    found: NDArray[np.bool_] = (rows.retired > revision) & (rows.revision <= revision)
    return found


def _count(view: View, current: NDArray[np.bool_], *, whole: bool) -> OwnerStatistics:
    if whole:
        return OwnerStatistics(view.documents, view.terms)
    return OwnerStatistics(int(np.count_nonzero(current)), int(view.rows.length[current].sum()))


def _eligible(view: View, query: IndexQuery, codes: ScopeCodes, held: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Rows of the segment that the query allows, among those held."""
    rows, selection = view.rows, query.selection
    mask = rows.retired > selection.revision
    if selection.past:
        mask &= rows.revision <= selection.revision
    if held is not None:
        mask &= held
    if codes.agent is not None:
        mask &= rows.agent == codes.agent
    if codes.session is not None:
        mask &= rows.session_id == codes.session
    if selection.valid_at is not None:
        mask &= rows.valid_from <= selection.valid_at
        mask &= rows.valid_until > selection.valid_at
    elif not selection.include_superseded:
        mask &= rows.valid_until > selection.reference
    found = np.flatnonzero(mask)
    if query.allowed is not None:
        revisions = rows.revision[found]
        at = np.searchsorted(query.allowed, revisions)
        at[at == len(query.allowed)] = 0
        found = found[query.allowed[at] == revisions] if len(query.allowed) else found[:0]
    return found


def _by_revision(view: View, found: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows in the order of their revisions."""
    return np.sort(found) if view.ascending else found[np.argsort(view.rows.revision[found], kind="stable")]


def _bm25(
    view: View, postings: Postings, documents: int, mean_length: float, document_frequency: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Score of each row of the segment, shape (rows,)."""
    # With no current entry there is no mean; any positive one does, all rows being in the past.
    norm = _K1 * (1 - _B + _B * view.rows.length / (mean_length or 1.0))
    idf = np.log1p((documents - document_frequency + 0.5) / (document_frequency + 0.5))
    frequency = postings.frequency
    parts = idf[postings.term] * frequency * (_K1 + 1) / (frequency + norm[postings.rows])
    # Counting adds in the order of the entries, so each row's sum is in the order of the terms.
    scores: NDArray[np.float64] = np.bincount(postings.rows, weights=parts, minlength=len(view.rows)).astype(np.float64)
    return scores


def _best(scores: NDArray[np.float64], revisions: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Places of the `depth` highest scores, the newer revision first where they are equal."""
    count = len(scores)
    if count > depth > 0:
        last = np.partition(scores, count - depth)[count - depth]
        contenders = np.flatnonzero(scores >= last)
    else:
        contenders = np.arange(count)
    order = np.lexsort((-revisions[contenders], -scores[contenders]))[:depth]
    return contenders[order]


def _columns(view: View, found: NDArray[np.int64]) -> CandidateColumns:
    rows = view.rows
    if len(found) == len(rows) and view.ascending:
        # All rows of a small owner. What a row says of these columns is never written again: nothing is copied but ids,
        # which go when their entry does.
        return CandidateColumns(
            memory_id=rows.memory_id.tolist(),
            revision=rows.revision,
            create_time=rows.create_time,
            session=rows.session,
            turn=rows.turn,
            speaker=rows.speaker,
            speaker_names=view.speaker_names,
            length=rows.length,
            asks=rows.asks,
            importance=rows.importance,
            kind=rows.kind,
        )
    return CandidateColumns(
        memory_id=rows.memory_id[found].tolist(),
        revision=rows.revision[found],
        create_time=rows.create_time[found],
        session=rows.session[found],
        turn=rows.turn[found],
        speaker=rows.speaker[found],
        speaker_names=view.speaker_names,
        length=rows.length[found],
        asks=rows.asks[found],
        importance=rows.importance[found],
        kind=rows.kind[found],
    )
