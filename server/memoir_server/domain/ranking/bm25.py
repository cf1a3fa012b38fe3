"""BM25 over candidates, with the owner's statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.compiled import compiled
from memoir_server.domain.making import maker
from memoir_server.domain.ranking.evidence import Evidence

K1: Final = 0.9
"""Saturation: messages are short, a term said twice says little more than once (the setting of Anserini for short
passages; Yang, Fang and Lin 2017)."""
B: Final = 0.3
"""Length normalisation, mild for the same reason."""


@dataclass(frozen=True, slots=True)
class Matches:
    """How well each of n candidates matches the words of the query.

    Attributes:
        score: BM25 (Robertson and Zaragoza 2009), shape (n,); the weight of a term is
            ln(1 + (N - n + 0.5) / (n + 0.5)).
        bound: What a text that repeats every query term without end would have.
        coverage: Share of the distinct query terms the candidate holds, shape (n,), 0 to 1.
    """

    score: NDArray[np.float64]
    bound: float
    coverage: NDArray[np.float64]


make_matches = maker(Matches)
"""`Matches`, where many are made."""


def bm25(evidence: Evidence) -> Matches:
    """The candidates' matches, with the owner's statistics."""
    score, coverage = np.empty(len(evidence)), np.empty(len(evidence))
    bound = _bm25(
        evidence.frequency,
        evidence.table.length,
        evidence.rows,
        evidence.document_frequency,
        evidence.document_count,
        evidence.mean_length or 1.0,
        score,
        coverage,
    )
    return make_matches(score, bound, coverage)


@compiled("float64(int64[:, ::1], int64[::1], int64[::1], int64[::1], int64, float64, float64[::1], float64[::1])")
def _bm25(
    frequency: NDArray[np.int64],
    length: NDArray[np.int64],
    rows: NDArray[np.int64],
    document_frequency: NDArray[np.int64],
    document_count: int,
    mean_length: float,
    score: NDArray[np.float64],
    coverage: NDArray[np.float64],
) -> float:
    terms = len(document_frequency)
    weights = np.empty(terms, dtype=np.float64)
    bound = 0.0
    for term in range(terms):
        held = document_frequency[term]
        # A past moment may count fewer current entries than hold the term.
        absent = max(document_count - held, 0)
        weights[term] = math.log1p((absent + 0.5) / (held + 0.5)) * (K1 + 1)
        bound += weights[term]
    for i in range(len(rows)):
        norm = K1 * (1 - B + B * length[rows[i]] / mean_length)
        total, distinct = 0.0, 0
        # Before the keyword arm has answered, the frequencies have no columns.
        for term in range(frequency.shape[1]):
            occurs = frequency[i, term]
            if occurs:
                total += weights[term] * occurs / (occurs + norm)
                distinct += 1
        score[i] = total
        coverage[i] = distinct / terms if terms else 0.0
    return bound
