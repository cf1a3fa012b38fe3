"""What a full run found, as a page of the documentation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.steps import Outcome

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

_BEGIN = """# Faults

What became of a server that was stopped with kill -9 at every step of every mutation, under load, and with damaged files.

```
{command}
```

Seed: {seed}. Written by that command; CI runs a seeded part of it (`tests/faults/test_steps.py`).
"""

_STEPS = """
## Every step of a mutation

A step is a call of the ledger, the index, the graph or the embedder that a server makes while it serves one mutation and its
clean-up, found by recording them: `store.method#n` is the n-th such call. For each, before and after the call: a fresh copy of the same data, the mutation, kill -9
at the step, a new start, the mutation again with the same `request_id`. Then everything is compared with a run that nobody
disturbed: memories, history, search for every text that is or was there, entities, the content of index and graph, the rows of every
table, and a watch that began before.

{kills} kills at {steps} steps. Differences: {failed}. {not_reached}

Outcomes: **lost**, the caller got no answer; **answered**, the process ended after the answer, and the change was there before the call was repeated.
In both, nothing was lost, resurrected, orphaned or doubled, and the watch had no gap.

| operation | step | moment | outcome |
|---|---|---|---|
{rows}
"""

_NOT_REACHED = "{count} runs did not come to their step: it is a look at a state that others move at the same time, and did not occur in this order of events."

_OTHERS = """
## {title}

{text}

| case | outcome |
|---|---|
{rows}
"""


@dataclass(slots=True)
class Report:
    """Collects the outcomes of a run. `failures` are the messages of kills that left a difference."""

    outcomes: list[Outcome] = field(default_factory=list)
    rounds: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def write(self, command: str, seed: int) -> None:
        """Writes the page."""
        text = _BEGIN.format(command=command, seed=seed)
        if self.outcomes:
            text += self._steps()
        if self.rounds:
            text += _others(
                "Kills at random moments under load",
                "Four clients create, add, update, delete, supersede and reset while the server is killed again and again.",
                self.rounds,
            )
        if self.files:
            text += _others(
                "Files and disks",
                "The same answers as before the damage, or a clear refusal; never a wrong answer.",
                self.files,
            )
        PAGE.write_text(text, encoding="utf-8")

    def _steps(self) -> str:
        answers = Counter(outcome.answer for outcome in self.outcomes)
        rows = [f"| {o.kill.operation.name} | `{o.kill.step}` | {o.kill.moment} | {o.answer} |" for o in self.outcomes]
        missed = answers["not reached"]
        return _STEPS.format(
            kills=len(rows) - missed,
            steps=len({(o.kill.operation.name, o.kill.step) for o in self.outcomes}),
            failed=answers["DIFFERENT"],
            not_reached=_NOT_REACHED.format(count=missed) if missed else "",
            rows="\n".join(rows),
        )


def _others(title: str, text: str, cases: dict[str, str]) -> str:
    rows = "\n".join(f"| {case} | {outcome} |" for case, outcome in sorted(cases.items()))
    return _OTHERS.format(title=title, text=text, rows=rows)
