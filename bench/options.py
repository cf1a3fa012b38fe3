"""How large a run is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SECTIONS = ("calls", "growth", "writes", "streaming", "inference", "stores")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Sizes of a run. `sizes` are memories in all, ascending, each a multiple of `per_user`."""

    sections: tuple[str, ...]
    sizes: tuple[int, ...]
    per_user: int
    queries: int
    sequential: int
    seconds: float
    rounds: int
    batch: int
    write_batches: int
    write_rounds: int
    writers: int
    ready_writers: int
    threads: int
    searches: int
    adds: int
    model: str
    stores_sizes: tuple[int, ...]
    out: Path

    @property
    def command(self) -> str:
        """The command that repeats the run, with what differs from the defaults."""
        changed = [
            f"--{name.replace('_', '-')} {_text(getattr(self, name))}"
            for name in DEFAULTS.__slots__
            if name != "out" and getattr(self, name) != getattr(DEFAULTS, name)
        ]
        return " ".join(["python -m bench", *changed]) if changed else "make bench"


DEFAULTS = Options(
    sections=SECTIONS,
    sizes=(1_000, 10_000, 100_000),
    per_user=1_000,
    queries=1_000,
    sequential=300,
    seconds=4.0,
    rounds=3,
    batch=100,
    write_batches=12,
    write_rounds=5,
    writers=4,
    ready_writers=16,
    threads=os.cpu_count() or 1,
    searches=150,
    adds=200,
    model="all-MiniLM-L6-v2",
    stores_sizes=(10_000, 100_000),
    out=PROJECT / "docs" / "benchmarks.md",
)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options of the command line. Ends the process with status 2 when they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Memoir side by side with something bare.")
    help_by_name = {
        "per_user": "memories per user",
        "queries": "distinct queries of the calls section",
        "sequential": "searches per size and round of the growth section",
        "seconds": "seconds per measurement of the calls section",
        "rounds": "rounds of the calls and growth sections",
        "batch": "memories per batch",
        "write_batches": "batches per round of the writes section",
        "write_rounds": "rounds of the writes section",
        "writers": "batches in flight while texts are embedded",
        "ready_writers": "batches in flight with ready vectors",
        "threads": "embedding threads, ours and the bare embedder's",
        "searches": "pairs of searches of the streaming section",
        "adds": "users of the inference section, two adds each",
        "model": 'embedding model; "hash" needs none',
    }
    for name, text in help_by_name.items():
        default = getattr(DEFAULTS, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(default), default=default, help=f"{text} (default {default})"
        )
    sizes = _text(DEFAULTS.sizes)
    parser.add_argument(
        "--sizes", type=_numbers, default=DEFAULTS.sizes, help=f"memories in all, comma separated (default {sizes})"
    )
    parser.add_argument(
        "--stores-sizes",
        type=_numbers,
        default=DEFAULTS.stores_sizes,
        help=f"memories in the real stores, comma separated (default {_text(DEFAULTS.stores_sizes)})",
    )
    parser.add_argument(
        "--sections",
        type=lambda text: tuple(text.split(",")),
        default=SECTIONS,
        help=f"what to measure, comma separated (default {_text(SECTIONS)})",
    )
    parser.add_argument("--out", type=Path, default=DEFAULTS.out, help="the report (default docs/benchmarks.md)")
    options = Options(**vars(parser.parse_args(arguments)))
    for name in options.sections:
        if name not in SECTIONS:
            parser.error(f"--sections: {name!r} is not one of {_text(SECTIONS)}")
    for option in ("sizes", "stores_sizes"):
        given = getattr(options, option)
        if list(given) != sorted(set(given)) or any(size % options.per_user for size in given):
            name = option.replace("_", "-")
            parser.error(f"--{name}={_text(given)}: give ascending multiples of --per-user={options.per_user}")
    return options


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _text(value: object) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, tuple) else str(value)
