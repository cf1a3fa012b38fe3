"""The formats of `memoir import`: how they are told apart, and their faults."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from memoir_server.cli.import_error import ImportFileError
from memoir_server.cli.import_formats import Format, ItemFormat, detect, read_import
from memoir_server.cli.import_items import Owner

EXPORT = {"format": "memoir-export", "version": 1, "revision": 3}
EXPORTED = {"memory": {"memory_id": "a", "text": "One.", "kind": "MEMORY_KIND_FACT", "scope": {"user_id": "ana"}}}
SUMMARY = {"summary": {"memories": 1, "events": 0}}


def written(folder: Path, content: bytes | str | Iterable[object]) -> Path:
    path = folder / "data"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        text = content if isinstance(content, str) else "\n".join(json.dumps(line) for line in content)
        path.write_text(text, encoding="utf-8")
    return path


def fault(path: Path, form: ItemFormat) -> str:
    with pytest.raises(ImportFileError) as caught:
        read_import(path, form, Owner())
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ([EXPORT], "export"),
        ([{"format": "memoir-transcript", "version": 1}], "transcript"),
        ([{"text": "One."}], "lines"),
        ("\n \n" + json.dumps({"text": "One."}), "lines"),
        ("[]", "mem0"),
        ("  [\n{}]", "mem0"),
        ('{"results": []}', "mem0"),
        ('{\n  "results": []\n}', "mem0"),
    ],
)
def test_the_content_tells_the_format(tmp_path: Path, content: str | list[object], form: Format) -> None:
    assert detect(written(tmp_path, content)) == form


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("hello", 'begins with "hello", which is no known format'),
        ('{"a": 1}', "which is no known format"),
        ("7", "which is no known format"),
        ('{\n"a": 1}', "which is no known format"),
        ('{"text": oops}', "not JSON"),
        (b"PK\x03\x04\xff", "which is no known format"),
    ],
)
def test_no_known_format(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(ImportFileError) as caught:
        detect(written(tmp_path, content))
    assert str(caught.value).startswith("data: ")
    assert says in str(caught.value)
    assert "--format" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("oops", "data:2: not JSON"),
        (b'{"text": "caf\xe9"}', "data:2: not JSON"),
        ("[" * 100_000, "data:2: not JSON"),
        ("[1]", "data:2: [1] is not an object; write one JSON object per line"),
        ('{"user_id": "ana"}', "data:2: text: null is no text"),
        ('{"text": " ", "user_id": "ana"}', 'data:2: text: " " is no text'),
        ('{"text": 7, "user_id": "ana"}', "data:2: text: 7 is not a string"),
        ('{"text": "x", "user_id": 7}', "data:2: user_id: 7 is not a string"),
        ('{"text": "x"}', "data:2: user_id: missing; write user_id or agent_id, or give --user"),
        ('{"text": "x", "user_id": "ana", "mood": 1}', "data:2: mood: 1 is in an unknown field; use text, user_id"),
        ('{"text": "x", "user_id": "ana", "supersedes": []}', "data:2: supersedes: [] is in an unknown field"),
        ('{"text": "x", "user_id": "ana", "kind": "RUMOUR"}', "data:2: kind: "),
        ('{"text": "x", "user_id": "ana", "create_time": "yesterday"}', "data:2: create_time: 'yesterday'"),
        ('{"text": "x", "user_id": "ana", "metadata": [1]}', "data:2: metadata: [1] is not an object"),
        ('{"text": "x", "user_id": "ana", "metadata": {"a": {}}}', "data:2: metadata.a: "),
        ('{"text": "x", "user_id": "ana", "entities": "Ana"}', 'data:2: entities: "Ana" is not a list'),
        ('{"text": "x", "user_id": "ana", "relations": [["a", "b"]]}', "data:2: relations[0]: "),
        ('{"text": "x", "user_id": "ana", "importance": "high"}', "data:2: "),
        ('{"text": "\\ud800", "user_id": "ana"}', "data:2: "),
    ],
)
def test_faults_of_plain_lines(tmp_path: Path, line: str | bytes, says: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    assert fault(written(tmp_path, b'{"text": "fine", "agent_id": "guide"}\n' + raw), "lines").startswith(says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"results": 7}, "data: 7 is not a list"),
        ({"memories": []}, "data: null is not a list"),
        ([], "data: no memory in it"),
        ([7], "data: item 1: 7 is not an object"),
        ([{"id": "a", "user_id": "ana"}], "data: item 1: memory: null is no text"),
        ([{"id": 7, "memory": "x", "user_id": "ana"}], "data: item 1: id: 7 is not a string"),
        ([{"id": "a", "memory": "x"}], "data: item 1: user_id: missing"),
        ([{"memory": "x", "user_id": "ana", "run_id": []}], "data: item 1: run_id: [] is not a string"),
        ([{"memory": "x", "user_id": "ana", "created_at": "then"}], 'data: item 1: created_at: "then" is not a time'),
        ([{"memory": "x", "user_id": "ana", "metadata": [1]}], "data: item 1: metadata: [1] is not an object"),
    ],
)
def test_faults_of_mem0(tmp_path: Path, content: object, says: str) -> None:
    assert fault(written(tmp_path, json.dumps(content)), "mem0").startswith(says)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([EXPORTED], "data:1: format: null is another format"),
        ([{**EXPORT, "version": 2}], "data:1: version: 2 is unknown"),
        ([EXPORT, EXPORTED], "data: cut after 1 memories, before its summary; export it again"),
        ([EXPORT, {"memory": {"txt": "x"}}, SUMMARY], "data:2: memory: "),
        ([EXPORT, {"memo": 1}, SUMMARY], "data:2: "),
    ],
)
def test_faults_of_an_export(tmp_path: Path, lines: list[object], says: str) -> None:
    assert fault(written(tmp_path, lines), "export").startswith(says)


def test_an_export_may_hold_no_memories_and_events_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, [EXPORT, {"event": {"revision": "1"}}, SUMMARY])
    assert read_import(path, "export", Owner()).places == ()


def test_long_values_are_cut_in_errors(tmp_path: Path) -> None:
    found = fault(written(tmp_path, [{"text": "x", "user_id": "ana", "mood": "a" * 300}]), "lines")
    assert f'mood: "{"a" * 79}… is in' in found


def test_the_same_file_means_the_same_ids(tmp_path: Path) -> None:
    path = written(tmp_path, [{"text": "Yes.", "user_id": "ana"}] * 2 + [{"text": "No.", "user_id": "ana"}])
    source = read_import(path, "lines", Owner())
    first, second = ([item.memory.id for _, item in source.read()] for _ in range(2))
    assert first == second
    assert len(set(first)) == 3


def test_mem0_times_without_an_offset_are_utc(tmp_path: Path) -> None:
    item = {"memory": "x", "user_id": "ana", "created_at": "2025-01-02T03:04:05", "expiration_date": "2099-01-01"}
    (found,) = [memory for _, memory in read_import(written(tmp_path, json.dumps([item])), "mem0", Owner()).read()]
    assert str(found.memory.create_time) == "2025-01-02 03:04:05+00:00"
    assert str(found.memory.expire_time) == "2099-01-01 00:00:00+00:00"
