"""Text analysis: from a text to the index terms of the keyword arm.

One function for writing and for searching, and for every store: stores index the terms as they are. In order:

1. Unicode NFKC, case folding, NFKC again (case folding may undo it); invisible format characters go.
2. Words are runs of letters, digits and combining marks of any script; everything else separates.
3. English clitics go (``Anna's`` gives ``anna``, ``we'll`` gives ``we``); other apostrophes separate (``o'brien``).
4. Scripts written without spaces (Han, kana, Hangul, Thai, Lao, Khmer, Burmese) become overlapping pairs of characters.
5. English function words go, unless the text holds nothing else ("The Who" stays findable).
6. Words are stemmed by the Snowball stemmer of the language.

Function words go on both sides because the keyword arm takes every memory holding any query term as a candidate: with
"the" in the query that would be all of them, for no gain in ranking.
"""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import Stemmer

ANALYSIS_VERSION: Final = 1
"""Kept with every stored term list. Raise it when the same text may give other terms: stored terms are then made
anew."""

MAX_TERM_LENGTH: Final = 64
"""Longest term in code points; what is longer (encoded data, mostly) is cut."""

_CACHED_WORDS: Final = 65_536
_CACHED_LENGTH: Final = 64
"""Longest word, in code points, that is remembered: about 35 MB when all are that long."""

# Words that carry grammar rather than content. Words with a second life as a name, month or country
# ("will", "may", "us", "can") are left in: their frequency already weighs them down.
_ENGLISH_FUNCTION_WORDS: Final = frozenset(
    """
    a an the this that these those
    i me my mine myself you your yours yourself he him his himself she her hers herself it its itself
    we our ours ourselves they them their theirs themselves
    am is are was were be been being do does did doing have has had having would could should shall
    and or but nor if so as than then not
    of at by for with about into onto to from in on up out off over under again further
    who whom whose which what when where why how
    there here some any each both such own same too very just
    """.split()
)

# "don't", "isn't": an auxiliary with a negation, a function word as a whole.
_NEGATED_AUXILIARY: Final = "n't"
_CLITICS: Final = ("'s", "'re", "'ve", "'ll", "'d", "'m")

_ZERO_WIDTH_SPACE: Final = "\u200b"
_APOSTROPHES: Final = "\u2019\u2018\u02bc\u201b"


def _combining_marks() -> str:
    """Body of a regular-expression class with all combining marks that occur inside words (Mn, Mc).

    ``\\w`` leaves them out, which would cut Hindi, Tamil or Thai words at every vowel sign. Marks live below U+20000.
    """
    ranges: list[str] = []
    start = previous = -2
    for code in range(0x300, 0x20000):
        if unicodedata.category(chr(code)) not in ("Mn", "Mc"):
            continue
        if code != previous + 1:
            if start >= 0:
                ranges.append(f"{chr(start)}-{chr(previous)}")
            start = code
        previous = code
    ranges.append(f"{chr(start)}-{chr(previous)}")
    return "".join(ranges)


_MARKS: Final = _combining_marks()
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\u3005\u3007\u3041-\u312f\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\ua960-\ua97f"  # kana, bopomofo, jamo
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"  # Han, Hangul syllables
)
_WORD: Final = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*(?:'[^\W_](?:[^\W_]|[{_MARKS}])*)*")
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
_SEGMENT: Final = re.compile(rf"(?P<unspaced>[{_UNSPACED}](?:[{_UNSPACED}]|[{_MARKS}])*)|[^{_UNSPACED}]+")
_CLUSTER: Final = re.compile(rf".[{_MARKS}]*", re.DOTALL)
_LATIN: Final = re.compile(r"[a-z\u00df-\u024f\u0300-\u036f\u1e00-\u1eff]+")
# Default-ignorable characters: soft hyphen, joiners, direction marks, variation selectors, tags.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_NON_LATIN_LANGUAGES: Final = frozenset(
    {"arabic", "armenian", "greek", "hindi", "nepali", "persian", "russian", "serbian", "tamil", "yiddish"}
)


def analyse(text: str, *, language: str = "english") -> tuple[str, ...]:
    """Index terms of a text, in the order of the text, repeats kept.

    Args:
        text: Any text, in any mix of scripts.
        language: Snowball algorithm for words in its script, e.g. ``english``, ``german``, ``russian``. Use the same
            when writing and when searching.

    Returns:
        Terms of 1 to 64 letters, digits and combining marks: no white space, no control characters, and of the ASCII
        characters only ``a-z0-9``. Empty when the text holds no letter or digit.

    Raises:
        ValueError: If the language has no stemmer.
    """
    _check_language(language)
    folded = _fold(text)
    words: list[str] = (_ASCII_WORD if folded.isascii() else _WORD).findall(folded)
    known = _words_of(language)
    read = [known[word] for word in words]
    terms = tuple([term for content, _ in read for term in content])
    # Nothing but function words: then they count.
    return terms or tuple([term for _, function in read for term in function])


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    for mark in _APOSTROPHES:
        folded = folded.replace(mark, "'")
    return _INVISIBLE.sub("", folded.replace(_ZERO_WIDTH_SPACE, " "))


class _Words(dict[str, tuple[tuple[str, ...], tuple[str, ...]]]):
    """Terms by folded word. What one word gives depends on no other, and most words were met before. Full, it begins
    anew: words in use are back within a few texts, and looking one up stays a matter of tens of nanoseconds. Threads
    may share it, since each of its operations is one step."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._language = language

    def __missing__(self, word: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        terms = _terms_of(word, self._language)
        if len(word) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_WORDS:
                self.clear()
            self[word] = terms
        return terms


@functools.cache
def _words_of(language: str) -> _Words:
    return _Words(language)


def _terms_of(word: str, language: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Terms of a folded word that carry content, and those that carry grammar."""
    english = language == "english"
    content: list[str] = []
    function: list[str] = []
    for part in _parts(word, english=english):
        of = function if english and part in _ENGLISH_FUNCTION_WORDS else content
        of.append(_term(part, language))
    return tuple(content), tuple(function)


def _parts(word: str, *, english: bool) -> Iterator[str]:
    """Words of the index in a folded word, unstemmed; pairs of characters for scripts without spaces."""
    for part in _without_clitic(word, english=english):
        if part.isascii():
            yield part
            continue
        for segment in _SEGMENT.finditer(part):
            if segment["unspaced"] is None:
                yield segment[0]
            else:
                yield from _pairs(segment[0])


def _without_clitic(word: str, *, english: bool) -> Iterator[str]:
    if "'" not in word:
        yield word
        return
    if english:
        if word.endswith(_NEGATED_AUXILIARY):
            yield "not"
            return
        for clitic in _CLITICS:
            if word.endswith(clitic):
                word = word[: -len(clitic)]
                break
    yield from word.split("'")


def _pairs(segment: str) -> Iterator[str]:
    clusters: list[str] = _CLUSTER.findall(segment)
    if len(clusters) == 1:
        yield clusters[0]
        return
    for left, right in pairwise(clusters):
        yield left + right


def _term(word: str, language: str) -> str:
    word = word[:MAX_TERM_LENGTH]
    if word.isdigit():
        return word
    latin = _LATIN.fullmatch(word) is not None
    stemmed = not word.isascii() if language in _NON_LATIN_LANGUAGES else latin
    return _stem(word, language) if stemmed else word


def _stem(word: str, language: str) -> str:
    # A stem may not be empty; no known algorithm does that, but a term must not be.
    return _stemmer(language).stemWord(word)[:MAX_TERM_LENGTH] or word


@functools.cache
def _check_language(language: str) -> None:
    if language not in Stemmer.algorithms():
        raise ValueError(f"language={language!r}: no stemmer; choose one of {', '.join(sorted(Stemmer.algorithms()))}")


class _Stemmers(threading.local):
    """Stemmers of the current thread: a stemmer keeps buffers and must not be shared between threads."""

    def __init__(self) -> None:
        self.by_language: dict[str, Stemmer.Stemmer] = {}


_stemmers: Final = _Stemmers()


def _stemmer(language: str) -> Stemmer.Stemmer:
    stemmer = _stemmers.by_language.get(language)
    if stemmer is None:
        # The word cache above serves all threads; a second one per thread would only cost memory.
        stemmer = _stemmers.by_language[language] = Stemmer.Stemmer(language, 0)
    return stemmer
