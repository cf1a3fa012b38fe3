"""A TCP proxy before a Neo4j server that cuts connections at a message of the client's choice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

BEGIN = b"\xb1\x11"
COMMIT = b"\xb0\x12"
"""How the Bolt messages begin: a structure of that many fields, and its tag."""


@dataclass
class BoltProxy:
    """Cuts the connection at the next message that begins so, `after` it reached the server or before. `begun` counts
    transactions that the client began."""

    port: int = 0
    cut_at: bytes = b""
    after: bool = False
    shut: bool = False
    begun: int = 0
    cuts: int = 0

    async def serve(self, host: str, port: int, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self.shut:
            back.close()
            return
        server, forth = await asyncio.open_connection(host, port)
        answers = asyncio.create_task(self._answer(server, back))
        with suppress(OSError):
            while data := await client.read(65536):
                self.begun += data.count(BEGIN)
                cut = bool(self.cut_at) and self.cut_at in data
                if not cut or self.after:
                    if cut:
                        # Not one byte of the answer comes back.
                        answers.cancel()
                        await asyncio.wait([answers])
                    forth.write(data)
                    await forth.drain()
                if cut:
                    self.cut_at = b""
                    self.cuts += 1
                    if self.after:
                        await server.read(1)
                    break
        answers.cancel()
        back.close()
        forth.close()

    async def _answer(self, server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await server.read(65536):
                back.write(data)
                await back.drain()
        back.close()


@asynccontextmanager
async def bolt_proxy(host: str, port: int) -> AsyncIterator[BoltProxy]:
    """A proxy on a free port of loopback."""
    proxy = BoltProxy()
    tasks: set[asyncio.Task[None]] = set()

    def connected(client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(host, port, client, back))
        tasks.add(task)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
