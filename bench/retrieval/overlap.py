"""How far two systems return the same of the same questions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEPTH = 10
ALL = "all"

Found = Mapping[str, tuple[str, Sequence[str]]]
"""By question: the set it belongs to, and the ids found, best first."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """One set of questions. `mean` is that of the overlaps: of the first ten of both, those in common, divided by how
    many the longer of the two has; 1 where neither found anything. `same` counts questions with the same ten,
    `same_order` those with the same ten in the same order."""

    name: str
    questions: int
    mean: float
    same: int
    same_order: int


def overlaps(one: Found, other: Found) -> tuple[Overlap, ...]:
    """Per set of questions, and of all. Raises ValueError when the systems were not asked the same questions."""
    if one.keys() != other.keys():
        odd = sorted(one.keys() ^ other.keys())
        raise ValueError(f"question {odd[0]!r} was asked of one system only; give both the same data")
    sets: dict[str, list[str]] = {}
    for question, (name, _) in one.items():
        sets.setdefault(name, []).append(question)
    return tuple(_of(name, questions, one, other) for name, questions in [*sorted(sets.items()), (ALL, list(one))])


def _of(name: str, questions: Sequence[str], one: Found, other: Found) -> Overlap:
    pairs = [(one[question][1][:DEPTH], other[question][1][:DEPTH]) for question in questions]
    return Overlap(
        name=name,
        questions=len(pairs),
        mean=statistics.fmean(_shared(left, right) for left, right in pairs) if pairs else 1.0,
        same=sum(set(left) == set(right) for left, right in pairs),
        same_order=sum(list(left) == list(right) for left, right in pairs),
    )


def _shared(left: Sequence[str], right: Sequence[str]) -> float:
    longest = max(len(left), len(right))
    return len(set(left) & set(right)) / longest if longest else 1.0
