"""Runs every check of the project and ends with one line that sums up.

The quick checks run first, one after the other; then the tests, in two lanes side by side, because both wait more than
they compute. A failing part does not stop the others, so that one run shows everything that is broken. The exit status
is 1 when any part failed.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the run: a heading and the command, started in the checkout."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part; `seconds` is wall time."""

    part: Part
    passed: bool
    seconds: float


FIRST = (
    Part("lint", ("scripts/lint.sh",)),
    Part("generate-check", (".venv/bin/python", "scripts/generate.py", "--check")),
    Part("breaking", ("scripts/breaking.sh",)),
    # Built before pytest: the golden tests drive the Node SDK as users get it, from dist/.
    Part("node", ("npm", "--prefix", "sdk-node", "test", "--silent")),
)
PYTEST = (".venv/bin/python", "-m", "pytest")
ADAPTERS = "tests/conformance"
LANES = (
    (
        Part("pytest", (*PYTEST, "-m", "not stores")),
        # Here, so that both lanes take about as long; by now the other one has fetched the stores.
        Part("pytest of adapters on the real stores", (*PYTEST, "-m", "stores", ADAPTERS)),
    ),
    (
        # Before the tests: the first build of Weaviate takes longer than any test may.
        Part("stores", (".venv/bin/python", "-m", "stores", "fetch")),
        Part("pytest on the real stores", (*PYTEST, "-m", "stores", f"--ignore={ADAPTERS}")),
    ),
)
EXAMPLES_ON_STORES = "4"
"""Examples of a property on the real stores, whose every answer takes milliseconds; MEMOIR_EXAMPLES gives another
number."""

_printing = threading.Lock()


def say(text: str) -> None:
    """Print a line, whole even where lanes print at the same time."""
    with _printing:
        print(text, flush=True)


def run(part: Part, *, lane: bool) -> Outcome:
    """Run one part. In a lane each line of its output begins with the part's name."""
    say(f"\n== {part.name} ==")
    started = time.monotonic()
    environment = dict(os.environ)
    if "stores" in part.command:
        environment.setdefault("MEMOIR_EXAMPLES", EXAMPLES_ON_STORES)
    if lane:
        output = subprocess.Popen(
            part.command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert output.stdout is not None
        for line in output.stdout:
            say(f"[{part.name}] {line.rstrip()}")
        status = output.wait()
    else:
        status = subprocess.run(part.command, cwd=ROOT, check=False, env=environment).returncode
    outcome = Outcome(part, status == 0, time.monotonic() - started)
    say(f"== {part.name}: {'passed' if outcome.passed else 'FAILED'} in {outcome.seconds:.1f} s ==")
    return outcome


def run_lane(lane: Sequence[Part]) -> list[Outcome]:
    """Run the parts of a lane in order."""
    return [run(part, lane=True) for part in lane]


def main() -> int:
    """Run all parts and print the table of times and the final line."""
    started = time.monotonic()
    outcomes = [run(part, lane=False) for part in FIRST]
    with ThreadPoolExecutor(len(LANES)) as pool:
        for found in pool.map(run_lane, LANES):
            outcomes += found
    print()
    for outcome in outcomes:
        print(f"{'passed' if outcome.passed else 'FAILED':<7} {outcome.seconds:7.1f} s  {outcome.part.name}")
    passed = sum(outcome.passed for outcome in outcomes)
    seconds = time.monotonic() - started
    print(f"\nparts: {passed} passed, {len(outcomes) - passed} failed in {seconds:.1f} s")
    return 0 if passed == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
