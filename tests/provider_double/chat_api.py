"""OpenAI's Chat Completions API: requests, answers, errors, streams."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from tests.provider_double.checks import BadRequest, check_strict, decode_image, need, tokens_of
from tests.provider_double.exchange import CHAT, Asked, Refuses, Said, Stop, Usage

_DATA_URL: Final = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,(.*)", re.DOTALL)
_CREATED: Final = 1_780_000_000
_CACHED_STEP: Final = 128
_SMALLEST_CACHED: Final = 1024
_CODES: Final = {
    400: ("invalid_request_error", None, "Invalid request"),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided"),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Not supported"),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    413: ("invalid_request_error", "request_too_large", "Request too large"),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests"),
    500: ("server_error", None, "The server had an error while processing your request"),
    503: ("server_error", None, "The engine is currently overloaded, please try again later"),
}


def read(body: Any, *, structures: Collection[str], length_fields: Collection[str], vision: bool = True) -> Asked:
    """The request in the body. Raises BadRequest for what the server does not know.

    Args:
        structures: Of "tool", "schema" and "object".
        length_fields: Of `max_tokens` and `max_completion_tokens`.
    """
    model = need(body, "model", str)
    messages = need(body, "messages", list)
    if not messages:
        raise BadRequest("Invalid 'messages': empty array.", code="empty_array")
    system, texts, images = "", [], []
    for i, message in enumerate(messages):
        role = need(message, "role", str, f"messages[{i}].")
        content = message.get("content")
        if role in ("system", "developer"):
            system += content if isinstance(content, str) else "".join(part["text"] for part in content)
            continue
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if part.get("type") == "text":
                texts.append(need(part, "text", str, f"messages[{i}].content."))
            elif part.get("type") == "image_url" and vision:
                images.append(_image(part, i))
            else:
                raise BadRequest(
                    "Invalid content type. image_url is only supported by certain models.",
                    code="invalid_request_error",
                )
    limit = 0
    for field in ("max_tokens", "max_completion_tokens"):
        if field in body and field not in length_fields:
            other = next(iter(length_fields))
            raise BadRequest(
                f"Unsupported parameter: '{field}' is not supported with this model. Use '{other}' instead.",
                code="unsupported_parameter",
            )
        limit = limit or body.get(field, 0)
    form, structure = _read_form(body, structures, system + "\n".join(texts))
    return Asked(
        api=CHAT,
        model=model,
        form=form,
        structure=structure,
        system=system,
        text="\n".join(texts),
        images=tuple(images),
        max_tokens=limit,
        stream=bool(body.get("stream")),
    )


def _image(part: Mapping[str, Any], i: int) -> tuple[str, bytes]:
    url = need(need(part, "image_url", dict, f"messages[{i}].content."), "url", str, "image_url.")
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise BadRequest("Invalid image_url: expected a base64-encoded data URL", code="invalid_image_url")
    return decode_image(found[1], found[2], f"messages[{i}].image_url")


def _read_form(body: Mapping[str, Any], structures: Collection[str], prompt: str) -> tuple[str, str]:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        if "schema" not in structures:
            raise BadRequest("'response_format.type' must be 'json_object' or 'text'", code="unsupported_value")
        schema = need(form, "json_schema", dict, "response_format.")
        if schema.get("strict"):
            check_strict(need(schema, "schema", dict, "json_schema."), "response_format")
        return need(schema, "name", str, "json_schema."), "schema"
    if form.get("type") == "json_object":
        if "json" not in prompt.lower():
            raise BadRequest(
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
            )
        return "", "object"
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        if "tool" not in structures:
            raise BadRequest("tools are not supported by this model", code="unsupported_parameter")
        names = [tool["function"]["name"] for tool in body.get("tools") or ()]
        name = choice["function"]["name"]
        if name not in names:
            raise BadRequest(f"Tool choice '{name}' not found in 'tools' parameter.")
        return name, "tool"
    return "", ""


class PrefixCache:
    """System texts seen before: prompts that begin alike are cached without being asked to."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def usage(self, body: Mapping[str, Any], asked: Asked, answer: Said) -> Usage:
        """Tokens of a request and its answer."""
        if answer.usage is not None:
            return answer.usage
        form = json.dumps([body.get("tools"), body.get("response_format")], sort_keys=True)
        fixed = tokens_of(form + asked.system)
        cached = fixed // _CACHED_STEP * _CACHED_STEP
        known = form + asked.system in self._seen
        self._seen.add(form + asked.system)
        return Usage(
            input=fixed + tokens_of(asked.text) + 765 * len(asked.images),
            output=max(1, tokens_of(answer.output)),
            cached=cached if known and cached >= _SMALLEST_CACHED else 0,
        )


def _finish(answer: Said) -> str:
    # A refusal ends like any answer, only its field tells; so does a call that was forced.
    return "length" if answer.stop is Stop.LENGTH else "stop"


def _usage_fields(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def completion(asked: Asked, answer: Said, usage: Usage, number: int) -> bytes:
    """The body of an answer."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.output or None, "refusal": None}
    called = asked.structure == "tool" and bool(answer.output)
    if answer.stop is Stop.DECLINED:
        message |= {"content": None, "refusal": answer.output}
    elif called:
        call = {"name": asked.form, "arguments": answer.output}
        message |= {
            "content": None,
            "tool_calls": [{"id": f"call_{number:024d}", "type": "function", "function": call}],
        }
    whole = {
        "id": f"chatcmpl-{number:029d}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": answer.model or asked.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer)}],
        "usage": _usage_fields(usage),
        "system_fingerprint": None,
    }
    return json.dumps(whole, ensure_ascii=False).encode()


def events(body: Mapping[str, Any], asked: Asked, answer: Said, usage: Usage, number: int) -> Iterator[bytes]:
    """The same as a stream of server-sent events."""
    called = asked.structure == "tool" and bool(answer.output)
    first: dict[str, Any] = {"role": "assistant", "content": None if called else ""}
    if called:
        call = {"name": asked.form, "arguments": ""}
        first["tool_calls"] = [{"index": 0, "id": f"call_{number:024d}", "type": "function", "function": call}]

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        return _data(
            number, asked, answer, choices=[{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
        )

    yield chunk(first)
    for at in range(0, len(answer.output), 24):
        part = answer.output[at : at + 24]
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} if called else {"content": part})
    yield chunk({}, _finish(answer))
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _data(number, asked, answer, choices=[], usage=_usage_fields(usage))
    yield b"data: [DONE]\n\n"


def _data(number: int, asked: Asked, answer: Said, **fields: Any) -> bytes:
    whole = {
        "id": f"chatcmpl-{number:029d}",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": answer.model or asked.model,
        **fields,
    }
    return f"data: {json.dumps(whole, ensure_ascii=False)}\n\n".encode()


def error(refusal: Refuses, key: str) -> bytes:
    """The body of a refusal. Like the real one, it shows the ends of a key that it does not know."""
    kind, code, message = _CODES.get(refusal.status, ("server_error", None, "error"))
    if refusal.status == 401 and key:
        message = f"Incorrect API key provided: {key[:8]}{'*' * 8}{key[-4:]}. You can find your API key at the console."
    return json.dumps(
        {
            "error": {
                "message": refusal.message or message,
                "type": refusal.code if refusal.code == "insufficient_quota" else kind,
                "param": None,
                "code": refusal.code or code,
            }
        }
    ).encode()
