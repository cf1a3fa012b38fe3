"""BatchCreateMemories until everything is indexed: texts never seen beside the bare embedder, then ready vectors.

Ready vectors: the same texts are stored once more, in a namespace that has none of them. Their vectors are in the
embedding cache, so nothing is embedded; everything else of a first write is done again. More batches are in flight
then: where nothing waits for an embedder, what the ledger commits and the index takes together decides.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench import batches, embedding
from bench.corpus import Corpus
from bench.filling import Progress
from bench.options import Options
from bench.processes import ServerProcess
from bench.results import WriteRow

_USERS = 10
_SEED = 23
_CLIENT_SECONDS = 300


def measure(process: ServerProcess, options: Options, threads: int, say: Progress) -> list[WriteRow]:
    """Both kinds of writes to a server whose embedder has that many threads."""
    rounds = _texts(options, threads)
    pairs: list[tuple[float, float]] = []
    cpu: list[float] = []
    late = 0
    for turn, texts in enumerate(rounds):
        say(f"new texts, {threads} threads, round {turn + 1} of {len(rounds)}")
        bare = _bare(options, threads, texts)
        before = process.cpu_seconds()
        result = _write(process, f"new-{threads}-{turn}", texts, options, options.writers)
        cpu.append((process.cpu_seconds() - before) / len(texts))
        late += result.not_indexed
        pairs.append((len(texts) / bare, len(texts) / result.seconds))
    count = sum(len(texts) for texts in rounds)
    new = WriteRow(
        name="texts never seen",
        threads=threads,
        memories=count,
        bare_per_second=statistics.median(bare for bare, _ in pairs),
        per_second=statistics.median(ours for _, ours in pairs),
        ratio=statistics.median(ours / bare for bare, ours in pairs),
        cpu_us=1e6 * statistics.median(cpu),
        not_indexed=late,
    )
    return [new, _ready(process, options, threads, [text for texts in rounds for text in texts], say)]


def _ready(process: ServerProcess, options: Options, threads: int, texts: Sequence[str], say: Progress) -> WriteRow:
    rates, cpu, late = [], [], 0
    for turn in range(options.write_rounds + 1):
        say(f"ready vectors, {threads} threads, " + (f"round {turn} of {options.write_rounds}" if turn else "warming"))
        before = process.cpu_seconds()
        result = _write(process, f"ready-{threads}-{turn}", texts, options, options.ready_writers)
        if turn:
            rates.append(len(texts) / result.seconds)
            cpu.append((process.cpu_seconds() - before) / len(texts))
            late += result.not_indexed
    return WriteRow(
        name="ready vectors",
        threads=threads,
        memories=options.write_rounds * len(texts),
        bare_per_second=0.0,
        per_second=statistics.median(rates),
        ratio=0.0,
        cpu_us=1e6 * statistics.median(cpu),
        not_indexed=late,
    )


def _texts(options: Options, threads: int) -> list[list[str]]:
    """Texts of every round, all different; another corpus for another number of threads."""
    per_round = options.write_batches * options.batch
    corpus = Corpus(1, per_round * options.write_rounds, seed=_SEED + threads)
    texts = list(corpus.texts(0))
    return [texts[start : start + per_round] for start in range(0, len(texts), per_round)]


def _bare(options: Options, threads: int, texts: Sequence[str]) -> float:
    job = embedding.Job(
        model=options.model, threads=threads, texts=list(texts), batch=options.batch, in_flight=options.writers
    )
    return float(_client("bench.embedding", asdict(job)))


def _write(
    process: ServerProcess, namespace: str, texts: Sequence[str], options: Options, in_flight: int
) -> batches.Result:
    job = batches.Job(
        target=process.address,
        namespace=namespace,
        texts=list(texts),
        users=_USERS,
        batch=options.batch,
        in_flight=in_flight,
    )
    return batches.Result(**_client("bench.batches", asdict(job)))


def _client(module: str, job: dict[str, Any]) -> Any:
    """What a client process makes of a job. Raises RuntimeError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=_CLIENT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr}")
    return json.loads(done.stdout)
