"""`make bench`: every section in one run, printed and written to docs/benchmarks.md."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from bench import calls, growth, inference, stores, streaming, writes
from bench.corpus import Corpus
from bench.filling import Filled, Progress, filled
from bench.options import Options, parse
from bench.processes import memoir_server
from bench.report import Findings, render
from bench.results import CallRow, Growth, InferenceRow, StoresRow, Streaming, WriteRow


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what the options ask for, prints the report and writes it."""
    options = parse(arguments)
    console = Console(highlight=False)
    began, load = time.perf_counter(), os.getloadavg()[0]
    with _progress(Console(stderr=True, highlight=False)) as say:
        found = run(options, say)
    page = render(found, options, time.perf_counter() - began, load)
    options.out.write_text(page, encoding="utf-8")
    console.print(Markdown(page))
    console.print(f"Written to {options.out}")


def run(options: Options, say: Progress) -> Findings:
    """The findings of all sections asked for."""
    call_rows: list[CallRow] = []
    grown: Growth | None = None
    streamed: Streaming | None = None
    write_rows: list[WriteRow] = []
    with tempfile.TemporaryDirectory(prefix="memoir-bench-") as folder:
        root = Path(folder)
        with ExitStack() as stack:
            if {"calls", "growth", "streaming"} & set(options.sections):
                largest = stack.enter_context(_filled(root, options, options.sizes[-1], say))
                # First: its queries must be new to the server.
                if "streaming" in options.sections:
                    streamed = streaming.measure(largest, options, say)
                if "calls" in options.sections:
                    call_rows = calls.measure(largest, options, root, say)
                if "growth" in options.sections:
                    smaller = [stack.enter_context(_filled(root, options, s, say)) for s in options.sizes[:-1]]
                    grown = growth.measure([*smaller, largest], options, say)
        if "writes" in options.sections:
            for threads in sorted({1, options.threads}):
                environment = {
                    "MEMOIR_EMBEDDER__MODEL": options.model,
                    "MEMOIR_EMBEDDER__THREADS": str(threads),
                }
                with memoir_server(root / f"writes-{threads}", environment) as process:
                    write_rows += writes.measure(process, options, threads, say)
        inferred: list[InferenceRow] = []
        if "inference" in options.sections:
            inferred = inference.measure(options, root, say)
        stores_rows: list[StoresRow] = stores.measure(options, root, say) if "stores" in options.sections else []
    return Findings(call_rows, grown, write_rows, streamed, inferred, stores_rows)


@contextmanager
def _filled(root: Path, options: Options, size: int, say: Progress) -> Iterator[Filled]:
    corpus = Corpus(size // options.per_user, options.per_user)
    with filled(root / f"size-{size}", corpus, options.model, say) as data:
        yield data


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    """One line that says what is being measured; a line each where there is no terminal."""
    if not console.is_terminal:
        began = time.perf_counter()
        yield lambda text: console.print(f"{time.perf_counter() - began:6.1f} s  {text}")
        return
    with console.status("starting") as status:
        yield status.update


if __name__ == "__main__":
    # The servers of a run end with it, whoever ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
