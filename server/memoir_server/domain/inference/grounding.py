"""Grounding: a fact counts only if its quote stands in the conversation.

A quote is found after folding (`folding`), in the message the model named or else in another one of the window, at the
borders of words: "he is a" is no quote from "she is a nurse", nor "I can" from "I can't". It has at least three words,
or is the whole message; in scripts without spaces between words, characters count as words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from memoir_server.domain.inference.folding import Folded, fold, fold_with_places
from memoir_server.domain.inference.turns import Turn

LEAST_WORDS: Final = 3


class Ungrounded(Enum):
    """Why a quote does not count."""

    NOT_FOUND = "the quote does not occur in the conversation"
    TOO_SHORT = "the quote has fewer than three words and is not a whole message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding:
    """Where a quote stands: `turn.passages[passage][start:end]`, which is `quote`."""

    turn: Turn
    passage: int
    start: int
    end: int
    quote: str


class Source:
    """The messages quotes are looked for in; each is folded once."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = {turn.index: turn for turn in turns}
        self._folded: dict[tuple[int, int], Folded] = {}

    def ground(self, quote: str, named: int) -> Grounding | Ungrounded:
        """Finds the quote: in the message named, else in the nearest one that has it, the earlier of two."""
        wanted = fold(quote)
        long_enough = counted_words(wanted) >= LEAST_WORDS
        too_short = False
        for index in sorted(self._turns, key=lambda index: (abs(index - named), index)):
            turn = self._turns[index]
            for passage in range(len(turn.passages)):
                folded = self._fold(turn, passage)
                if wanted and (long_enough or wanted == folded.text):
                    at = _find(wanted, folded.text)
                    if at >= 0:
                        return _grounding(turn, passage, folded, at, at + len(wanted))
                elif wanted and _find(wanted, folded.text) >= 0:
                    too_short = True
        return Ungrounded.TOO_SHORT if too_short else Ungrounded.NOT_FOUND

    def _fold(self, turn: Turn, passage: int) -> Folded:
        key = (turn.index, passage)
        if key not in self._folded:
            self._folded[key] = fold_with_places(turn.passages[passage])
        return self._folded[key]


def _grounding(turn: Turn, passage: int, folded: Folded, first: int, after: int) -> Grounding:
    start, end = folded.starts[first], folded.ends[after - 1]
    return Grounding(turn=turn, passage=passage, start=start, end=end, quote=turn.passages[passage][start:end])


def _find(wanted: str, text: str) -> int:
    """Where the wanted words stand in a text, both folded; -1 where they do not, or only within other words."""
    at = text.find(wanted)
    while at >= 0:
        if not (_cut(text, at) or _cut(text, at + len(wanted))):
            return at
        at = text.find(wanted, at + 1)
    return -1


_APOSTROPHES: Final = "'\u2019\u02bc"


def _cut(text: str, at: int) -> bool:
    """Whether a word goes on across the place before character `at`."""
    if at <= 0 or at >= len(text):
        return False
    before, after = text[at - 1], text[at]
    if before in _APOSTROPHES and at >= 2:
        before = text[at - 2]
    elif after in _APOSTROPHES and at + 1 < len(text):
        after = text[at + 1]
    return _in_word(before) and (_in_word(after) or unicodedata.category(after)[0] == "M")


def _in_word(character: str) -> bool:
    return (character.isalnum() or unicodedata.category(character)[0] == "M") and not _UNSPACED.match(character)


_UNSPACED: Final = re.compile(
    # Thai, Lao, Tibetan, Burmese, Khmer
    "[\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0edf\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3"
    # Han and kana
    "\u2e80-\u2fdf\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of scripts that are written without spaces between words."""


def counted_words(folded: str) -> int:
    """Words of a folded text: runs between spaces with a letter or digit in them; each letter of a script without
    spaces counts as one."""
    unspaced = len(_UNSPACED.findall(folded))
    rest = _UNSPACED.sub(" ", folded) if unspaced else folded
    return unspaced + sum(any(character.isalnum() for character in word) for word in rest.split())
