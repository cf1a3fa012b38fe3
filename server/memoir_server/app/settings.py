"""Settings: one TOML file, environment variables over it, command-line options over both.

`[section] key = value` in the file is `MEMOIR_SECTION__KEY` in the environment and `section.key` in an error. Nothing
is ignored: an unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from memoir_server.app.settings_inference import (
    InferenceSettings,
    IngestionSettings,
    PolicySettings,
    read_policies,
    read_words,
)
from memoir_server.app.settings_models import EmbedderSettings, FallbackSettings, ReasonerSettings, read_fallbacks
from memoir_server.app.settings_stores import (
    CacheSettings,
    GraphSettings,
    IndexSettings,
    LedgerSettings,
    StoreSettings,
    without_password,
)
from memoir_server.app.settings_values import ApiKeySettings, SettingsError, from_json, nearest, parse_value

__all__ = ["ApiKeySettings", "Settings", "SettingsError"]

ENVIRONMENT_PREFIX = "MEMOIR_"
TESTING_VARIABLE = "MEMOIR_TESTING"
"""Short for MEMOIR_TESTING__ENABLED."""

_LOOPBACK = ("127.", "localhost:", "[::1]:")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the server listens and keeps its data."""

    listen: str = "127.0.0.1:7600"
    """HOST:PORT; port 0 picks a free one."""
    data: Path = Path(".memoir")
    """Directory for everything the server keeps."""
    profile: str = "embedded"
    """How the stores are run: "embedded", as files of this server, or "distributed", shared between servers."""
    namespace: str = "default"
    """Namespace of calls that name none."""
    insecure: bool = False
    """Listen on a non-loopback address although nobody has to authenticate."""
    reflection: bool = True
    """Serve gRPC reflection."""
    max_message_bytes: int = 4 * 1024 * 1024
    """Largest request taken; pages are kept below it too."""
    drain_seconds: float = 10.0
    """Time that calls in hand get to finish when the server is told to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateSettings:
    """When a new memory counts as known already although its words differ."""

    cosine: float = 0.0
    """Cosine of two texts' vectors from which they say the same, 0 < cosine <= 1; 0: only equal ones do."""
    namespaces: Mapping[str, float] = field(default_factory=dict)
    """The same for single namespaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """Counting how often memories are returned."""

    enabled: bool = True
    """Count."""
    flush_seconds: float = 30.0
    """Time between writes of what was counted; what a killed process loses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings:
    """Checking the projections against the ledger in the background."""

    every_seconds: float = 0.0
    """Time between checks of all namespaces; 0: none."""
    sample: int = 1000
    """Memories of each namespace that one check examines, chosen at random; 0: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Who may call. Without keys everybody may do everything."""

    api_keys: tuple[ApiKeySettings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How much is served at once."""

    max_calls: int = 512
    """Unary calls and searches in hand; more is refused with OVERLOADED."""
    max_watches: int = 1024
    """Open watches."""
    calls_per_second: float = 0.0
    """Rate limit per principal; 0 means none."""
    indexed_seconds: float = 2.0
    """Longest that a write waits to be indexed, before it answers that it is accepted."""
    search_phase_seconds: float = 5.0
    """Longest that one phase of a search takes; a store that did not answer by then is left alone for a while."""
    burst: int = 100
    """Calls a principal may make at once before the rate limit binds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySettings:
    """Where traces and metrics go. Nothing leaves the machine while the endpoint is empty."""

    otlp_endpoint: str = ""
    """Base URL of an OTLP/HTTP collector, such as http://127.0.0.1:4318."""
    service_name: str = "memoir"
    """service.name of everything exported."""
    metrics_seconds: float = 15.0
    """Time between exports of metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestingSettings:
    """For golden tests: time, identifiers and randomness are the same in every run."""

    enabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. `load` is the way in; constructing directly skips the checks across sections."""

    server: ServerSettings = field(default_factory=ServerSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    embedder: EmbedderSettings = field(default_factory=EmbedderSettings)
    reasoner: ReasonerSettings = field(default_factory=ReasonerSettings)
    inference: InferenceSettings = field(default_factory=InferenceSettings)
    ingestion: IngestionSettings = field(default_factory=IngestionSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    graph: GraphSettings = field(default_factory=GraphSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    duplicates: DuplicateSettings = field(default_factory=DuplicateSettings)
    accesses: AccessSettings = field(default_factory=AccessSettings)
    doctor: DoctorSettings = field(default_factory=DoctorSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    testing: TestingSettings = field(default_factory=TestingSettings)

    @classmethod
    def load(
        cls, path: Path | None, environment: Mapping[str, str], overrides: Mapping[str, str] | None = None
    ) -> Settings:
        """Reads the file (None: no file), then the environment, then `overrides` ("section.key": text), and checks
        the whole. Raises SettingsError, which names the key, the value and the fix."""
        raw: dict[str, Any] = {}
        if path is not None:
            raw.update(_from_file(path))
        raw.update(_from_environment(environment))
        raw.update(overrides or {})
        return check(_build(raw))

    @property
    def stores(self) -> StoreSettings:
        """What the settings say about the stores."""
        return StoreSettings(
            profile=self.server.profile, ledger=self.ledger, index=self.index, graph=self.graph, cache=self.cache
        )

    def public(self) -> dict[str, object]:
        """Every setting as "section.key", in order, without secrets."""
        return {
            f"{section.name}.{entry.name}": _shown(entry, getattr(getattr(self, section.name), entry.name))
            for section in fields(self)
            for entry in fields(getattr(self, section.name))
        }


def _shown(entry: Field[Any], value: Any) -> object:
    """A setting as it may be shown."""
    if entry.metadata.get("secret"):
        return "..." if value else ""
    if entry.name == "url":
        return without_password(value)
    if entry.name == "options":
        # Options of others may be secrets.
        return dict.fromkeys(value, "...")
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return _plain(value)


def _plain(value: Any) -> object:
    if isinstance(value, ApiKeySettings | FallbackSettings | PolicySettings):
        return value.public()
    return str(value) if isinstance(value, Path) else value


_SECTIONS: Mapping[str, type[Any]] = {
    "server": ServerSettings,
    "ledger": LedgerSettings,
    "embedder": EmbedderSettings,
    "reasoner": ReasonerSettings,
    "inference": InferenceSettings,
    "ingestion": IngestionSettings,
    "index": IndexSettings,
    "graph": GraphSettings,
    "cache": CacheSettings,
    "duplicates": DuplicateSettings,
    "accesses": AccessSettings,
    "doctor": DoctorSettings,
    "auth": AuthSettings,
    "limits": LimitSettings,
    "telemetry": TelemetrySettings,
    "testing": TestingSettings,
}
_TYPES: Mapping[str, str] = {
    f"{section}.{entry.name}": str(entry.type) for section, cls in _SECTIONS.items() for entry in fields(cls)
}
"""Declared type of every key."""


def _from_file(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError("file", str(path), f"cannot be read ({error.strerror})", "give a readable file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("file", str(path), f"is not TOML ({error})", "correct it") from None
    raw = {}
    for section, values in document.items():
        if section not in _SECTIONS:
            raise SettingsError(section, values, "is not a section", nearest(section, _SECTIONS))
        if not isinstance(values, dict):
            raise SettingsError(section, values, "is not a table", f"write [{section}] and its keys below it")
        raw.update({f"{section}.{key}": value for key, value in values.items()})
    return raw


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    if TESTING_VARIABLE in environment:
        raw["testing.enabled"] = environment[TESTING_VARIABLE]
    for name, value in environment.items():
        # Only names with a double underscore are settings; MEMOIR_API_KEY and others belong to clients.
        section, separator, key = name.removeprefix(ENVIRONMENT_PREFIX).partition("__")
        if name.startswith(ENVIRONMENT_PREFIX) and separator:
            raw[f"{section.lower()}.{key.lower()}"] = value
    return raw


def _build(raw: Mapping[str, Any]) -> Settings:
    sections: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
    for key, value in raw.items():
        if key not in _TYPES:
            raise SettingsError(key, value, "is not a setting", nearest(key, _TYPES))
        section, _, name = key.partition(".")
        sections[section][name] = _parsed(key, value, _TYPES[key])
    return Settings(**{name: cls(**sections[name]) for name, cls in _SECTIONS.items()})


def _parsed(key: str, value: Any, declared: str) -> Any:
    if declared == "tuple[str, ...]":
        return read_words(key, from_json(key, value, '["fact", "preference"]'))
    if declared == "Mapping[str, PolicySettings]":
        return read_policies(key, from_json(key, value, '{"chat": {"personal": "mask"}}'))
    if declared == "tuple[FallbackSettings, ...]":
        return read_fallbacks(key, from_json(key, value, '[{"url": "..."}]'))
    return parse_value(key, value, declared)


def check(settings: Settings) -> Settings:
    """Checks ranges and what settings mean together. Raises SettingsError; returns the settings."""
    server, limits, embedder = settings.server, settings.limits, settings.embedder
    host, _, port = server.listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise SettingsError(
            "server.listen", server.listen, "is not HOST:PORT", "write an address such as 127.0.0.1:7600"
        )
    settings.stores.check()
    if not server.namespace.replace("-", "a").isalnum() or not server.namespace[:1].islower():
        raise SettingsError(
            "server.namespace", server.namespace, "is not a namespace", "use lower-case letters, digits and hyphens"
        )
    if not server.listen.startswith(_LOOPBACK) and not settings.auth.api_keys and not server.insecure:
        raise SettingsError(
            "server.listen",
            server.listen,
            "is reachable from other machines while nobody has to authenticate",
            "listen on 127.0.0.1, add [[auth.api_keys]], or set server.insecure (--insecure) if the network is trusted",
        )
    _at_least("server.max_message_bytes", server.max_message_bytes, 65536)
    _at_least("server.drain_seconds", server.drain_seconds, 0)
    _at_least("ledger.cache_bytes", settings.ledger.cache_bytes, 0)
    _at_least("embedder.threads", embedder.threads, 1)
    _at_least("embedder.max_batch", embedder.max_batch, 1)
    _at_least("embedder.cache_bytes", embedder.cache_bytes, 0)
    _at_least("index.hot_bytes", settings.index.hot_bytes, 0)
    _cosine("duplicates.cosine", settings.duplicates.cosine)
    for namespace, cosine in settings.duplicates.namespaces.items():
        _cosine(f"duplicates.namespaces.{namespace}", cosine)
    _at_least("accesses.flush_seconds", settings.accesses.flush_seconds, 0.1)
    _at_least("doctor.every_seconds", settings.doctor.every_seconds, 0)
    _at_least("doctor.sample", settings.doctor.sample, 0)
    _at_least("limits.max_calls", limits.max_calls, 1)
    _at_least("limits.max_watches", limits.max_watches, 1)
    _at_least("limits.calls_per_second", limits.calls_per_second, 0)
    _at_least("limits.burst", limits.burst, 1)
    _at_least("limits.indexed_seconds", limits.indexed_seconds, 0)
    _at_least("limits.search_phase_seconds", limits.search_phase_seconds, 0.05)
    _at_least("telemetry.metrics_seconds", settings.telemetry.metrics_seconds, 1)
    endpoint = settings.telemetry.otlp_endpoint
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise SettingsError(
            "telemetry.otlp_endpoint", endpoint, "is not an HTTP URL", "write one such as http://127.0.0.1:4318"
        )
    embedder.check()
    settings.reasoner.check()
    settings.inference.check()
    settings.ingestion.check()
    return settings


def _cosine(key: str, value: float) -> None:
    # So written that NaN is refused too.
    if not 0 <= value <= 1:
        raise SettingsError(key, value, "is not a cosine threshold", "give one above 0 and up to 1, or 0 for none")


def _at_least(key: str, value: float, minimum: float) -> None:
    if not value >= minimum:
        raise SettingsError(key, value, f"is below {minimum}", f"give {minimum} or more")
