"""The distributed profile beside bare Weaviate: real stores, the same memories and vectors, the same filters.

Both are filled one after the other and then asked in turns, one search at a time. The texts carry no facts, so that the
graph has nothing to find; it is asked all the same, or left out.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench import bare_weaviate
from bench.calls import search_request
from bench.corpus import Corpus
from bench.filling import Progress, filled, model_of
from bench.growth import sequential
from bench.options import Options
from bench.results import Latency, StoresRow
from stores.deployment import deployment
from stores.four import NAMES, Stores, bounded_stores

_LIFE_SECONDS = 4 * 3600.0
_ELSEWHERE = "elsewhere"
"""A namespace with nothing in it."""
_MEMORIES_PER_GIB = 150_000
_ROUNDS = 4
"""Turns that the queries are divided into."""


def measure(options: Options, root: Path, say: Progress) -> list[StoresRow]:
    """One row per size."""
    rows = []
    for size in options.stores_sizes:
        say(f"starting the stores for {size:,} memories")
        with bounded_stores((), seconds=_LIFE_SECONDS) as stores:
            # By default a limit that suits tests; it keeps its vectors in memory, ours and the bare ones.
            stores.weaviate.settings = {"GOMEMLIMIT": f"{2 + size // _MEMORIES_PER_GIB}GiB"}
            stores.start(NAMES)
            rows.append(_row(stores, Corpus(size // options.per_user, options.per_user), options, root, say))
    return rows


def _row(stores: Stores, corpus: Corpus, options: Options, root: Path, say: Progress) -> StoresRow:
    count = corpus.users * corpus.memories_per_user
    say(f"filling bare Weaviate with {count:,} memories")
    bare_seconds = _bare(stores, corpus, options, fill=True, queries=[]).filled
    place = deployment(stores, "bench")
    with filled(root / f"stores-{count}", corpus, options.model, say, environment=place.environment) as data:
        asked, others = (corpus.queries(options.queries, seed=seed) for seed in (3, 4))
        whole = [search_request(query, user) for user, query in asked]
        lean = [search_request(query, user, graph_depth=0) for user, query in others]
        say("caching the vectors of the queries")
        # Elsewhere: nothing else of a search is to be known before it is measured.
        sequential(data, [search_request(query, None, namespace=_ELSEWHERE) for _, query in (*asked, *others)])
        ours: list[float] = []
        graphless: list[float] = []
        bare: list[float] = []
        ratios: list[float] = []
        graphless_ratios: list[float] = []
        for turn in range(_ROUNDS):
            say(f"searches at {count:,}, round {turn + 1} of {_ROUNDS}")
            part = slice(turn, None, _ROUNDS)
            mine = sequential(data, whole[part])
            theirs = _bare(stores, corpus, options, fill=False, queries=asked[part]).times
            without = sequential(data, lean[part])
            ours += mine
            bare += theirs
            graphless += without
            ratios.append(statistics.median(mine) / statistics.median(theirs))
            graphless_ratios.append(statistics.median(without) / statistics.median(theirs))
        return StoresRow(
            memories=count,
            loaded_per_second=data.loaded_per_second,
            bare_loaded_per_second=count / bare_seconds,
            search=Latency.of(ours),
            bare=Latency.of(bare),
            ratio=statistics.median(ratios),
            graphless=Latency.of(graphless),
            graphless_ratio=statistics.median(graphless_ratios),
            server_mib=data.process.resident_mib(),
            store_mib=tuple((store.name, store.memory() / 2**20) for store in stores.each),
        )


def _bare(
    stores: Stores, corpus: Corpus, options: Options, *, fill: bool, queries: Sequence[tuple[str, str]]
) -> bare_weaviate.Result:
    at = stores.weaviate.address
    job = bare_weaviate.Job(
        host=at.host,
        http_port=at.http_port,
        grpc_port=at.grpc_port,
        api_key=at.api_key,
        users=corpus.users,
        memories_per_user=corpus.memories_per_user,
        dimension=model_of(options.model).dimension,
        fill=fill,
        queries=list(queries),
    )
    done = subprocess.run(
        [sys.executable, "-m", "bench.bare_weaviate"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        timeout=_LIFE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"bench.bare_weaviate failed:\n{done.stderr}")
    return bare_weaviate.Result(**json.loads(done.stdout))
