"""Time of a search, memory and disk as the data grow, with the same number of memories per user.

The servers run side by side and take turns, round by round, so that a slow moment of the machine hits all sizes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import grpc

from bench.calls import SEARCH, search_request
from bench.filling import Filled, Progress
from bench.options import Options
from bench.results import Growth, GrowthRow, Latency

_CLIENTS_OWN_SEED = 11
"""Other queries than those of the calls section."""


def measure(sizes: Sequence[Filled], options: Options, say: Progress) -> Growth:
    """Scoped and unscoped searches, one after the other, at every size. Every query is asked once before, so that its
    vector is cached and its user's memories are loaded."""
    scoped: list[list[list[float]]] = [[] for _ in sizes]
    unscoped: list[list[float]] = [[] for _ in sizes]
    for turn in range(options.rounds + 1):
        for place, data in enumerate(sizes):
            say(f"searches at {data.memories:,}, " + (f"round {turn} of {options.rounds}" if turn else "warming"))
            asked = data.corpus.queries(options.sequential, seed=_CLIENTS_OWN_SEED)
            times = sequential(data, [search_request(query, user) for user, query in asked])
            wide = sequential(data, [search_request(query, None) for _, query in asked[: options.sequential // 2 or 1]])
            if turn:
                scoped[place].append(times)
                unscoped[place].extend(wide)
    ratios = [
        statistics.median(largest) / statistics.median(smallest)
        for smallest, largest in zip(scoped[0], scoped[-1], strict=True)
    ]
    rows = tuple(
        GrowthRow(
            memories=data.memories,
            users=data.corpus.users,
            scoped=Latency.of([seconds for times in scoped[place] for seconds in times]),
            unscoped=Latency.of(unscoped[place]),
            resident_mib=data.process.resident_mib(),
            disk_mib=data.disk_mib(),
            loaded_per_second=data.loaded_per_second,
        )
        for place, data in enumerate(sizes)
    )
    return Growth(rows, statistics.median(ratios))


def sequential(data: Filled, requests: Sequence[bytes]) -> list[float]:
    """Seconds of each call, one at a time."""
    times = []
    with grpc.insecure_channel(data.process.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SEARCH)
        for request in requests:
            began = time.perf_counter()
            call(request, timeout=60)
            times.append(time.perf_counter() - began)
    return times
