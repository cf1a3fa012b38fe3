"""`make bench`: GetMemory and cached search against a bare grpc.aio echo with replies of the same size, in one run.

Each round measures the echo, then Memoir; figures are medians over rounds, ratios medians of paired ratios.
"""

from __future__ import annotations

import argparse
import base64
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.corpus import Corpus
from bench.load import Job
from bench.processes import ServerProcess, load, server
from memoir import Memoir
from memoir.v1 import common_pb2, memory_pb2, search_pb2

IN_FLIGHT = 32
NAMESPACE = "bench"


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests to one method, and a typical reply."""

    name: str
    method: str
    requests: Sequence[bytes]
    reply: bytes


@dataclass(frozen=True, slots=True)
class Measurement:
    """One side of one round."""

    calls_per_second: float
    cpu_us_per_call: float
    p95_ms: float


def main() -> None:
    """Loads the corpus, measures, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--memories", type=int, default=10_000, help="memories in all (default 10,000)")
    parser.add_argument("--users", type=int, default=100, help="users (default 100)")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds per measurement (default 4)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--embedder", default="hash", help="embedding model (default hash: no model needed)")
    options = parser.parse_args()
    console = Console(highlight=False)
    corpus = Corpus(options.users, options.memories // options.users)
    with tempfile.TemporaryDirectory(prefix="memoir-bench-") as folder:
        root = Path(folder)
        command = [sys.executable, "-m", "memoir_server.cli.main", "serve", "--data", str(root / "data")]
        command += ["--listen", "127.0.0.1:0", "--port-file", str(root / "memoir.port")]
        with server(command, root / "memoir.port", {"MEMOIR_EMBEDDER__MODEL": options.embedder}) as memoir:
            workloads = _prepare(memoir, corpus)
            replies = []
            for number, workload in enumerate(workloads):
                replies.append(root / f"reply-{number}")
                replies[-1].write_bytes(workload.reply)
            echo_command = [sys.executable, "-m", "bench.echo", str(root / "echo.port"), *map(str, replies)]
            with server(echo_command, root / "echo.port", {}) as echo:
                table = Table("call", "reply", "echo/s", "ours/s", "ratio", "echo us CPU", "our us CPU", "p95 ms")
                for number, workload in enumerate(workloads):
                    _measure(table, workload, number, memoir, echo, options.seconds, options.rounds)
            console.print(table)
            console.print(
                f"{options.memories} memories of {options.users} users, {IN_FLIGHT} in flight, "
                f"{options.rounds} rounds of {options.seconds:g} s, medians; "
                f"server memory {memoir.resident_mib():.0f} MiB"
            )


def _prepare(memoir: ServerProcess, corpus: Corpus) -> list[Workload]:
    """Fills the server and makes the requests; every query is asked once, so that its vector is cached."""
    with Memoir(memoir.address, namespace=NAMESPACE, timeout=60) as client:
        for number in track(range(corpus.users), description="loading"):
            items = [
                {"text": text, "memory_id": f"{corpus.user(number)}-{i}", "user_id": corpus.user(number)}
                for i, text in enumerate(corpus.texts(number))
            ]
            for start in range(0, len(items), 500):
                client.create_many(items[start : start + 500], durability="ACCEPTED")
        client.create("the last one, so that everything before it is indexed", user_id="bench", durability="INDEXED")
    gets = [
        memory_pb2.GetMemoryRequest(namespace=NAMESPACE, memory_id=f"{corpus.user(u)}-{i}").SerializeToString()
        for i in range(0, corpus.memories_per_user, 7)
        for u in range(corpus.users)
    ]
    searches = [
        search_pb2.SearchMemoriesRequest(
            namespace=NAMESPACE,
            spec=search_pb2.SearchSpec(query=query, scope=common_pb2.Scope(user_id=user), limit=10),
        ).SerializeToString()
        for user, query in corpus.queries(1000)
    ]
    workloads = []
    for name, method, requests in (
        ("GetMemory", "/memoir.v1.MemoryService/GetMemory", gets),
        ("Search, 10 hits", "/memoir.v1.SearchService/SearchMemories", searches),
    ):
        with grpc.insecure_channel(memoir.address) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            replies = sorted((call(request, timeout=60) for request in requests), key=len)
        workloads.append(Workload(name, method, requests, replies[len(replies) // 2]))
    return workloads


def _measure(
    table: Table,
    workload: Workload,
    number: int,
    memoir: ServerProcess,
    echo: ServerProcess,
    seconds: float,
    rounds: int,
) -> None:
    pairs = [
        (
            _one(echo, f"/echo/{number}", workload.requests, seconds),
            _one(memoir, workload.method, workload.requests, seconds),
        )
        for _ in track(range(rounds), description=workload.name)
    ]
    ratio = statistics.median(ours.calls_per_second / bare.calls_per_second for bare, ours in pairs)
    bare, ours = ([pair[side] for pair in pairs] for side in (0, 1))
    table.add_row(
        workload.name,
        f"{len(workload.reply)} B",
        f"{statistics.median(m.calls_per_second for m in bare):.0f}",
        f"{statistics.median(m.calls_per_second for m in ours):.0f}",
        f"{ratio:.2f}",
        f"{statistics.median(m.cpu_us_per_call for m in bare):.0f}",
        f"{statistics.median(m.cpu_us_per_call for m in ours):.0f}",
        f"{statistics.median(m.p95_ms for m in ours):.1f}",
    )


def _one(process: ServerProcess, method: str, requests: Sequence[bytes], seconds: float) -> Measurement:
    job = Job(
        target=process.address,
        method=method,
        requests=[base64.b64encode(request).decode() for request in requests],
        in_flight=IN_FLIGHT,
        seconds=seconds,
        warmup=0.5,
    )
    before = process.cpu_seconds()
    result = load(job)
    spent = process.cpu_seconds() - before
    # The warm-up's calls cost processor time too: scale to the counted part.
    counted = spent * result.seconds / (result.seconds + job.warmup)
    return Measurement(
        calls_per_second=result.calls / result.seconds,
        cpu_us_per_call=1e6 * counted / max(1, result.calls),
        p95_ms=result.latencies_ms[1],
    )


if __name__ == "__main__":
    main()
