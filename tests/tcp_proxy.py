"""A TCP proxy before a store, of whatever protocol: it delays, holds back or resets what passes, or cuts a connection
at a message of the client's choice."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum

DELAY_SECONDS = 0.15
"""What a delayed connection adds to everything that passes, in either direction."""
_PIECE = 65536


class Trouble(StrEnum):
    """What befalls all connections, those under way and those to come.

    NONE: everything passes. DELAY: everything passes late. HOLD: nothing passes and nobody is told, as where packets
    are dropped; afterwards what was sent arrives after all. RESET: connections end with a reset.
    """

    NONE = "none"
    DELAY = "delayed"
    HOLD = "black hole"
    RESET = "reset"


class TcpProxy:
    """Listens on a free port of loopback and passes everything on to one address.

    Attributes:
        port: Where it listens.
        cut_at: Once set, the connection is cut at the next piece from the client that holds these bytes.
        after: Whether that piece reaches the server before, so that only its answer is lost.
        cuts: Connections cut so far.
        counted: Bytes whose occurrences in what clients send are counted.
        count: How many there were.
    """

    def __init__(self, host: str, port: int) -> None:
        self._store = (host, port)
        self._trouble = Trouble.NONE
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._listener: asyncio.Server | None = None
        self.port = 0
        self.cut_at = b""
        self.after = False
        self.cuts = 0
        self.counted = b""
        self.count = 0

    async def open(self) -> None:
        """Begins to listen."""
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Ends, and all connections with it."""
        if self._listener is not None:
            self._listener.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def trouble(self, trouble: Trouble) -> None:
        """From now on, this befalls all connections."""
        self._trouble = trouble
        if trouble is Trouble.HOLD:
            self._flowing.clear()
        else:
            self._flowing.set()
        if trouble is Trouble.RESET:
            for writers in list(self._links.values()):
                for writer in writers:
                    _reset(writer)

    def _connected(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if self._trouble is Trouble.RESET:
            _reset(back)
            return
        link = asyncio.create_task(self._serve(client, back))
        self._links[link] = (back,)
        link.add_done_callback(lambda done: self._links.pop(done, None))

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            await self._flowing.wait()
            server, forth = await asyncio.open_connection(*self._store)
        except OSError:
            _reset(back)
            return
        link = asyncio.current_task()
        assert link is not None
        self._links[link] = (back, forth)
        answers = asyncio.create_task(self._pass_on(server, back))
        asking = asyncio.create_task(self._ask(client, server, forth, answers))
        try:
            # Whoever ends first ends the other; what he had sent before has been passed on.
            await asyncio.wait({answers, asking}, return_when=asyncio.FIRST_COMPLETED)
            if answers.cancelled():
                await asking
        finally:
            for task in (answers, asking):
                task.cancel()
            await asyncio.gather(answers, asking, return_exceptions=True)
            for writer in (back, forth):
                writer.close()

    async def _ask(
        self,
        client: asyncio.StreamReader,
        server: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        with suppress(OSError):
            while piece := await client.read(_PIECE):
                if self.counted:
                    self.count += piece.count(self.counted)
                if not self.cut_at or self.cut_at not in piece:
                    await self._forward(piece, forth)
                    continue
                self.cut_at = b""
                self.cuts += 1
                if self.after:
                    # Not one byte of the answer comes back.
                    answers.cancel()
                    await asyncio.wait([answers])
                    await self._forward(piece, forth)
                    await server.read(1)
                return

    async def _pass_on(self, server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await server.read(_PIECE):
                await self._forward(piece, back)

    async def _forward(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        if self._trouble is Trouble.DELAY:
            await asyncio.sleep(DELAY_SECONDS)
        await self._flowing.wait()
        writer.write(piece)
        await writer.drain()


@asynccontextmanager
async def tcp_proxy(host: str, port: int) -> AsyncIterator[TcpProxy]:
    """A proxy before that address."""
    proxy = TcpProxy(host, port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            # Closed without lingering, a connection ends with RST.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
