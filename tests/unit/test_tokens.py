from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.tokens import MAX_CHARACTERS_PER_TOKEN, TOKENIZER, count_tokens, longest_prefix

ALPHABET = st.sampled_from([*list("abcXYZ019 .,;-[](\n\t\x00éßЖ猫ก한"), "😀", "́", "\u200d"])
TEXTS = st.one_of(st.text(max_size=60), st.text(ALPHABET, max_size=60))


def test_the_rule_has_a_name() -> None:
    assert TOKENIZER == "memoir-words-1"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("tree", 1),
        ("trees", 2),
        ("The cat sat.", 4),
        ("unbelievable", 3),
        ("2025", 4),
        ("in 2025", 6),
        ("3 cats", 2),
        ("a  b", 3),
        ("end ", 2),
        ("one\ntwo", 3),
        (" [12]", 4),
        ("don't", 3),
        ("café", 2),
        ("猫が好き", 8),
        ("кот", 3),
        ("😀", 3),
    ],
)
def test_counts(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@given(TEXTS, TEXTS)
def test_counting_is_additive_but_for_one_token(a: str, b: str) -> None:
    apart = count_tokens(a) + count_tokens(b)
    assert apart - 1 <= count_tokens(a + b) <= apart


@given(TEXTS, TEXTS)
def test_a_longer_text_never_counts_less(a: str, b: str) -> None:
    assert count_tokens(a) <= count_tokens(a + b)


@given(TEXTS)
def test_a_text_counts_between_its_characters_and_its_bytes(text: str) -> None:
    assert len(text) <= count_tokens(text) * MAX_CHARACTERS_PER_TOKEN
    assert count_tokens(text) <= len(text.encode())


@given(TEXTS, st.integers(-2, 80))
def test_the_longest_prefix_fits_and_no_longer_one_does(text: str, tokens: int) -> None:
    end = longest_prefix(text, tokens)
    if end:
        assert count_tokens(text[:end]) <= tokens
    if end < len(text):
        assert count_tokens(text[: end + 1]) > tokens


def test_english_counts_no_less_than_byte_pair_tokenizers() -> None:
    # Tokens of cl100k_base and o200k_base, the larger of both.
    passages = {
        "Ana moved to Lisbon in March and rents a flat near the river.": 14,
        "The dentist appointment is on Friday at half past nine, in the old building behind the station.": 19,
        "I told her that the boiler had been repaired, but she did not believe a word of it!": 20,
    }
    for text, tokens in passages.items():
        assert tokens <= count_tokens(text) <= 1.6 * tokens
