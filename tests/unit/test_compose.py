"""docker-compose.yml, Dockerfile and the files they use, as far as they can be judged without a Docker engine."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from memoir_server.app.settings import Settings
from stores import settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
SCHEMA: dict[str, Any] = json.loads((ROOT / "third_party/compose-spec/compose-spec.json").read_text(encoding="utf-8"))
STORES = ("postgresql", "weaviate", "neo4j", "redis")
MEMOIR = ("memoir-1", "memoir-2")
# Their images hold one program and no shell to run a check with.
WITHOUT_CHECK = {"otel-collector"}


def command_options(service: str, mark: str) -> dict[str, str]:
    """Options of a command in pairs: after each `mark` for "-c key=value", or "--key value"."""
    words = SERVICES[service]["command"][1:]
    if mark == "-c":
        assert set(words[::2]) == {"-c"}
        return dict(word.split("=", 1) for word in words[1::2])
    return {word.removeprefix("--"): value for word, value in zip(words[::2], words[1::2], strict=True)}


def test_it_follows_the_compose_specification() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(COMPOSE)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("restart", 3),
        ("healthcheck", {"test": 1}),
        ("volumes", "x"),
        ("no_such_key", "x"),
        ("depends_on", {"a": {"condition": "maybe"}}),
    ],
)
def test_the_schema_refuses_what_compose_would(place: str, value: object) -> None:
    broken = {**COMPOSE, "services": {**SERVICES, "redis": {**SERVICES["redis"], place: value}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(broken)


def test_it_runs_the_whole_profile() -> None:
    assert {*MEMOIR, *STORES, "otel-collector", "jaeger", "prometheus"} <= SERVICES.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_restarts_and_has_a_health_check(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert ("healthcheck" in service) == (name not in WITHOUT_CHECK)
    assert service["networks"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_is_published_beyond_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")
    assert not (name in STORES and "ports" in SERVICES[name])
    assert "network_mode" not in SERVICES[name]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", SERVICES[name]["image"])


def test_stores_have_no_way_out_and_keep_their_data() -> None:
    assert COMPOSE["networks"]["stores"] == {"internal": True}
    for name in STORES:
        assert SERVICES[name]["networks"] == ["stores"]
        # The cache keeps nothing: what is erased must not come back from a file.
        kept = SERVICES[name].get("volumes", [])
        assert any(volume.startswith(f"{name}:") for volume in kept) == (name != "redis")
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert {volume for volume in used if not volume.startswith(".")} == COMPOSE["volumes"].keys()


def test_secrets_must_be_set_and_are_all_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    example = (ROOT / "deploy/secrets.env.example").read_text(encoding="utf-8")
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?[^}]+\}", text))
    optional = set(re.findall(r"\$\{([A-Z0-9_]+):-\d+\}", text))
    assert set(re.findall(r"\$\{?([A-Z0-9_]+)", text)) == required | optional
    assert set(re.findall(r"^([A-Z0-9_]+)=$", example, re.MULTILINE)) == required
    # A name that speaks of a secret takes its value from outside.
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|ALLOWED_KEYS|API_KEYS?$|AUTH$", key):
                assert "${" in value, key


def test_secrets_stay_out_of_git_and_of_the_image() -> None:
    assert "/deploy/secrets.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert not any(fnmatch.fnmatch("deploy/secrets.env", f"{pattern}*") for pattern in kept)


def test_postgresql_is_set_as_in_the_tests() -> None:
    service = SERVICES["postgresql"]
    assert re.fullmatch(rf"postgres:{settings.POSTGRESQL_SERIES}\.\d+-bookworm", service["image"])
    assert command_options("postgresql", "-c") == settings.POSTGRESQL_PARAMETERS
    environment = service["environment"]
    assert environment["POSTGRES_INITDB_ARGS"].split() == list(settings.POSTGRESQL_INITIALISATION)
    assert (environment["POSTGRES_USER"], environment["POSTGRES_DB"]) == (settings.USER, settings.DATABASE)


def test_weaviate_is_set_as_in_the_tests() -> None:
    service = SERVICES["weaviate"]
    assert service["image"] == settings.WEAVIATE_IMAGE.reference
    own = {"AUTHENTICATION_APIKEY_ALLOWED_KEYS", "PERSISTENCE_DATA_PATH"}
    assert {
        key: value for key, value in service["environment"].items() if key not in own
    } == settings.WEAVIATE_ENVIRONMENT


def test_neo4j_is_set_as_in_the_tests() -> None:
    service = SERVICES["neo4j"]
    assert service["image"] == settings.NEO4J_IMAGE.reference
    wanted = {settings.neo4j_variable(key): value for key, value in settings.NEO4J_CONFIGURATION.items()}
    assert {key: value for key, value in service["environment"].items() if key != "NEO4J_AUTH"} == wanted
    assert service["environment"]["NEO4J_AUTH"].startswith(f"{settings.NEO4J_USER}/${{")


def test_redis_is_set_as_in_the_tests() -> None:
    service = SERVICES["redis"]
    assert re.fullmatch(rf"redis:{re.escape(settings.REDIS_IMAGE_SERIES)}\.\d+-bookworm", service["image"])
    options = command_options("redis", "--")
    assert options.pop("requirepass").startswith("${MEMOIR_REDIS_PASSWORD:?")
    assert options == settings.REDIS_CONFIGURATION


@pytest.mark.parametrize("name", MEMOIR)
def test_memoir_servers_wait_for_their_stores_and_run_with_few_rights(name: str) -> None:
    service = SERVICES[name]
    for store in STORES:
        assert service["depends_on"][store] == {"condition": "service_healthy"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().server.drain_seconds


@pytest.mark.parametrize("name", MEMOIR)
def test_memoir_servers_are_given_settings_they_know(name: str) -> None:
    environment = {key: re.sub(r"\$\{[^}]+\}", "0" * 64, value) for key, value in SERVICES[name]["environment"].items()}
    # Refuses unknown names, an address that strangers reach without keys, and keys that cannot be read.
    loaded = Settings.load(None, environment)
    assert loaded.auth.api_keys
    assert loaded.stores.adapters == ("postgresql", "weaviate", "neo4j", "redis")
    shown = str(loaded.public())
    assert "0" * 64 not in shown
    assert "postgresql://memoir:...@postgresql:5432/memoir" in shown


def test_the_telemetry_files_fit_together() -> None:
    collector = yaml.safe_load((ROOT / "deploy/otel-collector.yaml").read_text(encoding="utf-8"))
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text(encoding="utf-8"))
    sources = yaml.safe_load((ROOT / "deploy/grafana-datasources.yaml").read_text(encoding="utf-8"))
    for pipeline in collector["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= collector[kind].keys()
    received = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    endpoint = SERVICES["memoir-1"]["environment"]["MEMOIR_TELEMETRY__OTLP_ENDPOINT"]
    assert endpoint == f"http://otel-collector:{received}"
    exported = collector["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    targets = [
        target
        for job in prometheus["scrape_configs"]
        for config in job["static_configs"]
        for target in config["targets"]
    ]
    assert f"otel-collector:{exported}" in targets
    named = [collector["exporters"]["otlp/jaeger"]["endpoint"], *targets]
    named += [source["url"].removeprefix("http://") for source in sources["datasources"]]
    assert {address.partition(":")[0] for address in named} <= SERVICES.keys()


def test_mounted_files_exist() -> None:
    mounted = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]
    assert mounted
    for path in mounted:
        assert (ROOT / path).is_file(), path


def test_the_dockerfile_has_stages_a_pinned_start_and_no_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    froms = [line.split()[1:] for line in lines if line.startswith("FROM ")]
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm", froms[0][0])
    stages = {words[2] for words in froms if len(words) == 3}
    assert all(words[0] in stages for words in froms[1:])
    assert len(froms) > 2
    last = lines[max(index for index, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert "USER memoir" in last
    assert not any(line.startswith("RUN ") for line in last[last.index("USER memoir") :])
    assert "--require-hashes -r requirements/runtime.txt" in "\n".join(lines)


def test_the_dockerfile_copies_only_what_the_builder_gets() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    assert set(copied) == allowed
    assert all((ROOT / path).exists() for path in copied)


def test_the_image_carries_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for name in MEMOIR:
        assert SERVICES[name]["image"] == f"memoir-server:{version}"
