"""`memoir add` on a server with a language model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.server_process import ServerProcess
from tests.cli.command import HASH, Outcome, memoir
from tests.provider_double import ProviderDouble
from tests.service.inference import fact, facts

Run = Callable[..., Outcome]


@pytest.fixture
def double() -> Iterator[ProviderDouble]:
    with ProviderDouble() as double:
        yield double


@pytest.fixture
def run(double: ProviderDouble, tmp_path: Path) -> Iterator[Run]:
    key = tmp_path / "key"
    key.write_text(double.key, encoding="utf-8")
    environment = {
        "MEMOIR_REASONER__ADAPTER": "anthropic",
        "MEMOIR_REASONER__MODEL": "double-1",
        "MEMOIR_REASONER__URL": double.url,
        "MEMOIR_REASONER__KEY_FILE": str(key),
        "MEMOIR_REASONER__ATTEMPTS": "1",
    }
    with ServerProcess(tmp_path, environment=HASH | environment, life_seconds=300) as server:

        def command(*arguments: str) -> Outcome:
            return memoir("add", *arguments, "--user", "ana", env={"MEMOIR_TARGET": server.target})

        yield command


def test_facts_are_shown(run: Run, double: ProviderDouble) -> None:
    double.says(facts(fact("Ana likes tea.", "I like tea")), facts(), form="remember")
    added = run("Well, I like tea with milk.")
    assert added.status == 0
    assert added.out.startswith("added ")
    assert "Ana likes tea." in added.out
    assert run("Hello!").out == "nothing worth remembering\n"


def test_the_mode_is_the_callers_choice(run: Run, double: ProviderDouble) -> None:
    kept = run("Well, I like tea with milk.", "--mode", "VERBATIM")
    assert "Well, I like tea with milk." in kept.out
    assert double.calls == []
    refused = run("Ana likes tea.", "--mode", "INFER", "--kind", "FACT")
    assert refused.status == 2
    assert "--mode is for messages" in " ".join(refused.err.split())


def test_why_messages_were_kept_is_said(run: Run, double: ProviderDouble) -> None:
    double.says("{", form="remember")
    kept = run("Well, I like tea with milk.")
    assert kept.status == 0
    assert "kept as it was said: the model's answer to 'extract' was not as asked for, twice" in " ".join(
        kept.out.split()
    )


def test_a_transcript_may_be_kept_as_it_is(run: Run, double: ProviderDouble, tmp_path: Path) -> None:
    lines = [
        {"format": "memoir-transcript", "version": 1, "user_id": "ana"},
        {
            "session_id": "s-1",
            "message_id": "m-1",
            "role": "user",
            "content": "I like tea.",
            "create_time": "2026-03-01T09:00:00Z",
        },
    ]
    path = tmp_path / "transcript.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    outcome = run("--transcript", str(path), "--mode", "VERBATIM")
    assert (outcome.status, double.calls) == (0, []), outcome.err
