"""What a full run found, as a page of the documentation.

Every outcome is appended to a file as it comes, so that a run that was broken off is not lost:

    python -m tests.faults.report FILE

shows what such a file holds.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
LOST, ANSWERED, NOT_REACHED, DIFFERENT = "lost", "answered", "not reached", "DIFFERENT"
STEPS, ROUNDS, FILES = "steps", "rounds", "files"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one case.

    `part`: STEPS, ROUNDS or FILES. `subject`: the operation, the rounds, or the file. `case`: the step, what the clients did, or the
    damage. `moment`: "before" or "after", of a step. `outcome`: one of the constants above for a step, else a sentence.
    """

    part: str
    subject: str
    case: str
    outcome: str
    moment: str = ""


class Report:
    """Collects findings. `journal`: the file that each is appended to, made when missing; None keeps them in memory only."""

    def __init__(self, journal: Path | None = None) -> None:
        self.findings: list[Finding] = []
        self._journal = journal

    def add(self, finding: Finding) -> None:
        """Takes a finding, and writes it down at once."""
        self.findings.append(finding)
        if self._journal is not None:
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(finding)) + "\n")

    @classmethod
    def read(cls, journal: Path) -> Report:
        """The report of an earlier run."""
        report = cls()
        report.findings = [Finding(**json.loads(line)) for line in journal.read_text(encoding="utf-8").splitlines()]
        return report

    @property
    def complete(self) -> bool:
        """Whether every part of a full run has left findings."""
        return {finding.part for finding in self.findings} == {STEPS, ROUNDS, FILES}

    def page(self, command: str, seed: int) -> str:
        """The page."""
        parts = {part: [f for f in self.findings if f.part == part] for part in (STEPS, ROUNDS, FILES)}
        sections = [_BEGIN.format(command=command, seed=seed)]
        if parts[STEPS]:
            sections.append(_steps(parts[STEPS]))
        if parts[ROUNDS]:
            sections.append(_ROUNDS.format(rows=_rows((f.subject, f.case, f.outcome) for f in parts[ROUNDS])))
        if parts[FILES]:
            sections.append(_FILES.format(rows=_files(parts[FILES])))
        return "\n".join(sections)


_BEGIN = """# Faults

What became of a server that was stopped with kill -9 at every step of every mutation and at random under load, and whose files were
damaged. Everything ran over the embedded profile, with the real server in a process of its own and the Python SDK as its client.

```
{command}
```

Seed {seed} (`MEMOIR_FAULT_SEED` takes another one). The command writes this page when no test has failed; CI runs a seeded part of the same tests.
"""

_STEPS = """## Every step of a mutation

A step is a call of the ledger, the index, the graph or the embedder that a server makes while it serves one mutation and the clean-up behind
it. They are found by recording them. For each step, before the call and after it: a fresh copy of the same data, the mutation, kill -9 at the step,
a new start, the mutation again under the same `request_id`. Then all that can be seen is compared with a run that nobody disturbed:
memories, history, the search for each text that is or was there, entities, what index and graph hold, the rows of every table, and a
watch that began before.

| operation | steps | kills | lost | answered | not reached | differences |
|---|---|---|---|---|---|---|
{rows}

- **lost**: killed before the caller had its answer, or the receipt of its reset. The repeated call brought the mutation about exactly once.
  An answer waits for index and graph, so nearly every step lies before it.
- **answered**: killed behind the answer. The mutation was there before the call was repeated, and repeating it changed nothing.
- **not reached**: the server did not come to this step again. Index and graph work side by side, so a look at what the other one has done may
  occur once more or less often. Such a run is compared like the others, but counts as no kill.
- **differences**: kills after which anything was lost, resurrected, orphaned, doubled or otherwise not as in the undisturbed run, or the watch
  had a gap or a repeat.

The steps, with the number of calls of each:

{steps}
"""

_ROUNDS = """## Kills at random moments under load

Four clients create, add, update, delete, supersede and reset while the server is killed at a random moment, again and again. After each start a
call whose answer was lost must have happened whole or not at all; it is repeated, and then every client finds exactly what it was told.
At the end the log holds every acknowledged mutation once, the stores are opened and compared, and one watch that ran through all of it must
have every revision once.

| rounds | acknowledged | outcome |
|---|---|---|
{rows}
"""

_FILES = """## Files and disks

The same answers as before the damage, or a clear refusal; never a wrong answer.

| what | damage | outcome |
|---|---|---|
{rows}
"""


def _rows(cells: Iterable[Sequence[object]]) -> str:
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in cells)


def _steps(findings: Sequence[Finding]) -> str:
    by_operation = {f.subject: [g for g in findings if g.subject == f.subject] for f in findings}
    rows: list[list[object]] = []
    lists = []
    for operation, of in by_operation.items():
        steps = list(dict.fromkeys(f.case for f in of))
        outcomes = Counter(f.outcome for f in of)
        kills = len(of) - outcomes[NOT_REACHED]
        told = [outcomes[outcome] for outcome in (LOST, ANSWERED, NOT_REACHED, DIFFERENT)]
        rows.append([operation, len(steps), kills, *told])
        calls = Counter(step.partition("#")[0] for step in steps)
        lists.append(f"- **{operation}**: " + ", ".join(f"`{name}` {count}" for name, count in calls.items()))
    rows.append(["**all**", *(sum(int(str(row[column])) for row in rows) for column in range(1, 7))])
    return _STEPS.format(rows=_rows(rows), steps="\n".join(lists))


def _files(findings: Sequence[Finding]) -> str:
    """One row for each file and outcome; the damages that led to it are listed."""
    ordered = sorted(findings, key=lambda f: (f.subject, f.outcome))
    grouped = groupby(ordered, key=lambda f: (f.subject, f.outcome))
    return _rows((subject, "; ".join(dict.fromkeys(f.case for f in of)), outcome) for (subject, outcome), of in grouped)


if __name__ == "__main__":
    sys.stdout.write(Report.read(Path(sys.argv[1])).page("make faults, broken off", 0))
