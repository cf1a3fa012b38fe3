"""`memoir export` and `memoir import` against a real server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Outcome, memoir

Run = Callable[..., Outcome]
SAMPLE = Path(__file__).parents[2] / "examples/transcripts/leeds-to-ghent.jsonl"


@pytest.fixture
def elsewhere(target: str, namespace: str) -> Run:
    """Commands in another namespace of the same server."""

    def command(*arguments: str) -> Outcome:
        return memoir(*arguments, env={"MEMOIR_TARGET": target, "MEMOIR_NAMESPACE": f"{namespace}-copy"})

    return command


@pytest.fixture
def kept(run: Run) -> list[dict[str, Any]]:
    """Two facts of ana, one of bo; the first was changed once."""
    texts = [("ana", "Ana likes trams."), ("ana", "Ana has a bike."), ("bo", "Bo sails.")]
    memories = [run("add", text, "--kind", "FACT", "-u", user, "--json").object for user, text in texts]
    memories[0] = run("update", memories[0]["id"], "--metadata", '{"rank": 2, "share": 2.0}', "--json").object
    return memories


def without_origin(memory: dict[str, Any]) -> dict[str, Any]:
    """What an import keeps."""
    return {key: memory[key] for key in memory if key not in {"namespace", "revision", "etag", "update_time"}}


def written(folder: Path, content: object, name: str = "data.json") -> str:
    """A file: lines of JSON of a tuple, one JSON value of anything else, a string as it is."""
    path = folder / name
    if isinstance(content, tuple):
        content = "\n".join(json.dumps(line) for line in content)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return str(path)


def test_an_export_imported_elsewhere_is_the_same(
    run: Run, elsewhere: Run, kept: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "all.jsonl"
    done = run("export", "-o", str(path), "--embeddings")
    assert (done.status, done.out) == (0, f"3 memories in {path}\n"), done.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["all.jsonl"]
    first = elsewhere("import", str(path))
    assert (first.status, first.out, first.err) == (0, "3 added\n", "")
    for memory in kept:
        here, there = (at("get", memory["id"], "--json").object for at in (run, elsewhere))
        assert without_origin(there) == without_origin(here)
    assert elsewhere("import", str(path)).out == "3 unchanged\n"


def test_export_is_json_lines_with_header_and_summary(run: Run, namespace: str, kept: list[dict[str, Any]]) -> None:
    header, *memories, summary = run("export", "-u", "ana").objects
    revision = run("history", "--json").objects[-1]["revision"]
    assert header == {
        "format": "memoir-export",
        "version": 1,
        "namespace": namespace,
        "revision": revision,
        "estimated_memories": 2,
    }
    assert {line["memory"]["memory_id"] for line in memories} == {kept[0]["id"], kept[1]["id"]}
    assert all("embedding" not in line for line in memories)
    assert summary == {"summary": {"memories": 2, "events": 0}}


def test_export_with_history_and_embeddings(run: Run, kept: list[dict[str, Any]]) -> None:
    lines = run("export", "-u", "ana", "--history", "--embeddings").objects
    assert [line["event"]["type"] for line in lines if "event" in line] == [
        "EVENT_TYPE_CREATED",
        "EVENT_TYPE_CREATED",
        "EVENT_TYPE_UPDATED",
    ]
    assert all(len(line["embedding"]["values"]) > 1 for line in lines if "memory" in line)
    assert lines[-1]["summary"] == {"memories": 2, "events": 3}


def test_export_as_of_a_revision(run: Run, kept: list[dict[str, Any]]) -> None:
    lines = run("export", "--as-of", "1").objects
    assert [line["memory"]["text"] for line in lines if "memory" in line] == ["Ana likes trams."]


def test_export_json_says_what_was_written(run: Run, kept: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    done = run("export", "-o", str(path), "--history", "--json")
    assert done.object == {"file": str(path), "memories": 3, "events": 4}
    assert done.err == ""


def test_a_failed_export_leaves_the_file_as_it_was(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    path.write_text("before", encoding="utf-8")
    assert run("export", "-o", str(path), "--as-of", "999").status == 1
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("all.jsonl", "before")]


def test_import_json_has_a_line_per_item(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, ({"text": "One.", "user_id": "ana"}, {"text": "Two.", "user_id": "ana"}))
    results = run("import", path, "--json").objects
    assert [(item["place"], item["action"], item["error"]) for item in results] == [
        ("data.json:1", "ADDED", None),
        ("data.json:2", "ADDED", None),
    ]
    assert {item["id"] for item in run("list", "--json").objects} == {item["memory_id"] for item in results}


def test_plain_lines_carry_the_fields_of_create(run: Run, tmp_path: Path) -> None:
    line = {
        "text": "Ana lives in Ghent.",
        "user_id": "ana",
        "session_id": "s1",
        "memory_id": "home",
        "kind": "PREFERENCE",
        "importance": 0.5,
        "metadata": {"topic": "home", "rank": 3},
        "create_time": "2026-01-02T09:00:00+02:00",
        "entities": ["Ana", {"name": "Ghent", "type": "place"}],
        "relations": [["Ana", "LIVES_IN", "Ghent"]],
        "agent_id": None,
    }
    assert run("import", written(tmp_path, (line,))).out == "1 added\n"
    found = run("get", "home", "--json").object
    assert (found["kind"], found["importance"], found["metadata"]) == ("PREFERENCE", 0.5, {"topic": "home", "rank": 3})
    assert found["scope"] == {"user_id": "ana", "agent_id": None, "session_id": "s1"}
    assert found["create_time"] == "2026-01-02T07:00:00+00:00"
    assert found["relations"][0]["predicate"] == "LIVES_IN"


def test_equal_lines_stay_several_and_a_second_import_adds_nothing(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, ({"text": "Yes.", "user_id": "ana"}, {"text": "Yes.", "user_id": "ana"}))
    assert run("import", path).out == "2 added\n"
    assert run("import", path).out == "2 unchanged\n"


def test_owner_options_fill_in_what_is_missing(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, ({"text": "One."}, {"text": "Two.", "user_id": "bo"}))
    assert run("import", path, "-u", "ana", "-a", "guide").status == 0
    scopes = {item["text"]: item["scope"] for item in run("list", "--json").objects}
    assert scopes["One."] == {"user_id": "ana", "agent_id": "guide", "session_id": None}
    assert scopes["Two."] == {"user_id": "bo", "agent_id": None, "session_id": None}


@pytest.mark.parametrize(
    ("choice", "says", "text"), [("skip", "1 unchanged", "Old."), ("replace", "1 updated", "New.")]
)
def test_on_conflict(run: Run, tmp_path: Path, choice: str, says: str, text: str) -> None:
    run("import", written(tmp_path, ({"text": "Old.", "user_id": "ana", "memory_id": "m"},)))
    new = written(tmp_path, ({"text": "New.", "user_id": "ana", "memory_id": "m"},))
    assert run("import", new, "--on-conflict", choice).out == f"{says}\n"
    assert run("get", "m", "--json").object["text"] == text


def test_refused_items_are_listed_at_the_end_and_the_others_are_taken(run: Run, tmp_path: Path) -> None:
    run("import", written(tmp_path, ({"text": "Old.", "user_id": "ana", "memory_id": "m"},)))
    path = written(
        tmp_path,
        (
            {"text": "New.", "user_id": "ana", "memory_id": "m"},
            {"text": "Good.", "user_id": "ana"},
            {"text": "Bad.", "user_id": "ana", "memory_id": "not an id"},
        ),
    )
    done = run("import", path, "--on-conflict", "fail")
    assert (done.status, done.out) == (1, "1 added, 2 refused\n")
    taken, bad = done.err.splitlines()
    assert taken.startswith("data.json:1: m ")
    assert "MEMORY_ALREADY_EXISTS" in taken
    assert bad.startswith("data.json:3: not an id ")
    errors = [item["error"] for item in run("import", path, "--on-conflict", "fail", "--json").objects]
    assert [error and error["reason"] for error in errors] == ["MEMORY_ALREADY_EXISTS", None, "FIELD_INVALID"]


MEM0: list[dict[str, Any]] = [
    {
        "id": "892db2ae-06d9-49e5-8b3e-585ef9b85b8e",
        "memory": "Ana is allergic to nuts.",
        "user_id": "ana",
        "agent_id": None,
        "run_id": "trip",
        "hash": "0f0e",
        "metadata": {"topic": "food", "source": None, "nested": {"a": [1]}},
        "categories": ["health"],
        "created_at": "2025-07-20T01:30:36.275141-07:00",
        "updated_at": None,
    },
    {"id": "c1", "memory": "Bo sails.", "agent_id": "guide", "actor_id": "Bo", "role": "user", "score": 0.3},
]


@pytest.mark.parametrize(
    "content",
    [MEM0, {"results": MEM0}, json.dumps({"results": MEM0}), json.dumps(MEM0)],
    ids=["list", "results", "results in a line", "list in a line"],
)
def test_mem0_is_told_by_its_content(run: Run, tmp_path: Path, content: object) -> None:
    done = run("import", written(tmp_path, content))
    assert (done.status, done.out) == (0, "2 added\n"), done.err
    nuts = run("get", MEM0[0]["id"], "--json").object
    assert nuts["text"] == "Ana is allergic to nuts."
    assert nuts["scope"] == {"user_id": "ana", "agent_id": None, "session_id": "trip"}
    assert nuts["metadata"] == {"topic": "food", "nested": '{"a": [1]}', "categories": ["health"]}
    assert nuts["create_time"] == "2025-07-20T08:30:36.275141+00:00"
    sails = run("get", "c1", "--json").object
    assert (sails["scope"]["agent_id"], sails["provenance"][0]["actor_id"]) == ("guide", "Bo")


def test_mem0_relations_are_said_to_stay_behind(run: Run, tmp_path: Path) -> None:
    content = {"results": MEM0, "relations": [{"source": "ana", "relationship": "likes", "target": "bo"}]}
    done = run("import", written(tmp_path, content))
    assert done.status == 0
    assert done.err.startswith("note: the relations ")


def test_a_transcript_is_replayed(run: Run) -> None:
    done = run("import", str(SAMPLE), "-u", "someone")
    assert (done.status, done.out) == (0, "275 added\n"), done.err
    assert run("import", str(SAMPLE), "-u", "someone").status == 0
    (only,) = run("scopes", "--json").objects
    assert (only["scope"]["user_id"], only["memory_count"]) == ("someone", 275)


def test_a_forced_format_wins(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path, ({"text": "One.", "user_id": "ana"},))
    done = run("import", path, "--format", "transcript")
    assert done.status == 1
    assert 'write "format": "memoir-transcript" on line 1' in done.err
    assert run("import", path, "--format", "lines").out == "1 added\n"


def test_import_used_wrongly(run: Run, tmp_path: Path) -> None:
    export = written(tmp_path, ({"format": "memoir-export", "version": 1}, {"summary": {}}))
    assert run("import", export).out == "nothing to import\n"
    assert "name their owners" in run("import", export, "-u", "ana").err
    assert run("import", str(SAMPLE), "--on-conflict", "fail").status == 2
    assert run("import", str(tmp_path / "missing")).status == 2


def test_a_file_with_a_fault_sends_nothing(run: Run, tmp_path: Path) -> None:
    done = run("import", written(tmp_path, ({"text": "One.", "user_id": "ana"}, {"text": 7})))
    assert (done.status, done.out) == (1, "")
    assert done.err == "error: data.json:2: text: 7 is not a string; write a string\n"
    assert run("list", "--json").out == ""
