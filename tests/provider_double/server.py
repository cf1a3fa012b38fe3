"""The double's HTTP server."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from tests.provider_double import chat_api, embeddings_api, messages_api
from tests.provider_double.checks import BadRequest, tokens_of
from tests.provider_double.embeddings_api import EmbeddingLimits
from tests.provider_double.exchange import (
    CHAT,
    EMBEDDINGS,
    MESSAGES,
    Answer,
    Asked,
    Breaks,
    Call,
    Exchange,
    Hangs,
    Match,
    Page,
    Refuses,
    Said,
    Script,
    Stop,
    Usage,
)
from tests.provider_double.loopback import LoopbackServer

KEY: Final = "sk-double-0123456789abcdef"
"""The key that is accepted."""
_BEDROCK: Final = re.compile(r"/model/([^/]+)/invoke")
_VERTEX: Final = re.compile(r"/v1/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/([^/:]+):rawPredict")


class ProviderDouble(LoopbackServer):
    """Speaks the APIs under one address: `url` for Anthropic, Bedrock and Vertex, `url/v1` for OpenAI.

    Requests that no exchange of the script is for are refused, and kept in `unmatched`; embeddings need no exchange.

    Args:
        key: What callers have to present.
        structures: What the chat API knows to hold an answer to a form.
        length_fields: Names it knows for the limit of an answer.
        vision: Whether models see images.
        models: Models that exist; None: any.
        embeddings: Limits of the embeddings API.
    """

    def __init__(
        self,
        *,
        key: str = KEY,
        structures: Collection[str] = ("schema", "tool", "object"),
        length_fields: Collection[str] = ("max_completion_tokens", "max_tokens"),
        vision: bool = True,
        models: Collection[str] | None = None,
        embeddings: EmbeddingLimits | None = None,
    ) -> None:
        super().__init__("provider-double")
        self.script = Script()
        self.calls: list[Call] = []
        self.unmatched: list[Asked] = []
        self.embeddings = embeddings or EmbeddingLimits()
        self.key = key
        self._structures = structures
        self._length_fields = length_fields
        self._vision = vision
        self._models = models
        self._prompt_cache = messages_api.PromptCache()
        self._prefix_cache = chat_api.PrefixCache()

    def says(self, *outputs: str | Answer, **match: Any) -> None:
        """Adds an exchange: these answers, one after the other, to requests that match (see `Match`)."""
        answers = [Said(output=output) if isinstance(output, str) else output for output in outputs]
        self.script.add(Exchange(match=Match(**match), answers=answers))

    def asked(self, api: str = "") -> list[Asked]:
        """Requests that passed the checks, in the order in which they came."""
        return [call.asked for call in self.calls if call.asked and api in ("", call.asked.api)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        call = Call(path=request.path, headers=dict(request.headers), body=body, at=time.monotonic())
        self.calls.append(call)
        try:
            response = await self._answer(request, call)
        except asyncio.CancelledError:
            call.given_up = True
            raise
        call.status = response.status
        return response

    async def _answer(self, request: web.Request, call: Call) -> web.StreamResponse:
        api, model = _api(request.path)
        number = len(self.calls)
        if not api:
            return _json(404, b'{"error": {"message": "Unknown request URL", "type": "invalid_request_error"}}')
        presented = _presented(api, request.headers)
        if self.key not in presented:
            return self._refuse(api, Refuses(status=401), number, presented)
        try:
            asked = self._read(api, call.body, model, request.headers)
        except BadRequest as bad:
            return self._refuse(api, bad.refusal, number)
        if self._models is not None and asked.model not in self._models:
            return self._refuse(api, Refuses(status=404), number)
        call.asked = asked
        answer = self.script.take(asked)
        if api == EMBEDDINGS and (answer is None or isinstance(answer, Said)):
            return _json(200, embeddings_api.answer(call.body, asked, self.embeddings))
        if answer is None:
            self.unmatched.append(asked)
            return self._refuse(api, Refuses(status=400, message="no exchange of the script is for this"), number)
        return await self._play(request, call, asked, answer, number)

    def _read(self, api: str, body: Any, model: str, headers: Mapping[str, str]) -> Asked:
        if api == MESSAGES:
            if not model and "anthropic-version" not in {name.lower() for name in headers}:
                raise BadRequest("anthropic-version: header is required")
            return messages_api.read(body, model=model, vision=self._vision)
        if api == EMBEDDINGS:
            return embeddings_api.read(body, self.embeddings)
        return chat_api.read(body, structures=self._structures, length_fields=self._length_fields, vision=self._vision)

    async def _play(
        self, request: web.Request, call: Call, asked: Asked, answer: Answer, number: int
    ) -> web.StreamResponse:
        if isinstance(answer, Hangs):
            await self.until_stopped()
            return _json(503, b"{}")
        if isinstance(answer, Refuses):
            return self._refuse(asked.api, answer, number)
        if isinstance(answer, Page):
            return web.Response(status=answer.status, text=answer.text, content_type=answer.content_type)
        said = _within(answer.answer if isinstance(answer, Breaks) else answer, asked.max_tokens)
        await asyncio.sleep(said.seconds)
        usage = self._usage(call.body, asked, said)
        if asked.stream:
            return await self._stream(request, call, asked, said, usage, number, answer)
        body = (
            messages_api.message(asked, said, usage, number)
            if asked.api == MESSAGES
            else chat_api.completion(asked, said, usage, number)
        )
        if isinstance(answer, Breaks):
            return await self._break_off(request, body, answer.after)
        return _json(200, body)

    async def _stream(
        self,
        request: web.Request,
        call: Call,
        asked: Asked,
        said: Said,
        usage: Usage,
        number: int,
        answer: Answer,
    ) -> web.StreamResponse:
        events = (
            messages_api.events(asked, said, usage, number)
            if asked.api == MESSAGES
            else chat_api.events(call.body, asked, said, usage, number)
        )
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        room = answer.after if isinstance(answer, Breaks) else None
        for event in events:
            await asyncio.sleep(said.seconds)
            if room is not None and len(event) > room:
                await response.write(event[:room])
                _abort(request)
                return response
            room = None if room is None else room - len(event)
            await response.write(event)
        await response.write_eof()
        return response

    async def _break_off(self, request: web.Request, body: bytes, after: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(body))})
        await response.prepare(request)
        await response.write(body[:after])
        _abort(request)
        return response

    def _usage(self, body: Any, asked: Asked, said: Said) -> Usage:
        cache = self._prompt_cache if asked.api == MESSAGES else self._prefix_cache
        return cache.usage(body, asked, said)

    def _refuse(self, api: str, refusal: Refuses, number: int, presented: str = "") -> web.Response:
        key = presented.rpartition(" ")[2]
        body = messages_api.error(refusal, number) if api == MESSAGES else chat_api.error(refusal, key)
        headers = {"retry-after": refusal.retry_after} if refusal.retry_after else {}
        return _json(refusal.status, body, headers)


def _api(path: str) -> tuple[str, str]:
    """The API of a path, and the model where it stands there."""
    for pattern in (_BEDROCK, _VERTEX):
        if found := pattern.fullmatch(path):
            return MESSAGES, found[1]
    return {"/v1/messages": MESSAGES, "/v1/chat/completions": CHAT, "/v1/embeddings": EMBEDDINGS}.get(path, ""), ""


def _within(said: Said, limit: int) -> Said:
    """What is left of an answer that may have so many tokens; 0: any number."""
    if said.stop is not Stop.DONE or not 0 < limit < tokens_of(said.output):
        return said
    return replace(said, output=said.output[: limit * 4], stop=Stop.LENGTH)


def _presented(api: str, headers: Mapping[str, str]) -> str:
    """What the caller shows as its key. A signature of AWS names the key, and no more."""
    if api == MESSAGES and "x-api-key" in headers:
        return headers["x-api-key"]
    return headers.get("authorization", "")


def _json(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
