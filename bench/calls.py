"""Calls per second and processor time per call, beside a bare grpc.aio echo with replies of the same size.

Each round measures the echo, then Memoir; figures are medians over rounds, ratios medians of paired rounds.
"""

from __future__ import annotations

import base64
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from bench.filling import NAMESPACE, Filled, Progress
from bench.load import Job
from bench.options import Options
from bench.processes import ServerProcess, load, server
from bench.results import CallRow
from memoir.v1 import common_pb2, memory_pb2, search_pb2

IN_FLIGHT = 32
SEARCH = "/memoir.v1.SearchService/SearchMemories"


@dataclass(frozen=True, slots=True)
class _Workload:
    """Requests to one method, and a typical reply."""

    name: str
    method: str
    requests: Sequence[bytes]
    reply: bytes


@dataclass(frozen=True, slots=True)
class _Measurement:
    """One side of one round."""

    calls_per_second: float
    cpu_us_per_call: float
    p95_ms: float


def measure(data: Filled, options: Options, root: Path, say: Progress) -> list[CallRow]:
    """GetMemory and Search over the data, with all vectors of queries cached."""
    workloads = [_getting(data), _searching(data, options.queries)]
    replies = []
    for number, workload in enumerate(workloads):
        replies.append(root / f"reply-{number}")
        replies[-1].write_bytes(workload.reply)
    command = [sys.executable, "-m", "bench.echo", str(root / "echo.port"), *map(str, replies)]
    rows = []
    with server(command, root / "echo.port", {}) as echo:
        for number, workload in enumerate(workloads):
            pairs = []
            for turn in range(options.rounds):
                say(f"{workload.name}, round {turn + 1} of {options.rounds}")
                bare = _one(echo, f"/echo/{number}", workload.requests, options.seconds)
                pairs.append((bare, _one(data.process, workload.method, workload.requests, options.seconds)))
            rows.append(_row(workload, pairs))
    return rows


def search_request(
    query: str, user: str | None, *, graph_depth: int | None = None, namespace: str = NAMESPACE
) -> bytes:
    """A search for ten hits, of one user or (None) of the whole namespace; `graph_depth` 0 leaves the graph out."""
    scope = common_pb2.Scope() if user is None else common_pb2.Scope(user_id=user)
    spec = search_pb2.SearchSpec(query=query, scope=scope, limit=10, graph_depth=graph_depth)
    return search_pb2.SearchMemoriesRequest(namespace=namespace, spec=spec).SerializeToString()


def _getting(data: Filled) -> _Workload:
    corpus = data.corpus
    requests = [
        memory_pb2.GetMemoryRequest(namespace=NAMESPACE, memory_id=f"{corpus.user(u)}-{i}").SerializeToString()
        for i in range(0, corpus.memories_per_user, 7)
        for u in range(corpus.users)
    ]
    return _workload(data.process, "GetMemory", "/memoir.v1.MemoryService/GetMemory", requests)


def _searching(data: Filled, queries: int) -> _Workload:
    requests = [search_request(query, user) for user, query in data.corpus.queries(queries)]
    return _workload(data.process, "Search, 10 hits", SEARCH, requests)


def _workload(process: ServerProcess, name: str, method: str, requests: Sequence[bytes]) -> _Workload:
    """Makes every call once: the query's vector is cached then, and the reply of median size known."""
    with grpc.insecure_channel(process.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        replies = sorted((call(request, timeout=60) for request in requests), key=len)
    return _Workload(name, method, requests, replies[len(replies) // 2])


def _row(workload: _Workload, pairs: Sequence[tuple[_Measurement, _Measurement]]) -> CallRow:
    bare, ours = ([pair[side] for pair in pairs] for side in (0, 1))
    return CallRow(
        name=workload.name,
        reply_bytes=len(workload.reply),
        echo_per_second=statistics.median(m.calls_per_second for m in bare),
        per_second=statistics.median(m.calls_per_second for m in ours),
        ratio=statistics.median(mine.calls_per_second / echo.calls_per_second for echo, mine in pairs),
        echo_cpu_us=statistics.median(m.cpu_us_per_call for m in bare),
        cpu_us=statistics.median(m.cpu_us_per_call for m in ours),
        p95_ms=statistics.median(m.p95_ms for m in ours),
    )


def _one(process: ServerProcess, method: str, requests: Sequence[bytes], seconds: float) -> _Measurement:
    job = Job(
        target=process.address,
        method=method,
        requests=[base64.b64encode(request).decode() for request in requests],
        in_flight=IN_FLIGHT,
        seconds=seconds,
        warmup=min(0.5, seconds),
    )
    before = process.cpu_seconds()
    result = load(job)
    spent = process.cpu_seconds() - before
    # The warm-up's calls cost processor time too: scale to the counted part.
    counted = spent * result.seconds / (result.seconds + job.warmup)
    return _Measurement(
        calls_per_second=result.calls / result.seconds,
        cpu_us_per_call=1e6 * counted / max(1, result.calls),
        p95_ms=result.latencies_ms[1],
    )
