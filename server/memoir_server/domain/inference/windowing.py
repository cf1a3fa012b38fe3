"""Windows: the messages of a call in portions that one question to the model can hold.

Laws: the pieces of all windows, in order, are the messages, each character once; a window's lines stay within the
budget, unless a single character does not fit; windows are filled greedily, so no two neighbours would fit into one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from memoir_server.domain.inference.rendering import earlier_line, inner, message_line
from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.tokens import MAX_CHARACTERS_PER_TOKEN, count_tokens

WINDOW_TOKENS: Final = 6000
"""Tokens (`memoir-words-1`) of the messages of one window: about 22,000 characters of English. Models find more of what
is in a short input than in a long one."""
CONTEXT_TOKENS: Final = 800
"""Tokens of earlier messages that each window may show besides, so that "she" and "there" can be understood."""

_ENDS: Final = tuple(
    re.compile(pattern) for pattern in (r"\n\s*\n", r"\n", r"[.!?…؟](?=\s)|[。！？]", r"\s|(?<=[、，；])")
)
"""Where a long message is best cut: after a paragraph, a line, a sentence, a word."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a message: `turn.text[start:end]`. `part` counts from 1 where the message is cut, else it is 0.
    Images are shown with the first piece."""

    turn: Turn
    start: int
    end: int
    part: int = 0

    @property
    def text(self) -> str:
        """The stretch."""
        return self.turn.text[self.start : self.end]

    @property
    def line(self) -> str:
        """As the prompt shows it."""
        return message_line(self.turn, self.text, part=self.part, images=self.turn.images if self.start == 0 else ())


@dataclass(frozen=True, slots=True)
class Window:
    """What one question to the model shows: the lines to take facts from, and earlier ones that explain them."""

    pieces: tuple[Piece, ...]
    earlier: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines to take facts from."""
        return tuple(piece.line for piece in self.pieces)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The messages, each once."""
        return tuple({piece.turn.index: piece.turn for piece in self.pieces}.values())


def windows_of(
    turns: Sequence[Turn],
    *,
    earlier: Sequence[Turn] = (),
    budget: int = WINDOW_TOKENS,
    context: int = CONTEXT_TOKENS,
) -> tuple[Window, ...]:
    """Cuts messages into windows.

    Args:
        turns: The messages, oldest first.
        earlier: Messages of the session from before this call, oldest first: context of the first window.
        budget: Tokens of a window's lines at most, in `memoir-words-1`.
        context: Tokens of the earlier lines of a window at most.

    Raises:
        ValueError: If `budget` is below 1 or `context` below 0.
    """
    if budget < 1 or context < 0:
        raise ValueError(f"budget={budget}, context={context}: give at least 1 and 0")
    filled: list[tuple[Piece, ...]] = []
    open_pieces: list[Piece] = []
    used = 0
    for turn in turns:
        for piece in _pieces(turn, budget):
            cost = _cost(piece.line)
            if open_pieces and used + cost > budget:
                filled.append(tuple(open_pieces))
                open_pieces, used = [], 0
            open_pieces.append(piece)
            used += cost
    if open_pieces:
        filled.append(tuple(open_pieces))
    windows, before = [], [(turn, turn.text) for turn in earlier]
    for pieces in filled:
        windows.append(Window(pieces, _context(before, context)))
        before.extend((piece.turn, piece.text) for piece in pieces)
    return tuple(windows)


def cost_of(turns: Sequence[Turn]) -> int:
    """Tokens of the lines of whole messages. They make at least a budget-th of it windows, and at most twice as many
    and one, since no two neighbours would fit into one."""
    return sum(_cost(Piece(turn, 0, len(turn.text)).line) for turn in turns)


def _cost(line: str) -> int:
    return count_tokens(line) + 1  # the line break


def _pieces(turn: Turn, budget: int) -> list[Piece]:
    whole = Piece(turn, 0, len(turn.text))
    if _cost(whole.line) <= budget:
        return [whole]
    pieces: list[Piece] = []
    start = 0
    while start < len(turn.text):
        end = _end(turn, start, len(pieces) + 1, budget)
        pieces.append(Piece(turn, start, end, len(pieces) + 1))
        start = end
    return pieces or [whole]


def _end(turn: Turn, start: int, part: int, budget: int) -> int:
    """Where the piece that begins at `start` ends: after the last paragraph, sentence or word of what fits."""
    fits = _fitting(turn, start, part, budget)
    if fits == len(turn.text):
        return fits
    # A cut in the first half would make many small pieces of one.
    first = start + (fits - start) // 2
    for ends in _ENDS:
        cuts = [match.end() for match in ends.finditer(turn.text, first, fits)]
        if cuts:
            return cuts[-1]
    while fits > start + 1 and unicodedata.category(turn.text[fits])[0] == "M":
        fits -= 1  # a mark belongs to the letter before it
    return fits


def _fitting(turn: Turn, start: int, part: int, budget: int) -> int:
    """The end of the longest piece that begins at `start` and fits, give or take a few tokens; one character at least.

    A text counts no more than its parts do (`domain.tokens`), so that stretches are counted once each instead of the
    whole piece again and again."""
    room = budget - _cost(Piece(turn, start, start, part).line)
    end = start
    while end < len(turn.text):
        stretch = turn.text[end : end + _STRETCH]
        cost = count_tokens(inner(stretch))
        if cost > room:
            end += _beginning(stretch, room)
            break
        end, room = end + len(stretch), room - cost
    end = max(end, start + 1)
    if _cost(Piece(turn, start, end, part).line) > budget:
        # "<" at the end of one stretch and "/" at the beginning of the next are escaped together only.
        end = _longest(start + 1, end, lambda end: _cost(Piece(turn, start, end, part).line) <= budget)
    return end


_STRETCH: Final = 1024


def _beginning(stretch: str, room: int) -> int:
    return _longest(0, len(stretch), lambda kept: count_tokens(inner(stretch[:kept])) <= room)


def _longest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number that fits, of a range in which those that fit come first; `low` in any case."""
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _context(before: Sequence[tuple[Turn, str]], budget: int) -> tuple[str, ...]:
    """The last lines before a window that fit, the first of them perhaps without its beginning."""
    lines: list[str] = []
    for turn, text in reversed(before):
        line = earlier_line(turn, text)
        if _cost(line) > budget:
            lines.extend(_last_part(turn, text, budget))
            break
        lines.append(line)
        budget -= _cost(line)
    return tuple(reversed(lines))


def _last_part(turn: Turn, text: str, budget: int) -> Iterator[str]:
    def line(kept: int) -> str:
        return earlier_line(turn, "…" + text[len(text) - kept :])

    most = min(len(text), budget * MAX_CHARACTERS_PER_TOKEN)
    kept = _longest(0, most, lambda kept: _cost(line(kept)) <= budget)
    if kept >= _LEAST_ENDING:
        yield line(kept)


_LEAST_ENDING: Final = 40
"""Characters below which the end of a message explains nothing."""
