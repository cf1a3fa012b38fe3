"""The load: one client process that keeps a number of calls in flight and counts what comes back.

    python -m bench.load   (reads one Job as JSON from standard input, writes one Result as JSON)

Requests and replies are bytes on the client's side, so that its own cost is the same whatever it calls.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass

import grpc
import uvloop


@dataclass(frozen=True, slots=True)
class Job:
    """What to call: `requests` in turn, `in_flight` at a time, for `seconds` after `warmup` seconds."""

    target: str
    method: str
    requests: list[str]
    """Base64."""
    in_flight: int
    seconds: float
    warmup: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. `latencies_ms` holds percentiles 50, 95 and 99."""

    calls: int
    seconds: float
    latencies_ms: tuple[float, float, float]


async def run(job: Job) -> Result:
    """Carries out one job. Raises grpc.aio.AioRpcError when a call fails: a benchmark of errors is none."""
    requests = itertools.cycle([base64.b64decode(request) for request in job.requests])
    async with grpc.aio.insecure_channel(job.target) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(job.method)
        began = time.perf_counter() + job.warmup
        end = began + job.seconds
        latencies: list[float] = []

        async def worker() -> None:
            while (started := time.perf_counter()) < end:
                await call(next(requests), timeout=30)
                if started >= began:
                    latencies.append(time.perf_counter() - started)

        await asyncio.gather(*(worker() for _ in range(job.in_flight)))
    latencies.sort()
    p50, p95, p99 = (1000 * latencies[min(len(latencies) - 1, int(len(latencies) * p))] for p in (0.5, 0.95, 0.99))
    return Result(calls=len(latencies), seconds=job.seconds, latencies_ms=(p50, p95, p99))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(run(Job(**json.load(sys.stdin)))))))
