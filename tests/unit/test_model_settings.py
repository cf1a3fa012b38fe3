"""Settings of models: what is refused, in which words, and what is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from memoir_server.app.providers import build_reasoner, build_remote_embedder, check_keys
from memoir_server.app.settings import Settings, SettingsError
from memoir_server.app.settings_models import EmbedderSettings, FallbackSettings, ReasonerSettings
from memoir_server.service.reasoning import GuardedReasoner

KEY = "sk-some-key-0123456789"


def load(text: str, tmp_path: Path, **environment: str) -> Settings:
    path = tmp_path / "memoir.toml"
    path.write_text(text)
    return Settings.load(path, environment)


def test_a_reasoner_and_an_embedder_from_a_file(tmp_path: Path) -> None:
    settings = load(
        """
        [reasoner]
        adapter = "openai"
        model = "qwen3:8b"
        url = "http://127.0.0.1:11434/v1"
        structure = "schema"
        extra = { temperature = 0, reasoning_effort = "low" }
        input_price = 0.5
        [embedder]
        adapter = "openai"
        model = "nomic-embed-text"
        dimension = 768
        url = "http://127.0.0.1:11434/v1"
        query_prefix = "search_query: "
        [[embedder.fallbacks]]
        url = "http://10.0.0.2:11434/v1"
        key_variable = "OTHER_KEY"
        """,
        tmp_path,
    )
    assert settings.reasoner.extra == {"temperature": 0, "reasoning_effort": "low"}
    assert settings.embedder.fallbacks == (FallbackSettings(url="http://10.0.0.2:11434/v1", key_variable="OTHER_KEY"),)
    shown = settings.public()
    assert shown["reasoner.extra"] == {"temperature": 0, "reasoning_effort": "low"}
    assert shown["embedder.fallbacks"] == [
        {"url": "http://10.0.0.2:11434/v1", "model": "", "key_variable": "OTHER_KEY", "key_file": ""}
    ]


def test_the_same_from_the_environment(tmp_path: Path) -> None:
    settings = load(
        '[reasoner]\nadapter = "anthropic"\n',
        tmp_path,
        MEMOIR_REASONER__MODEL="claude-x",
        MEMOIR_REASONER__EXTRA='{"temperature": 0}',
        MEMOIR_EMBEDDER__ADAPTER="openai",
        MEMOIR_EMBEDDER__DIMENSION="8",
        MEMOIR_EMBEDDER__FALLBACKS='[{"url": "http://b/v1"}]',
    )
    assert settings.reasoner.model == "claude-x"
    assert settings.reasoner.extra == {"temperature": 0}
    assert settings.embedder.fallbacks == (FallbackSettings(url="http://b/v1"),)


REASONER = '[reasoner]\nadapter = "openai"\nmodel = "m"\n'
EMBEDDER = '[embedder]\nadapter = "openai"\nmodel = "m"\ndimension = 8\n'


@pytest.mark.parametrize(
    ("text", "key", "fix"),
    [
        ('[reasoner]\nmodel = "m"', "reasoner.adapter", "name one of anthropic, openai"),
        ('[reasoner]\nadapter = "antropic"\nmodel = "m"', "reasoner.adapter", "did you mean anthropic"),
        ('[reasoner]\nadapter = "openai"', "reasoner.model", "name the model"),
        (REASONER + 'url = "localhost:11434"', "reasoner.url", "http://127.0.0.1:11434/v1"),
        (REASONER + 'url = "http://:x"', "reasoner.url", "write one such as"),
        (REASONER + f'url = "https://me:{KEY}@h/v1"', "reasoner.url", "into the environment or a file"),
        (REASONER + f'url = "https://h/v1?key={KEY}"', "reasoner.url", "into the environment or a file"),
        (REASONER + 'structure = "xml"', "reasoner.structure", "tool or schema or object"),
        (REASONER.replace("openai", "anthropic") + 'structure = "object"', "reasoner.structure", "tool or schema"),
        (REASONER + 'length_field = "max"', "reasoner.length_field", "max_completion_tokens or max_tokens"),
        ('[reasoner]\nadapter = "bedrock"\nmodel = "m"', "reasoner.region", "name the region"),
        ('[reasoner]\nadapter = "vertex"\nmodel = "m"\nregion = "r"', "reasoner.project", "name the project"),
        (REASONER + "seconds = 0", "reasoner.seconds", "above 0"),
        (REASONER + "seconds = nan", "reasoner.seconds", "above 0"),
        (REASONER + "attempts = 0", "reasoner.attempts", "give 1 or more"),
        (REASONER + "concurrency = 0", "reasoner.concurrency", "give 1 or more"),
        (REASONER + "requests_per_minute = -1", "reasoner.requests_per_minute", "give 0 or more"),
        (REASONER + "input_price = -1", "reasoner.input_price", "give 0 or more"),
        (REASONER + "extra = 3", "reasoner.extra", "[reasoner.extra]"),
        (REASONER + "extra = { since = 2026-01-01 }", "reasoner.extra", "write it as text"),
        (REASONER + 'extra = "{"', "reasoner.extra", "in the environment, write"),
        ('[embedder]\nmodel = ""', "embedder.model", "name a model"),
        ('[embedder]\nadapter = "cohere"', "embedder.adapter", '"openai"'),
        ('[embedder]\nadapter = "openai"', "embedder.dimension", "1536 for text-embedding-3-small"),
        ('[embedder]\nurl = "http://h/v1"', "embedder.url", 'set embedder.adapter = "openai"'),
        ("[embedder]\ndimension = 8", "embedder.dimension", 'set embedder.adapter = "openai"'),
        (EMBEDDER + 'url = "h"', "embedder.url", "write one such as"),
        (EMBEDDER + 'version = ""', "embedder.version", "such as 1"),
        (EMBEDDER + "cache_bytes = 0", "embedder.cache_bytes", "1048576 or more"),
        (EMBEDDER + 'encoding = "hex"', "embedder.encoding", "base64 or float"),
        (EMBEDDER + "max_items = 0", "embedder.max_items", "give 1 or more"),
        (EMBEDDER + "seconds = 0", "embedder.seconds", "above 0"),
        (EMBEDDER + "requests_per_minute = -1", "embedder.requests_per_minute", "give 0 or more"),
        (EMBEDDER + "fallbacks = 1", "embedder.fallbacks", "[[embedder.fallbacks]]"),
        (EMBEDDER + "fallbacks = [1]", "embedder.fallbacks[0]", "give it url"),
        (EMBEDDER + "fallbacks = [{}]", "embedder.fallbacks[0].url", "give the server's address"),
        (EMBEDDER + 'fallbacks = [{ url = "" }]', "embedder.fallbacks[0].url", "write one such as"),
        (EMBEDDER + 'fallbacks = [{ url = "http://h", modell = "m" }]', "embedder.fallbacks[0].modell", "mean model"),
        (EMBEDDER + 'fallbacks = [{ url = "http://h", model = 3 }]', "embedder.fallbacks[0].model", "in quotes"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, key: str, fix: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(text, tmp_path)
    assert refusal.value.key == key
    assert fix in refusal.value.fix
    assert KEY not in str(refusal.value)


def test_without_an_adapter_there_is_no_reasoner() -> None:
    assert build_reasoner(ReasonerSettings(), {}) is None


@pytest.mark.parametrize(
    ("settings", "provider", "address"),
    [
        ({"adapter": "anthropic"}, "anthropic", "api.anthropic.com"),
        ({"adapter": "openai"}, "openai", "api.openai.com"),
        ({"adapter": "openai", "url": "https://r.openai.azure.com/openai/v1"}, "azure.ai.openai", "r.openai.azure.com"),
        ({"adapter": "openai", "url": "https://api.groq.com/openai/v1"}, "groq", "api.groq.com"),
        ({"adapter": "openai", "url": "https://api.deepseek.com/v1"}, "deepseek", "api.deepseek.com"),
        ({"adapter": "openai", "url": "http://127.0.0.1:1234/v1"}, "openai_compatible", "127.0.0.1:1234"),
        ({"adapter": "vertex", "region": "global", "project": "p"}, "gcp.vertex_ai", "aiplatform.googleapis.com"),
        ({"adapter": "vertex", "region": "eu", "project": "p"}, "gcp.vertex_ai", "aiplatform.eu.rep.googleapis.com"),
        ({"adapter": "bedrock", "region": "eu-west-1"}, "aws.bedrock", "bedrock-runtime.eu-west-1.amazonaws.com"),
        (
            {"adapter": "vertex", "region": "europe-west1", "project": "p"},
            "gcp.vertex_ai",
            "europe-west1-aiplatform.googleapis.com",
        ),
    ],
)
async def test_who_is_asked(settings: dict[str, str], provider: str, address: str) -> None:
    variables = {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY}
    reasoner = build_reasoner(ReasonerSettings(model="m", **settings), variables)  # type: ignore[arg-type]
    assert isinstance(reasoner, GuardedReasoner)
    assert (reasoner.provider, reasoner.address, reasoner.model) == (provider, address, "m")
    await reasoner.close()


async def test_a_stray_variable_sends_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "ANTHROPIC_BEDROCK_BASE_URL", "ANTHROPIC_VERTEX_BASE_URL"):
        monkeypatch.setenv(name, "https://elsewhere.example")
    settings = {
        "anthropic": ReasonerSettings(adapter="anthropic", model="m"),
        "openai": ReasonerSettings(adapter="openai", model="m"),
        "bedrock": ReasonerSettings(adapter="bedrock", model="m", region="eu-west-1"),
        "vertex": ReasonerSettings(adapter="vertex", model="m", region="europe-west1", project="p"),
    }
    for chosen in settings.values():
        reasoner = build_reasoner(chosen, {"ANTHROPIC_API_KEY": KEY, "OPENAI_API_KEY": KEY})
        assert reasoner is not None
        assert "elsewhere" not in reasoner.address
        await reasoner.close()


@pytest.mark.parametrize("adapter", ["anthropic", "openai"])
def test_a_key_that_is_not_there_is_named_with_its_place(adapter: str) -> None:
    with pytest.raises(SettingsError, match=rf"{adapter.upper()}_API_KEY is not set"):
        build_reasoner(ReasonerSettings(adapter=adapter, model="m"), {})


def test_a_place_that_was_named_has_to_hold_a_key() -> None:
    local = ReasonerSettings(adapter="openai", model="m", url="http://127.0.0.1:11434/v1", key_variable="MY_KEY")
    with pytest.raises(SettingsError, match="MY_KEY is not set"):
        build_reasoner(local, {})
    remote = EmbedderSettings(
        adapter="openai", model="m", dimension=8, url="http://127.0.0.1:11434/v1", key_variable="MY_KEY"
    )
    with pytest.raises(SettingsError, match="MY_KEY is not set"):
        build_remote_embedder(remote, {})


def test_keys_are_looked_for_without_asking_anybody(tmp_path: Path) -> None:
    settings = load(
        REASONER + EMBEDDER + '[[embedder.fallbacks]]\nurl = "http://h/v1"\nkey_variable = "OTHER"\n', tmp_path
    )
    check_keys(settings, {"OPENAI_API_KEY": KEY, "OTHER": KEY})
    with pytest.raises(SettingsError, match="OPENAI_API_KEY is not set"):
        check_keys(settings, {"OTHER": KEY})
    with pytest.raises(SettingsError, match="OTHER is not set") as missing:
        check_keys(settings, {"OPENAI_API_KEY": KEY})
    assert missing.value.key == "embedder.key_variable"
    check_keys(Settings(), {})


def test_a_server_without_models_elsewhere_loads_none_of_their_clients() -> None:
    loaded = "import sys, memoir_server.app.composition, memoir_server.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=100)
    assert not {"anthropic", "openai", "boto3", "botocore", "google.auth", "httpx2"} & set(done.stdout.split())


async def test_a_local_server_needs_no_key() -> None:
    local = ReasonerSettings(adapter="openai", model="m", url="http://127.0.0.1:11434/v1")
    reasoner = build_reasoner(local, {})
    assert reasoner is not None
    await reasoner.close()
    settings = EmbedderSettings(adapter="openai", model="m", dimension=8, url="http://127.0.0.1:11434/v1")
    await build_remote_embedder(settings, {}).close()


def test_no_key_can_be_written_into_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a setting"):
        load(f'[reasoner]\nadapter = "openai"\nmodel = "m"\napi_key = "{KEY}"', tmp_path)
    assert not [
        name
        for name in Settings().public()
        if name.startswith(("reasoner.key", "embedder.key")) and not name.endswith(("_variable", "_file"))
    ]


def test_what_is_shown_is_json() -> None:
    assert json.loads(json.dumps(Settings().public()))["reasoner.adapter"] == ""
