"""What the sections of the benchmark found, and what was asked of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A claim that a run confirms or not: `measured` is to be at least, or at most, `limit`."""

    claim: str
    limit: float
    measured: float
    at_least: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side of the limit; no rounding helps."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


@dataclass(frozen=True, slots=True)
class CallRow:
    """One method beside the bare echo with replies of the same size; medians over rounds, `ratio` of paired rounds."""

    name: str
    reply_bytes: int
    echo_per_second: float
    per_second: float
    ratio: float
    echo_cpu_us: float
    cpu_us: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of sequential calls, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Percentiles of at least one time in seconds."""
        ordered = sorted(1000 * value for value in seconds)
        return cls(statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))])


@dataclass(frozen=True, slots=True)
class GrowthRow:
    """One size of the data: searches one after the other, and what the server takes."""

    memories: int
    users: int
    scoped: Latency
    unscoped: Latency
    resident_mib: float
    disk_mib: float
    loaded_per_second: float


@dataclass(frozen=True, slots=True)
class Growth:
    """All sizes. `scoped_ratio` is the time of a scoped search at the largest over that at the smallest, the median of
    rounds that measured both."""

    rows: tuple[GrowthRow, ...]
    scoped_ratio: float


@dataclass(frozen=True, slots=True)
class WriteRow:
    """Batches of new memories; medians over rounds. `bare_per_second` is the embedder's alone, 0 where nothing was to
    be embedded; `not_indexed` counts memories whose answer came before they were indexed."""

    name: str
    threads: int
    memories: int
    bare_per_second: float
    per_second: float
    ratio: float
    cpu_us: float
    not_indexed: int


@dataclass(frozen=True, slots=True)
class InferenceRow:
    """Adds in mode INFER on one profile that ask a model which answers at once so many questions each."""

    profile: str
    questions: int
    add: Latency


@dataclass(frozen=True, slots=True)
class StoresRow:
    """The distributed profile beside bare Weaviate at one size: scoped searches one after the other, `graphless` those
    that leave the graph out. Ratios are medians over rounds of the medians' quotient; `store_mib` is resident memory by
    store, after everything."""

    memories: int
    loaded_per_second: float
    bare_loaded_per_second: float
    search: Latency
    bare: Latency
    ratio: float
    graphless: Latency
    graphless_ratio: float
    server_mib: float
    store_mib: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Streaming:
    """Searches for queries never asked before; medians in milliseconds. Ratios are medians over pairs of neighbouring
    calls."""

    searches: int
    memories: int
    started_ms: float
    first_hits_ms: float
    stream_ms: float
    unary_ms: float
    first_ratio: float
    fold_ratio: float
