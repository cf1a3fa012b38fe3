"""What a language model is asked, and what it answers: plain values, no vendor's words.

A prompt has a fixed part, the same for every call of its name and version, and a part that differs from call to call.
Providers cache the fixed part, so nothing of a call may be put into it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

IMAGE_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
"""Media types of images that every provider takes."""
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
"""How files begin. WebP has its size in between."""


def image_type(data: bytes) -> str | None:
    """Media type of an image by how its file begins; None for what is none of `IMAGE_TYPES`."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((media_type for begin, media_type in _SIGNATURES if data.startswith(begin)), None)


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text of a prompt. Lone surrogates are replaced on the way out; everything else is sent as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image of a prompt.

    Attributes:
        data: The file's bytes.
        media_type: One of `IMAGE_TYPES`.

    Raises:
        ValueError: For another media type, or no bytes.
    """

    data: bytes
    media_type: str

    def __post_init__(self) -> None:
        if self.media_type not in IMAGE_TYPES:
            raise ValueError(f"media_type={self.media_type!r}: give one of {', '.join(sorted(IMAGE_TYPES))}")
        if not self.data:
            raise ValueError("data=b'': give the bytes of the image")

    def __repr__(self) -> str:
        return f"ImagePart({len(self.data)} bytes, {self.media_type!r})"


Part: TypeAlias = TextPart | ImagePart


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The form an answer must have: a JSON schema of an object.

    Providers enforce a subset of JSON Schema, and refuse the rest. This class holds a schema to what they have in
    common (OpenAI's strict mode is the narrowest): every object lists all its properties as required and allows no
    others; an optional value is one that may be null, `{"type": ["string", "null"]}`. Limits on lengths, numbers and
    counts belong in the description of a property, and are checked by whoever reads the answer.

    Attributes:
        name: Letters, digits, `_` and `-`, at most 64: the name of the tool or of the response format.
        description: One sentence for the model.
        document: The schema as JSON text.

    Raises:
        ValueError: If the name or the schema is outside of what providers share; says where.
    """

    name: str
    description: str
    document: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64 or not self.name.replace("_", "a").replace("-", "a").isalnum():
            raise ValueError(f"name={self.name!r}: use 1 to 64 letters, digits, _ and -")
        try:
            schema = json.loads(self.document)
        except json.JSONDecodeError as error:
            raise ValueError(f"document: is not JSON ({error})") from None
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise ValueError('document: the schema has to be of an object: {"type": "object", ...}')
        _check_shared(schema, "$")

    @classmethod
    def of(cls, name: str, description: str, schema: Mapping[str, object]) -> JsonSchema:
        """The schema of a mapping."""
        return cls(name, description, json.dumps(schema, ensure_ascii=False))


_UNSHARED: Final = frozenset({
    "allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
    "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems",
    "maxItems", "uniqueItems", "minProperties", "maxProperties", "unevaluatedProperties", "unevaluatedItems",
})  # fmt: skip
"""Keywords that at least one provider's strict mode refuses."""


def _check_shared(schema: Mapping[str, object], path: str) -> None:
    for keyword in schema:
        if keyword in _UNSHARED:
            raise ValueError(f"document: {path}.{keyword}: providers refuse it; say it in the description")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise ValueError(f"document: {path}.properties: give an object")
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            raise ValueError(f"document: {path}.additionalProperties: set it to false")
        required = schema.get("required", [])
        if not isinstance(required, list) or set(required) != set(properties):
            raise ValueError(f"document: {path}.required: name every property, and let optional ones be null")
    for name, inner in properties.items():
        if isinstance(inner, dict):
            _check_shared(inner, f"{path}.properties.{name}")
    items = schema.get("items")
    if isinstance(items, dict):
        _check_shared(items, f"{path}.items")
    for keyword in ("anyOf", "$defs"):
        inner = schema.get(keyword)
        entries = inner.items() if isinstance(inner, dict) else enumerate(inner) if isinstance(inner, list) else ()
        for name, entry in entries:
            if isinstance(entry, dict):
                _check_shared(entry, f"{path}.{keyword}.{name}")


DEFAULT_MAX_OUTPUT: Final = 4096
"""Tokens of an answer at most, where a prompt says nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question to a language model.

    Attributes:
        name: What is asked for, such as "extract"; appears in metrics and spans.
        version: Version of the prompt; recorded with what comes of the answer.
        system: The fixed part, the same for every call of the name and version: providers cache it, with the schema.
        content: What differs from call to call, in order; at least one part.
        schema: Form of the answer; None asks for plain text.
        max_output: Tokens of the answer at most; an answer that needs more is cut, which is an error.

    Raises:
        ValueError: If there is no content or `max_output` is below 1.
    """

    name: str
    version: str
    system: str
    content: tuple[Part, ...]
    schema: JsonSchema | None = None
    max_output: int = DEFAULT_MAX_OUTPUT

    def __post_init__(self) -> None:
        if not self.content:
            raise ValueError("content=(): give at least one part")
        if self.max_output < 1:
            raise ValueError(f"max_output={self.max_output}: give a number of tokens of at least 1")

    @property
    def images(self) -> int:
        """How many images it shows."""
        return sum(isinstance(part, ImagePart) for part in self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens as the provider counted them; 0 where it does not count.

    Attributes:
        input: All tokens read, cached ones included.
        output: Tokens of the answer, those of hidden reasoning included.
        cached_input: Part of `input` that came from the provider's cache.
        cache_write: Part of `input` that was written to the provider's cache.
    """

    input: int = 0
    output: int = 0
    cached_input: int = 0
    cache_write: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(
            input=self.input + other.input,
            output=self.output + other.output,
            cached_input=self.cached_input + other.cached_input,
            cache_write=self.cache_write + other.cache_write,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a model costs, in US dollars per million tokens.

    `cached_input` and `cache_write` None: as `input`.
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None

    def cost(self, usage: TokenUsage) -> float:
        """US dollars for the usage."""
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        plain = max(0, usage.input - usage.cached_input - usage.cache_write)
        return (
            plain * self.input + usage.cached_input * cached + usage.cache_write * written + usage.output * self.output
        ) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that came whole.

    Attributes:
        output: With a schema: the text of a JSON object, as the model sent it. Whether it keeps to the schema is for
            the reader to find out. Without one: plain text.
        usage: Tokens of the call that was answered.
        model: The model as the provider names it, which may be more exact than what was asked for.
        stop_reason: The provider's word for why the answer ended.
        attempts: Requests made until it came, at least 1.
        cost: US dollars for `usage`; None where no prices are set.
    """

    output: str
    usage: TokenUsage
    model: str
    stop_reason: str
    attempts: int = 1
    cost: float | None = None
