"""`memoir context` against a real server."""

from collections.abc import Callable
from pathlib import Path

from tests.cli.command import Outcome

Run = Callable[..., Outcome]


def remember(run: Run, folder: Path) -> None:
    turns = ["Where is the ladder?", "Behind the shed [near the gate].", "I paint the balcony green tomorrow."]
    head = '{"format": "memoir-transcript", "version": 1, "title": "t", "user_id": "ana", "agent_id": "guide"}'
    lines = [
        f'{{"session_id": "s1", "message_id": "m{n}", "role": "user", "actor_id": "Ana", "content": "{text}", '
        f'"create_time": "2025-03-01T09:0{n}:00+00:00"}}'
        for n, text in enumerate(turns)
    ]
    path = folder / "talk.jsonl"
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    done = run("add", "--transcript", str(path))
    assert done.status == 0, done.err


def test_context_prints_the_text_alone_and_its_size_beside_it(run: Run, tmp_path: Path) -> None:
    remember(run, tmp_path)
    done = run("context", "paint the balcony", "--user", "ana", "--max-tokens", "200", "-k", "1")
    assert done.status == 0, done.err
    assert done.out == (
        "Sat 1 Mar 2025:\nAna: Behind the shed [near the gate].\nAna: I paint the balcony green tomorrow. [1]\n"
    )
    assert done.err == "40 of 200 tokens (memoir-words-1)\n"


def test_context_json_is_one_object_with_the_whole_result(run: Run, tmp_path: Path) -> None:
    remember(run, tmp_path)
    found = run("context", "paint the balcony", "-u", "ana", "-k", "1", "--neighbours", "0", "--json").object
    assert found["text"] == "Sat 1 Mar 2025:\nAna: I paint the balcony green tomorrow. [1]"
    assert found["tokenizer"] == "memoir-words-1"
    (part,) = found["parts"]
    (hit,) = found["hits"]
    assert part["memory_ids"] == [hit["memory"]["id"]]
    assert part["token_count"] == found["token_count"]
    assert "message" not in found


def test_context_says_when_there_is_none(run: Run) -> None:
    done = run("context", "anything", "-u", "nobody")
    assert (done.status, done.out, done.err) == (0, "", "nothing found that fits\n")


def test_context_refuses_a_budget_of_nothing(run: Run) -> None:
    assert run("context", "anything", "--max-tokens", "0").status == 2
