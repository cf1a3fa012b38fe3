"""What befalls the stores of a server: they are killed, suspended, or their connections are troubled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from stores.four import Stores
from stores.store import Store
from tests.faults.server_process import ServerProcess
from tests.tcp_proxy import TcpProxy, Trouble, tcp_proxy

CONNECTIONS: Final[Mapping[str, str]] = {
    "PostgreSQL": "ledger.url",
    "Weaviate, REST": "index.url",
    "Weaviate, gRPC": "index.grpc",
    "Neo4j": "graph.url",
    "Redis": "cache.url",
}
"""The setting that says where each connection leads."""
KILLED, SUSPENDED = "kill -9", "SIGSTOP"
SERVER: Final = "Memoir"

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StoreFault:
    """One thing that happens to one store, or to the connection to it, and how it ends."""

    subject: str
    kind: str
    begin: Step
    end: Step


@asynccontextmanager
async def proxies(settings: Mapping[str, str]) -> AsyncIterator[tuple[dict[str, TcpProxy], dict[str, str]]]:
    """A proxy on every connection by name, and the settings that lead through them."""
    async with AsyncExitStack() as stack:
        made, through = {}, dict(settings)
        for name, key in CONNECTIONS.items():
            address = settings[key]
            parts = urlsplit(address if "://" in address else f"//{address}")
            assert parts.hostname is not None
            assert parts.port is not None
            made[name] = await stack.enter_async_context(tcp_proxy(parts.hostname, parts.port))
            place = f"{parts.netloc.removesuffix(str(parts.port))}{made[name].port}"
            through[key] = parts._replace(netloc=place).geturl().removeprefix("//")
        yield made, through


def store_faults(stores: Stores, made: Mapping[str, TcpProxy], server: ServerProcess) -> list[StoreFault]:
    """Everything that may happen, kills first."""
    named: dict[str, Store[Any]] = {
        "PostgreSQL": stores.postgresql,
        "Weaviate": stores.weaviate,
        "Neo4j": stores.neo4j,
        "Redis": stores.redis,
    }
    killed = [StoreFault(name, KILLED, _in_thread(s.kill), _in_thread(s.start)) for name, s in named.items()]
    killed.append(StoreFault(SERVER, KILLED, _in_thread(server.kill), _in_thread(server.start)))
    suspended = [StoreFault(name, SUSPENDED, _in_thread(s.suspend), _in_thread(s.resume)) for name, s in named.items()]
    troubled = [
        StoreFault(name, trouble.value, _troubled(proxy, trouble), _troubled(proxy, Trouble.NONE))
        for name, proxy in made.items()
        for trouble in Trouble
        if trouble is not Trouble.NONE
    ]
    return [*killed, *suspended, *troubled]


def schedule(faults: Sequence[StoreFault], chance: random.Random, most: int | None) -> list[StoreFault]:
    """The faults in an order by chance; with `most`, so many of them, every kill included."""
    chosen = list(faults)
    if most is not None:
        killed = [fault for fault in faults if fault.kind == KILLED]
        others = [fault for fault in faults if fault.kind != KILLED]
        chosen = killed + chance.sample(others, most - len(killed))
    chance.shuffle(chosen)
    return chosen


def _in_thread(work: Callable[[], object]) -> Step:
    async def run() -> None:
        await asyncio.to_thread(work)

    return run


def _troubled(proxy: TcpProxy, trouble: Trouble) -> Step:
    async def run() -> None:
        proxy.trouble(trouble)

    return run
