"""Quotes: found where they are, never where they are not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from memoir_server.domain.inference.folding import fold, fold_with_places
from memoir_server.domain.inference.grounding import LEAST_WORDS, Grounding, Source, Ungrounded, counted_words
from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.memory import Role

WORDS = st.lists(
    st.sampled_from("I can can't not he she is a nurse ein é e\u0301 ﬁne ｶﾞ 猫 が 好き Ünal it's , . -".split()),
    min_size=1,
    max_size=12,
)
TEXTS = WORDS.map(" ".join) | WORDS.map("\n ".join) | WORDS.map("".join) | st.text(max_size=60)


def turns(*texts: str) -> list[Turn]:
    return [Turn(index=index, role=Role.USER, text=text, said=0) for index, text in enumerate(texts)]


@settings(max_examples=250, deadline=None)
@given(st.text(max_size=80) | TEXTS)
def test_folding_with_places_is_folding(text: str) -> None:
    folded = fold_with_places(text)
    assert folded.text == fold(text)
    assert len(folded.starts) == len(folded.ends) == len(folded.text)
    for character, start, end in zip(folded.text, folded.starts, folded.ends, strict=True):
        assert start < end
        assert character in unicodedata.normalize("NFKC", text[start:end]) or character == " "


@settings(max_examples=250, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3), TEXTS, st.integers(-2, 5))
def test_a_quote_that_does_not_occur_is_never_accepted(texts: list[str], quote: str, named: int) -> None:
    found = Source(turns(*texts)).ground(quote, named)
    occurs = [index for index, text in enumerate(texts) if fold(quote) and fold(quote) in fold(text)]
    if isinstance(found, Grounding):
        assert found.turn.index in occurs
        assert fold(quote) in fold(found.quote)
        assert found.quote == texts[found.turn.index][found.start : found.end]
        assert counted_words(fold(quote)) >= LEAST_WORDS or fold(quote) == fold(texts[found.turn.index])
    elif found is Ungrounded.TOO_SHORT:
        assert occurs
    if not occurs:
        assert found is Ungrounded.NOT_FOUND


@settings(max_examples=300, deadline=None)
@given(WORDS, st.data())
def test_three_whole_words_of_a_message_are_always_found(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    quote = " ".join(words[first : last + 1])
    assume(counted_words(fold(quote)) >= LEAST_WORDS)
    assert isinstance(Source(turns(text)).ground(quote, 0), Grounding)


@settings(deadline=None)
@given(TEXTS)
def test_a_whole_message_is_always_found(text: str) -> None:
    assume(fold(text))
    assert isinstance(Source(turns("Something else entirely.", text)).ground(text, 1), Grounding)


@pytest.mark.parametrize(
    ("text", "quote", "found"),
    [
        ("She is a nurse.", "he is a", Ungrounded.NOT_FOUND),
        ("I can't eat nuts.", "I can", Ungrounded.NOT_FOUND),
        ("And I can't eat", "And I can", Ungrounded.NOT_FOUND),
        ("I do like catfish", "I do like cat", Ungrounded.NOT_FOUND),
        ("We have two dogs' beds here", "have two dogs", "have two dogs"),
        ("It is 'all of it' or nothing", "all of it", "all of it"),
        ("Vegan!", "Vegan!", "Vegan!"),
        ("Vegan, yes.", "Vegan", Ungrounded.TOO_SHORT),
        ("ok so\n\tI left\u00a0 early today", "I left early today", "I left\u00a0 early today"),
        ("①  ２０２６ ﬁsh", "1 2026 fish", "①  ２０２６ ﬁsh"),
        ("e\u0301te\u0301 a\u0300 Lyon", "été à Lyon", "e\u0301te\u0301 a\u0300 Lyon"),
        ("猫が好きです", "猫が好き", "猫が好き"),
        ("猫が好きです", "猫が", Ungrounded.TOO_SHORT),
        ("여름에 바다에 갔어요", "여름에 바다에 갔어", Ungrounded.NOT_FOUND),
        ("여름에 바다에 갔어요", "여름에 바다에 갔어요", "여름에 바다에 갔어요"),
        ("ฉันชอบกาแฟมาก", "ชอบกาแฟ", "ชอบกาแฟ"),
        ("I like tea", "", Ungrounded.NOT_FOUND),
        ("I like tea", " \n ", Ungrounded.NOT_FOUND),
        ("I like TEA a lot", "i like tea", Ungrounded.NOT_FOUND),
        ("a - b - c", "- b -", Ungrounded.TOO_SHORT),
    ],
)
def test_borders_of_words_and_forms_of_letters(text: str, quote: str, found: str | Ungrounded) -> None:
    outcome = Source(turns("Nothing of the kind.", text)).ground(quote, 1)
    assert (outcome.quote if isinstance(outcome, Grounding) else outcome) == found


def test_the_message_named_comes_first_then_the_nearest() -> None:
    source = Source(turns("I like green tea", "No.", "I like green tea", "Yes.", "I like green tea"))
    for named, index in ((0, 0), (2, 2), (4, 4), (1, 0), (3, 2), (99, 4), (-7, 0)):
        found = source.ground("like green tea", named)
        assert isinstance(found, Grounding)
        assert found.turn.index == index


def test_a_quote_may_stand_in_what_an_image_shows() -> None:
    pictured = Turn(index=0, role=Role.USER, text="Look!", said=0, images=("A dog.", "A sign reads “no entry”."))
    found = Source([pictured]).ground("sign reads “no entry”", 0)
    assert isinstance(found, Grounding)
    assert (found.passage, found.quote) == (2, "sign reads “no entry”")


def test_places_of_a_long_text_are_found() -> None:
    text = "ガイドさん、" * 3000 + "鍵は\n台所の棚にあります。"
    found = Source(turns(text)).ground("鍵は 台所の棚にあります", 0)
    assert isinstance(found, Grounding)
    assert text[found.start : found.end] == "鍵は\n台所の棚にあります"
