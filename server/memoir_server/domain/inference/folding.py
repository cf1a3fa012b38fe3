"""Texts as they are compared: in Unicode normal form KC, each run of white space one space, none at the ends.

A folded text knows where in the original each of its characters came from, so that what is found in the one can be
shown in the other. Normalising does not work character by character: a letter joins with the marks after it, a Hangul
syllable with its parts. So the text is cut where nothing joins, and a character is at home in its whole segment.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text. Character `i` of it came from `original[starts[i]:ends[i]]`."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]


def fold(text: str) -> str:
    """The folded text alone."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip()


def fold_with_places(text: str) -> Folded:
    """The folded text, and where its characters came from."""
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _segments(text):
        for character in unicodedata.normalize("NFKC", text[start:end]):
            if not character.isspace():
                characters.append(character)
                starts.append(start)
                ends.append(end)
            elif characters and characters[-1] != " ":
                characters.append(" ")
                starts.append(start)
                ends.append(end)
    if characters and characters[-1] == " ":
        del characters[-1], starts[-1], ends[-1]
    return Folded("".join(characters), tuple(starts), tuple(ends))


def _segments(text: str) -> list[tuple[int, int]]:
    """The text in pieces whose normal forms, one after the other, are that of the whole."""
    if text.isascii():
        return [(at, at + 1) for at in range(len(text))]
    cuts = [at for at, character in enumerate(text) if at == 0 or not _joins(character)]
    return list(zip(cuts, [*cuts[1:], len(text)], strict=True))


@functools.lru_cache(maxsize=8192)
def _joins(character: str) -> bool:
    """Whether normalising may join the character with what stands before it."""
    if character < "\u0300":
        return False
    # The first character of what it is made of decides: a half-width voiced mark is a combining mark underneath.
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.combining(first) != 0 or first in _joining_letters()


@functools.cache
def _joining_letters() -> frozenset[str]:
    """Characters that are no combining marks and join all the same: Hangul vowels and final consonants, and the second
    halves of some Indic vowels."""
    seconds = set()
    for code in range(0x300, 0x20000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    hangul = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    return frozenset(second for second in seconds if unicodedata.combining(second) == 0) | hangul
