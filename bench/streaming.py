"""What streaming brings, and what it costs those who do not use it: searches for queries never asked before.

Streams and unary calls take turns, each with queries of its own, one call at a time.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import grpc

from bench.filling import NAMESPACE, Filled, Progress
from bench.options import Options
from bench.results import Streaming
from memoir.v1 import common_pb2, search_pb2, search_pb2_grpc

_SEED = 31
_WARM_UP = 10


@dataclass(frozen=True, slots=True)
class _Stream:
    """When things came, in seconds after the call."""

    started: float
    first_hits: float
    completed: float


def measure(data: Filled, options: Options, say: Progress) -> Streaming:
    """Times of streams and unary searches, in pairs. Raises RuntimeError when a stream has no hits or no end."""
    say(f"{options.searches} streams and unary searches")
    asked = data.corpus.queries(2 * (options.searches + _WARM_UP), seed=_SEED)
    specs = [
        search_pb2.SearchSpec(query=query, scope=common_pb2.Scope(user_id=user), limit=10) for user, query in asked
    ]
    streams: list[_Stream] = []
    unary: list[float] = []
    with grpc.insecure_channel(data.process.address) as channel:
        stub = search_pb2_grpc.SearchServiceStub(channel)
        for i in range(0, len(specs), 2):
            # Who goes first alternates too: neither gains from a cache that the other has warmed.
            for which in (0, 1) if i % 4 else (1, 0):
                if which:
                    began = time.perf_counter()
                    stub.SearchMemories(
                        search_pb2.SearchMemoriesRequest(namespace=NAMESPACE, spec=specs[i + 1]), timeout=60
                    )
                    unary.append(time.perf_counter() - began)
                else:
                    streams.append(_stream(stub, specs[i]))
    streams, unary = streams[_WARM_UP:], unary[_WARM_UP:]
    pairs = list(zip(streams, unary, strict=True))
    return Streaming(
        searches=len(pairs),
        memories=data.memories,
        started_ms=1000 * statistics.median(stream.started for stream in streams),
        first_hits_ms=1000 * statistics.median(stream.first_hits for stream in streams),
        stream_ms=1000 * statistics.median(stream.completed for stream in streams),
        unary_ms=1000 * statistics.median(unary),
        first_ratio=statistics.median(stream.first_hits / whole for stream, whole in pairs),
        fold_ratio=statistics.median(whole / stream.completed for stream, whole in pairs),
    )


def _stream(stub: search_pb2_grpc.SearchServiceStub, spec: search_pb2.SearchSpec) -> _Stream:
    times: dict[str, float] = {}
    began = time.perf_counter()
    for event in stub.StreamSearchMemories(
        search_pb2.StreamSearchMemoriesRequest(namespace=NAMESPACE, spec=spec), timeout=60
    ):
        times.setdefault(event.WhichOneof("event") or "", time.perf_counter() - began)
    if not {"started", "phase_hits", "completed"} <= times.keys():
        raise RuntimeError(f"a stream for {spec.query!r} sent only {sorted(times)}")
    return _Stream(times["started"], times["phase_hits"], times["completed"])
