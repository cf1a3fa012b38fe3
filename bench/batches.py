"""One client process that writes batches of new memories and looks at every answer.

    python -m bench.batches   (reads one Job as JSON from standard input, writes one Result as JSON)

Requests are made before the clock starts and answers are read after it has stopped, so that the client costs little.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import grpc
import uvloop

from memoir.v1 import admin_pb2, common_pb2, memory_pb2

METHOD = "/memoir.v1.MemoryService/BatchCreateMemories"
SERVER_INFO = "/memoir.v1.AdminService/GetServerInfo"
PROJECTIONS = (common_pb2.STORE_KIND_INDEX, common_pb2.STORE_KIND_GRAPH)
_INDEXED_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Job:
    """Texts to store, in batches of `batch`, `in_flight` of them at a time; memory i belongs to user i mod `users`."""

    target: str
    namespace: str
    texts: list[str]
    users: int
    batch: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds from the first call to the last answer, and on until everything was indexed where an answer did not say
    INDEXED already; memories of such answers."""

    seconds: float
    not_indexed: int


def requests_of(job: Job) -> list[bytes]:
    """The batches, durability INDEXED, each under a request id of its own."""
    found = []
    for start in range(0, len(job.texts), job.batch):
        request = memory_pb2.BatchCreateMemoriesRequest(
            namespace=job.namespace, durability=common_pb2.DURABILITY_INDEXED, request_id=f"batch-{start}"
        )
        for number, text in enumerate(job.texts[start : start + job.batch], start):
            item = request.items.add(memory_id=f"m-{number}")
            item.memory.text = text
            item.memory.scope.user_id = f"user-{number % job.users}"
        found.append(request.SerializeToString())
    return found


async def run(job: Job) -> Result:
    """Carries out one job. Raises grpc.aio.AioRpcError when a call fails, RuntimeError when an item was refused."""
    waiting = iter(requests_of(job))
    replies: list[bytes] = []
    async with grpc.aio.insecure_channel(job.target) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        # Opening the connection is not part of a write.
        await channel.channel_ready()

        async def writer() -> None:
            for request in waiting:
                reply = await call(request, timeout=120)
                replies.append(reply)

        began = time.perf_counter()
        await asyncio.gather(*(writer() for _ in range(job.in_flight)))
        seconds = time.perf_counter() - began
        late, revision = _not_indexed(replies)
        if late:
            # Answered before everything was indexed, so the work is not done yet.
            await _indexed(channel, job.namespace, revision)
            seconds = time.perf_counter() - began
    return Result(seconds, late)


def _not_indexed(replies: Sequence[bytes]) -> tuple[int, int]:
    """Memories whose answer was not INDEXED, and the last revision."""
    late, revision = 0, 0
    for data in replies:
        reply = memory_pb2.BatchCreateMemoriesResponse.FromString(data)
        refused = [result.error for result in reply.results if not result.HasField("memory")]
        if refused:
            raise RuntimeError(f"{len(refused)} items were refused, the first because of {refused[0]}")
        late += len(reply.results) if reply.durability != common_pb2.DURABILITY_INDEXED else 0
        revision = max(revision, reply.revision)
    return late, revision


async def _indexed(channel: grpc.aio.Channel, namespace: str, revision: int) -> None:
    """Returns when every projection has applied the revision. Raises TimeoutError."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SERVER_INFO)
    request = admin_pb2.GetServerInfoRequest(namespace=namespace).SerializeToString()
    async with asyncio.timeout(_INDEXED_SECONDS):
        while True:
            info = admin_pb2.GetServerInfoResponse.FromString(await call(request, timeout=60))
            if all(store.applied_revision >= revision for store in info.stores if store.store in PROJECTIONS):
                return
            await asyncio.sleep(0.02)


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(Job(**json.load(sys.stdin)))))))
