"""Embeddings over HTTP, as OpenAI's API has them: OpenAI, Azure, Ollama, LM Studio, TEI, vLLM, Together, Voyage.

One request per call; `portions` keeps calls within what a request may hold, a guard repeats them, `fallback` goes from
one server to the next.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import msgspec
import numpy as np
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient
from opentelemetry import metrics

from memoir_server.adapters.provider.failures import HttpFailure, read_failure
from memoir_server.adapters.provider.http import tls
from memoir_server.adapters.provider.key import ProviderKey
from memoir_server.adapters.provider.wire import clean, host_of
from memoir_server.domain.embedding import EmbeddingModel, EmbedKind, Vector, Vectors, stack_vectors
from memoir_server.ports.embedder import Embedder, EmbedderMismatch, EmbedderUnavailable

DEFAULT_URL: Final = "https://api.openai.com/v1"
NO_KEY: Final = "none"
"""Sent where no key is set: the client wants one, local servers ignore it."""
BYTES_PER_TOKEN: Final = 4
"""Of English text. A text that turns out too long is cut further."""
_NOTHING: Final = " "
"""Stands for the empty text, which OpenAI refuses."""
_SHORTEST_CUT: Final = 64
"""Bytes below which a text is not cut any further."""
_SMALLEST_NORM: Final = 1e-12

_meter = metrics.get_meter("memoir.embedder")
_token_counter = _meter.create_counter("memoir.embedder.tokens", "{token}", "Tokens that embedding services counted")
_request_counter = _meter.create_counter(
    "memoir.embedder.requests", "{request}", "Requests to embedding services, by outcome in error.type"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIEmbedderOptions:
    """How to reach an embedding model, and how to ask it.

    Attributes:
        model: Identity of the vectors; its dimension is checked with each answer.
        name: The model's name at this server; empty: `model.name`.
        url: Base address, up to and with `/v1`; empty: OpenAI's.
        key: None where the server wants none.
        max_tokens: Tokens of a text that the model reads; longer ones are cut.
        shorten: Ask for vectors of `model.dimension` components of a model that can shorten them (`dimensions`).
        encoding: "base64" or "float".
        prefixes: What goes before a text, by kind; for models trained so, such as "search_query: ".
        input_types: Value of the field `input_type`, by kind; for Voyage and Cohere.
        seconds: The longest one request may take.
    """

    model: EmbeddingModel
    name: str = ""
    url: str = ""
    key: ProviderKey | None = None
    max_tokens: int = 8191
    shorten: bool = False
    encoding: str = "base64"
    prefixes: Mapping[EmbedKind, str] = field(default_factory=dict)
    input_types: Mapping[EmbedKind, str] = field(default_factory=dict)
    seconds: float = 30.0


class _TooLarge(Exception):
    """The request holds more than the server takes."""


class OpenAIEmbedder(Embedder):
    """Embeds at one server, with one request per call, or more where texts turn out too long for it.

    Bit for bit the same vectors whatever else is in the request: that is up to the server, and most keep to it up to
    the last digits only. What was embedded once comes from the ledger and the cache.
    """

    def __init__(self, options: OpenAIEmbedderOptions) -> None:
        self._options = options
        # Retries are ours. An address is always given, so that a stray variable cannot send contents elsewhere.
        self._client = AsyncOpenAI(
            api_key=options.key.reveal() if options.key else NO_KEY,
            base_url=options.url or DEFAULT_URL,
            max_retries=0,
            timeout=options.seconds,
            http_client=DefaultAsyncHttpxClient(verify=tls()),
        )
        self._attributes = {"server.address": self.address, "gen_ai.request.model": self._name}
        self._closed = False

    @property
    def model(self) -> EmbeddingModel:
        return self._options.model

    @property
    def address(self) -> str:
        """Host, or host:port, that texts go to."""
        return host_of(str(self._client.base_url))

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind) -> Vectors:
        if self._closed:
            raise self._closed_error()
        if not texts:
            return stack_vectors([], self.model.dimension)
        prefix = self._options.prefixes.get(kind, "")
        budget = self._options.max_tokens * BYTES_PER_TOKEN
        inputs = [_cut(clean(prefix + text), budget) for text in texts]
        try:
            return await self._request(inputs, kind)
        except _TooLarge:
            # One at a time, so that a text is cut as it would be in any other company.
            rows = [await self._embed_cut(text, kind) for text in inputs]
            return stack_vectors(rows, self.model.dimension)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._client.close()

    @property
    def _name(self) -> str:
        return self._options.name or self.model.name

    async def _embed_cut(self, text: str, kind: EmbedKind) -> Vector:
        budget = len(text.encode())
        while True:
            try:
                row: Vector = (await self._request([_cut(text, budget)], kind))[0]
            except _TooLarge:
                budget //= 2
                if budget < _SHORTEST_CUT:
                    raise self._error("takes no text at all", "check embedder.max_tokens", lasting=True) from None
            else:
                return row

    async def _request(self, inputs: list[str], kind: EmbedKind) -> Vectors:
        options = self._options
        extra: dict[str, Any] = {}
        if options.shorten:
            extra["dimensions"] = self.model.dimension
        if kind in options.input_types:
            extra["input_type"] = options.input_types[kind]
        outcome = ""
        failure: Exception
        try:
            response = await self._client.embeddings.with_raw_response.create(
                model=self._name,
                input=inputs,
                encoding_format="float" if options.encoding == "float" else "base64",
                extra_body=extra,
            )
            answer = _decoder.decode(response.content)
        except APIStatusError as error:
            refusal = read_failure(error.status_code, error.response.headers, error.body)
            outcome = str(refusal.status)
            failure = _TooLarge() if refusal.too_large else self._refused(refusal)
        except (APIConnectionError, httpx2.HTTPError):
            outcome = "unreachable"
            failure = self._broken()
        except msgspec.DecodeError:
            outcome = "not_the_api"
            failure = self._error("does not answer as its API would", "check embedder.url", lasting=True)
        else:
            if answer.usage is not None:
                _token_counter.add(answer.usage.prompt_tokens or answer.usage.total_tokens, self._attributes)
            return self._vectors(answer, len(inputs))
        finally:
            _request_counter.add(1, {**self._attributes, **({"error.type": outcome} if outcome else {})})
        # Raised here, so that it does not carry the client's error along: that may quote the key, and what was sent.
        raise failure

    def _vectors(self, answer: _Answer, count: int) -> Vectors:
        """The rows in the order of the texts, of unit length."""
        if sorted(entry.index for entry in answer.data) != list(range(count)):
            raise self._error(f"answered {len(answer.data)} vectors for {count} texts", "check embedder.url")
        vectors = np.empty((count, self.model.dimension), dtype=np.float32)
        for entry in answer.data:
            row = _row(entry.embedding)
            if row is None:
                raise self._error("answered what is no vector", 'try embedder.encoding = "float"', lasting=True)
            if len(row) != self.model.dimension:
                raise EmbedderMismatch(
                    str(self.model),
                    f"{self.address} answers vectors of {len(row)} components",
                    f"set embedder.dimension = {len(row)}, or name the model that was meant",
                    key="embedder.dimension",
                    value=self.model.dimension,
                )
            norm = float(np.linalg.norm(row))
            if not np.isfinite(norm) or norm < _SMALLEST_NORM:
                raise self._error("answered a vector without a direction", "see the log of that server")
            vectors[entry.index] = row / norm
        return vectors

    def _broken(self) -> EmbedderUnavailable:
        # Closing ends requests in hand like an outage does.
        if self._closed:
            return self._closed_error()
        return self._error("cannot be reached, or broke off", "check its address and the network")

    def _refused(self, failure: HttpFailure) -> EmbedderUnavailable:
        key = self._options.key.source if self._options.key else "none is set"
        return self._error(
            failure.reason,
            failure.fix(key=key, section="embedder"),
            lasting=not failure.passes,
            busy=failure.busy,
            retry_after=failure.retry_after,
        )

    def _error(
        self,
        reason: str,
        fix: str,
        *,
        lasting: bool = False,
        busy: bool = False,
        retry_after: float | None = None,
    ) -> EmbedderUnavailable:
        return EmbedderUnavailable(
            str(self.model), f"{self.address} {reason}", fix, lasting=lasting, busy=busy, retry_after=retry_after
        )

    def _closed_error(self) -> EmbedderUnavailable:
        return EmbedderUnavailable(
            str(self.model), "it was closed", "the server is ending; ask again once it is back", lasting=True
        )


class _Entry(msgspec.Struct):
    embedding: str | list[float]
    index: int


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    total_tokens: int = 0


class _Answer(msgspec.Struct):
    data: list[_Entry]
    usage: _Usage | None = None


_decoder = msgspec.json.Decoder(_Answer)


def _row(embedding: str | list[float]) -> Vector | None:
    if isinstance(embedding, str):
        try:
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
        except ValueError:
            return None
    # What is too large becomes infinite, and is refused for it.
    with np.errstate(over="ignore"):
        return np.asarray(embedding, dtype=np.float64).astype(np.float32)


def _cut(text: str, budget: int) -> str:
    """The text's beginning, of at most so many bytes; never empty."""
    if len(text) * 4 > budget and len(data := text.encode()) > budget:
        text = data[:budget].decode(errors="ignore")
    return text or _NOTHING
