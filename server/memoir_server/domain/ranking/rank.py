"""From evidence to the order of hits."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.compiled import compiled
from memoir_server.domain.making import maker
from memoir_server.domain.memory import MemoryKind
from memoir_server.domain.ranking import signals as sign
from memoir_server.domain.ranking.bm25 import bm25
from memoir_server.domain.ranking.evidence import Evidence, GraphEvidence
from memoir_server.domain.ranking.fusion import fuse
from memoir_server.domain.ranking.query import QuerySignals
from memoir_server.domain.ranking.recipes import RecipeSettings

RANKING_VERSION: Final = 1
"""Raise it when equal evidence may be ranked or scored otherwise."""

COVERAGE_SHARE: Final = 0.5
"""Score of a hit that holds every query term and whose cosine is zero or unknown."""

_MICRO: Final = 1e6
_HALF_LENGTH: Final = 8
"""Terms at which the length prior is half of its most; about the mean of a chat message."""
_PARTS: Final = (
    *("keyword", "dense", "neighbour", "session", "speaker", "date", "graph"),
    *("recency", "importance", "length", "question"),
)
"""Terms of the rank score, in the order they are added in."""
_KEYWORD, _DENSE, _NEIGHBOUR, _SESSION, _SPEAKER, _DATE, _GRAPH, _RECENCY, _IMPORTANCE, _LENGTH, _QUESTION = range(11)
_MOST_PICKED: Final = 128
"""Places that are found by picking them one by one; for more, all candidates are sorted."""
_EPISODE: Final = int(MemoryKind.EPISODE)
_PLACE_BITS: Final = 24
_PLACE_MASK: Final = (1 << _PLACE_BITS) - 1

Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Candidates, best first: all of them, or the first so many.

    Attributes:
        candidates: How many there are in all.
        revision: Of each that has a place here, shape (n,).
        score: 0..1, comparable between queries, see `score_of`.
        rank_score: Falling; comparable within this ranking only.
    """

    candidates: int
    revision: NDArray[np.int64]
    score: Column
    rank_score: Column
    _order: NDArray[np.int64]
    _measures: Mapping[str, Column]
    _contributions: NDArray[np.float64]
    _told: frozenset[int]

    def __len__(self) -> int:
        return len(self.revision)

    def parts(self, place: int) -> dict[str, float]:
        """What the scores of the hit at a place are made of, rounded to 1e-6.

        `cosine` (missing when unknown), `coverage` and `bm25` are measures. The others are contributions whose sum is
        the rank score, up to rounding: `keyword`, `dense`, `neighbour`, `session`, `speaker`, `date`, `graph`,
        `recency`, `importance`, `length`, `question`; signals the recipe leaves out are missing.
        """
        row = int(self._order[place])
        found = {name: float(column[row]) for name, column in self._measures.items()}
        found |= {name: float(self._contributions[i, row]) for i, name in enumerate(_PARTS) if i in self._told}
        return {name: round(value, 6) + 0.0 for name, value in found.items() if value == value}


make_ranking = maker(Ranking)
"""`Ranking`, where many are made."""


def score_of(cosine: Column, share: Column) -> Column:
    """The score of hits: 1 - (1 - max(0, cosine)) * (1 - coverage / 2), rounded to 1e-6, shape (n,).

    Two independent reasons to believe, joined as probabilities are: it rises with either, is 1 only for the same
    meaning, and depends on nothing but the hit itself (semantics 9). A cosine not known yet, or never asked for, counts
    as 0; so the score of a keyword hit can only rise when its cosine arrives.

    Args:
        cosine: -1..1, NaN where unknown.
        share: Coverage, 0..1.
    """
    score = np.empty(len(cosine))
    _scores(cosine, share, score)
    return score


@compiled("float64(float64, float64)")
def _score(cosine: float, share: float) -> float:
    near = min(cosine, 1.0) if cosine > 0.0 else 0.0
    found: float = np.rint((1.0 - (1.0 - near) * (1.0 - COVERAGE_SHARE * share)) * _MICRO) / _MICRO
    return found


@compiled("void(float64[::1], float64[::1], float64[::1])")
def _scores(cosine: Column, share: Column, score: Column) -> None:
    for i in range(len(cosine)):
        score[i] = _score(cosine[i], share[i])


def rank(
    evidence: Evidence,
    signals: QuerySignals,
    settings: RecipeSettings,
    *,
    graph: Mapping[int, GraphEvidence],
    first: int | None = None,
) -> Ranking:
    """Ranks all candidates: rank score, rounded to 1e-6, falling; memory id rising where it is equal.

    Args:
        evidence: What is known now; cosines may be unknown for some or all candidates.
        signals: Of the query.
        settings: Of the recipe.
        graph: What the graph knows, by revision; may name revisions that are no candidates.
        first: How many places are wanted, at least; None: all. What is ranked first does not depend on it.
    """
    table, rows, count = evidence.table, evidence.rows, len(evidence.rows)
    kept = settings.dense_first_kept
    wanted = count if first is None else min(count, max(first, kept))
    matches = bm25(evidence)
    near, score = np.empty(count), np.empty(count)
    nearest, equals, turns = _nearness(
        *(evidence.cosine, matches.coverage, table.kind, table.session, table.turn, rows, _EPISODE),
        *(near, score),
    )
    measure = matches.score / matches.bound if matches.bound else matches.score
    keyword, dense = fuse(settings.fusion, measure, near, settings.keyword_weight)
    parts, told = _contributions(evidence, keyword, dense, signals, settings, graph, turns > 0)
    micro, order = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    _add_up(
        *(parts, table.importance, table.length, table.asks, rows),
        *(0.0 if turns else settings.session, settings.importance, settings.length, settings.question, micro),
    )
    ids = _Ids(evidence)
    placed = _order(micro, ids, wanted, order)
    if kept and count > kept and settings.dense and equals:
        if equals > 1:
            nearest = min(np.flatnonzero(near == near[nearest]).tolist(), key=ids.__getitem__)
        if _lift(micro, parts, order, kept, nearest):
            placed = _order(micro, ids, wanted, order)
    order = order[:placed]
    revision, best, rank_score = np.empty(placed, dtype=np.int64), np.empty(placed), np.empty(placed)
    _read_off(order, rows, table.revision, score, micro, revision, best, rank_score)
    return make_ranking(
        candidates=count,
        revision=revision,
        score=best,
        rank_score=rank_score,
        _order=order,
        _measures={"cosine": evidence.cosine, "coverage": matches.coverage, "bm25": matches.score},
        _contributions=parts,
        _told=told,
    )


def _contributions(
    evidence: Evidence,
    keyword: Column,
    dense: Column,
    signals: QuerySignals,
    settings: RecipeSettings,
    graph: Mapping[int, GraphEvidence],
    talk: bool,
) -> tuple[NDArray[np.float64], frozenset[int]]:
    """Terms of the rank score, shape (parts, n), and which of them say anything about a candidate. What `_add_up` sets
    is still missing. Without `talk`, no candidate is a turn of a session."""
    table, rows = evidence.table, evidence.rows
    parts = np.zeros((len(_PARTS), len(rows)))
    parts[_KEYWORD] = keyword
    parts[_DENSE] = dense
    told = _told(settings)
    if talk and _SESSION in told:
        parts[_NEIGHBOUR], parts[_SESSION] = sign.conversation(table, rows, keyword + dense, settings)
    if settings.speaker and signals.speakers:
        spoken = sign.speaker_match(table, rows, signals.speakers)
        if spoken is not None:
            parts[_SPEAKER] = settings.speaker * spoken
            told |= {_SPEAKER}
    if settings.date and signals.dates:
        parts[_DATE] = settings.date * sign.date_affinities(table.create_time, rows, signals.dates)
        told |= {_DATE}
    if settings.graph_boost and graph:
        parts[_GRAPH] = settings.graph_boost * sign.graph_match(evidence.revision, graph)
        told |= {_GRAPH}
    if settings.recency:
        parts[_RECENCY] = settings.recency * sign.recency(table.create_time, rows)
    return parts, told


@functools.cache
def _told(settings: RecipeSettings) -> frozenset[int]:
    """Parts that the recipe has for every query."""
    weights = {
        _NEIGHBOUR: settings.session or settings.previous_turn or settings.next_turn or settings.answer,
        _SESSION: settings.session or settings.previous_turn or settings.next_turn or settings.answer,
        _RECENCY: settings.recency,
        _IMPORTANCE: settings.importance,
        _LENGTH: settings.length,
        _QUESTION: settings.question,
    }
    return frozenset({_KEYWORD, _DENSE} | {part for part, weight in weights.items() if weight})


@compiled(
    "void(float64[:, ::1], float64[::1], int64[::1], boolean[::1], int64[::1],"
    " float64, float64, float64, float64, int64[::1])"
)
def _add_up(
    parts: NDArray[np.float64],
    importance: Column,
    length: NDArray[np.int64],
    asks: NDArray[np.bool_],
    rows: NDArray[np.int64],
    of_own: float,
    of_importance: float,
    of_length: float,
    of_question: float,
    micro: NDArray[np.int64],
) -> None:
    """Sets what speaks for a candidate whatever the query is, and the sum of all parts in millionths. With `of_own`,
    all stand for themselves where others have a session."""
    for i in range(len(rows)):
        row = rows[i]
        if of_own != 0.0:
            parts[_SESSION, i] = of_own * (parts[_KEYWORD, i] + parts[_DENSE, i])
        parts[_IMPORTANCE, i] = of_importance * (importance[row] - 0.5)
        parts[_LENGTH, i] = of_length * (length[row] / (length[row] + _HALF_LENGTH))
        if asks[row]:
            parts[_QUESTION, i] = -of_question
        total = 0.0
        for part in range(parts.shape[0]):
            total += parts[part, i]
        micro[i] = int(np.rint(total * _MICRO))


@compiled(
    "UniTuple(int64, 3)(float64[::1], float64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64,"
    " float64[::1], float64[::1])"
)
def _nearness(
    cosine: Column,
    coverage: Column,
    kind: NDArray[np.int64],
    session: NDArray[np.int64],
    turn: NDArray[np.int64],
    rows: NDArray[np.int64],
    episode: int,
    near: Column,
    score: Column,
) -> tuple[int, int, int]:
    """Sets max(0, cosine), 0 where it is unknown, and the scores. Returns a place where that cosine is largest; how
    many such there are, 0 where it is 0 everywhere; and how many candidates are numbered turns of sessions."""
    nearest, count, turns = 0, 0, 0
    for i in range(len(cosine)):
        near[i] = cosine[i] if cosine[i] > 0.0 else 0.0
        score[i] = _score(cosine[i], coverage[i])
        if near[i] > 0.0:
            if count == 0 or near[i] > near[nearest]:
                nearest, count = i, 0
            if near[i] == near[nearest]:
                count += 1
        row = rows[i]
        if kind[row] == episode and session[row] >= 0 and turn[row] > 0:
            turns += 1
    return nearest, count, turns


@compiled("boolean(int64[::1], float64[:, ::1], int64[::1], int64, int64)")
def _lift(
    micro: NDArray[np.int64], parts: NDArray[np.float64], order: NDArray[np.int64], kept: int, nearest: int
) -> bool:
    """The nearest is never ranked below the place the recipe promises: it gets what it lacks to stand there. Returns
    whether it lacked any."""
    for place in range(kept):
        if order[place] == nearest:
            return False
    gain = micro[order[kept - 1]] + 1 - micro[nearest]
    micro[nearest] += gain
    parts[_DENSE, nearest] += gain / _MICRO
    return True


@compiled("void(int64[::1], int64[::1], int64[::1], float64[::1], int64[::1], int64[::1], float64[::1], float64[::1])")
def _read_off(
    order: NDArray[np.int64],
    rows: NDArray[np.int64],
    revision: NDArray[np.int64],
    score: Column,
    micro: NDArray[np.int64],
    to_revision: NDArray[np.int64],
    to_score: Column,
    to_rank_score: Column,
) -> None:
    """Sets the last three, in this order of the candidates."""
    for place in range(len(order)):
        candidate = order[place]
        to_revision[place] = revision[rows[candidate]]
        to_score[place] = score[candidate]
        to_rank_score[place] = micro[candidate] / _MICRO


class _Ids:
    """Memory ids by place, looked up only where they decide."""

    __slots__ = ("_ids", "_rows")

    def __init__(self, evidence: Evidence) -> None:
        self._ids = evidence.table.memory_id
        self._rows = evidence.rows

    def __getitem__(self, place: int) -> str:
        found: str = self._ids[self._rows[place]]
        return found


def _order(micro: NDArray[np.int64], memory_ids: _Ids, first: int, order: NDArray[np.int64]) -> int:
    """Sets rows by falling score, equal ones by rising id: the first so many, and more only where their scores equal
    the last one's. Returns how many. Only ids of equal scores are compared."""
    ties = np.empty((len(micro) // 2 + 1, 2), dtype=np.int64)
    if first > _MOST_PICKED:
        # The place rides along in the low bits: sorting numbers is much faster than sorting places by them.
        keyed = np.empty(len(micro), dtype=np.int64)
        _key(micro, keyed)
        keyed.sort()
        placed, runs = len(micro), _read_keys(micro, keyed, order, ties)
    else:
        placed, runs = _pick(micro, first, order, ties)
    if runs:
        for begin, end in ties[:runs].tolist():
            order[begin:end] = sorted(order[begin:end].tolist(), key=memory_ids.__getitem__)
    return placed


@compiled("int64(int64[::1], int64[::1], int64, int64[:, ::1])")
def _runs(micro: NDArray[np.int64], order: NDArray[np.int64], placed: int, ties: NDArray[np.int64]) -> int:
    """Sets where runs of equal scores begin and end; returns how many there are."""
    runs, begin = 0, 0
    while begin < placed:
        end = begin + 1
        while end < placed and micro[order[end]] == micro[order[begin]]:
            end += 1
        if end - begin > 1:
            ties[runs, 0], ties[runs, 1] = begin, end
            runs += 1
        begin = end
    return runs


@compiled("UniTuple(int64, 2)(int64[::1], int64, int64[::1], int64[:, ::1])")
def _pick(micro: NDArray[np.int64], first: int, order: NDArray[np.int64], ties: NDArray[np.int64]) -> tuple[int, int]:
    """Sets the best places, and where among them runs of equal scores begin and end; returns how many of either."""
    placed = 0
    for i in range(len(micro)):
        if placed == first and (first == 0 or micro[i] <= micro[order[first - 1]]):
            continue
        j = placed if placed < first else first - 1
        while j > 0 and micro[order[j - 1]] < micro[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
        placed = min(placed + 1, first)
    if placed == 0:
        return 0, 0
    # All that equal the last one, though there is room for some of them only: their ids decide.
    least = micro[order[placed - 1]]
    while placed > 0 and micro[order[placed - 1]] == least:
        placed -= 1
    for i in range(len(micro)):
        if micro[i] == least:
            order[placed] = i
            placed += 1
    return placed, _runs(micro, order, placed, ties)


@compiled("void(int64[::1], int64[::1])")
def _key(micro: NDArray[np.int64], keyed: NDArray[np.int64]) -> None:
    for place in range(len(micro)):
        keyed[place] = (-micro[place] << _PLACE_BITS) + place


@compiled("int64(int64[::1], int64[::1], int64[::1], int64[:, ::1])")
def _read_keys(
    micro: NDArray[np.int64], keyed: NDArray[np.int64], order: NDArray[np.int64], ties: NDArray[np.int64]
) -> int:
    """Sets the places in this order, and where runs of equal scores begin and end; returns how many runs."""
    for i in range(len(keyed)):
        order[i] = keyed[i] & _PLACE_MASK
    return _runs(micro, order, len(keyed), ties)
