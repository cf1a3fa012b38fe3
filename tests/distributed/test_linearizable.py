"""The checker of histories finds what it is for."""

from __future__ import annotations

import pytest

from tests.distributed.linearizable import Seen, violations


def write(revision: int, began: float, ended: float, text: str | None = "t") -> Seen:
    return Seen(memory_id="m", is_write=True, began=began, ended=ended, revision=revision, text=text)


def read(revision: int, began: float, ended: float, text: str | None = "t") -> Seen:
    return Seen(memory_id="m", is_write=False, began=began, ended=ended, revision=revision, text=text)


@pytest.mark.parametrize(
    "calls",
    [
        [write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)],
        # Side by side, either order will do.
        [write(1, 0, 1), write(2, 2, 9), read(1, 3, 4), read(2, 5, 6), write(4, 2, 5), read(4, 7, 8)],
        [write(1, 0, 1), write(2, 2, 3, None), read(0, 4, 5, None)],
        [write(1, 0, 1), write(2, 2, 9, None), read(0, 3, 4, None)],
        [read(0, 0, 1, None), write(1, 2, 3)],
    ],
)
def test_a_history_in_order(calls: list[Seen]) -> None:
    assert violations(calls) == []


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        ([write(2, 0, 1), write(1, 2, 3)], "began after 2 was known"),
        ([write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)], "saw 1 although 2"),
        ([write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6)], "saw 1 although 2"),
        ([write(1, 4, 5), read(1, 1, 2)], "before it was written"),
        ([write(1, 0, 1), read(1, 2, 3, "other")], "'t' was written"),
        ([write(1, 0, 1), read(7, 2, 3)], "nobody wrote"),
        ([write(1, 0, 1), read(0, 2, 3, None)], "found nothing although 1"),
        ([write(1, 0, 1), write(1, 0, 1)], "one revision"),
    ],
)
def test_a_history_out_of_order(calls: list[Seen], words: str) -> None:
    assert any(words in line for line in violations(calls))
