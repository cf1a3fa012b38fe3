"""As much of Neo4j's Bolt protocol (version 4.4) as it takes to log in and run a statement.

Enough to see that a server answers, which version it has and what it kept, without its driver.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from stores.addresses import Neo4jAddress
from stores.errors import StoreError

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"] | tuple[int, "list[Value]"]
"""What PackStream carries; a tuple is a structure: its tag and fields."""

_GREETING: Final = bytes.fromhex("6060b017 00000404 00000000 00000000 00000000")
_HELLO, _RUN, _PULL, _SUCCESS, _RECORD, _FAILURE = 0x01, 0x10, 0x3F, 0x70, 0x71, 0x7F


class Bolt:
    """One session with a server. Raises OSError when nobody answers and StoreError when the server refuses."""

    def __init__(self, address: Neo4jAddress, *, seconds: float = 10.0) -> None:
        """Connects and logs in; `seconds` bounds every wait."""
        with ExitStack() as undo:
            self._socket = undo.enter_context(socket.create_connection((address.host, address.port), timeout=seconds))
            self._stream = undo.enter_context(self._socket.makefile("rb"))
            self._socket.sendall(_GREETING)
            if self._take(4) != bytes.fromhex("00000404"):
                raise StoreError("neo4j does not speak Bolt 4.4")
            hello: dict[str, Value] = {
                "user_agent": "memoir-stores/1", "scheme": "basic",
                "principal": address.username, "credentials": address.password,
            }  # fmt: skip
            self._send(_HELLO, hello)
            agent = self._success().get("server")
            self.server = agent if isinstance(agent, str) else ""
            """Name and version, such as "Neo4j/5.26.30"."""
            self._close = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close.close()

    def run(self, statement: str, parameters: Mapping[str, Value] | None = None) -> list[list[Value]]:
        """Run one Cypher statement in a transaction of its own and return its rows."""
        self._send(_RUN, statement, dict(parameters or {}), {})
        self._success()
        self._send(_PULL, {"n": -1})
        rows: list[list[Value]] = []
        while True:
            tag, fields = self._receive()
            if tag != _RECORD:
                self._require_success(tag, fields)
                return rows
            row = fields[0]
            rows.append(row if isinstance(row, list) else [row])

    def _send(self, tag: int, *fields: Value) -> None:
        message = bytes([0xB0 + len(fields), tag]) + b"".join(map(_pack, fields))
        chunks = [message[at : at + 0xFFFF] for at in range(0, len(message), 0xFFFF)]
        self._socket.sendall(b"".join(struct.pack(">H", len(chunk)) + chunk for chunk in chunks) + b"\0\0")

    def _receive(self) -> tuple[int, list[Value]]:
        message = b""
        while (size := struct.unpack(">H", self._take(2))[0]) or not message:
            message += self._take(size)
        value = _Reader(message).value()
        if not isinstance(value, tuple):
            raise StoreError("neo4j sent something that is not a message")
        return value

    def _success(self) -> dict[str, Value]:
        return self._require_success(*self._receive())

    @staticmethod
    def _require_success(tag: int, fields: list[Value]) -> dict[str, Value]:
        about = fields[0] if fields else None
        if tag != _SUCCESS or not isinstance(about, dict):
            detail = about.get("message") if tag == _FAILURE and isinstance(about, dict) else f"message {tag:#x}"
            raise StoreError(f"neo4j refused: {detail}")
        return about

    def _take(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise ConnectionResetError("neo4j closed the connection")
        return data


def _pack(value: Value) -> bytes:
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return b"\xcb" + struct.pack(">q", value)
        case float():
            return b"\xc1" + struct.pack(">d", value)
        case str():
            data = value.encode()
            return b"\xd2" + struct.pack(">I", len(data)) + data
        case list():
            return b"\xd6" + struct.pack(">I", len(value)) + b"".join(map(_pack, value))
        case dict():
            entries = b"".join(_pack(key) + _pack(entry) for key, entry in value.items())
            return b"\xda" + struct.pack(">I", len(value)) + entries
        case _:
            raise TypeError("structures are only received")


class _Reader:
    """Decodes PackStream, as its specification lays out markers and sizes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def value(self) -> Value:
        marker = self._bytes(1)[0]
        if marker < 0x80 or marker >= 0xF0:
            return marker if marker < 0x80 else marker - 0x100
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            form = _NUMBERS[marker]
            number: int | float = struct.unpack(form, self._bytes(struct.calcsize(form)))[0]
            return number
        if marker in _SIZED:
            kind, width = _SIZED[marker]
            return self._sized(kind, int.from_bytes(self._bytes(width), "big"))
        return self._sized(marker & 0xF0, marker & 0x0F)

    def _sized(self, kind: int, size: int) -> Value:
        if kind == 0x80:
            return self._bytes(size).decode()
        if kind == 0x90:
            return [self.value() for _ in range(size)]
        if kind == 0xA0:
            return {str(self.value()): self.value() for _ in range(size)}
        if kind == 0xB0:
            tag = self._bytes(1)[0]
            return tag, [self.value() for _ in range(size)]
        raise StoreError(f"neo4j sent a value of an unknown kind, {kind:#x}")

    def _bytes(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken


_CONSTANTS: Final[dict[int, Value]] = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS: Final = {0xC1: ">d", 0xC8: ">b", 0xC9: ">h", 0xCA: ">i", 0xCB: ">q"}
_SIZED: Final = {
    0xD0: (0x80, 1), 0xD1: (0x80, 2), 0xD2: (0x80, 4),
    0xD4: (0x90, 1), 0xD5: (0x90, 2), 0xD6: (0x90, 4),
    0xD8: (0xA0, 1), 0xD9: (0xA0, 2), 0xDA: (0xA0, 4),
}  # fmt: skip
