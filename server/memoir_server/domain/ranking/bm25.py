"""BM25 over candidates, with the owner's statistics."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.ranking.evidence import Evidence

K1: Final = 0.9
"""Saturation: messages are short, a term said twice says little more than once (the setting of Anserini for short
passages; Yang, Fang and Lin 2017)."""
B: Final = 0.3
"""Length normalisation, mild for the same reason."""


def inverse_document_frequency(evidence: Evidence) -> NDArray[np.float64]:
    """ln(1 + (N - n + 0.5) / (n + 0.5)) of each query term, shape (terms,); never negative."""
    held = evidence.document_frequency
    # A past moment may count fewer current entries than hold the term.
    absent = np.maximum(evidence.document_count - held, 0)
    weights: NDArray[np.float64] = np.log1p((absent + 0.5) / (held + 0.5))
    return weights


def bm25(evidence: Evidence) -> tuple[NDArray[np.float64], float]:
    """BM25 of each candidate (Robertson and Zaragoza 2009), shape (n,), and its bound for these terms: what a text that
    repeats every query term without end would have."""
    weights = inverse_document_frequency(evidence)
    bound = float(weights.sum()) * (K1 + 1)
    if not bound or not len(evidence):
        return np.zeros(len(evidence)), bound
    norm = K1 * (1 - B + B * evidence.columns.length / (evidence.mean_length or 1.0))
    # One row per term: long rows are what NumPy is fast at.
    frequency = np.ascontiguousarray(evidence.frequency.T, dtype=np.float64)
    parts = (weights * (K1 + 1))[:, np.newaxis] * frequency / (frequency + norm)
    # Accumulated, in the order of the terms: a sum may add in pairs, which depends on how many candidates there are.
    scores: NDArray[np.float64] = np.add.accumulate(parts, axis=0)[-1]
    return scores, bound


def coverage(evidence: Evidence) -> NDArray[np.float64]:
    """Share of the distinct query terms each candidate holds, shape (n,), 0 to 1."""
    terms = evidence.frequency.shape[1]
    if not terms:
        return np.zeros(len(evidence))
    share: NDArray[np.float64] = np.add.reduce(evidence.frequency != 0, axis=1, dtype=np.int64) / terms
    return share
