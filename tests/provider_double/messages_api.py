"""Anthropic's Messages API: requests, answers, errors, streams; and its guises in Bedrock and Vertex."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.provider_double.checks import BadRequest, check_strict, decode_image, need, tokens_of
from tests.provider_double.exchange import MESSAGES, Asked, Refuses, Said, Stop, Usage

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES: Final = {
    401: "invalid x-api-key",
    403: "Your API key does not have permission to use the specified resource.",
    404: "model: not found",
    413: "Request exceeds the maximum size",
    429: "This request would exceed your organization's rate limit",
    500: "Internal server error",
    529: "Overloaded",
}
_SMALLEST_CACHED: Final = 1024
"""Tokens a prefix needs to be cached."""


def read(body: Any, *, model: str = "", vision: bool = True) -> Asked:
    """The request in the body. `model`: from the path, in Bedrock and Vertex. Raises BadRequest."""
    if model:
        need(body, "anthropic_version", str)
    name = model or need(body, "model", str)
    limit = need(body, "max_tokens", int)
    if limit < 1:
        raise BadRequest("max_tokens: Input should be greater than or equal to 1")
    texts: list[str] = []
    images: list[tuple[str, bytes]] = []
    messages = need(body, "messages", list)
    if not messages:
        raise BadRequest("messages: at least one message is required")
    for i, message in enumerate(messages):
        if need(message, "role", str, f"messages.{i}.") not in ("user", "assistant"):
            raise BadRequest(f"messages.{i}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        for j, block in enumerate([{"type": "text", "text": content}] if isinstance(content, str) else content or []):
            where = f"messages.{i}.content.{j}"
            _read_block(block, where, texts, images, vision=vision)
    if not texts and not images:
        raise BadRequest("messages.0.content: at least one block is required")
    form, structure = _read_form(body)
    return Asked(
        api=MESSAGES,
        model=name,
        form=form,
        structure=structure,
        system=_system(body),
        text="\n".join(texts),
        images=tuple(images),
        max_tokens=limit,
        stream=bool(body.get("stream")),
    )


def _read_block(block: Any, where: str, texts: list[str], images: list[tuple[str, bytes]], *, vision: bool) -> None:
    kind = need(block, "type", str, f"{where}.")
    if kind == "text":
        text = need(block, "text", str, f"{where}.text.")
        if not text:
            raise BadRequest(f"{where}.text: text content blocks must be non-empty")
        texts.append(text)
    elif kind == "image":
        source = need(block, "source", dict, f"{where}.image.")
        if not vision:
            raise BadRequest(f"{where}: this model does not support image input")
        images.append(decode_image(source.get("media_type", ""), source.get("data", ""), f"{where}.image.source"))
    else:
        raise BadRequest(f"{where}.type: Input tag '{kind}' found using 'type' does not match any of the expected tags")


def _system(body: Mapping[str, Any]) -> str:
    system = body.get("system", "")
    return system if isinstance(system, str) else "\n".join(need(b, "text", str, "system.") for b in system)


def _read_form(body: Mapping[str, Any]) -> tuple[str, str]:
    tools = {need(t, "name", str, "tools."): need(t, "input_schema", dict, "tools.") for t in body.get("tools", ())}
    choice = body.get("tool_choice")
    if choice and choice.get("type") == "tool":
        if choice.get("name") not in tools:
            raise BadRequest(f"tool_choice: Tool '{choice.get('name')}' not found in provided tools")
        if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
            raise BadRequest("Thinking may not be enabled when tool_choice forces tool use.")
        return choice["name"], "tool"
    form = (body.get("output_config") or {}).get("format")
    if form:
        if form.get("type") != "json_schema":
            raise BadRequest("output_config.format.type: Input should be 'json_schema'")
        check_strict(need(form, "schema", dict, "output_config.format."), "output_config.format.schema")
        return "", "schema"
    return "", ""


class PromptCache:
    """Prefixes seen before a cache breakpoint, and what they count as."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def usage(self, body: Mapping[str, Any], asked: Asked, answer: Said) -> Usage:
        """Tokens of a request and its answer."""
        if answer.usage is not None:
            return answer.usage
        prefix = json.dumps([body.get("tools"), body.get("system")], sort_keys=True) if _breakpoint(body) else ""
        kept = tokens_of(prefix)
        whole = max(kept, tokens_of(json.dumps(body.get("tools") or "") + asked.system)) + tokens_of(asked.text)
        whole += 1500 * len(asked.images)
        known = prefix in self._seen
        if kept < _SMALLEST_CACHED:
            kept = 0
        else:
            self._seen.add(prefix)
        return Usage(
            input=whole,
            output=max(1, tokens_of(answer.output)),
            cached=kept if known else 0,
            written=0 if known else kept,
        )


def _breakpoint(body: Mapping[str, Any]) -> bool:
    blocks = [*(body.get("tools") or ()), *(body["system"] if isinstance(body.get("system"), list) else ())]
    return any(block.get("cache_control") for block in blocks)


def _stop(asked: Asked, answer: Said) -> str:
    if answer.stop is Stop.LENGTH:
        return "max_tokens"
    if answer.stop is Stop.DECLINED:
        return "refusal"
    return "tool_use" if asked.structure == "tool" else "end_turn"


def _usage_fields(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input - usage.cached - usage.written,
        "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        "service_tier": "standard",
    }


def message(asked: Asked, answer: Said, usage: Usage, number: int) -> bytes:
    """The body of an answer. The tool's input is the model's own text where that is JSON, else the text as a string."""
    block: dict[str, Any] = {"type": "text", "text": answer.output}
    raw = ""
    if asked.structure == "tool" and answer.stop is not Stop.DECLINED:
        block = {"type": "tool_use", "id": f"toolu_{number:022d}", "name": asked.form, "input": "@"}
        raw = answer.output if _is_json(answer.output) else json.dumps(answer.output)
    whole = {
        "id": f"msg_{number:022d}",
        "type": "message",
        "role": "assistant",
        "model": answer.model or asked.model,
        "content": [block] if answer.output else [],
        "stop_reason": _stop(asked, answer),
        "stop_sequence": None,
        "usage": _usage_fields(usage),
    }
    return json.dumps(whole, ensure_ascii=False).replace('"input": "@"', f'"input": {raw}', 1).encode()


def events(asked: Asked, answer: Said, usage: Usage, number: int) -> Iterator[bytes]:
    """The same as a stream of server-sent events."""
    start: dict[str, Any] = {
        "id": f"msg_{number:022d}",
        "type": "message",
        "role": "assistant",
        "model": answer.model or asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_usage_fields(usage), "output_tokens": 1},
    }
    yield _event("message_start", message=start)
    tool = asked.structure == "tool" and answer.stop is not Stop.DECLINED
    block: dict[str, Any] = {"type": "text", "text": ""}
    if tool:
        block = {"type": "tool_use", "id": f"toolu_{number:022d}", "name": asked.form, "input": {}}
    yield _event("content_block_start", index=0, content_block=block)
    yield _event("ping")
    for at in range(0, len(answer.output), 24):
        part = answer.output[at : at + 24]
        delta = {"type": "input_json_delta", "partial_json": part} if tool else {"type": "text_delta", "text": part}
        yield _event("content_block_delta", index=0, delta=delta)
    yield _event("content_block_stop", index=0)
    last: dict[str, Any] = {"stop_reason": _stop(asked, answer), "stop_sequence": None}
    yield _event("message_delta", delta=last, usage={"output_tokens": usage.output})
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}\n\n".encode()


def error(refusal: Refuses, number: int) -> bytes:
    """The body of a refusal."""
    kind = refusal.code or _TYPES.get(refusal.status, "api_error")
    message = refusal.message or _MESSAGES.get(refusal.status, kind)
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{number:022d}"}
    ).encode()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
