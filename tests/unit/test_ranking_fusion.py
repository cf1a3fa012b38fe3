"""Fusion strategies keep to their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.ranking.fusion import fuse
from memoir_server.domain.ranking.recipes import settings_for
from memoir_server.domain.search import Fusion, Recipe

KEYWORD = np.array([0.8, 0.0, 0.2, 0.2])
DENSE = np.array([0.1, 0.9, 0.2, 0.0])
values = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)


def fused(fusion: Fusion, weight: float = 0.25) -> list[float]:
    keyword, dense = fuse(fusion, KEYWORD, DENSE, weight)
    return [float(value) for value in keyword + dense]


def test_weighted() -> None:
    assert fused(Fusion.WEIGHTED) == pytest.approx([0.275, 0.675, 0.2, 0.05])


def test_max() -> None:
    assert fused(Fusion.MAX) == [0.8, 0.9, 0.2, 0.2]


def test_reciprocal_rank() -> None:
    # Keyword ranks 1, none, 2, 2; dense ranks 3, 1, 2, none.
    expected = [
        0.25 * 61 / 61 + 0.75 * 61 / 63,
        0.75 * 61 / 61,
        0.25 * 61 / 62 + 0.75 * 61 / 62,
        0.25 * 61 / 62,
    ]
    assert fused(Fusion.RECIPROCAL_RANK) == pytest.approx(expected)


def test_borda() -> None:
    # Three candidates in either arm: points 3/3, 2/3, 1/3 by rank.
    expected = [0.25 * 1 + 0.75 / 3, 0.75 * 1, 0.25 * 2 / 3 + 0.75 * 2 / 3, 0.25 * 2 / 3]
    assert fused(Fusion.BORDA) == pytest.approx(expected)


@given(st.sampled_from(Fusion), values, st.floats(0, 1))
def test_fused_evidence_stays_between_0_and_1_and_keeps_agreement(
    fusion: Fusion, pairs: list[tuple[float, float]], weight: float
) -> None:
    keyword, dense = (np.array(column) for column in zip(*pairs, strict=True))
    parts = fuse(fusion, keyword, dense, weight)
    total = parts[0] + parts[1]
    assert total.min() >= 0
    assert total.max() <= 1 + 1e-9
    # Whoever is at least as good in both arms is at least as good in all.
    for i, one in enumerate(pairs):
        for j, other in enumerate(pairs):
            if one[0] >= other[0] and one[1] >= other[1]:
                assert total[i] >= total[j] - 1e-9


@given(st.sampled_from(Fusion))
def test_no_evidence_contributes_nothing(fusion: Fusion) -> None:
    keyword, dense = fuse(fusion, np.zeros(3), np.array([0.0, 0.5, 0.0]), 0.5)
    assert keyword.tolist() == [0, 0, 0]
    assert dense[[0, 2]].tolist() == [0, 0]


def test_a_given_fusion_changes_fused_recipes_only() -> None:
    assert settings_for(Recipe.BALANCED).fusion is Fusion.WEIGHTED
    assert settings_for(Recipe.GRAPH, Fusion.MAX).fusion is Fusion.MAX
    for recipe in (Recipe.SEMANTIC, Recipe.KEYWORD):
        assert settings_for(recipe, Fusion.BORDA) == settings_for(recipe)


def test_recipes_ask_only_the_arms_they_need() -> None:
    arms = {recipe: (s.keyword, s.dense, s.graph) for recipe in Recipe for s in [settings_for(recipe)]}
    assert arms == {
        Recipe.BALANCED: (True, True, True),
        Recipe.SEMANTIC: (False, True, False),
        Recipe.KEYWORD: (True, False, False),
        Recipe.GRAPH: (True, True, True),
        Recipe.RECENT: (True, True, True),
    }
