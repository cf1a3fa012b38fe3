"""From evidence to the order of hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.ranking import signals as sign
from memoir_server.domain.ranking.bm25 import bm25, coverage
from memoir_server.domain.ranking.evidence import Evidence, GraphEvidence
from memoir_server.domain.ranking.fusion import fuse
from memoir_server.domain.ranking.query import QuerySignals
from memoir_server.domain.ranking.recipes import RecipeSettings

RANKING_VERSION: Final = 1
"""Raise it when equal evidence may be ranked or scored otherwise."""

COVERAGE_SHARE: Final = 0.5
"""Score of a hit that holds every query term and whose cosine is zero or unknown."""

_MICRO: Final = 1e6

Column = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Candidates, best first.

    Attributes:
        revision: Of each, shape (n,).
        score: 0..1, comparable between queries, see `score_of`.
        rank_score: Falling; comparable within this ranking only.
    """

    revision: NDArray[np.int64]
    score: Column
    rank_score: Column
    _order: NDArray[np.int64]
    _measures: Mapping[str, Column]
    _contributions: Mapping[str, Column]

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
        found |= {name: float(column[row]) for name, column in self._contributions.items()}
        return {name: round(value, 6) + 0.0 for name, value in found.items() if value == value}


def score_of(cosine: Column, share: Column) -> Column:
    """The score of hits: 1 - (1 - max(0, cosine)) * (1 - coverage / 2), rounded to 1e-6, shape (n,).

    Two independent reasons to believe, joined as probabilities are: it rises with either, is 1 only for the same
    meaning, and depends on nothing but the hit itself (semantics 9). A cosine not known yet, or never asked for, counts
    as 0; so the score of a keyword hit can only rise when its cosine arrives.

    Args:
        cosine: -1..1, NaN where unknown.
        share: Coverage, 0..1.
    """
    near = np.fmin(np.fmax(cosine, 0.0), 1.0)  # fmax takes the number where the other is NaN
    score: Column = np.round(1.0 - (1.0 - near) * (1.0 - COVERAGE_SHARE * share), 6)
    return score


def rank(
    evidence: Evidence,
    signals: QuerySignals,
    settings: RecipeSettings,
    *,
    graph: Mapping[int, GraphEvidence],
) -> Ranking:
    """Ranks all candidates: rank score, rounded to 1e-6, falling; memory id rising where it is equal.

    Args:
        evidence: What is known now; cosines may be unknown for some or all candidates.
        signals: Of the query.
        settings: Of the recipe.
        graph: What the graph knows, by revision; may name revisions that are no candidates.
    """
    columns = evidence.columns
    measure, bound = bm25(evidence)
    near = np.fmax(evidence.cosine, 0.0)
    keyword, dense = fuse(settings.fusion, measure / bound if bound else measure, near, settings.keyword_weight)
    parts = _contributions(evidence, keyword, dense, signals, settings, graph)
    total = np.zeros(len(columns))
    for part in parts.values():
        total += part
    micro = np.rint(total * _MICRO).astype(np.int64)
    order = _order(micro, columns.memory_id)
    kept = settings.dense_first_kept
    if kept and len(order) > kept and settings.dense:
        lifted = _lifted(micro, order, evidence.cosine, columns.memory_id, kept)
        if lifted is not None:
            nearest, gain = lifted
            micro[nearest] += gain
            parts["dense"][nearest] += gain / _MICRO
            order = _order(micro, columns.memory_id)
    share = coverage(evidence)
    return Ranking(
        revision=columns.revision[order],
        score=score_of(evidence.cosine, share)[order],
        rank_score=micro[order] / _MICRO,
        _order=order,
        _measures={"cosine": evidence.cosine, "coverage": share, "bm25": measure},
        _contributions=parts,
    )


def _contributions(
    evidence: Evidence,
    keyword: Column,
    dense: Column,
    signals: QuerySignals,
    settings: RecipeSettings,
    graph: Mapping[int, GraphEvidence],
) -> dict[str, Column]:
    """Terms of the rank score by name; those that say nothing about any candidate are left out."""
    columns = evidence.columns
    parts: dict[str, Column] = {"keyword": keyword, "dense": dense}
    if settings.session or settings.previous_turn or settings.next_turn or settings.answer:
        neighbour, session = sign.conversation(columns, keyword + dense, settings)
        parts |= {"neighbour": neighbour, "session": session}
    if settings.speaker:
        spoken = sign.speaker_match(columns, signals.speakers)
        if spoken is not None:
            parts["speaker"] = settings.speaker * spoken.astype(np.float64)
    if settings.date and signals.dates:
        parts["date"] = settings.date * sign.date_affinities(columns.create_time, signals.dates)
    if settings.graph_boost and graph:
        parts["graph"] = settings.graph_boost * sign.graph_match(columns.revision, graph)
    if settings.recency:
        parts["recency"] = settings.recency * sign.recency(columns.create_time)
    if settings.importance:
        parts["importance"] = settings.importance * (columns.importance - 0.5)
    if settings.length:
        parts["length"] = settings.length * sign.length_prior(columns.length)
    if settings.question:
        parts["question"] = -settings.question * columns.asks.astype(np.float64)
    return parts


def _order(micro: NDArray[np.int64], memory_ids: Sequence[str]) -> NDArray[np.int64]:
    """Rows by falling score, equal ones by rising id. Only ids of equal scores are compared."""
    order = np.argsort(-micro, kind="stable")
    ranked = micro[order]
    same = ranked[1:] == ranked[:-1]
    if same.any():
        tied = np.zeros(len(order), dtype=np.bool_)
        tied[1:] |= same
        tied[:-1] |= same
        rows = np.array(sorted(order[tied].tolist(), key=memory_ids.__getitem__), dtype=np.int64)
        order[tied] = rows[np.argsort(-micro[rows], kind="stable")]
    return order


def _lifted(
    micro: NDArray[np.int64], order: NDArray[np.int64], cosine: Column, memory_ids: Sequence[str], kept: int
) -> tuple[int, int] | None:
    """Row of the nearest candidate and what it lacks, in millionths, to be among the first `kept`; None if nothing."""
    known = np.fmax(cosine, 0.0)
    highest = known.max()
    if highest <= 0.0:
        return None
    nearest = min(np.flatnonzero(known == highest).tolist(), key=memory_ids.__getitem__)
    if nearest in order[:kept].tolist():
        return None
    return nearest, int(micro[order[kept - 1]]) + 1 - int(micro[nearest])
