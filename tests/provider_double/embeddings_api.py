"""OpenAI's Embeddings API: requests and answers. The vectors are made of hashes: equal texts, equal vectors."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tests.provider_double.checks import BadRequest, need, tokens_of
from tests.provider_double.exchange import EMBEDDINGS, Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingLimits:
    """What a server takes; the defaults are OpenAI's.

    Attributes:
        items: Texts in one request.
        text_tokens: Of one text.
        request_tokens: Of all texts of one request.
        base64: Whether the server knows that encoding; others answer numbers, whatever was asked for.
        dimensions: Whether the server can shorten vectors.
        weights: What tells two models of one name apart.
        model: The model's name in answers; empty: the one asked for.
    """

    items: int = 2048
    text_tokens: int = 8192
    request_tokens: int = 300_000
    base64: bool = True
    dimensions: bool = True
    dimension: int = 96
    weights: str = ""
    model: str = ""


_FIXED: Final = frozenset({"model", "input", "encoding_format", "dimensions", "user", "input_type"})


def read(body: Any, limits: EmbeddingLimits) -> Asked:
    """The request in the body. Raises BadRequest."""
    model = need(body, "model", str)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequest("'$.input' is invalid. Please check the API reference.")
    if len(texts) > limits.items:
        problem = f"'$.input' is invalid: array too long, at most {limits.items}."
        raise BadRequest(problem, code="array_above_max_length")
    if "" in texts:
        raise BadRequest("'$.input' is invalid: input cannot be an empty string.")
    if any(tokens_of(text) > limits.text_tokens for text in texts):
        raise BadRequest(
            f"Invalid 'input': maximum context length is {limits.text_tokens} tokens.", code="context_length_exceeded"
        )
    if sum(map(tokens_of, texts)) > limits.request_tokens:
        raise BadRequest(
            f"Invalid 'input': maximum request size is {limits.request_tokens} tokens per request.",
            code="max_tokens_per_request",
        )
    if body.get("encoding_format") not in (None, "float", "base64"):
        raise BadRequest("Invalid 'encoding_format'")
    if "dimensions" in body and not limits.dimensions:
        raise BadRequest("This model does not support specifying dimensions.")
    unknown = sorted(set(body) - _FIXED)
    if unknown:
        raise BadRequest(f"Unrecognized request argument supplied: {unknown[0]}")
    return Asked(api=EMBEDDINGS, model=model, inputs=tuple(texts))


def vector(model: str, text: str, dimension: int, *, weights: str = "", kind: str = "") -> npt.NDArray[np.float32]:
    """The vector of a text: not of unit length, as some servers' are not."""
    seed = hashlib.sha256(repr((model, weights, kind, text)).encode()).digest()
    drawn = np.random.default_rng(np.frombuffer(seed, dtype=np.uint32)).standard_normal(dimension)
    return drawn.astype(np.float32)


def answer(body: dict[str, Any], asked: Asked, limits: EmbeddingLimits) -> bytes:
    """The body of an answer."""
    dimension = body.get("dimensions") or limits.dimension
    as_text = limits.base64 and body.get("encoding_format") == "base64"
    name = limits.model or asked.model
    data = []
    for index, text in enumerate(asked.inputs):
        row = vector(name, text, dimension, weights=limits.weights, kind=body.get("input_type", ""))
        embedding: Any = base64.b64encode(row.astype("<f4").tobytes()).decode() if as_text else row.tolist()
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    # In no particular order: only `index` tells which text a vector is of.
    data.reverse()
    tokens = sum(map(tokens_of, asked.inputs))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json.dumps({"object": "list", "data": data, "model": name, "usage": usage}).encode()
