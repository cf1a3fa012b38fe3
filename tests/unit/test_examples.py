"""The sample conversation and the files beside it keep what `examples/TRANSCRIPT.md` promises."""

import json
import re
from collections import Counter
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TRANSCRIPT = "transcripts/leeds-to-ghent.jsonl"
MESSAGE_FIELDS = {"session_id", "message_id", "role", "actor_id", "content", "create_time"}
FACT_FIELDS = {"memory_id", "text", "kind", "valid_from", "entities", "relations", "sources"}
# fromisoformat takes more than RFC 3339 (dates alone, week dates), so the shape is checked as well.
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")

# Parsed JSON of a file under test: its fields are what the tests are about.
Record = dict[str, Any]


def when(text: str) -> datetime:
    assert RFC3339.fullmatch(text), text
    return datetime.fromisoformat(text)


def load(name: str) -> Record:
    document: Record = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def lines() -> list[Record]:
    return [json.loads(line) for line in (EXAMPLES / TRANSCRIPT).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def messages(lines: list[Record]) -> list[Record]:
    return lines[1:]


@pytest.fixture(scope="module")
def times(messages: list[Record]) -> dict[str, datetime]:
    return {message["message_id"]: when(message["create_time"]) for message in messages}


@pytest.fixture(scope="module")
def facts() -> list[Record]:
    found: list[Record] = load("facts.json")["facts"]
    return found


def test_header_names_format_version_and_owner(lines: list[Record]) -> None:
    header = lines[0]
    assert set(header) == {"format", "version", "title", "user_id", "agent_id"}
    assert (header["format"], header["version"]) == ("memoir-transcript", 1)
    assert header["user_id"]
    assert header["agent_id"]


def test_messages_have_the_documented_fields_and_one_speaker_per_role(messages: list[Record]) -> None:
    for message in messages:
        assert set(message) == MESSAGE_FIELDS, message["message_id"]
        assert all(isinstance(value, str) and value.strip() for value in message.values()), message["message_id"]
    assert len({message["actor_id"] for message in messages if message["role"] == "user"}) == 1
    assert len({message["actor_id"] for message in messages if message["role"] == "assistant"}) == 1
    assert {message["role"] for message in messages} == {"user", "assistant"}


def test_conversation_is_long_enough_and_never_repeats_itself(
    messages: list[Record], times: dict[str, datetime]
) -> None:
    sessions = Counter(message["session_id"] for message in messages)
    assert len(messages) >= 220
    assert len(sessions) >= 8
    assert min(sessions.values()) >= 10
    assert (max(times.values()) - min(times.values())).days >= 90
    assert len({message["content"] for message in messages}) == len(messages)


def test_message_ids_are_unique_and_carry_their_session(messages: list[Record], times: dict[str, datetime]) -> None:
    assert len(times) == len(messages)
    for message in messages:
        assert message["message_id"].startswith(f"{message['session_id']}-m")


def test_sessions_stand_together_and_time_runs_forward(messages: list[Record], times: dict[str, datetime]) -> None:
    runs = [session for session, _ in groupby(messages, key=lambda message: message["session_id"])]
    assert len(runs) == len(set(runs))
    for earlier, later in pairwise(messages):
        assert times[earlier["message_id"]] < times[later["message_id"]], later["message_id"]


def test_questions_cite_messages_that_exist(times: dict[str, datetime]) -> None:
    document = load("questions.json")
    questions = document["questions"]
    assert document["transcript"] == TRANSCRIPT
    assert len(questions) == 10
    assert len({question["question"] for question in questions}) == 10
    for question in questions:
        evidence = question["evidence"]
        assert 1 <= len(evidence) <= 3, question["question"]
        assert len(set(evidence)) == len(evidence), question["question"]
        assert set(evidence) <= set(times), question["question"]
        assert question["note"]


def test_facts_cite_messages_that_exist_and_name_their_entities(
    facts: list[Record], times: dict[str, datetime]
) -> None:
    assert load("facts.json")["transcript"] == TRANSCRIPT
    assert 6 <= len(facts) <= 10
    assert len({fact["memory_id"] for fact in facts}) == len(facts)
    assert {fact["kind"] for fact in facts} == {"FACT", "PREFERENCE", "EVENT", "PROCEDURE"}
    for fact in facts:
        assert set(fact) - {"supersedes"} == FACT_FIELDS, fact["memory_id"]
        assert fact["text"]
        assert fact["sources"], fact["memory_id"]
        assert set(fact["sources"]) <= set(times), fact["memory_id"]
        assert when(fact["valid_from"]).utcoffset() is not None
        assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,63}", entity["type"]) for entity in fact["entities"])
        names = [entity["name"] for entity in fact["entities"]]
        assert len(set(names)) == len(names), fact["memory_id"]
        for relation in fact["relations"]:
            assert {relation["subject"], relation["object"]} <= set(names), relation
            assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", relation["predicate"]), relation


def test_a_superseding_fact_comes_later_in_the_file_and_in_the_world(facts: list[Record]) -> None:
    pairs = 0
    began: dict[str, datetime] = {}
    for fact in facts:
        start = when(fact["valid_from"])
        for replaced in fact.get("supersedes", []):
            assert began[replaced] < start, fact["memory_id"]
            pairs += 1
        began[fact["memory_id"]] = start
    assert pairs >= 1


def test_the_documented_size_is_the_real_one(messages: list[Record]) -> None:
    sessions = len({message["session_id"] for message in messages})
    guide = (EXAMPLES / "TRANSCRIPT.md").read_text(encoding="utf-8")
    assert f"{len(messages)} messages, {sessions} sessions" in guide
