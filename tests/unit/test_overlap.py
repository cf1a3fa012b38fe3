"""Overlap of what two systems return."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.retrieval.overlap import Overlap, overlaps

ids = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=12)


def test_sets_are_told_apart_and_added_up() -> None:
    ten = list("abcdefghij")
    one = {"q1": ("easy", ten), "q2": ("hard", ["a", "b"]), "q3": ("hard", [])}
    other = {"q1": ("easy", [*reversed(ten), "k"]), "q2": ("hard", ["a", "c", "d", "e"]), "q3": ("hard", [])}
    assert overlaps(one, other) == (
        Overlap("easy", 1, 1.0, same=1, same_order=0),
        Overlap("hard", 2, 0.625, same=1, same_order=1),
        Overlap("all", 3, 0.75, same=2, same_order=1),
    )


@given(st.dictionaries(st.text(max_size=2), st.tuples(st.sampled_from(("x", "y")), ids), min_size=1))
def test_a_system_agrees_with_itself(found: dict[str, tuple[str, list[str]]]) -> None:
    for each in overlaps(found, found):
        assert (each.mean, each.same, each.same_order) == (1.0, each.questions, each.questions)


def test_other_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="question 'q2' was asked of one system only"):
        overlaps({"q1": ("easy", [])}, {"q1": ("easy", []), "q2": ("easy", [])})
