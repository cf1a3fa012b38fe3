"""What a query says of people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.ranking.query import named_speakers, strip_names

PEOPLE = ("Anna Lee", "Anna Kim", "Bo", "Zoë", "Иван", "田中", "राम", "Will", "A")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("What did Bo say?", {"Bo"}),
        ("what did BO'S sister say", {"Bo"}),
        ("the book about Bob", set()),
        ("Where does Anna live?", {"Anna Lee", "Anna Kim"}),
        ("Where does anna lee live?", {"Anna Lee"}),
        ("Did Anna Lee meet Anna?", {"Anna Lee", "Anna Kim"}),
        ("Did Bo call Zoe\u0308?", {"Bo", "Zoë"}),
        ("Где живёт ИВАН?", {"Иван"}),
        ("田中さんは何を食べましたか", {"田中"}),
        ("राम कहाँ है", {"राम"}),
        ("रामायण क्या है", set()),
        ("What will he do?", set()),
        ("Will he come?", set()),
        ("What did Will do?", {"Will"}),
        ("Is there a plan A?", set()),
        ("", set()),
    ],
)
def test_named_speakers(query: str, named: set[str]) -> None:
    assert named_speakers(query, PEOPLE) == named


@pytest.mark.parametrize(
    ("query", "stripped"),
    [
        ("What did Bo say?", "What did say?"),
        ("What is Bo's dog called?", "What is dog called?"),
        ("What is Bo\u2019s dog called?", "What is dog called?"),
        ("Does Anna Lee know Bo?", "Does know?"),
        ("Where is Zoe\u0308, Bo and the dog?", "Where is, and the dog?"),
        ("田中さんは何を食べましたか", "さんは何を食べましたか"),
        ("Bo?", "Bo?"),
        ("Bo and nobody else", "and nobody else"),
        ("Bob's book", "Bob's book"),
    ],
)
def test_strip_names(query: str, stripped: str) -> None:
    assert strip_names(query, named_speakers(query, PEOPLE)) == stripped


def test_a_shorter_name_inside_a_longer_one_is_not_meant() -> None:
    assert named_speakers("What did Mary Ann like?", ("Mary", "Mary Ann")) == {"Mary Ann"}
    assert named_speakers("What did Mary like?", ("Mary", "Mary Ann")) == {"Mary"}


@given(st.text(max_size=40), st.lists(st.text(max_size=8), max_size=4))
def test_any_text_keeps_some_of_itself(query: str, people: list[str]) -> None:
    named = named_speakers(query, people)
    assert named <= set(people)
    stripped = strip_names(query, named)
    assert bool(stripped.strip()) == bool(query.strip())
    if not named:
        assert stripped == query


@given(st.sampled_from(PEOPLE[:-1]), st.sampled_from(("hello", "где", "何")))
def test_a_name_standing_alone_is_found_and_taken_out(name: str, word: str) -> None:
    query = f"{word} {name} {word}"
    assert name in named_speakers(query, PEOPLE)
    assert strip_names(query, {name}) == f"{word} {word}"
