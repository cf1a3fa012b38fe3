"""Reading what a model hands over: anything may come, nothing may get through."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoir_server.domain.inference.answer import MAX_ANSWER, MAX_PROBLEMS
from memoir_server.domain.inference.extraction import (
    EXTRACTION_SCHEMA,
    MAX_FACT_TEXT,
    MAX_FACTS,
    MAX_MENTIONS,
    MAX_NAME,
    MAX_QUOTE,
    entity_type,
    predicate,
    read_extraction,
)
from memoir_server.domain.memory import MemoryKind

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
KEYS = (
    "text kind message quote importance confidence when valid_from valid_until entities relations name type what"
).split()
FACTS = st.dictionaries(
    st.sampled_from(KEYS),
    JSON | st.sampled_from(["fact", "a quote of words", 0, 1, 0.5, [], [{"name": "x", "type": "y"}]]),
)


def fact(**changed: object) -> dict[str, object]:
    return {
        "text": "Nora likes tea.",
        "kind": "preference",
        "message": 0,
        "quote": "I like tea",
        "importance": 0.4,
        "confidence": 0.9,
        "when": None,
        "valid_from": None,
        "valid_until": None,
        "entities": [],
        "relations": [],
        **changed,
    }


def read(*facts: object, **top: object) -> Any:
    return read_extraction(json.dumps({"facts": list(facts), "forget": [], **top}))


@settings(max_examples=200, deadline=None)
@given(
    st.text()
    | JSON.map(json.dumps)
    | st.fixed_dictionaries({"facts": st.lists(FACTS) | JSON, "forget": st.lists(FACTS) | JSON}).map(json.dumps)
)
def test_whatever_comes_is_facts_within_the_limits_or_problems(output: str) -> None:
    extraction = read_extraction(output)
    if extraction.problems:
        assert not extraction.facts
        assert not extraction.forget
        assert len(extraction.problems) <= MAX_PROBLEMS
        assert all(problem.startswith("$") and len(problem) < 400 for problem in extraction.problems)
    assert len(extraction.facts) <= MAX_FACTS
    for each in extraction.facts:
        assert 0 < len(each.text) <= MAX_FACT_TEXT
        assert 0 < len(each.quote) <= MAX_QUOTE
        assert 0 <= each.importance <= 1
        assert 0 <= each.confidence <= 1
        assert each.kind not in (MemoryKind.EPISODE, MemoryKind.SUMMARY)
        assert len(each.entities) <= MAX_MENTIONS
        assert "\0" not in each.text + each.quote


def test_a_whole_answer() -> None:
    extraction = read(
        fact(
            entities=[
                {"name": "Nora", "type": "person"},
                {"name": "nora", "type": "Person"},
                {"name": "Ghent", "type": None},
            ],
            relations=[{"subject": "Nora", "predicate": "livesIn", "object": "Ghent"}],
            when="last week",
            valid_from="2026-03",
        ),
        forget=[{"what": "the dog", "message": 1, "quote": "forget the dog"}],
    )
    assert extraction.problems == ()
    (one,) = extraction.facts
    assert (one.text, one.kind, one.message, one.quote) == ("Nora likes tea.", MemoryKind.PREFERENCE, 0, "I like tea")
    assert [(each.name, each.type) for each in one.entities] == [("Nora", "person"), ("Ghent", "thing")]
    assert [each.predicate for each in one.relations] == ["LIVES_IN"]
    assert (one.when, one.valid_from, one.valid_until) == ("last week", "2026-03", "")
    assert [(each.what, each.message, each.quote) for each in extraction.forget] == [("the dog", 1, "forget the dog")]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"text": 3}, "$.facts[0].text: has to be a text, not a number"),
        ({"text": " \0 "}, "$.facts[0].text: is empty"),
        ({"text": "x" * 2001}, "$.facts[0].text: has 2001 characters; at most 2000 are taken"),
        ({"kind": "episode"}, "$.facts[0].kind: has to be one of fact, preference, event, procedure, not 'episode'"),
        ({"kind": None}, "$.facts[0].kind: has to be one of fact, preference, event, procedure, not null or missing"),
        ({"message": True}, "$.facts[0].message: has to be a whole number, not true or false"),
        ({"message": 0.5}, "$.facts[0].message: has to be a whole number, not 0.5"),
        ({"quote": None}, "$.facts[0].quote: has to be a text, not null or missing"),
        ({"importance": 1.01}, "$.facts[0].importance: has to be a number from 0 to 1, not 1.01"),
        ({"confidence": float("nan")}, "$.facts[0].confidence: has to be a number from 0 to 1, not nan"),
        ({"confidence": 10**400}, "$.facts[0].confidence: has to be a number from 0 to 1, not a number"),
        ({"entities": {}}, "$.facts[0].entities: has to be a list, not an object"),
        ({"entities": ["Nora"]}, "$.facts[0].entities[0]: has to be an object, not a text"),
        (
            {"entities": [{"name": "n" * (MAX_NAME + 1), "type": ""}]},
            "$.facts[0].entities[0].name: has 257 characters; at most 256 are taken",
        ),
        ({"relations": [{}] * (MAX_MENTIONS + 1)}, "$.facts[0].relations: has 17 items; at most 16 are taken"),
    ],
)
def test_a_problem_says_where_and_what_was_wanted(changed: dict[str, object], problem: str) -> None:
    assert problem in read(fact(**changed)).problems


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("", "$: is not JSON: Expecting value at character 0"),
        ('{"facts": [', "$: is not JSON"),
        ("[]", "$: has to be an object, not a list"),
        ("null", "$: has to be an object, not null or missing"),
        ("7" * 5000, "$: is not JSON that can be read"),
        ("[" * 100_000, "$: is not JSON that can be read"),
        ("x" * (MAX_ANSWER + 1), "$: the answer has 1000001 characters"),
        ("{}", "$.facts: has to be a list, not null or missing"),
    ],
)
def test_an_answer_that_is_no_object_of_facts(output: str, problem: str) -> None:
    assert read_extraction(output).problems[0].startswith(problem)


def test_too_many_facts_are_a_problem() -> None:
    assert read(*[fact()] * (MAX_FACTS + 1)).problems == ("$.facts: has 65 items; at most 64 are taken",)


def test_what_does_no_harm_is_let_pass() -> None:
    extraction = read(
        {"text": " Tea. ", "kind": " FACT ", "message": 0.0, "quote": "I like tea", "mood": {}}, extra=[1]
    )
    assert extraction.problems == ()
    assert extraction.facts[0].text == "Tea."


@settings(deadline=None)
@given(st.text(max_size=80))
def test_words_of_the_graph_are_those_of_the_contract(words: str) -> None:

    assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", entity_type(words))
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", predicate(words))


def test_the_schema_names_every_property_that_is_read() -> None:
    schema = json.loads(EXTRACTION_SCHEMA.document)
    assert set(schema["properties"]["facts"]["items"]["required"]) == set(fact())
    assert schema["properties"]["facts"]["items"]["properties"]["kind"]["enum"] == [
        "fact",
        "preference",
        "event",
        "procedure",
    ]
