"""Fusion: how keyword and dense evidence become one number.

Both arms come normalised to 0..1 and 0 means no evidence. Each strategy returns what either arm contributes; the fused
score is their sum, 0..1. Equal evidence contributes equally, whatever the order of the candidates.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.search import Fusion

RECIPROCAL_RANK_CONSTANT: Final = 60
"""Of Cormack, Clarke and Büttcher 2009."""

Column = NDArray[np.float64]


def fuse(fusion: Fusion, keyword: Column, dense: Column, keyword_weight: float) -> tuple[Column, Column]:
    """Contributions of the keyword and of the dense arm.

    Args:
        fusion: The strategy.
        keyword, dense: Normalised evidence, shape (n,), 0..1.
        keyword_weight: Weight of the keyword arm, 0..1; the dense arm has the rest. MAX does not weigh.
    """
    dense_weight = 1.0 - keyword_weight
    match fusion:
        case Fusion.WEIGHTED:
            return keyword_weight * keyword, dense_weight * dense
        case Fusion.RECIPROCAL_RANK:
            return keyword_weight * reciprocal_ranks(keyword), dense_weight * reciprocal_ranks(dense)
        case Fusion.MAX:
            larger = keyword >= dense
            return keyword * larger, dense * ~larger
        case Fusion.BORDA:
            return keyword_weight * borda_points(keyword), dense_weight * borda_points(dense)


def reciprocal_ranks(evidence: Column) -> Column:
    """1 / (60 + rank), scaled so that rank 1 gives 1; 0 without evidence."""
    top = RECIPROCAL_RANK_CONSTANT + 1
    points: Column = top / (RECIPROCAL_RANK_CONSTANT + _ranks(evidence)) * (evidence > 0)
    return points


def borda_points(evidence: Column) -> Column:
    """Share of the candidates with evidence that are not ranked before this one; 0 without evidence."""
    held = evidence > 0
    voters = max(int(np.count_nonzero(held)), 1)
    points: Column = (voters + 1 - _ranks(evidence)) / voters * held
    return points


def _ranks(evidence: Column) -> NDArray[np.int64]:
    """Rank of each, from 1; equal evidence, equal (the best) rank."""
    falling = -evidence
    ranks: NDArray[np.int64] = np.searchsorted(np.sort(falling), falling, side="left") + 1
    return ranks
