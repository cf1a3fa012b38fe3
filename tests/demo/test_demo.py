"""The demo ends well, says what it did, and leaves nothing behind, whatever ends it."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.demo_material import made_questions, read_material
from memoir_server.cli.transcript import read_transcript
from tests.cli.command import HASH, environment, memoir

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "examples/transcripts/leeds-to-ghent.jsonl"


@contextmanager
def demo(tmp_path: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The demo with its temporary files below `tmp_path / "tmp"`."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples/demo.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment({**HASH, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def left_behind(tmp_path: Path) -> list[str]:
    # Node keeps a compile cache of its own in the temporary directory.
    return [entry.name for entry in (tmp_path / "tmp").iterdir() if entry.name.startswith("memoir-")]


def address_in(text: str) -> tuple[str, int]:
    found = re.search(r"127\.0\.0\.1:(\d+)", text)
    assert found is not None, text
    return "127.0.0.1", int(found[1])


def is_listening(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0


def small_transcript(tmp_path: Path, *, messages: int = 14) -> Path:
    """Invented, without questions or facts beside it."""
    lines: list[dict[str, object]] = [{"format": "memoir-transcript", "version": 1, "user_id": "bo"}]
    topics = ["kite", "ladder", "teapot", "marmalade", "violin", "compass", "lantern", "sailboat", "pumpkin", "thimble"]
    for number in range(messages):
        content = f"On walk {number} we found the {topics[number % 10]} that grandfather lost {number + 2} summers ago."
        lines.append(
            {
                "session_id": f"s{number // 5}",
                "message_id": f"m{number}",
                "role": "user",
                "actor_id": "Bo",
                "content": content,
                "create_time": f"2026-02-{number + 1:02}T10:00:00Z",
            }
        )
    path = tmp_path / "walks.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_the_sample_runs_to_its_end(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output, _ = process.communicate(timeout=110)
    assert process.returncode == 0, output
    for number, title in enumerate(
        (
            "Remember a conversation",
            "Ask from Python, streaming",
            "Ask the same from Node",
            "Follow the history live",
            "Search the past",
            "Facts, two dates, and the graph",
            "Erase everything, with a receipt",
        ),
        start=1,
    ):
        assert f"{number}. {title}" in output
    assert "275 messages of 12 sessions became 275 memories" in output
    python = re.search(r"^(\d+) of 10 questions have evidence", output, re.MULTILINE)
    node = re.search(r"^evidence among the first 5: (\d+) of 10 questions", output, re.MULTILINE)
    assert python is not None
    assert node is not None
    # Both languages ask the same server, so they find the same.
    assert python[1] == node[1] != "0"
    assert re.search(r"CREATED demo-concert .*21 November(.|\n)*UPDATED demo-concert .*28 November", output)
    assert re.search(r"as of revision \d+, before the update\n.*21 November", output)
    assert re.search(r"true on 2026-03-01\n.*lives in Leeds", output)
    assert re.search(r"true on 2026-07-01\n.*live on the top floor of Greet", output)
    assert "WORKS_AT Ghent city archive" in output
    assert re.search(r"digest [0-9a-f]{64}", output)
    assert "the 10 questions now find 0 memories" in output
    assert left_behind(tmp_path) == []
    assert not is_listening(address_in(output))


def test_another_transcript_gets_questions_of_its_own(tmp_path: Path) -> None:
    with demo(tmp_path, "--transcript", str(small_transcript(tmp_path))) as process:
        output, _ = process.communicate(timeout=110)
    assert process.returncode == 0, output
    assert "the questions are the first words of the user's own messages" in " ".join(output.split())
    assert "two invented facts about a bicycle" in " ".join(output.split())
    assert "10 of 10 questions have evidence" in output
    assert re.search(r"true on 2026-03-01\n.*workshop in Mill Lane", output)
    assert re.search(r"true on 2026-07-01\n.*back in the shed", output)
    assert left_behind(tmp_path) == []


def test_a_faulty_transcript_ends_it_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("{}", encoding="utf-8")
    with demo(tmp_path, "--transcript", str(path)) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "bad.jsonl:1: format: missing" in output
    assert "Traceback" not in output
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_takes_its_server_with_it(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        seen = ""
        while "1. Remember" not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line
        process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert left_behind(tmp_path) == []
    assert not is_listening(address_in(seen))


def test_keep_running_leaves_a_server_with_the_conversation(tmp_path: Path) -> None:
    path = small_transcript(tmp_path)
    with demo(tmp_path, "--transcript", str(path), "--keep-running") as process:
        output, _ = process.communicate(timeout=110)
    assert process.returncode == 0, output
    stopping = re.search(r"^ *kill (\d+)", output, re.MULTILINE)
    assert stopping is not None
    pid = int(stopping[1])
    host, port = address_in(output)
    try:
        listed = memoir("list", "--target", f"{host}:{port}", "--user", "bo", "--json")
        assert len(listed.objects) == 14, listed.err
        (directory,) = left_behind(tmp_path)
        assert f"{directory}" in output.replace("\n", "")
    finally:
        subprocess.run(["kill", str(pid)], check=True)
    end = time.monotonic() + 30
    while is_listening((host, port)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_listening((host, port))


def test_material_of_the_sample_comes_from_the_files_beside_it() -> None:
    material = read_material(SAMPLE, read_transcript(SAMPLE))
    assert len(material.questions) == 10
    assert material.questions[0].evidence == ("s03-m023",)
    assert material.facts[1].supersedes == ("nora-home-leeds",)
    assert material.remarks == ()


def test_made_questions_are_evenly_spaced_and_name_their_message(tmp_path: Path) -> None:
    transcript = read_transcript(small_transcript(tmp_path, messages=28))
    questions = made_questions(transcript)
    assert len(questions) == 10
    assert questions[0].text == "On walk 0 we found the kite that grandfather"
    assert [question.evidence[0] for question in questions[:4]] == ["m0", "m2", "m5", "m8"]
    few = read_transcript(small_transcript(tmp_path, messages=3))
    assert [question.evidence for question in made_questions(few)] == [("m0",), ("m1",), ("m2",)]
