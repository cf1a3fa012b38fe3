"""Text analysis: what becomes a term, for any script."""

from __future__ import annotations

import re
import sys
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain import analysis
from memoir_server.domain.analysis import MAX_TERM_LENGTH, analyse

CONTENT_WORDS = st.lists(st.sampled_from("garden tomato lisbon ferry running piano 2024 猫が好き кошка".split()))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Anna's cats are running", ("anna", "cat", "run")),
        ("Anna\u2019s dog", ("anna", "dog")),
        ("James' guitar", ("jame", "guitar")),
        ("We don't know; he'll ask O'Brien", ("know", "ask", "o", "brien")),
        ("user_id=alice-2, v3.11!", ("user", "id", "alic", "2", "v3", "11")),
        ("STRASSE Straße ﬁne Ａｐｐｌｅ", ("strass", "strass", "fine", "appl")),
        ("cafe\u0301 café", ("café", "café")),
        ("soft\u00adware zero\u200bwidth", ("softwar", "zero", "width")),
        ("猫が好き", ("猫が", "が好", "好き")),
        ("猫", ("猫",)),
        ("東京tower2024", ("東京", "tower2024")),
        ("한국어 공부", ("한국", "국어", "공부")),
        ("हिन्दी में", ("हिन्दी", "में")),
        ("Она любит кошек", ("она", "любит", "кошек")),
        ("nul\x00byte", ("nul", "byte")),
        ("", ()),
        ("... 🙂 \n\t", ()),
    ],
)
def test_terms(text: str, terms: tuple[str, ...]) -> None:
    assert analyse(text) == terms


def test_function_words_go_unless_there_is_nothing_else() -> None:
    assert analyse("Where did she put the keys?") == ("put", "key")
    assert analyse("The Who") == ("the", "who")
    # Names, months and countries that look like function words stay.
    assert analyse("Will may visit the US") == ("will", "may", "visit", "us")


def test_thai_gives_pairs_that_keep_their_marks() -> None:
    terms = analyse("ภาษาไทย")
    assert len(terms) > 1
    assert "".join(terms).startswith("ภา")
    assert not any(unicodedata.category(term[0]).startswith("M") for term in terms)


def test_languages() -> None:
    assert analyse("Sie liefen durch die Gärten", language="german") == ("sie", "lief", "durch", "die", "gart")
    assert analyse("кошками", language="russian") == analyse("кошка", language="russian")
    with pytest.raises(ValueError, match="language='klingon'"):
        analyse("nuqneH", language="klingon")


def test_long_words_are_cut() -> None:
    (term,) = analyse("x" * 500)
    assert term == "x" * MAX_TERM_LENGTH


@given(st.text(st.characters(max_codepoint=sys.maxunicode)))
def test_the_form_of_terms(text: str) -> None:
    for term in analyse(text):
        assert 1 <= len(term) <= MAX_TERM_LENGTH
        assert re.fullmatch("[a-z0-9]*", "".join(char for char in term if char.isascii()))
        assert not any(unicodedata.category(char)[0] in "CZ" for char in term)
        # What a store that splits at white space sees is the term as it is.
        assert term.split() == [term]


@given(st.text())
def test_normal_forms_do_not_matter(text: str) -> None:
    assert analyse(unicodedata.normalize("NFC", text)) == analyse(unicodedata.normalize("NFKD", text))


@given(st.text(st.characters(max_codepoint=127)))
def test_case_and_spacing_do_not_matter(text: str) -> None:
    assert analyse(text.upper()) == analyse(text.lower()) == analyse(f"  {text}\n")


@given(CONTENT_WORDS, CONTENT_WORDS)
def test_texts_add_up(left: list[str], right: list[str]) -> None:
    one, two = " ".join(left), " ".join(right)
    assert analyse(f"{one}. {two}") == analyse(one) + analyse(two)


def test_threads_agree() -> None:
    text = " ".join(f"running{n} gardens nationally{n} tomatoes" for n in range(300))
    expected, results = analyse(text + " fresh"), list[tuple[str, ...]]()
    threads = [threading.Thread(target=lambda: results.append(analyse(text + " fresh"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8


def slowly(text: str, language: str) -> tuple[str, ...]:
    """Word by word through the whole text, remembering nothing."""
    folded = analysis._fold(text)
    english = language == "english"
    words: list[str] = []
    for match in (analysis._ASCII_WORD if folded.isascii() else analysis._WORD).finditer(folded):
        for word in analysis._without_clitic(match[0], english=english):
            for segment in analysis._SEGMENT.finditer(word):
                words.extend([segment[0]] if segment["unspaced"] is None else analysis._pairs(segment[0]))
    if english:
        words = [word for word in words if word not in analysis._ENGLISH_FUNCTION_WORDS] or words
    return tuple(analysis._term(word, language) for word in words)


spoken = st.sampled_from(
    [
        *(
            "The",
            "who",
            "Anna's",
            "isn't",
            "don't",
            "o'brien",
            "running",
            "ran",
            "we'll",
            "it",
            "of",
            "Caf\u00e9",
            "2023",
        ),
        *("\u5317\u4eac", "tea\u5317\u4eac's", "\u0438\u0441\u043a\u0430\u043b\u0438", "x" * 70, "running" * 20),
        *("don\u2019t", "na\u00efve's", "it's", "'", "...", "a's's"),
    ]
)


@given(st.lists(spoken | st.text(max_size=5)), st.sampled_from([" ", "-", ""]), st.sampled_from(["english", "russian"]))
def test_remembered_words_change_nothing(words: list[str], space: str, language: str) -> None:
    text = space.join(words)
    assert analyse(text, language=language) == slowly(text, language)
    assert analyse(text, language=language) == slowly(text, language)
