"""Redis, from Debian's package."""

from __future__ import annotations

import re
import socket
from typing import Final

from stores import debian
from stores.addresses import RedisAddress
from stores.errors import StoreError
from stores.ports import LOOPBACK
from stores.settings import REDIS_CONFIGURATION, REDIS_SERIES
from stores.store import Launch, Record, Store, write_private

EMPTY: Final = '""'
"""How the configuration file writes nothing."""


class Redis(Store[RedisAddress]):
    """A cache with a memory limit. It starts empty: nothing it holds is written to a file unless SAVE is asked for."""

    name = "redis"
    version = REDIS_SERIES
    ports = ("redis",)

    def fetch(self) -> None:
        self._program()

    def reported_version(self) -> str:
        found = re.search(r"redis_version:(\S+)", self.command("INFO", "server"))
        return found.group(1) if found else ""

    def command(self, *words: str) -> str:
        """Run one command and return the reply as text: a status, a number, a string ("" for none). Raises StoreError
        for an error reply, OSError when nobody answers."""
        return _command(self.address, words)

    def _program(self) -> str:
        return debian.program("redis-server", "redis-server", self.progress)

    def _prepare(self, record: Record) -> Launch:
        data = self.directory / "data"
        data.mkdir(exist_ok=True, mode=0o700)
        configuration = {
            **REDIS_CONFIGURATION,
            **self.settings,
            "bind": LOOPBACK,
            "port": str(record.ports["redis"]),
            "dir": f'"{data}"',
            "requirepass": record.password,
            "daemonize": "no",
        }
        file = self.directory / "redis.conf"
        write_private(file, "".join(f"{key} {value or EMPTY}\n" for key, value in configuration.items()))
        return Launch((self._program(), str(file)))

    def _answers(self, record: Record) -> bool:
        try:
            return _command(self._address(record), ("PING",)) == "PONG"
        except (OSError, StoreError):
            return False

    def _address(self, record: Record) -> RedisAddress:
        return RedisAddress(LOOPBACK, record.ports["redis"], record.password)


def _command(address: RedisAddress, words: tuple[str, ...]) -> str:
    with socket.create_connection((address.host, address.port), timeout=5.0) as connection:
        stream = connection.makefile("rwb")
        reply = ""
        for command in (("AUTH", address.password), words):
            stream.write(f"*{len(command)}\r\n".encode())
            for word in command:
                encoded = word.encode()
                stream.write(f"${len(encoded)}\r\n".encode() + encoded + b"\r\n")
            stream.flush()
            head = stream.readline().decode().rstrip("\r\n")
            if head.startswith("-"):
                raise StoreError(f"redis refused {command[0]}: {head[1:]}")
            reply = head[1:]
            if head.startswith("$"):
                size = int(reply)
                reply = stream.read(size + 2)[:-2].decode() if size >= 0 else ""
        return reply
