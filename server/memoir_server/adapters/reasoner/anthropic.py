"""Anthropic's Messages API: at Anthropic, in Amazon Bedrock and in Google's Vertex AI, through Anthropic's client.

The fixed part of a prompt, its schema and its system text, comes first and ends with a cache breakpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias

import httpx2
import msgspec
from anthropic import (
    APIConnectionError,
    APIStatusError,
    AsyncAnthropic,
    AsyncAnthropicBedrock,
    AsyncAnthropicVertex,
    DefaultAsyncHttpxClient,
)

from memoir_server.adapters.provider.http import tls
from memoir_server.adapters.provider.key import ProviderKey
from memoir_server.adapters.provider.wire import clean, host_of, image_base64, schema_document, text_of_json
from memoir_server.adapters.reasoner.asked import Answer, Structure, closed, judge, not_the_api, refused, unreachable
from memoir_server.domain.reasoning import ImagePart, Part, Prompt, Reply, TokenUsage
from memoir_server.ports.reasoner import Reasoner, ReasonerError, ReasonerRefused, ReasonerUnavailable

DEFAULT_URL: Final = "https://api.anthropic.com"

_Client: TypeAlias = AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicVertex
_CUT: Final = frozenset({"max_tokens", "model_context_window_exceeded"})


class Platform(Enum):
    """Where the models run; the value is the provider's name in telemetry."""

    ANTHROPIC = "anthropic"
    BEDROCK = "aws.bedrock"
    VERTEX = "gcp.vertex_ai"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicOptions:
    """How to reach a model.

    Attributes:
        model: Its name on the platform.
        platform: Where it runs.
        url: Base address; empty: the platform's own.
        key: Of Anthropic; for Bedrock a bearer token, for Vertex an access token. None: the cloud's own credentials,
            as its tools find them (environment, profile, role of the machine).
        region: Of Bedrock or Vertex; empty: as the cloud's environment says.
        project: Of Vertex.
        structure: TOOL forces a tool call; SCHEMA uses `output_config`, which models that always think need.
        cache: Ask for the fixed part of prompts to be cached.
        vision: Whether the model sees images.
        seconds: The longest one request may take.
        extra: Further fields of the request's body, such as `{"temperature": 0}`.
    """

    model: str
    platform: Platform = Platform.ANTHROPIC
    url: str = ""
    key: ProviderKey | None = None
    region: str = ""
    project: str = ""
    structure: Structure = Structure.TOOL
    cache: bool = True
    vision: bool = True
    seconds: float = 60.0
    extra: Mapping[str, Any] = field(default_factory=dict)


class AnthropicReasoner(Reasoner):
    """Asks a model over the Messages API; one request per question.

    Raises:
        ValueError: For a structure the API does not have, or settings the client does not take.
    """

    def __init__(self, options: AnthropicOptions) -> None:
        if options.structure is Structure.OBJECT:
            raise ValueError('structure="object": the Messages API has "tool" and "schema"')
        self._options = options
        self._client = _client(options)
        self._closed = False

    @property
    def model(self) -> str:
        return self._options.model

    @property
    def provider(self) -> str:
        return self._options.platform.value

    @property
    def address(self) -> str:
        return host_of(str(self._client.base_url))

    async def ask(self, prompt: Prompt, *, namespace: str, deadline: float | None = None) -> Reply:
        if self._closed:
            raise closed(self.model)
        if prompt.images and not self._options.vision:
            raise ReasonerRefused(
                self.model, "is set not to see images", "set reasoner.vision, or choose a model that sees"
            )
        failure: ReasonerError
        try:
            response = await self._client.messages.with_raw_response.create(**self._request(prompt))
            # The client's own reading checks no types; a proxy's page would pass for an answer.
            message = _decoder.decode(await response.read())
        except APIStatusError as error:
            key = self._options.key.source if self._options.key else "the cloud's credentials"
            failure = refused(self.model, error.status_code, error.response.headers, error.body, key=key)
        except (APIConnectionError, httpx2.HTTPError):
            failure = self._broken()
        except msgspec.DecodeError:
            failure = not_the_api(self.model, self.address)
        else:
            return judge(_answer(message, structured=prompt.schema is not None), prompt, self.model)
        # Raised here, so that it does not carry the client's error along: that may quote the key, and what was sent.
        raise failure

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._client.close()

    def _broken(self) -> ReasonerUnavailable:
        # Closing ends requests in hand like an outage does.
        return closed(self.model) if self._closed else unreachable(self.model, self.address)

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._options.model,
            "max_tokens": prompt.max_output,
            "messages": [{"role": "user", "content": [_block(part) for part in prompt.content]}],
            "timeout": self._options.seconds,
            "extra_body": dict(self._options.extra),
        }
        if prompt.system:
            system: dict[str, Any] = {"type": "text", "text": clean(prompt.system)}
            if self._options.cache:
                # Tools stand before the system text, so this covers them too.
                system["cache_control"] = {"type": "ephemeral"}
            request["system"] = [system]
        schema = prompt.schema
        if schema is None:
            return request
        if self._options.structure is Structure.TOOL:
            request["tools"] = [
                {"name": schema.name, "description": schema.description, "input_schema": schema_document(schema)}
            ]
            request["tool_choice"] = {"type": "tool", "name": schema.name, "disable_parallel_tool_use": True}
        else:
            request["output_config"] = {"format": {"type": "json_schema", "schema": schema_document(schema)}}
        return request


def _client(options: AnthropicOptions) -> _Client:
    # Retries and spans are ours. An address is always given, so that a stray variable cannot send contents elsewhere.
    common: dict[str, Any] = {
        "max_retries": 0,
        "timeout": options.seconds,
        "open_telemetry": False,
        "http_client": DefaultAsyncHttpxClient(verify=tls()),
    }
    key = options.key.reveal() if options.key else None
    if options.platform is Platform.BEDROCK:
        if not options.region:
            raise ValueError("region='': Bedrock needs one, such as us-east-1")
        return AsyncAnthropicBedrock(
            api_key=key,
            aws_region=options.region,
            base_url=options.url or f"https://bedrock-runtime.{options.region}.amazonaws.com",
            **common,
        )
    if options.platform is Platform.VERTEX:
        if not options.region or not options.project:
            raise ValueError(f"region={options.region!r}, project={options.project!r}: Vertex needs both")
        return AsyncAnthropicVertex(
            access_token=key,
            region=options.region,
            project_id=options.project,
            base_url=options.url or f"https://{_vertex_host(options.region)}/v1",
            **common,
        )
    if key is None:
        raise ValueError("key=None: Anthropic needs one")
    return AsyncAnthropic(api_key=key, base_url=options.url or DEFAULT_URL, **common)


def _vertex_host(region: str) -> str:
    if region == "global":
        return "aiplatform.googleapis.com"
    if region in ("us", "eu"):
        return f"aiplatform.{region}.rep.googleapis.com"
    return f"{region}-aiplatform.googleapis.com"


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        source = {"type": "base64", "media_type": part.media_type, "data": image_base64(part)}
        return {"type": "image", "source": source}
    return {"type": "text", "text": clean(part.text)}


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    input: msgspec.Raw = msgspec.Raw(b"")


class _Message(msgspec.Struct):
    content: list[_Block]
    usage: _Usage
    model: str = ""
    stop_reason: str | None = None


_decoder = msgspec.json.Decoder(_Message)


def _answer(message: _Message, *, structured: bool) -> Answer:
    tools = [text_of_json(bytes(block.input)) for block in message.content if block.type == "tool_use"]
    texts = [block.text for block in message.content if block.type == "text"]
    usage, stop = message.usage, message.stop_reason or ""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Answer(
        output=tools[0] if structured and tools else "".join(texts),
        usage=TokenUsage(
            # Counted without what was read from or written to the cache.
            input=usage.input_tokens + read + written,
            output=usage.output_tokens,
            cached_input=read,
            cache_write=written,
        ),
        model=message.model,
        stop_reason=stop,
        cut=stop in _CUT,
        declined=stop == "refusal",
    )
