"""A relay in front of the gRPC server: only who owns the socket can drop a connection, send GOAWAY or see frames."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

PREFACE_BYTES: Final = 24
HEADER_BYTES: Final = 9
DATA: Final = 0x0
HEADERS: Final = 0x1
# Frames that carry an answer; others of a stream only steer it.
ANSWERS: Final = (DATA, HEADERS)
GOAWAY: Final = 0x7
END_STREAM: Final = 0x1
# What a server says that begins to leave: every stream so far, and those under way to it, are still served.
EVERY_STREAM: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One HTTP/2 frame as it went over the wire (RFC 9113, section 4.1)."""

    kind: int
    flags: int
    stream: int
    data: bytes

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> "Frame":
        """Read one. Raises `asyncio.IncompleteReadError` at the end of the connection."""
        header = await reader.readexactly(HEADER_BYTES)
        payload = await reader.readexactly(int.from_bytes(header[:3]))
        return cls(header[3], header[4], int.from_bytes(header[5:]) & EVERY_STREAM, header + payload)


def goaway(last_stream: int) -> bytes:
    """A GOAWAY frame without an error."""
    payload = last_stream.to_bytes(4) + bytes(4)
    return len(payload).to_bytes(3) + bytes((GOAWAY, 0)) + bytes(4) + payload


@dataclass(slots=True)
class Connection:
    """One connection of a client: its number, its newest stream, and the frames that answered each."""

    number: int
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    newest_stream: int = 0
    answers: dict[int, list[Frame]] = field(default_factory=dict)

    def go_away(self, *, disown: bool) -> None:
        """Tell the client to leave; with `disown`, the newest stream is none of those that are still served."""
        self.client.write(goaway(max(self.newest_stream - 2, 0) if disown else EVERY_STREAM))

    def is_trailers_only(self, stream: int) -> bool:
        """Whether a stream was answered with one frame of headers that ended it."""
        frames = self.answers.get(stream, [])
        return [frame.kind for frame in frames] == [HEADERS] and bool(frames[0].flags & END_STREAM)

    async def to_server(self, reader: asyncio.StreamReader) -> None:
        """Copy what the client sends."""
        self.server.write(await reader.readexactly(PREFACE_BYTES))
        while True:
            frame = await Frame.read(reader)
            if frame.kind == HEADERS:
                self.newest_stream = max(self.newest_stream, frame.stream)
            self.server.write(frame.data)
            await self.server.drain()

    async def to_client(self, reader: asyncio.StreamReader) -> None:
        """Copy what the server sends; whole frames, so that one of the relay's own can stand between them."""
        while True:
            frame = await Frame.read(reader)
            if frame.kind in ANSWERS:
                self.answers.setdefault(frame.stream, []).append(frame)
            self.client.write(frame.data)
            await self.client.drain()


class Relay:
    """Copies frames between clients and the gRPC server at a port of 127.0.0.1."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._server: asyncio.Server | None = None
        # By the port the gRPC server sees as its peer's.
        self._open: dict[int, Connection] = {}
        self._count = 0
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything and listen no more."""
        self.drop_all()
        if self._server is not None:
            self._server.close()

    def connection(self, peer: str) -> Connection:
        """The open connection of a call, by the peer the gRPC server names ("ipv4:127.0.0.1:PORT")."""
        return self._open[int(peer.rpartition(":")[2])]

    def drop_all(self) -> None:
        """Reset every open connection."""
        for connection in self._open.values():
            connection.client.transport.abort()
            connection.server.transport.abort()

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            client_writer.transport.abort()
            return
        self._count += 1
        key = server_writer.get_extra_info("sockname")[1]
        connection = self._open[key] = Connection(self._count, client_writer, server_writer)
        try:
            # asyncio logs the cancellation of a connection's handler as an error; at the end of the server it is none.
            with suppress(asyncio.CancelledError):
                await asyncio.gather(
                    _to_its_end(connection.to_server(client_reader), server_writer),
                    _to_its_end(connection.to_client(server_reader), client_writer),
                )
        finally:
            del self._open[key]


async def _to_its_end(copying: Coroutine[Any, Any, None], writer: asyncio.StreamWriter) -> None:
    try:
        await copying
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # an end of the connection, also an abrupt one, is passed on to the other side
    finally:
        writer.close()
