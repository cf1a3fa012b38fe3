"""The report: what was measured, on which machine, by which command, and whether it is what was asked for."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.options import Options
from bench.results import CallRow, Growth, InferenceRow, StoresRow, Streaming, Target, WriteRow

ECHO_RATIOS = {"GetMemory": 0.5, "Search, 10 hits": 0.25}
SCOPED_RATIO = 1.3
UNSCOPED_MS = 50.0
NEW_TEXTS_RATIO = 0.8
READY_PER_SECOND = 10_000.0
FIRST_HITS_RATIO = 0.4
FOLD_RATIO = 1.0
INFERENCE_P95_MS = {"embedded": 60.0, "distributed": 150.0}
BARE_SEARCH_RATIO = 1.5
BARE_INGEST_RATIO = 0.6
STORES_P95_MS = {100_000: 50.0, 1_000_000: 200.0}


@dataclass(frozen=True, slots=True)
class Findings:
    """Results of the sections that ran."""

    calls: Sequence[CallRow] = ()
    growth: Growth | None = None
    writes: Sequence[WriteRow] = ()
    streaming: Streaming | None = None
    inference: Sequence[InferenceRow] = ()
    stores: Sequence[StoresRow] = ()


def targets_of(found: Findings) -> list[Target]:
    """What was asked, beside what was measured."""
    targets = [
        Target(f"{row.name}: calls/s beside the bare echo", ECHO_RATIOS[row.name], row.ratio, at_least=True)
        for row in found.calls
    ]
    if found.growth is not None:
        smallest, largest = found.growth.rows[0], found.growth.rows[-1]
        targets.append(
            Target(
                f"scoped search at {largest.memories:,} memories beside {smallest.memories:,}",
                SCOPED_RATIO,
                found.growth.scoped_ratio,
                at_least=False,
            )
        )
        targets.append(
            Target(
                f"unscoped search at {largest.memories:,} memories, p95",
                UNSCOPED_MS,
                largest.unscoped.p95,
                at_least=False,
                unit=" ms",
            )
        )
    for row in found.writes:
        if row.bare_per_second:
            name = f"texts never seen, {_threads(row.threads)}: memories/s beside the bare embedder"
            targets.append(Target(name, NEW_TEXTS_RATIO, row.ratio, at_least=True))
    ready = [row.per_second for row in found.writes if not row.bare_per_second]
    if ready:
        targets.append(Target("ready vectors: memories/s", READY_PER_SECOND, max(ready), at_least=True, unit="/s"))
    if found.streaming is not None:
        targets.append(
            Target(
                "first streamed hits beside the unary answer, query not cached",
                FIRST_HITS_RATIO,
                found.streaming.first_ratio,
                at_least=False,
            )
        )
        targets.append(
            Target(
                "unary answer beside a stream read to its end", FOLD_RATIO, found.streaming.fold_ratio, at_least=False
            )
        )
    for profile, most in INFERENCE_P95_MS.items():
        worst = [row.add.p95 for row in found.inference if row.profile == profile]
        if worst:
            claim = f"inference, {profile}: an add without the model's own time, p95"
            targets.append(Target(claim, most, max(worst), at_least=False, unit=" ms"))
    for each in found.stores:
        size = f"{each.memories:,} memories in the stores"
        targets += [
            Target(f"{size}: search beside two bare queries", BARE_SEARCH_RATIO, each.ratio, at_least=False),
            Target(
                f"{size}: import beside bare insert",
                BARE_INGEST_RATIO,
                each.loaded_per_second / each.bare_loaded_per_second,
                at_least=True,
            ),
        ]
        if (limit := STORES_P95_MS.get(each.memories)) is not None:
            claim = f"{size}: scoped search, graph left out, p95"
            targets.append(Target(claim, limit, each.graphless.p95, at_least=False, unit=" ms"))
    return targets


def render(found: Findings, options: Options, seconds: float, load: float) -> str:
    """The page. `load` is the machine's load average when the run began."""
    parts = [_HEAD.format(command=options.command, minutes=seconds / 60, machine=machine(), load=load)]
    parts.append(_table(("what", "asked", "measured", "met"), map(_target_cells, targets_of(found))))
    if found.calls:
        parts.append(_calls(found.calls, options))
    if found.growth is not None:
        parts.append(_growth(found.growth, options))
    if found.writes:
        parts.append(_writes(found.writes, options))
    if found.streaming is not None:
        parts.append(_streaming(found.streaming))
    if found.inference:
        parts.append(_inference(found.inference, options))
    if found.stores:
        parts.append(_stores(found.stores, options))
    return "\n".join(parts)


def machine() -> str:
    """Processor, memory and interpreter of this machine."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


_HEAD = """# Benchmarks

Written by `make bench`; do not edit. Client, server and yardstick are processes of their own on one machine and share
its cores, so ratios say more than rates. Everything of a row was measured in one run, in turns.

* Command: `{command}` ({minutes:.1f} minutes)
* Machine: {machine}
* Load average when the run began: {load:.1f}. What else runs on the machine lowers rates, and ratios too where our side
  uses more cores than the yardstick.

## Asked and measured
"""


def _target_cells(target: Target) -> tuple[str, ...]:
    sign = "≥" if target.at_least else "≤"
    return (
        target.claim,
        f"{sign} {target.limit:,g}{target.unit}",
        f"{_figure(target.measured)}{target.unit}",
        "yes" if target.met else "**no**",
    )


def _calls(rows: Sequence[CallRow], options: Options) -> str:
    table = _table(
        ("call", "reply", "echo/s", "ours/s", "ratio", "echo CPU/call", "our CPU/call", "our p95"),
        (
            (
                row.name,
                f"{row.reply_bytes:,} B",
                f"{row.echo_per_second:,.0f}",
                f"{row.per_second:,.0f}",
                f"{row.ratio:.2f}",
                f"{row.echo_cpu_us:.0f} us",
                f"{row.cpu_us:.0f} us",
                f"{row.p95_ms:.1f} ms",
            )
            for row in rows
        ),
    )
    largest, users = options.sizes[-1], options.sizes[-1] // options.per_user
    return f"""
## Calls beside a bare echo

One client process keeps 32 calls in flight. The echo is a bare grpc.aio server that answers with a fixed reply of the
size of our median one. Data: {largest:,} memories of {users:,} users. Searches: {options.queries:,} distinct queries of
random users, 10 hits each, vectors of queries cached, no cache of results. CPU is the server's, user and system.
Medians of {options.rounds} rounds of {options.seconds:g} s; ratios are of paired rounds.

{table}"""


def _growth(growth: Growth, options: Options) -> str:
    table = _table(
        (
            *("memories", "users", "scoped p50", "scoped p95", "unscoped p50", "unscoped p95"),
            *("server memory", "on disk", "imported/s"),
        ),
        (
            (
                f"{row.memories:,}",
                f"{row.users:,}",
                f"{row.scoped.p50:.2f} ms",
                f"{row.scoped.p95:.2f} ms",
                f"{row.unscoped.p50:.2f} ms",
                f"{row.unscoped.p95:.2f} ms",
                f"{row.resident_mib:,.0f} MiB",
                f"{row.disk_mib:,.0f} MiB",
                f"{row.loaded_per_second:,.0f}",
            )
            for row in growth.rows
        ),
    )
    return f"""
## Growth

{options.per_user:,} memories per user at every size. Searches one after the other: {options.sequential} per round over
one user's memories, half as many over all memories, every query asked once before. The servers take turns; the scoped
ratio ({growth.scoped_ratio:.2f}) compares medians of the same round. Memory is the server's resident memory after the
searches, with all users in use; disk is the data directory, journals included. Memories were imported with ready
vectors of the model's dimension; the rate includes indexing.

{table}"""


def _writes(rows: Sequence[WriteRow], options: Options) -> str:
    table = _table(
        ("texts", "embedding", "memories", "bare embedder", "ours", "ratio", "server CPU/memory", "answered early"),
        (
            (
                row.name,
                _threads(row.threads) if row.bare_per_second else "none",
                f"{row.memories:,}",
                f"{row.bare_per_second:,.0f}/s" if row.bare_per_second else "",
                f"{row.per_second:,.0f}/s",
                f"{row.ratio:.2f}" if row.bare_per_second else "",
                f"{row.cpu_us:,.0f} us",
                f"{row.not_indexed:,}",
            )
            for row in rows
        ),
    )
    return f"""
## Writes

`BatchCreateMemories` of {options.batch}, durability INDEXED, {options.writers} batches in flight
({options.ready_writers} with ready vectors), each with a `request_id`. The clock stops when the last answer
is there and everything is indexed; "answered early" counts memories whose answer came before that and said ACCEPTED,
as it does after 2 s. The ledger syncs every commit.

* *Texts never seen*: model {options.model}; the bare embedder is the server's own class in a process of its own, with
  the same texts, batches, batches in flight and threads. Every round has new texts.
* *Ready vectors*: the same texts in a namespace that has none of them, so that the embedding cache holds every vector
  and nothing is computed. All else is as in a first write: the ledger keeps the vector again, the index takes it. With
  {options.ready_writers} batches in flight more of them share a commit.

{table}"""


def _streaming(found: Streaming) -> str:
    table = _table(
        ("event", "median"),
        (
            ("stream: started", f"{found.started_ms:.2f} ms"),
            ("stream: first hits", f"{found.first_hits_ms:.2f} ms"),
            ("stream: completed", f"{found.stream_ms:.2f} ms"),
            ("unary: answer", f"{found.unary_ms:.2f} ms"),
        ),
    )
    return f"""
## Streaming

{found.searches:,} streams and as many unary searches in turns, one call at a time, {found.memories:,} memories in the
server, each search over one user's, 10 hits. Every query is asked for the first time, so that it has to be embedded.
Ratios are medians over pairs: first hits to unary answer {found.first_ratio:.2f}, unary answer to completed stream
{found.fold_ratio:.2f}.

{table}"""


def _inference(rows: Sequence[InferenceRow], options: Options) -> str:
    table = _table(
        ("profile", "questions per add", "p50", "p95"),
        ((row.profile, str(row.questions), f"{row.add.p50:.1f} ms", f"{row.add.p95:.1f} ms") for row in rows),
    )
    return f"""
## Inference without the model's own time

`AddMemories` in mode INFER, six messages with five facts, one add at a time, until everything is indexed. The model is
a double of a provider's API in a process of its own, behind the vendor's client, and answers at once: what is left is
ours, and the way there and back. {options.adds:,} users with two conversations each: the first meets nothing and asks
one question, the second meets the facts of the first and asks two. Vectors of the model {options.model}; every text is
embedded once, then cached.

{table}"""


def _stores(rows: Sequence[StoresRow], options: Options) -> str:
    searches = _table(
        (
            *("memories", "bare p50", "bare p95", "search p50", "search p95", "ratio"),
            *("without the graph p50", "without the graph p95", "ratio"),
        ),
        (
            (
                f"{row.memories:,}",
                f"{row.bare.p50:.2f} ms",
                f"{row.bare.p95:.2f} ms",
                f"{row.search.p50:.2f} ms",
                f"{row.search.p95:.2f} ms",
                f"{row.ratio:.2f}",
                f"{row.graphless.p50:.2f} ms",
                f"{row.graphless.p95:.2f} ms",
                f"{row.graphless_ratio:.2f}",
            )
            for row in rows
        ),
    )
    loads = _table(
        ("memories", "bare insert/s", "ours/s", "ratio", "our load", "server memory", "stores' memory"),
        (
            (
                f"{row.memories:,}",
                f"{row.bare_loaded_per_second:,.0f}",
                f"{row.loaded_per_second:,.0f}",
                f"{row.loaded_per_second / row.bare_loaded_per_second:.2f}",
                f"{row.memories / row.loaded_per_second / 60:,.1f} min",
                f"{row.server_mib:,.0f} MiB",
                ", ".join(f"{name} {mib:,.0f} MiB" for name, mib in row.store_mib),
            )
            for row in rows
        ),
    )
    return f"""
## The distributed profile beside bare Weaviate

PostgreSQL, Weaviate, Neo4j and Redis on this machine, as `make stores` starts them; {options.per_user:,} memories per
user, vectors of the model {options.model}. Bare: the same texts and vectors, inserted 500 at a time through
weaviate-client, then for each search the two queries it needs (the 200 nearest of the user with their vectors, and the
200 best by BM25), sent side by side. Ours: {options.queries:,} distinct scoped searches with cached query vectors, and
as many others that leave the graph out; no cache of results, and nothing is asked of a user beforehand. One after the
other, the two sides in turns. The memories state no facts: the graph is asked and finds nothing.

{searches}
Loading is `ImportMemories` with ready vectors until everything is indexed, in all stores, the client's own work
included. Weaviate holds the memories twice then, ours and the bare ones, and may use 2 GiB and another for every
150,000 memories; memory is resident memory after the searches.

{loads}"""


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
