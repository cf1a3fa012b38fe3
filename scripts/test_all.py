"""Runs every check of the project, one part after the other, and ends with one line that sums up.

A failing part does not stop the later ones, so that one run shows everything that is broken. The exit status is 1
when any part failed.
"""

import os
import subprocess
import sys
import time
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


PARTS = (
    Part("lint", ("scripts/lint.sh",)),
    Part("generate-check", (".venv/bin/python", "scripts/generate.py", "--check")),
    Part("breaking", ("scripts/breaking.sh",)),
    # Built before pytest: the golden tests drive the Node SDK as users get it, from dist/.
    Part("node", ("npm", "--prefix", "sdk-node", "test", "--silent")),
    Part("pytest", (".venv/bin/python", "-m", "pytest", "-m", "not stores")),
    # Before the tests: the first build of Weaviate takes longer than any test may.
    Part("stores", (".venv/bin/python", "-m", "stores", "fetch")),
    Part("pytest on the real stores", (".venv/bin/python", "-m", "pytest", "-m", "stores")),
)
EXAMPLES_ON_STORES = "4"
"""Examples of a property on the real stores, whose every answer takes milliseconds; MEMOIR_EXAMPLES gives another
number."""


def run(part: Part) -> Outcome:
    """Run one part with its output going straight to the terminal."""
    print(f"\n== {part.name} ==", flush=True)
    started = time.monotonic()
    environment = dict(os.environ)
    if "stores" in part.command:
        environment.setdefault("MEMOIR_EXAMPLES", EXAMPLES_ON_STORES)
    status = subprocess.run(part.command, cwd=ROOT, check=False, env=environment).returncode
    outcome = Outcome(part, status == 0, time.monotonic() - started)
    print(f"== {part.name}: {'passed' if outcome.passed else 'FAILED'} in {outcome.seconds:.1f} s ==", flush=True)
    return outcome


def main() -> int:
    """Run all parts and print the table of times and the final line."""
    outcomes = [run(part) for part in PARTS]
    print()
    for outcome in outcomes:
        print(f"{'passed' if outcome.passed else 'FAILED':<7} {outcome.seconds:7.1f} s  {outcome.part.name}")
    passed = sum(outcome.passed for outcome in outcomes)
    total = sum(outcome.seconds for outcome in outcomes)
    print(f"\nparts: {passed} passed, {len(outcomes) - passed} failed in {total:.1f} s")
    return 0 if passed == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
