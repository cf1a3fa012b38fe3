"""Candidates of a query over the columns of a segment: compiled loops over arrays, no SQL, no waiting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.index.sqlite.segment import FREQUENCY_BITS, Postings, Rows, ScopeCodes, View
from memoir_server.domain.compiled import compiled
from memoir_server.domain.entry import (
    CandidateColumns,
    DenseCandidates,
    KeywordCandidates,
    make_dense_candidates,
    make_keyword_candidates,
)
from memoir_server.domain.memory import NEVER
from memoir_server.ports.index import NO_REVISIONS, IndexQuery

_K1: Final = 1.2
_B: Final = 0.75
_MICRO: Final = 1e6
_NANO: Final = 1e9
_ANY: Final = -3
"""No code of a segment, and no row's: any will do."""
_ALWAYS, _AT, _AFTER = 0, 1, 2
"""World time: whenever, valid at an instant, valid until after it."""
_RANGES: Final = 1024
"""Into which the largest numbers are divided to find them."""
_ALL: Final = np.empty(0, dtype=np.bool_)


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
    current = _ALL
    if statistics is None and codes.agent is None and not past:
        statistics = OwnerStatistics(view.documents, view.terms)
        if view.documents != len(rows):
            current = rows.retired == NEVER
    else:
        current = _at(rows, query.selection.revision) if past else rows.retired == NEVER
        if codes.agent is not None:
            current &= rows.agent == codes.agent
        if statistics is None:
            statistics = OwnerStatistics(int(np.count_nonzero(current)), int(rows.length[current].sum()))
    mean_length = statistics.terms / statistics.documents if statistics.documents else 0.0
    terms, most = len(postings.counts), min(len(postings.packed), len(rows))
    found = np.empty(most, dtype=np.int64)
    frequency = np.zeros((min(most, query.depth), terms), dtype=np.int64)
    document_frequency = np.zeros(terms, dtype=np.int64)
    count = _matches(
        postings.packed,
        postings.counts,
        _eligible(view, query, codes),
        current,
        rows.length,
        rows.revision,
        statistics.documents,
        # With no current entry there is no mean; any positive one does, all rows being in the past.
        mean_length or 1.0,
        query.depth,
        FREQUENCY_BITS,
        *(found, frequency, document_frequency),
    )
    found, frequency = found[:count], frequency[:count]
    if not view.ascending:
        order = np.argsort(rows.revision[found], kind="stable")
        found, frequency = found[order], frequency[order]
    return make_keyword_candidates(
        table=view.table,
        rows=found,
        frequency=frequency,
        document_count=statistics.documents,
        mean_length=mean_length,
        document_frequency=document_frequency,
    )


def dense_candidates(
    view: View,
    vector: NDArray[np.float32],
    query: IndexQuery,
    codes: ScopeCodes,
    also: NDArray[np.int64] = NO_REVISIONS,
) -> DenseCandidates:
    """The nearest entries, the newer one where the rounded cosine is equal, and the entries of the revisions `also`
    names, as far as the query allows them. The view must have vectors.

    Cosines are summed row by row in float64 and rounded to 1e-6: the same for an entry whatever stands beside it
    (semantics 11).
    """
    rows, vectors = view.rows, view.vectors
    assert vectors is not None
    found, cosine = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
    count, nearest = _nearest(
        vectors,
        vector.astype(np.float64),
        _eligible(view, query, codes),
        also,
        rows.revision,
        query.depth,
        *(found, cosine),
    )
    found, cosine = found[:count], cosine[:count]
    if not view.ascending:
        order = np.argsort(rows.revision[found], kind="stable")
        found, cosine = found[order], cosine[order]
    return make_dense_candidates(table=view.table, rows=found, cosine=cosine, nearest=nearest)


def merge_dense(parts: Sequence[DenseCandidates], depth: int, also: NDArray[np.int64]) -> DenseCandidates:
    """The best of several segments' candidates and those that `also` names; the parts share session codes, not
    speakers."""
    names: dict[str, int] = {}
    speakers = []
    columns = [part.columns for part in parts]
    for part in columns:
        codes = np.array([names.setdefault(n, len(names)) for n in part.speaker_names] + [-1], dtype=np.int64)
        speakers.append(codes[part.speaker])
    cosine = np.concatenate([part.cosine for part in parts])
    revision = np.concatenate([c.revision for c in columns])
    best = np.lexsort((-revision, -cosine))[:depth]
    kept = np.union1d(best, np.flatnonzero(np.isin(revision, also)))
    kept = kept[np.argsort(revision[kept], kind="stable")]
    memory_ids = [memory_id for c in columns for memory_id in c.memory_id]
    merged = CandidateColumns(
        memory_id=[memory_ids[i] for i in kept.tolist()],
        revision=revision[kept],
        create_time=np.concatenate([c.create_time for c in columns])[kept],
        session=np.concatenate([c.session for c in columns])[kept],
        turn=np.concatenate([c.turn for c in columns])[kept],
        speaker=np.concatenate(speakers)[kept],
        speaker_names=tuple(names),
        length=np.concatenate([c.length for c in columns])[kept],
        asks=np.concatenate([c.asks for c in columns])[kept],
        importance=np.concatenate([c.importance for c in columns])[kept],
        kind=np.concatenate([c.kind for c in columns])[kept],
    )
    return DenseCandidates(table=merged, rows=np.arange(len(kept)), cosine=cosine[kept], nearest=len(best))


def _at(rows: Rows, revision: int) -> NDArray[np.bool_]:
    """Rows that were current at a past revision."""
    found: NDArray[np.bool_] = (rows.retired > revision) & (rows.revision <= revision)
    return found


def _eligible(view: View, query: IndexQuery, codes: ScopeCodes) -> NDArray[np.bool_]:
    """Which rows of the segment the query allows. Both arms of a search ask it with one query."""
    rows, selection = view.rows, query.selection
    if (
        view.all_rows is not None
        and codes.agent is None
        and codes.session is None
        and query.allowed is None
        and not selection.past
        and (selection.valid_at is None or not view.begins)
    ):
        return view.all_rows
    if view.answered and view.answered[0][0] is query:
        return view.answered[0][1]
    if selection.valid_at is not None:
        world, instant = _AT, selection.valid_at
    elif selection.include_superseded:
        world, instant = _ALWAYS, 0
    else:
        world, instant = _AFTER, selection.reference
    mask = np.empty(len(rows), dtype=np.bool_)
    _allow(
        rows.revision,
        rows.retired,
        rows.agent,
        rows.session_id,
        rows.valid_from,
        rows.valid_until,
        selection.revision,
        _ANY if codes.agent is None else codes.agent,
        _ANY if codes.session is None else codes.session,
        world,
        instant,
        mask,
    )
    if query.allowed is not None:
        mask &= np.isin(rows.revision, query.allowed)
    view.answered[:] = [(query, mask)]
    return mask


@compiled(
    "void(int64[::1], int64[::1], int32[::1], int32[::1], int64[::1], int64[::1],"
    " int64, int64, int64, int64, int64, boolean[::1])"
)
def _allow(
    revision: NDArray[np.int64],
    retired: NDArray[np.int64],
    agents: NDArray[np.int32],
    sessions: NDArray[np.int32],
    valid_from: NDArray[np.int64],
    valid_until: NDArray[np.int64],
    moment: int,
    agent: int,
    session: int,
    world: int,
    instant: int,
    mask: NDArray[np.bool_],
) -> None:
    for row in range(len(revision)):
        allowed = revision[row] <= moment and retired[row] > moment
        if agent != _ANY:
            allowed &= agents[row] == agent
        if session != _ANY:
            allowed &= sessions[row] == session
        if world == _AT:
            allowed &= valid_from[row] <= instant and valid_until[row] > instant
        elif world == _AFTER:
            allowed &= valid_until[row] > instant
        mask[row] = allowed


@compiled("int64(int64[::1], int64)")
def _least_of_best(worth: NDArray[np.int64], depth: int) -> int:
    """The least of the `depth` largest numbers, of which there are at least one and as many. Counted by where they lie
    between the least and the greatest: only those of one narrow range need to be put in order."""
    least = greatest = worth[0]
    for number in worth:
        least = min(least, number)
        greatest = max(greatest, number)
    shift = 0
    while (greatest - least) >> shift >= _RANGES:
        shift += 1
    counts = np.zeros(_RANGES, dtype=np.int64)
    for number in worth:
        counts[(number - least) >> shift] += 1
    left, place = depth, _RANGES - 1
    while counts[place] < left:
        left -= counts[place]
        place -= 1
    near = np.empty(counts[place], dtype=np.int64)
    count = 0
    for number in worth:
        if (number - least) >> shift == place:
            near[count] = number
            count += 1
    near.sort()
    found: int = near[count - left]
    return found


@compiled(
    "int64(int64[::1], int64[::1], boolean[::1], boolean[::1], int64[::1], int64[::1], int64, float64, int64, int64,"
    " int64[::1], int64[:, ::1], int64[::1])"
)
def _matches(
    packed: NDArray[np.int64],
    counts: NDArray[np.int64],
    eligible: NDArray[np.bool_],
    current: NDArray[np.bool_],
    length: NDArray[np.int64],
    revision: NDArray[np.int64],
    documents: int,
    mean_length: float,
    depth: int,
    frequency_bits: int,
    found: NDArray[np.int64],
    frequency: NDArray[np.int64],
    document_frequency: NDArray[np.int64],
) -> int:
    """Sets the rows that hold a term, the best `depth` of them; the terms' frequencies in them; and of each term, in
    how many current rows it occurs. Returns how many rows. An empty `current` says that all rows are."""
    terms = len(counts)
    mask = (1 << frequency_bits) - 1
    score = np.zeros(len(length), dtype=np.float64)
    touched = np.zeros(len(length), dtype=np.bool_)
    count, begin = 0, 0
    for term in range(terms):
        end = begin + counts[term]
        for i in range(begin, end):
            if len(current) == 0 or current[packed[i] >> frequency_bits]:
                document_frequency[term] += 1
        known = document_frequency[term]
        weight = math.log1p((documents - known + 0.5) / (known + 0.5))
        for i in range(begin, end):
            row = packed[i] >> frequency_bits
            if eligible[row]:
                occurs = packed[i] & mask
                norm = _K1 * (1 - _B + _B * length[row] / mean_length)
                score[row] += weight * occurs * (_K1 + 1) / (occurs + norm)
                if not touched[row]:
                    touched[row] = True
                    count += 1
        begin = end
    count = 0
    for row in range(len(touched)):
        if touched[row]:
            found[count] = row
            count += 1
    if count > depth:
        # Rounded, so that equal evidence is equal whatever order it was summed in.
        worth = np.empty(count, dtype=np.int64)
        for i in range(count):
            worth[i] = int(np.rint(score[found[i]] * _NANO))
        least = _least_of_best(worth, depth)
        better = 0
        equals = np.empty(count, dtype=np.int64)
        equal = 0
        for i in range(count):
            if worth[i] > least:
                better += 1
            elif worth[i] == least:
                equals[equal] = revision[found[i]]
                equal += 1
        oldest = np.sort(equals[:equal])[equal - (depth - better)]
        kept = 0
        for i in range(count):
            if worth[i] > least or (worth[i] == least and revision[found[i]] >= oldest):
                found[kept] = found[i]
                kept += 1
        count = kept
    place = np.full(len(length), -1, dtype=np.int64)
    for i in range(count):
        place[found[i]] = i
    begin = 0
    for term in range(terms):
        for i in range(begin, begin + counts[term]):
            at = place[packed[i] >> frequency_bits]
            if at >= 0:
                frequency[at, term] = packed[i] & mask
        begin += counts[term]
    return count


@compiled(
    "UniTuple(int64, 2)"
    "(float32[:, ::1], float64[::1], boolean[::1], int64[::1], int64[::1], int64, int64[::1], float64[::1])",
    reassociate=True,
    unlocked=True,
)
def _nearest(
    vectors: NDArray[np.float32],
    vector: NDArray[np.float64],
    eligible: NDArray[np.bool_],
    also: NDArray[np.int64],
    revision: NDArray[np.int64],
    depth: int,
    rows: NDArray[np.int64],
    cosine: NDArray[np.float64],
) -> tuple[int, int]:
    """Sets the `depth` nearest of the eligible rows and those of the revisions `also`, which ascend, and their cosines.
    Returns how many rows, and how many of them are nearest."""
    micro = np.empty(len(eligible), dtype=np.int64)
    count = 0
    for row in range(len(eligible)):
        if eligible[row]:
            rows[count] = row
            count += 1
    # Four stretches of rows side by side: a search takes its user's vectors from main memory, which is slow to begin a
    # stretch and quick to go on with several. Each sum is made as all others are, wherever its row lies.
    stretch, last = (count + 3) // 4, count - 1
    for first in range(stretch):
        second, third, fourth = (
            min(first + stretch, last),
            min(first + 2 * stretch, last),
            min(first + 3 * stretch, last),
        )
        one, two, three, four = vectors[rows[first]], vectors[rows[second]], vectors[rows[third]], vectors[rows[fourth]]
        near_one = near_two = near_three = near_four = 0.0
        for i in range(len(vector)):
            component = vector[i]
            near_one += np.float64(one[i]) * component
            near_two += np.float64(two[i]) * component
            near_three += np.float64(three[i]) * component
            near_four += np.float64(four[i]) * component
        micro[first] = int(np.rint(near_one * _MICRO))
        micro[second] = int(np.rint(near_two * _MICRO))
        micro[third] = int(np.rint(near_three * _MICRO))
        micro[fourth] = int(np.rint(near_four * _MICRO))
    keep = np.ones(count, dtype=np.bool_)
    nearest = count
    if count > depth:
        nearest = depth
        keep[:] = False
        if depth > 0:
            least = _least_of_best(micro[:count], depth)
            better = 0
            equals = np.empty(count, dtype=np.int64)
            equal = 0
            for i in range(count):
                if micro[i] > least:
                    better += 1
                elif micro[i] == least:
                    equals[equal] = revision[rows[i]]
                    equal += 1
            oldest = np.sort(equals[:equal])[equal - (depth - better)]
            for i in range(count):
                keep[i] = micro[i] > least or (micro[i] == least and revision[rows[i]] >= oldest)
        place = 0
        for i in range(count):
            named = revision[rows[i]]
            if place and also[place - 1] >= named:
                # A row out of order, as there are where entries were put again.
                place = 0
            while place < len(also) and also[place] < named:
                place += 1
            if place < len(also) and also[place] == named:
                keep[i] = True
    kept = 0
    for i in range(count):
        if keep[i]:
            rows[kept] = rows[i]
            cosine[kept] = micro[i] / _MICRO
            kept += 1
    return kept, nearest
