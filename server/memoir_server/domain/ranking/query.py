"""What a query itself says: its terms, the times and the people it names."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from memoir_server.domain.dates import DateWindow
from memoir_server.domain.making import maker

_POSSESSIVES: Final = ("'s", "\u2019s", "'", "\u2019")
_CLOSING: Final = ".,;:!?"
_SHORTEST_NAME: Final = 2
_AUXILIARIES: Final = frozenset({"will", "may"})
"""English names that are, in a question, mostly verbs."""


@dataclass(frozen=True, slots=True)
class QuerySignals:
    """Distinct analysed `terms` in order, the times the query points at, and the `speakers` it names."""

    terms: tuple[str, ...] = ()
    dates: tuple[DateWindow, ...] = ()
    speakers: frozenset[str] = frozenset()


make_query_signals = maker(QuerySignals)
"""`QuerySignals`, where many are made."""


def named_speakers(query: str, speakers: Collection[str]) -> frozenset[str]:
    """Speakers whose full or first name stands in the query as words of its own, whatever the case.

    A full name is nobody else's first name: "Anna Lee" does not name Anna Kim; "Anna" names both. In scripts written
    without spaces a name may touch other characters. Single characters are no names; "will" and "may" are, only with a
    capital and not as the first word.
    """
    if not speakers:
        return frozenset()
    folded = _Folded(query)
    return frozenset(speaker for speaker, _, _ in _mentions(folded, speakers))


def strip_names(query: str, named: Collection[str]) -> str:
    """The query without the names of these speakers and their possessive endings.

    For embedding: a name in the question draws it to messages that address that person, away from what they said.
    Where nothing but names would go, the query is returned unchanged.
    """
    folded = _Folded(query)
    spans = sorted({(start, stop) for _, start, stop in _mentions(folded, named)})
    if not spans:
        return query
    kept, position = [], 0
    for start, stop in spans:
        kept.append(folded.original[position : folded.origin[start]])
        position = folded.origin[stop]
        rest = folded.original[position:]
        position += next((len(p) for p in _POSSESSIVES if rest.startswith(p) and not _is_word(rest[len(p) :][:1])), 0)
    kept.append(folded.original[position:])
    words = "".join(kept).split()
    stripped = ""
    for word in words:
        stripped += word if not stripped or word[0] in _CLOSING else f" {word}"
    return stripped if any(_is_word(character) for character in stripped) else query


class _Folded:
    """A text without its case, and for each place in it the place in the original."""

    def __init__(self, text: str) -> None:
        self.original = unicodedata.normalize("NFC", text)
        if self.original.isascii():
            self.text = self.original.lower()
            self.origin: list[int] | range = range(len(self.text) + 1)
            return
        pieces, origin = [], []
        for place, character in enumerate(self.original):
            piece = _fold(character)
            pieces.append(piece)
            origin.extend([place] * len(piece))
        self.text = "".join(pieces)
        self.origin = [*origin, len(self.original)]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text.casefold())


def _mentions(folded: _Folded, speakers: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """Speaker, first place and place after the last in the folded text, full names before first names."""
    names = [(words, speaker) for speaker in sorted(speakers) if (words := _words(speaker))]
    full = [(" ".join(words), speaker) for words, speaker in names]
    first = [(words[0], speaker) for words, speaker in names if len(words) > 1]
    taken: list[tuple[int, int]] = []
    # Longer full names first: a name inside a longer match is part of that one. Two may bear the same full name.
    full.sort(key=lambda item: -len(item[0]))
    for name, speaker in full:
        for start, stop in _occurrences(folded, name):
            if (start, stop) in taken or not _overlaps(start, stop, taken):
                taken.append((start, stop))
                yield speaker, start, stop
    for name, speaker in first:
        for start, stop in _occurrences(folded, name):
            if not _overlaps(start, stop, taken):
                yield speaker, start, stop


def _overlaps(start: int, stop: int, spans: Collection[tuple[int, int]]) -> bool:
    return any(start < end and begin < stop for begin, end in spans)


@functools.lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    folded = "".join(map(_fold, unicodedata.normalize("NFC", name)))
    return tuple(folded.split())


def _occurrences(folded: _Folded, name: str) -> Iterator[tuple[int, int]]:
    if len(name) < _SHORTEST_NAME:
        return
    text = folded.text
    start = text.find(name)
    while start >= 0:
        stop = start + len(name)
        free = (start == 0 or _is_unspaced(name[0]) or not _is_word(text[start - 1])) and (
            stop == len(text) or _is_unspaced(name[-1]) or not _is_word(text[stop])
        )
        if free and (name not in _AUXILIARIES or (start > 0 and folded.original[folded.origin[start]].isupper())):
            yield start, stop
        start = text.find(name, start + 1)


def _is_word(character: str) -> bool:
    """True for letters, digits and combining marks; False for the empty string."""
    return bool(character) and unicodedata.category(character)[0] in "LNM"


def _is_unspaced(character: str) -> bool:
    """True for scripts written without spaces between words."""
    return character >= "\u0e00" and unicodedata.name(character, "").split(" ", 1)[0] in _UNSPACED_SCRIPTS


_UNSPACED_SCRIPTS: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR"})
