"""`memoir scopes` and `memoir entities` against a real server."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def people(run: Run, tmp_path: Path) -> None:
    """Three memories of two users, in two sessions."""
    rows = [
        {"text": "Ana met Bo in Ghent.", "user_id": "ana", "session_id": "s1", "create_time": "2026-01-02T09:00:00Z"},
        {"text": "Ana has a cat.", "user_id": "ana", "session_id": "s2", "create_time": "2026-01-03T09:00:00Z"},
        {"text": "Bo sails.", "user_id": "bo", "agent_id": "guide", "create_time": "2026-01-04T09:00:00Z"},
    ]
    mentions: list[list[object]] = [[{"name": "Ghent [city]", "type": "place"}, "Bo"], [], [{"name": "Bo"}]]
    path = tmp_path / "people.jsonl"
    lines = [json.dumps({**row, "entities": found}) for row, found in zip(rows, mentions, strict=True)]
    path.write_text("\n".join(lines), encoding="utf-8")
    done = run("import", str(path))
    assert done.status == 0, done.err


@pytest.mark.usefixtures("people")
def test_scopes_lists_users_unless_told_otherwise(run: Run) -> None:
    done = run("scopes")
    assert done.out.splitlines() == ["      2 2026-01-03 user ana", "      1 2026-01-04 user bo"]
    listed = run("scopes", "users", "--json").objects
    assert [(item["scope"]["user_id"], item["memory_count"]) for item in listed] == [("ana", 2), ("bo", 1)]


@pytest.mark.usefixtures("people")
def test_scopes_of_agents_and_of_the_sessions_of_a_user(run: Run) -> None:
    assert [item["scope"]["agent_id"] for item in run("scopes", "agents", "--json").objects] == ["guide"]
    sessions = run("scopes", "sessions", "-u", "ana", "--json").objects
    assert sorted(item["scope"]["session_id"] for item in sessions) == ["s1", "s2"]
    assert run("scopes", "sessions", "-u", "bo", "--json").out == ""


def test_scopes_says_when_there_are_none(run: Run) -> None:
    done = run("scopes", "agents")
    assert (done.status, done.out, done.err) == (0, "", "no agents\n")
    assert run("scopes", "planets").status == 2


@pytest.mark.usefixtures("people")
def test_entities_by_prefix_and_type(run: Run) -> None:
    names = [line.split()[2] for line in run("entities", "-u", "ana").out.splitlines()]
    assert names == ["Bo", "Ghent"]
    assert re.fullmatch(r" +1 place +Ghent \[city\]  [0-9a-f-]{36}\n", run("entities", "--prefix", "ghe").out)
    assert [item["name"] for item in run("entities", "--type", "place", "--json").objects] == ["Ghent [city]"]
    assert {item["owner"]["user_id"] for item in run("entities", "--prefix", "Bo", "--json").objects} == {"ana", "bo"}
    assert len(run("entities", "-k", "1", "--json").objects) == 1


@pytest.mark.usefixtures("people")
def test_entities_says_when_there_are_none(run: Run) -> None:
    done = run("entities", "--prefix", "zzz")
    assert (done.status, done.out, done.err) == (0, "", "no entities\n")
