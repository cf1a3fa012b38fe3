"""What `make live-llm` does, with the double in the real provider's place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from memoir_conformance.reasoner_suite import ANSWER
from scripts.live_llm import main
from tests.live_llm.target import reasoner_target
from tests.provider_double import ProviderDouble
from tests.service.inference import facts


def test_without_a_key_nothing_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--folder", str(tmp_path)], {"PATH": ""}) == 0
    assert "nothing was run" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_what_a_provider_answers_is_checked_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ProviderDouble(models=["live-double"]) as double:
        double.says("Paris", contains=("Capital of France?",))
        double.says("Red.", contains=("Which colour",))
        double.says(ANSWER, form="facts")
        double.says("A sign.", contains=("Describe this image.",))
        double.says(facts(), form="remember")
        named = {
            "MEMOIR_REASONER__ADAPTER": "openai",
            "MEMOIR_REASONER__MODEL": "live-double",
            "MEMOIR_REASONER__URL": f"{double.url}/v1",
            "MEMOIR_REASONER__KEY_VARIABLE": "LIVE_KEY",
            "LIVE_KEY": double.key,
        }
        # The server of the conversations reads its key from the process's own environment.
        monkeypatch.setenv("LIVE_KEY", double.key)
        status = main(["--only", "small-talk", "--folder", str(tmp_path)], os.environ | named)
    shown = capsys.readouterr().out
    assert status == 0
    assert "conversations led to the changes authored for them" in shown
    [path] = tmp_path.glob("*.json")
    assert path.name == "openai-live-double.json"
    text = path.read_text()
    assert double.key not in text
    recorded = json.loads(text)
    assert recorded["model"] == "live-double"
    assert recorded["conversations"]
    for conversation in recorded["conversations"]:
        assert [request["path"] for request in conversation["requests"]] == ["/v1/chat/completions"]
        assert conversation["requests"][0]["response"]["choices"]


@pytest.mark.parametrize(
    ("environment", "adapter", "model", "upstream", "url"),
    [
        ({"OPENAI_API_KEY": "k"}, "openai", "gpt-5-mini", "https://api.openai.com", "http://127.0.0.1:9/v1"),
        (
            {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k", "MEMOIR_LIVE_MODEL": "claude-x"},
            "anthropic",
            "claude-x",
            "https://api.anthropic.com",
            "http://127.0.0.1:9",
        ),
        (
            {
                "MEMOIR_REASONER__ADAPTER": "openai",
                "MEMOIR_REASONER__MODEL": "m",
                "MEMOIR_REASONER__URL": "https://api.groq.com/openai/v1",
            },
            "openai",
            "m",
            "https://api.groq.com",
            "http://127.0.0.1:9/openai/v1",
        ),
    ],
)
def test_who_is_asked(environment: dict[str, str], adapter: str, model: str, upstream: str, url: str) -> None:
    target = reasoner_target(environment)
    assert target is not None
    assert (target.settings.adapter, target.settings.model, target.upstream) == (adapter, model, upstream)
    between = target.through("http://127.0.0.1:9")
    assert between.url == url
    if upstream == "https://api.openai.com":
        assert between.length_field == "max_completion_tokens"


def test_a_cloud_is_asked_directly() -> None:
    target = reasoner_target(
        {
            "MEMOIR_REASONER__ADAPTER": "bedrock",
            "MEMOIR_REASONER__MODEL": "m",
            "MEMOIR_REASONER__REGION": "eu-west-1",
        }
    )
    assert target is not None
    assert target.upstream == ""
