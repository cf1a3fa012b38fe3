"""Settings of the models: the embedder, and the language model that facts are drawn out with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from memoir_server.app.settings_stores import without_password
from memoir_server.app.settings_values import SettingsError, nearest

LOCAL = ""
"""Adapter of models that run in the server."""
OPENAI = "openai"
ANTHROPIC = "anthropic"
BEDROCK = "bedrock"
VERTEX = "vertex"
REASONERS = (ANTHROPIC, OPENAI, BEDROCK, VERTEX)
STRUCTURES = ("tool", "schema", "object")
LENGTH_FIELDS = ("max_completion_tokens", "max_tokens")
ENCODINGS = ("base64", "float")
_LEAST_CACHE = 1 << 20
"""Bytes of vectors kept of a model elsewhere: what is asked over and over, such as by probes, costs a request once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackSettings:
    """A further server of the same embedding model."""

    url: str
    """Base address, up to and with /v1."""
    model: str = ""
    """The model's name there; empty: embedder.model."""
    key_variable: str = ""
    """Environment variable of the key; empty: that of `embedder.key_variable`."""
    key_file: str = ""
    """File that holds the key, in place of a variable."""

    def public(self) -> dict[str, object]:
        """As shown to an operator."""
        return {
            "url": without_password(self.url),
            "model": self.model,
            "key_variable": self.key_variable,
            "key_file": self.key_file,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderSettings:
    """The embedding model."""

    adapter: str = LOCAL
    """Empty: a model in the server; "openai": a server with OpenAI's embeddings API."""
    model: str = "all-MiniLM-L6-v2"
    """Local: name of a known model, path of a model folder, or "hash": deterministic vectors for tests. Else the name
    the server knows."""
    threads: int = 1
    """Threads that compute, and batches embedded at a time. Local."""
    max_batch: int = 32
    """Texts embedded together at most. Local."""
    cache_bytes: int = 64 * 1024 * 1024
    """Memory for vectors of texts seen before; 0 keeps none."""
    url: str = ""
    """Base address, up to and with /v1; empty: OpenAI's. Of "openai" only, as all that follows."""
    key_variable: str = ""
    """Environment variable of the key; empty: OPENAI_API_KEY, which local servers do not need."""
    key_file: str = ""
    """File that holds the key, in place of a variable."""
    fallbacks: tuple[FallbackSettings, ...] = ()
    """Further servers of the same model, asked in this order while those before do not answer."""
    dimension: int = 0
    """Components of the model's vectors."""
    version: str = "1"
    """What tells two sets of weights of that name apart; another one embeds everything again."""
    shorten: bool = False
    """Ask for vectors of `dimension` components of a model that has more."""
    max_tokens: int = 8191
    """Tokens of a text that the model reads; longer ones are cut."""
    max_items: int = 256
    """Texts in a request at most."""
    max_request_tokens: int = 100_000
    """Tokens in a request at most, as far as they can be estimated."""
    query_prefix: str = ""
    """Goes before a query, for models trained so."""
    document_prefix: str = ""
    """Goes before a memory."""
    query_type: str = ""
    """Field input_type of queries, for Voyage and Cohere."""
    document_type: str = ""
    """Field input_type of memories."""
    encoding: str = "base64"
    """How vectors travel: "base64" or "float"."""
    seconds: float = 30.0
    """The longest one request may take."""
    attempts: int = 3
    """Requests for one portion of texts at most."""
    concurrency: int = 4
    """Requests in hand at once."""
    requests_per_minute: float = 0.0
    """Requests that may begin in a minute; 0: any number."""

    def check(self) -> None:
        """Raises SettingsError."""
        if not self.model:
            raise SettingsError("embedder.model", "", "is empty", 'name a model, such as all-MiniLM-L6-v2, or "hash"')
        if self.adapter not in (LOCAL, OPENAI):
            raise SettingsError(
                "embedder.adapter", self.adapter, "is not an adapter", f'use "" (a model in the server) or "{OPENAI}"'
            )
        if self.adapter == LOCAL:
            self._check_local()
            return
        if self.dimension < 1:
            raise SettingsError(
                "embedder.dimension",
                self.dimension,
                "is missing",
                "give the number of components of the model's vectors, such as 1536 for text-embedding-3-small",
            )
        _url("embedder.url", self.url)
        for i, fallback in enumerate(self.fallbacks):
            _url(f"embedder.fallbacks[{i}].url", fallback.url, needed=True)
        if self.cache_bytes < _LEAST_CACHE:
            raise SettingsError(
                "embedder.cache_bytes",
                self.cache_bytes,
                "would ask the server again for every text",
                f"give {_LEAST_CACHE} or more",
            )
        if not self.version:
            raise SettingsError("embedder.version", "", "is empty", "give any word, such as 1")
        _one_of("embedder.encoding", self.encoding, ENCODINGS)
        for name in ("max_tokens", "max_items", "max_request_tokens", "attempts", "concurrency"):
            _at_least(f"embedder.{name}", getattr(self, name), 1)
        if not self.seconds > 0:
            raise SettingsError("embedder.seconds", self.seconds, "is not a time", "give one above 0")
        _at_least("embedder.requests_per_minute", self.requests_per_minute, 0)

    def _check_local(self) -> None:
        usual = EmbedderSettings()
        for name in ("url", "key_variable", "key_file", "fallbacks", "dimension"):
            if getattr(self, name) != getattr(usual, name):
                shown = "..." if name in ("url", "fallbacks") else getattr(self, name)
                raise SettingsError(
                    f"embedder.{name}",
                    shown,
                    "is given, but the model runs in the server",
                    f'set embedder.adapter = "{OPENAI}", or remove it',
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonerSettings:
    """The language model of mode INFER."""

    adapter: str = ""
    """Whose API: "anthropic", "openai" (and all that follow it), "bedrock" or "vertex"; empty: there is none."""
    model: str = ""
    """The model's name there."""
    url: str = ""
    """Base address; empty: the provider's own."""
    key_variable: str = ""
    """Environment variable of the key; empty: the provider's usual one."""
    key_file: str = ""
    """File that holds the key, in place of a variable."""
    region: str = ""
    """Of "bedrock" and "vertex"."""
    project: str = ""
    """Of "vertex"."""
    structure: str = ""
    """How answers are held to a form: "tool", "schema" or "object"; empty: "tool" for Anthropic's models, "schema" for
    "openai"."""
    length_field: str = ""
    """Field that limits an answer, "max_completion_tokens" or "max_tokens"; empty: the first at OpenAI's own address
    and at Azure, else the second. Of "openai"."""
    vision: bool = True
    """Whether the model sees images."""
    cache: bool = True
    """Ask for the fixed part of prompts to be cached. Of Anthropic's models; others cache by themselves."""
    seconds: float = 60.0
    """The longest one request may take."""
    attempts: int = 4
    """Requests for one question at most."""
    concurrency: int = 8
    """Requests in hand at once."""
    requests_per_minute: float = 0.0
    """Requests that may begin in a minute; 0: any number."""
    tokens_per_minute: float = 0.0
    """The same of tokens."""
    input_price: float = 0.0
    """US dollars for a million tokens read; 0 with `output_price` 0: costs are not counted."""
    output_price: float = 0.0
    """US dollars for a million tokens written."""
    cached_price: float = 0.0
    """US dollars for a million tokens read from the provider's cache; 0: as `input_price`."""
    cache_write_price: float = 0.0
    """US dollars for a million tokens written to the provider's cache; 0: as `input_price`."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of each request's body, such as temperature = 0."""

    @property
    def enabled(self) -> bool:
        """Whether there is a language model."""
        return bool(self.adapter)

    def check(self) -> None:
        """Raises SettingsError."""
        if not self.enabled:
            self._check_off()
            return
        if self.adapter not in REASONERS:
            raise SettingsError("reasoner.adapter", self.adapter, "is not an adapter", nearest(self.adapter, REASONERS))
        if not self.model:
            raise SettingsError("reasoner.model", "", "is missing", "name the model as the provider does")
        _url("reasoner.url", self.url)
        self._check_structure()
        if self.adapter in (BEDROCK, VERTEX) and not self.region:
            raise SettingsError("reasoner.region", "", "is missing", f"name the region; {self.adapter} needs it")
        if self.adapter == VERTEX and not self.project:
            raise SettingsError("reasoner.project", "", "is missing", "name the project; vertex needs it")
        if not self.seconds > 0:
            raise SettingsError("reasoner.seconds", self.seconds, "is not a time", "give one above 0")
        for name in ("attempts", "concurrency"):
            _at_least(f"reasoner.{name}", getattr(self, name), 1)
        for name in ("requests_per_minute", "tokens_per_minute"):
            _at_least(f"reasoner.{name}", getattr(self, name), 0)
        for name in ("input_price", "output_price", "cached_price", "cache_write_price"):
            _at_least(f"reasoner.{name}", getattr(self, name), 0)

    def _check_structure(self) -> None:
        known = STRUCTURES if self.adapter == OPENAI else STRUCTURES[:2]
        if self.structure:
            _one_of("reasoner.structure", self.structure, known)
        if self.length_field:
            _one_of("reasoner.length_field", self.length_field, LENGTH_FIELDS)

    def _check_off(self) -> None:
        usual = ReasonerSettings()
        for entry in fields(self):
            if getattr(self, entry.name) != getattr(usual, entry.name):
                raise SettingsError(
                    "reasoner.adapter",
                    "",
                    f"is missing, but reasoner.{entry.name} is given",
                    f"name one of {', '.join(REASONERS)}, or remove the section",
                )


def read_fallbacks(key: str, value: Any) -> tuple[FallbackSettings, ...]:
    """A list of tables, from TOML or decoded JSON. Raises SettingsError."""
    if not isinstance(value, list):
        raise SettingsError(key, "...", "is not a list of tables", f"write [[{key}]] for each server")
    names = [entry.name for entry in fields(FallbackSettings)]
    found = []
    for i, table in enumerate(value):
        if not isinstance(table, dict):
            raise SettingsError(f"{key}[{i}]", "...", "is not a table", f"give it {', '.join(names)}")
        for name, text in table.items():
            if name not in names:
                raise SettingsError(f"{key}[{i}].{name}", "...", "is not a setting", nearest(name, names))
            if not isinstance(text, str):
                raise SettingsError(f"{key}[{i}].{name}", text, "is not text", 'put it in quotes: "..."')
        if "url" not in table:
            raise SettingsError(f"{key}[{i}].url", None, "is missing", "give the server's address")
        found.append(FallbackSettings(**table))
    return tuple(found)


def _url(key: str, url: str, *, needed: bool = False) -> None:
    if not url and not needed:
        return
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        secret = parts.username is not None or parts.password is not None or bool(parts.query)
    except ValueError:
        sound = secret = False
    if secret:
        raise SettingsError(key, "...", "holds more than an address", "put the key into the environment or a file")
    if not sound:
        raise SettingsError(key, url, "is no address", "write one such as http://127.0.0.1:11434/v1")


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingsError(key, value, "is not known", f"use {' or '.join(known)}")


def _at_least(key: str, value: float, minimum: float) -> None:
    # So written that NaN is refused too.
    if not value >= minimum:
        raise SettingsError(key, value, f"is below {minimum}", f"give {minimum} or more")
