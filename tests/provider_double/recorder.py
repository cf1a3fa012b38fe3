"""Stands between a client and a real API, passes everything on, and keeps what was asked and answered; no headers, so
no keys."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from aiohttp import web

from tests.provider_double.loopback import LoopbackServer

_OF_THE_CONNECTION: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "content-encoding", "accept-encoding", "keep-alive"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A request and its answer, as they went over the wire."""

    path: str
    request: Any
    status: int
    response: Any
    seconds: float


class Recorder(LoopbackServer):
    """Passes requests on to `upstream`, an address without a path."""

    def __init__(self, upstream: str) -> None:
        super().__init__("provider-recorder")
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None
        self.recorded: list[Recorded] = []

    async def opened(self) -> None:
        self._session = aiohttp.ClientSession(auto_decompress=True)

    async def closed(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        sent = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        began = time.monotonic()
        async with self._session.post(self._upstream + request.path_qs, data=sent, headers=headers) as answer:
            body = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_CONNECTION}
            self.recorded.append(
                Recorded(
                    path=request.path,
                    request=_read(sent),
                    status=answer.status,
                    response=_read(body),
                    seconds=time.monotonic() - began,
                )
            )
            return web.Response(status=answer.status, body=body, headers=kept)


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
