"""Windows: every message once, in order, within the budget."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoir_server.domain.conversation import Message
from memoir_server.domain.inference.turns import Turn, turns_of
from memoir_server.domain.inference.windowing import Window, windows_of
from memoir_server.domain.memory import Role
from memoir_server.domain.tokens import count_tokens

TEXTS = st.text(max_size=400) | st.text(alphabet="ab .\n。猫\u0301'\"\\", max_size=1500)


def turn(index: int, text: str) -> Turn:
    return Turn(index=index, role=Role.USER, text=text, said=0)


def cost(window: Window) -> int:
    return sum(count_tokens(line) + 1 for line in window.lines)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8), st.integers(60, 400), st.integers(0, 200))
def test_every_character_of_every_message_stands_in_one_window_in_order(
    texts: list[str], budget: int, context: int
) -> None:
    turns = [turn(index, text) for index, text in enumerate(texts)]
    windows = windows_of(turns, budget=budget, context=context)
    pieces = [piece for window in windows for piece in window.pieces]
    places = [(piece.turn.index, piece.start) for piece in pieces]
    assert places == sorted(places)
    for each in turns:
        assert "".join(piece.text for piece in pieces if piece.turn.index == each.index) == each.text
    assert {piece.turn.index for piece in pieces} == {each.index for each in turns}
    # A single character may cost more than a small budget: a line break is two in JSON, a control character six.
    assert all(cost(window) <= budget or len(window.pieces[0].text) == 1 for window in windows)
    assert all(sum(count_tokens(line) + 1 for line in window.earlier) <= context for window in windows)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, min_size=2, max_size=8), st.integers(60, 400))
def test_no_window_has_room_for_the_beginning_of_the_next(texts: list[str], budget: int) -> None:
    windows = windows_of([turn(index, text) for index, text in enumerate(texts)], budget=budget)
    for one, two in pairwise(windows):
        assert cost(one) + count_tokens(two.lines[0]) + 1 > budget


def test_a_conversation_that_fits_is_one_window_without_cuts() -> None:
    windows = windows_of([turn(0, "I like tea."), turn(1, "And biscuits.")])
    assert [piece.part for piece in windows[0].pieces] == [0, 0]
    assert len(windows) == 1
    assert windows[0].earlier == ()


def test_a_long_message_is_cut_at_the_end_of_a_sentence() -> None:
    windows = windows_of([turn(0, "The heron stood still. " * 200)], budget=300)
    assert len(windows) > 2
    assert all(piece.text.rstrip().endswith("still.") for window in windows for piece in window.pieces)
    assert [piece.part for window in windows for piece in window.pieces] == list(range(1, len(windows) + 1))


def test_a_text_without_any_border_is_cut_all_the_same_but_not_before_a_mark() -> None:
    text = "a\u0301" * 2000
    pieces = [piece for window in windows_of([turn(0, text)], budget=120) for piece in window.pieces]
    assert "".join(piece.text for piece in pieces) == text
    assert all(piece.text.startswith("a") for piece in pieces)


def test_a_window_shows_the_end_of_what_came_before() -> None:
    long = "Once upon a time. " * 400 + "The key is under the mat."
    windows = windows_of([turn(0, long), turn(1, "Where is it?")], budget=2000, context=60)
    assert windows[-1].turns[-1].index == 1
    assert "The key is under the mat." in "".join(
        windows_of([turn(1, "Where?")], earlier=[turn(-1, long)], context=60)[0].earlier
    )
    assert '"n"' not in "".join(windows[-1].earlier)


def test_context_can_be_left_out() -> None:
    assert windows_of([turn(0, "Hi.")], earlier=[turn(-1, "Before.")], context=0)[0].earlier == ()


@pytest.mark.parametrize(("budget", "context"), [(0, 10), (10, -1)])
def test_sizes_that_mean_nothing_are_refused(budget: int, context: int) -> None:
    with pytest.raises(ValueError, match="give at least 1 and 0"):
        windows_of([turn(0, "x")], budget=budget, context=context)


def test_images_are_shown_once_with_the_first_piece() -> None:
    pictured = Turn(index=0, role=Role.USER, text="word " * 500, said=0, images=("A red door.",))
    lines = [line for window in windows_of([pictured], budget=200) for line in window.lines]
    assert ["A red door." in line for line in lines] == [True] + [False] * (len(lines) - 1)


def test_a_message_without_a_time_was_said_now() -> None:
    turns = turns_of([Message(role=Role.USER, content="a"), Message(role=Role.TOOL, content="b", create_time=3)], now=7)
    assert [(each.index, each.said, each.role) for each in turns] == [(0, 7, Role.USER), (1, 3, Role.TOOL)]
