from __future__ import annotations

from pathlib import Path

import pytest

from memoir_server.app.settings import Settings, SettingsError
from memoir_server.rpc.interceptors.auth import Role

SHA = "ab" * 32


SHARED = """
[server]
profile = "distributed"
[ledger]
url = "postgresql://memoir:pass-of-ledger@db/memoir"
[index]
url = "http://w:8080"
grpc = "w:50051"
api_key = "key-of-index"
[graph]
url = "bolt://g"
password = "pass-of-graph"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "memoir.toml"
    path.write_text(text)
    return path


def test_defaults_hold_together() -> None:
    settings = Settings.load(None, {})
    assert settings == Settings()
    assert settings.server.max_message_bytes == 4 * 1024 * 1024


def test_overrides_over_environment_over_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[server]\nlisten = "127.0.0.1:1"\nnamespace = "a"\ndata = "/x"\n[embedder]\nthreads = 2\n')
    environment = {"MEMOIR_SERVER__LISTEN": "127.0.0.1:2", "MEMOIR_SERVER__NAMESPACE": "b", "HOME": "/root"}
    settings = Settings.load(path, environment, {"server.listen": "127.0.0.1:3"})
    assert settings.server.listen == "127.0.0.1:3"
    assert settings.server.namespace == "b"
    assert settings.server.data == Path("/x")
    assert settings.embedder.threads == 2


def test_values_from_text() -> None:
    settings = Settings.load(
        None,
        {
            "MEMOIR_SERVER__REFLECTION": "off",
            "MEMOIR_SERVER__DRAIN_SECONDS": "2.5",
            "MEMOIR_EMBEDDER__CACHE_BYTES": "1_000",
            "MEMOIR_TESTING": "1",
            "MEMOIR_API_KEY": "a client's",
        },
    )
    assert settings.server.reflection is False
    assert settings.server.drain_seconds == 2.5
    assert settings.embedder.cache_bytes == 1000
    assert settings.testing.enabled is True


def test_api_keys(tmp_path: Path) -> None:
    text = f'[[auth.api_keys]]\nname = "bot"\nsha256 = "{SHA}"\nnamespaces = ["a", "b"]\nrole = "writer"\n'
    settings = Settings.load(write(tmp_path, text), {}, {"server.listen": "0.0.0.0:7600"})
    [key] = settings.auth.api_keys
    assert (key.name, key.namespaces, key.role) == ("bot", ("a", "b"), Role.WRITER)
    assert SHA not in str(settings.public())
    assert settings.public()["auth.api_keys"] == [{"name": "bot", "namespaces": ["a", "b"], "role": "writer"}]


def test_thresholds_by_namespace(tmp_path: Path) -> None:
    text = "[duplicates]\ncosine = 0.9\n[duplicates.namespaces]\nchat = 0.95\nraw = 0\n"
    found = Settings.load(write(tmp_path, text), {})
    assert (found.duplicates.cosine, found.duplicates.namespaces) == (0.9, {"chat": 0.95, "raw": 0.0})
    assert found.public()["duplicates.namespaces"] == {"chat": 0.95, "raw": 0.0}
    spoken = Settings.load(None, {"MEMOIR_DUPLICATES__NAMESPACES": '{"chat": 0.8}'})
    assert spoken.duplicates.namespaces == {"chat": 0.8}
    with pytest.raises(SettingsError, match=r"is not JSON.*\{\"chat\": 0.95\}"):
        Settings.load(None, {"MEMOIR_DUPLICATES__NAMESPACES": "chat=0.8"})


def test_public_lists_every_key() -> None:
    public = Settings().public()
    assert public["server.listen"] == "127.0.0.1:7600"
    assert public["server.data"] == ".memoir"
    assert len(public) > 20


def test_the_profile_names_the_adapters(tmp_path: Path) -> None:
    assert Settings().stores.adapters == ("sqlite", "sqlite", "sqlite", "")
    shared = Settings.load(write(tmp_path, SHARED), {})
    assert shared.stores.adapters == ("postgresql", "weaviate", "neo4j", "")
    cached = Settings.load(write(tmp_path, SHARED + '[cache]\nurl = "redis://c"\n'), {"MEMOIR_LEDGER__ADAPTER": "acme"})
    assert cached.stores.adapters == ("acme", "weaviate", "neo4j", "redis")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    text = SHARED + '[cache]\nurl = "redis://:pass-of-cache@c"\nsecret = "of-cache"\n[cache.options]\na = "of-option"\n'
    shown = Settings.load(write(tmp_path, text), {}).public()
    assert shown["ledger.url"] == "postgresql://memoir:...@db/memoir"
    assert shown["cache.options"] == {"a": "..."}
    assert not [key for key, value in shown.items() if "pass-of" in str(value) or "of-" in str(value)]


@pytest.mark.parametrize("address", ["0.0.0.0:7600", "[::]:7600", "10.0.0.1:7600", "memoir.example:7600"])
def test_an_open_address_needs_auth_or_a_word(address: str) -> None:
    with pytest.raises(SettingsError, match=r"nobody has to authenticate.*insecure"):
        Settings.load(None, {}, {"server.listen": address})
    assert Settings.load(None, {}, {"server.listen": address, "server.insecure": "true"}).server.insecure


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:7600", "[::1]:7600", "127.1.2.3:1"])
def test_loopback_addresses_are_free(address: str) -> None:
    assert Settings.load(None, {}, {"server.listen": address}).server.listen == address


@pytest.mark.parametrize(
    ("text", "key", "fix"),
    [
        ('[server]\nlisen = "x"\n', "server.lisen", "did you mean server.listen?"),
        ("[servr]\n", "servr", "did you mean server?"),
        ("server = 1\n", "server", "write [server]"),
        ("[server]\nlisten = 7600\n", "server.listen", "put it in quotes"),
        ('[server]\nlisten = "7600"\n', "server.listen", "127.0.0.1:7600"),
        ('[server]\nlisten = "127.0.0.1:70000"\n', "server.listen", "127.0.0.1:7600"),
        ('[server]\nprofile = "cluster"\n', "server.profile", 'use "embedded" or "distributed"'),
        ('[server]\nprofile = "distributed"\n', "ledger.url", "postgresql://"),
        (SHARED.replace("postgresql:", "mysql:"), "ledger.url", "postgresql://"),
        (SHARED.replace("http:", "grpc:"), "index.url", "http://"),
        (SHARED.replace("w:50051", "50051"), "index.grpc", "weaviate:50051"),
        (SHARED.replace("bolt:", "http:"), "graph.url", "bolt://"),
        (SHARED + '[cache]\nurl = "memcached://c"\n', "cache.url", "redis://"),
        (SHARED + f'[cache]\nsecret = "{SHA}x"\n', "cache.secret", "shorter"),
        (SHARED.replace("[graph]", "[graph]\nseconds = 0"), "graph.seconds", "above 0"),
        ('[ledger]\nurl = "postgresql://u:p@h/d"\n', "ledger.url", "distributed"),
        ("[index]\noptions = 3\n", "index.options", "[index.options]"),
        ("[index.options]\nshards = 3\n", "index.options.shards", "in quotes"),
        ('[server]\nnamespace = "A b"\n', "server.namespace", "lower-case"),
        ('[server]\nreflection = "maybe"\n', "server.reflection", "true or false"),
        ("[server]\nmax_message_bytes = 1\n", "server.max_message_bytes", "65536 or more"),
        ("[ledger]\ncache_bytes = -1\n", "ledger.cache_bytes", "0 or more"),
        ("[embedder]\nthreads = 0\n", "embedder.threads", "1 or more"),
        ("[embedder]\nthreads = 1.5\n", "embedder.threads", "a whole number"),
        ("[embedder]\nthreads = true\n", "embedder.threads", "a whole number"),
        ('[limits]\ncalls_per_second = "fast"\n', "limits.calls_per_second", "a number"),
        ('[telemetry]\notlp_endpoint = "collector:4318"\n', "telemetry.otlp_endpoint", "http://"),
        ("[duplicates]\ncosine = 1.5\n", "duplicates.cosine", "above 0 and up to 1"),
        ("[duplicates]\ncosine = -0.1\n", "duplicates.cosine", "0 for none"),
        ("[duplicates]\ncosine = nan\n", "duplicates.cosine", "0 for none"),
        ("[duplicates]\nnamespaces = 0.9\n", "duplicates.namespaces", "[duplicates.namespaces]"),
        ("[duplicates.namespaces]\nchat = 2\n", "duplicates.namespaces.chat", "above 0 and up to 1"),
        ('[duplicates.namespaces]\nchat = "high"\n', "duplicates.namespaces.chat", "a number"),
        ('[duplicates.namespaces]\n"A b" = 0.9\n', "duplicates.namespaces.A b", "lower-case"),
        ("[accesses]\nflush_seconds = 0\n", "accesses.flush_seconds", "0.1 or more"),
        ("[auth]\napi_keys = 3\n", "auth.api_keys", "[[auth.api_keys]]"),
        ('[[auth.api_keys]]\nname = "x"\n', "auth.api_keys[0].sha256", "give name"),
        (
            '[[auth.api_keys]]\nname = "x"\nsha256 = "secret"\nnamespaces = ["a"]\nrole = "reader"\n',
            "auth.api_keys[0].sha256",
            "sha256sum",
        ),
        (
            f'[[auth.api_keys]]\nname = "x"\nsha256 = "{SHA}"\nnamespaces = []\nrole = "reader"\n',
            "auth.api_keys[0].namespaces",
            '["*"]',
        ),
        (
            f'[[auth.api_keys]]\nname = "x"\nsha256 = "{SHA}"\nnamespaces = ["a"]\nrole = "king"\n',
            "auth.api_keys[0].role",
            "admin",
        ),
        ("[[[", "file", "correct it"),
    ],
)
def test_errors_name_key_and_fix(tmp_path: Path, text: str, key: str, fix: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(write(tmp_path, text), {})
    assert caught.value.key == key
    assert fix in str(caught.value)


def test_secrets_are_not_repeated_in_errors(tmp_path: Path) -> None:
    text = '[[auth.api_keys]]\nname = "x"\nsha256 = "the-key-itself"\nnamespaces = ["a"]\nrole = "reader"\n'
    with pytest.raises(SettingsError) as caught:
        Settings.load(write(tmp_path, text), {})
    assert "the-key-itself" not in str(caught.value)


def test_an_unknown_variable_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"server\.lissten.*did you mean server\.listen"):
        Settings.load(None, {"MEMOIR_SERVER__LISSTEN": "x"})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        Settings.load(tmp_path / "none.toml", {})
