"""Runs the harness over Memoir and over the harness's own baseline, and prints both side by side.

python -m bench.retrieval --data CONVERSATIONS.json --harness HARNESS_FOLDER [--server HOST:PORT] [--stores]

With --stores the distributed profile answers the same questions from real stores, and what both profiles return is
compared: beyond the depth of candidates they need not agree.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.processes import memoir_server
from bench.retrieval.baseline_model import write_model_home
from bench.retrieval.overlap import Overlap, overlaps
from stores.deployment import deployment
from stores.four import bounded_stores

MEMOIR = "bench.retrieval.system:Memoir"
BASELINE = "systems.baseline:fusion"
METRICS = ("recall@5", "recall@10", "recall@20", "hit@10", "all@10", "mrr", "ndcg@10")
PROJECT = Path(__file__).resolve().parents[2]
_LIFE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Row:
    """One system's result. `values` are fractions by name, of the answerable questions; `by_category` is recall@10."""

    name: str
    questions: int
    values: Mapping[str, float]
    by_category: Mapping[str, float]
    added_per_second: float
    search_ms: tuple[float, float]
    foreign: int
    found: Mapping[str, tuple[str, Sequence[str]]]
    """By question: its category, and the ids found, best first."""


def main() -> None:
    """Runs both systems and prints the table; exits with 1 if Memoir found less than the baseline or anything of
    another conversation."""
    parser = argparse.ArgumentParser(prog="python -m bench.retrieval", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="conversations and questions, as the harness reads them"
    )
    parser.add_argument("--harness", type=Path, required=True, help="folder of the harness, with run.py")
    parser.add_argument("--server", default="", metavar="HOST:PORT", help="a running server (default: start one)")
    parser.add_argument(
        "--stores", action="store_true", help="compare with the distributed profile, on real stores started for it"
    )
    parser.add_argument("--baseline", action="append", metavar="MODULE:FACTORY", help=f"default {BASELINE}; repeatable")
    parser.add_argument("--recipe", default="", help="ranking recipe (default: the server's)")
    parser.add_argument("--text", default="c", help="what of an item is its text, as in the harness (default c)")
    parser.add_argument("--out", type=Path, help="folder to keep the harness's result files in")
    options = parser.parse_args()
    if not (options.harness / "run.py").is_file():
        parser.error(f"--harness={options.harness}: no run.py there; give the folder of the harness")
    if not options.data.exists():
        parser.error(f"--data={options.data}: no such file; give the harness's data")
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="memoir-retrieval-") as folder:
        root = Path(folder)
        out = options.out or root
        out.mkdir(parents=True, exist_ok=True)
        home = os.environ.get("MINILM_HOME")
        if home is None:
            with console.status("preparing the baseline's model"):
                write_model_home(root / "home")
            home = str(root / "home")
        harness = _Harness(options.harness.resolve(), options.data.resolve(), options.text, home)
        rows: list[Row] = []
        shared: Sequence[Overlap] = ()
        settings = [f"recipe={options.recipe}"]
        with (
            console.status("Memoir"),
            nullcontext(options.server) if options.server else _memoir(root / "embedded", {}) as address,
        ):
            rows.append(harness.run(MEMOIR, out / "memoir.json", [f"target={address}", *settings]))
        if options.stores:
            with (
                console.status("the distributed profile"),
                bounded_stores(seconds=_LIFE_SECONDS) as stores,
                _memoir(root / "distributed", deployment(stores, "retrieval").environment) as address,
            ):
                rows.append(harness.run(MEMOIR, out / "distributed.json", [f"target={address}", *settings]))
            rows = [replace(rows[0], name="embedded"), replace(rows[1], name="distributed")]
            shared = overlaps(rows[0].found, rows[1].found)
        memoirs = len(rows)
        for number, system in enumerate(options.baseline or [BASELINE]):
            with console.status(system):
                rows.append(harness.run(system, out / f"baseline-{number}.json", []))
    console.print(_table(rows))
    if shared:
        console.print(_overlap_table(shared))
    console.print(f"{rows[0].questions} answerable questions; percent; times as one client sees them")
    best = max(row.values["recall@10"] for row in rows[memoirs:])
    if any(ours.foreign or ours.values["recall@10"] < best for ours in rows[:memoirs]):
        sys.exit(1)


@contextmanager
def _memoir(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """A server on a new data directory; yields its address."""
    with memoir_server(folder, environment) as process:
        yield process.address


@dataclass(frozen=True, slots=True)
class _Harness:
    folder: Path
    data: Path
    text: str
    model_home: str

    def run(self, system: str, out: Path, settings: Sequence[str]) -> Row:
        """Runs one system in a process of its own. Raises RuntimeError with its output if it fails."""
        command = [sys.executable, str(self.folder / "run.py"), "--system", system, "--data", str(self.data)]
        command += ["--text", self.text, "--out", str(out.resolve())]
        for setting in settings:
            command += ["--opt", setting]
        # The harness adds its own folder and the current one to the import path.
        environment = {**os.environ, "MINILM_HOME": self.model_home, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{system} failed:\n{done.stdout}\n{done.stderr}")
        return _row(json.loads(out.read_text(encoding="utf-8")))


def _row(result: Mapping[str, object]) -> Row:
    summary = result["summary"]
    assert isinstance(summary, dict)
    groups = summary["both"]
    answerable = groups["answerable"]
    return Row(
        name=str(result["name"]),
        questions=int(answerable["n"]),
        values={metric: float(answerable[metric]) for metric in METRICS},
        by_category={
            name: float(group["recall@10"]) for name, group in groups.items() if name not in ("answerable", "all")
        },
        added_per_second=float(str(result["add_per_s"])),
        search_ms=(float(str(result["search_ms_p50"])), float(str(result["search_ms_p95"]))),
        foreign=int(str(result["foreign_ids"])),
        found={str(row["id"]): (str(row["category"]), list(row["got"])) for row in _rows(result)},
    )


def _rows(result: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
    rows = result["rows"]
    assert isinstance(rows, list)
    return rows


def _overlap_table(shared: Sequence[Overlap]) -> Table:
    table = Table("overlap@10 of the profiles", "questions", "mean", "same ten", "same ten in the same order")
    for each in shared:
        table.add_row(each.name, str(each.questions), f"{each.mean:.4f}", str(each.same), str(each.same_order))
    return table


def _table(rows: Sequence[Row]) -> Table:
    categories = list(rows[0].by_category)
    table = Table("", *(row.name for row in rows))
    for metric in METRICS:
        table.add_row(metric, *(f"{100 * row.values[metric]:.1f}" for row in rows))
    for category in categories:
        table.add_row(f"recall@10, {category}", *(f"{100 * row.by_category[category]:.1f}" for row in rows))
    table.add_row("of other conversations", *(str(row.foreign) for row in rows))
    table.add_row("added per second", *(f"{row.added_per_second:.0f}" for row in rows))
    table.add_row("search p50 / p95 ms", *(f"{row.search_ms[0]:.1f} / {row.search_ms[1]:.1f}" for row in rows))
    return table


if __name__ == "__main__":
    main()
