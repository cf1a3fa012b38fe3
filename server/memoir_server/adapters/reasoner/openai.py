"""The Chat Completions API of OpenAI, and of everybody who follows it.

OpenAI, Azure, Groq, Together, DeepSeek, xAI, Gemini's compatible endpoint, Ollama, LM Studio, vLLM: they differ in the
address, in how an answer is held to a form, and in the name of the limit on its length. Providers that cache prompts do
so by themselves, for prompts that begin alike: the fixed part comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import msgspec
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient

from memoir_server.adapters.provider.http import tls
from memoir_server.adapters.provider.key import ProviderKey
from memoir_server.adapters.provider.wire import clean, host_of, image_base64, schema_document, text_of_json
from memoir_server.adapters.reasoner.asked import Answer, Structure, closed, judge, not_the_api, refused, unreachable
from memoir_server.domain.reasoning import ImagePart, Part, Prompt, Reply, TokenUsage
from memoir_server.ports.reasoner import Reasoner, ReasonerError, ReasonerRefused, ReasonerUnavailable

DEFAULT_URL: Final = "https://api.openai.com/v1"
NO_KEY: Final = "none"
"""Sent where no key is set: the client wants one, local servers ignore it."""

_PROVIDERS: Final = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.openai",
    "api.groq.com": "groq",
    "api.together.xyz": "together_ai",
    "api.together.ai": "together_ai",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x_ai",
    "api.mistral.ai": "mistral_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
"""By the end of the host's name, in the words of OpenTelemetry where it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIOptions:
    """How to reach a model.

    Attributes:
        model: Its name at the server.
        url: Base address, up to and with `/v1`; empty: OpenAI's.
        key: None where the server wants none.
        structure: SCHEMA is `response_format` with a JSON schema; TOOL forces a function call; OBJECT is
            `response_format` with `json_object`, for servers that know neither: the schema goes into the system text.
        length_field: Field that limits the answer: `max_completion_tokens` at OpenAI and Azure, `max_tokens` at others.
        vision: Whether the model sees images.
        seconds: The longest one request may take.
        extra: Further fields of the request's body, such as `{"temperature": 0}`.
    """

    model: str
    url: str = ""
    key: ProviderKey | None = None
    structure: Structure = Structure.SCHEMA
    length_field: str = "max_completion_tokens"
    vision: bool = True
    seconds: float = 60.0
    extra: Mapping[str, Any] = field(default_factory=dict)


class OpenAIReasoner(Reasoner):
    """Asks a model over the Chat Completions API; one request per question."""

    def __init__(self, options: OpenAIOptions) -> None:
        self._options = options
        # Retries are ours. An address is always given, so that a stray variable cannot send contents elsewhere.
        self._client = AsyncOpenAI(
            api_key=options.key.reveal() if options.key else NO_KEY,
            base_url=options.url or DEFAULT_URL,
            max_retries=0,
            timeout=options.seconds,
            http_client=DefaultAsyncHttpxClient(verify=tls()),
        )
        self._closed = False

    @property
    def model(self) -> str:
        return self._options.model

    @property
    def provider(self) -> str:
        host = self.address.partition(":")[0]
        return next((name for end, name in _PROVIDERS.items() if host.endswith(end)), "openai_compatible")

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
        key = self._options.key.source if self._options.key else "none is set"
        failure: ReasonerError
        try:
            response = await self._client.chat.completions.with_raw_response.create(**self._request(prompt))
            # The client's own reading checks no types; a proxy's page would pass for an answer.
            completion = _decoder.decode(response.content)
        except APIStatusError as error:
            failure = refused(self.model, error.status_code, error.response.headers, error.body, key=key)
        except (APIConnectionError, httpx2.HTTPError):
            failure = self._broken()
        except msgspec.DecodeError:
            failure = not_the_api(self.model, self.address)
        else:
            if completion.choices:
                return judge(_answer(completion, structured=prompt.schema is not None), prompt, self.model)
            failure = not_the_api(self.model, self.address)
            if completion.error is not None and isinstance(code := completion.error.get("code"), int) and code >= 400:
                # Some gateways answer 200 once they have begun, and then pass on what went wrong behind them.
                failure = refused(self.model, code, response.headers, completion.error, key=key)
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
        schema, structure = prompt.schema, self._options.structure
        system = clean(prompt.system)
        extra = {self._options.length_field: prompt.max_output, **self._options.extra}
        request: dict[str, Any] = {"model": self._options.model, "extra_body": extra}
        if schema is not None and structure is Structure.SCHEMA:
            form = {"name": schema.name, "description": schema.description, "strict": True}
            request["response_format"] = {
                "type": "json_schema",
                "json_schema": {**form, "schema": schema_document(schema)},
            }
        elif schema is not None and structure is Structure.TOOL:
            function = {"name": schema.name, "description": schema.description, "parameters": schema_document(schema)}
            request["tools"] = [{"type": "function", "function": function}]
            request["tool_choice"] = {"type": "function", "function": {"name": schema.name}}
        elif schema is not None:
            request["response_format"] = {"type": "json_object"}
            system = f"{system}\n\nAnswer with one JSON object that keeps to this JSON schema:\n{schema.document}"
        messages: list[dict[str, Any]] = [{"role": "user", "content": _content(prompt.content)}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        request["messages"] = messages
        return request


def _content(parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
    if not any(isinstance(part, ImagePart) for part in parts) and len(parts) == 1:
        # Some local servers take a list only from models that see.
        return clean("".join(part.text for part in parts if not isinstance(part, ImagePart)))
    return [_block(part) for part in parts]


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {
            "type": "image_url",
            "image_url": {"url": f"data:{part.media_type};base64,{image_base64(part)}"},
        }
    return {"type": "text", "text": clean(part.text)}


class _Function(msgspec.Struct):
    arguments: msgspec.Raw = msgspec.Raw(b"")


class _Call(msgspec.Struct):
    function: _Function | None = None


class _Said(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Said
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's name for cached tokens."""


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: str | None = ""
    error: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_Completion)


def _answer(completion: _Completion, *, structured: bool) -> Answer:
    choice = completion.choices[0]
    said, stop = choice.message, choice.finish_reason or ""
    output = said.content
    calls = [call.function for call in said.tool_calls or () if call.function]
    if structured and calls:
        # OpenAI sends text; some others the object itself.
        output = text_of_json(bytes(calls[0].arguments))
    return Answer(
        output=output,
        usage=_usage(completion.usage or _Usage()),
        model=completion.model or "",
        stop_reason=stop,
        cut=stop == "length",
        declined=stop == "content_filter" or bool(said.refusal),
    )


def _usage(usage: _Usage) -> TokenUsage:
    details = usage.prompt_tokens_details or _Details()
    return TokenUsage(
        input=usage.prompt_tokens,
        output=usage.completion_tokens or 0,
        cached_input=details.cached_tokens or usage.prompt_cache_hit_tokens or 0,
        cache_write=details.cache_write_tokens or 0,
    )
