"""Free ports on loopback."""

from __future__ import annotations

import random
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from stores.errors import StoreError

LOOPBACK: Final = "127.0.0.1"
_LOWEST: Final = 20_000
_ATTEMPTS: Final = 500


def free_ports(count: int) -> list[int]:
    """Ports nobody uses, below those the system hands to outgoing connections: a store keeps its ports over restarts,
    and no connection of somebody else may sit on one meanwhile. Raises StoreError when none are to be had."""
    highest = _ephemeral() - 1
    chooser = random.SystemRandom()
    found: list[int] = []
    with ExitStack() as held:
        for _ in range(_ATTEMPTS):
            if len(found) == count:
                return found
            port = chooser.randrange(_LOWEST, highest)
            probe = held.enter_context(socket.socket())
            if _binds(probe, port):
                found.append(port)
    if len(found) == count:
        return found
    raise StoreError(f"found {len(found)} free ports of {count} between {_LOWEST} and {highest}; end what uses them")


def require_free(name: str, port: int, seconds: float = 3.0) -> None:
    """Wait until a port is free, as one of a program just killed is soon. Raises StoreError when it is not by then."""
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if _binds(probe, port):
                return
        if time.monotonic() > deadline:
            raise StoreError(
                f"{name}: port {port} on {LOOPBACK} is in use by another program; end that program, or remove the "
                "store's directory so that it starts afresh on other ports"
            )
        time.sleep(0.1)


def _binds(probe: socket.socket, port: int) -> bool:
    # Connections that are closing do not count as use.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port))
        probe.listen(1)
    except OSError:
        return False
    return True


def _ephemeral() -> int:
    try:
        return max(_LOWEST + 1000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    except OSError:
        return 32_768
