"""Runs the harness over Memoir and over the harness's own baseline, and prints both side by side.

python -m bench.retrieval --data CONVERSATIONS.json --harness HARNESS_FOLDER [--server HOST:PORT]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.processes import server
from bench.retrieval.baseline_model import write_model_home

MEMOIR = "bench.retrieval.system:Memoir"
BASELINE = "systems.baseline:fusion"
METRICS = ("recall@5", "recall@10", "recall@20", "hit@10", "all@10", "mrr", "ndcg@10")
PROJECT = Path(__file__).resolve().parents[2]


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


def main() -> None:
    """Runs both systems and prints the table; exits with 1 if Memoir found less than the baseline or anything of
    another conversation."""
    parser = argparse.ArgumentParser(prog="python -m bench.retrieval", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="conversations and questions, as the harness reads them"
    )
    parser.add_argument("--harness", type=Path, required=True, help="folder of the harness, with run.py")
    parser.add_argument("--server", default="", metavar="HOST:PORT", help="a running server (default: start one)")
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
        command = [sys.executable, "-m", "memoir_server.cli.main", "serve", "--data", str(root / "data")]
        command += ["--listen", "127.0.0.1:0", "--port-file", str(root / "memoir.port")]
        rows = []
        with nullcontext() if options.server else server(command, root / "memoir.port", {}) as started:
            address = options.server if started is None else started.address
            with console.status(f"Memoir at {address}"):
                settings = [f"target={address}", f"recipe={options.recipe}"]
                rows.append(harness.run(MEMOIR, out / "memoir.json", settings))
        for number, system in enumerate(options.baseline or [BASELINE]):
            with console.status(system):
                rows.append(harness.run(system, out / f"baseline-{number}.json", []))
    console.print(_table(rows))
    console.print(f"{rows[0].questions} answerable questions; percent; times as one client sees them")
    ours, best = rows[0], max(row.values["recall@10"] for row in rows[1:])
    if ours.foreign or ours.values["recall@10"] < best:
        sys.exit(1)


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
    )


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
