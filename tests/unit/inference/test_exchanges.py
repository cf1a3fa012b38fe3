"""The authored exchanges, run through the steps of inference."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from golden_inference.exchange import Exchange, load_all
from golden_inference.replay import differences, replay

EXCHANGES = load_all()

# Of the issue: each has to be shown by at least one exchange, found by the beginning of its name.
SUBJECTS = (
    "negation- correction- contradiction- progression- names-two names-plural portuguese- japanese- arabic- code- "
    "joke- hypothetical- secret- hostile- small-talk-empty long-fifty image- grounding-invented repair- invalid-twice "
    "progression-late contradiction-keep-both contradiction-less-sure forget-asked forget-without-quote "
    "hostile-other-ids duplicate-in-one-answer duplicate-exact"
).split()


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_exchange_gives_the_expected_changes(exchange: Exchange) -> None:
    assert differences(exchange, replay(exchange)) == []


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
def test_calls_are_at_most_the_windows_and_one(exchange: Exchange) -> None:
    asked = Counter(answer.to for answer in exchange.answers)
    windows = exchange.expect.get("windows", 1)
    assert asked["extract"] + asked["procedure"] <= windows
    assert asked["reconcile"] <= (1 if exchange.stored else 0)
    assert asked["repair"] <= windows + 1


def test_the_corpus_shows_every_subject() -> None:
    names = [exchange.name for exchange in EXCHANGES]
    assert [subject for subject in SUBJECTS if not any(name.startswith(subject) for name in names)] == []
    assert len(names) >= 60


def test_the_longest_message_has_fifty_thousand_characters() -> None:
    longest = max(len(turn.text) for exchange in EXCHANGES for turn in exchange.turns)
    assert longest >= 50_000


def test_what_was_said_is_data_of_every_question() -> None:
    """Whatever a message holds, the lines of its block are the messages, one JSON object each."""
    for exchange in EXCHANGES:
        outcome = replay(exchange)
        first = next(prompt for prompt in outcome.asked if prompt.name in ("extract", "procedure"))
        text = "".join(getattr(part, "text", "") for part in first.content)
        lines = text.splitlines()
        assert lines.count("<messages>") == lines.count("</messages>") == 1
        inside = lines[lines.index("<messages>") + 1 : lines.index("</messages>")]
        assert all(json.loads(line)["role"] in ("user", "assistant", "system", "tool") for line in inside)
