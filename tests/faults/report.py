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
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
LOST, ANSWERED, NOT_REACHED, DIFFERENT = "lost", "answered", "not reached", "DIFFERENT"
RECOVERED = "recovered"
STEPS, ROUNDS, FILES = "steps", "rounds", "files"
DISTRIBUTED_STEPS, STORES = "distributed steps", "stores"
COUNTED = ("acknowledged", "sent again", "searches whole", "searches in part", "searches refused")
"""What is counted while a store is troubled."""
PARTS = (STEPS, ROUNDS, FILES, DISTRIBUTED_STEPS, STORES)


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one case.

    `part`: one of PARTS. `subject`: the operation, the rounds, the file, or the store. `case`: the step, what the clients
    did, the damage, or the fault. `moment`: "before" or "after", of a step. `outcome`: one of the constants above for a
    step or a store, else a sentence. `counts`: by names of COUNTED.
    """

    part: str
    subject: str
    case: str
    outcome: str
    moment: str = ""
    counts: dict[str, int] = field(default_factory=dict)


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
        return {finding.part for finding in self.findings} == set(PARTS)

    def page(self, command: str, seed: int) -> str:
        """The page."""
        parts = {part: [f for f in self.findings if f.part == part] for part in PARTS}
        sections = [_BEGIN.format(command=command, seed=seed)]
        if parts[STEPS]:
            sections.append(_STEPS.format(**_steps(parts[STEPS])))
        if parts[ROUNDS]:
            sections.append(_ROUNDS.format(rows=_rows((f.subject, f.case, f.outcome) for f in parts[ROUNDS])))
        if parts[FILES]:
            sections.append(_FILES.format(rows=_files(parts[FILES])))
        if parts[DISTRIBUTED_STEPS]:
            sections.append(_DISTRIBUTED_STEPS.format(**_steps(parts[DISTRIBUTED_STEPS])))
        if parts[STORES]:
            sections.append(_STORES.format(rows=_stores(parts[STORES])))
        return "\n".join(sections)


_BEGIN = """# Faults

What became of a server that was stopped with kill -9 at every step of every mutation and at random under load, whose files were damaged, and
whose stores were killed, suspended and cut off. The real server in a process of its own, the Python SDK as its client; first on the embedded
profile, then on the distributed one with PostgreSQL, Weaviate, Neo4j and Redis.

```
{command}
```

Seed {seed} (`MEMOIR_FAULT_SEED` takes another one). The command writes this page when no test has failed; CI runs a seeded part of the same tests.
"""

_STEPS = """## Every step of a mutation

A step is a call of the ledger, the index, the graph, the embedder or its cache that a server makes while it serves one mutation and the
clean-up behind it. They are found by recording them. For each step, before the call and after it: a fresh copy of the same data, the
mutation, kill -9 at the step, a new start, the mutation again under the same `request_id`. Then all that can be seen is compared with a run
that nobody disturbed: memories, history, the search for each text that is or was there, entities, what index and graph hold, the rows of
every table, what the doctor finds (nothing), and a watch that began before.

| operation | steps | kills | lost | answered | not reached | differences |
|---|---|---|---|---|---|---|
{operations}

- **lost**: killed before the caller had its answer, or the receipt of its reset. The repeated call brought the mutation about exactly once.
  An answer waits for index and graph, so nearly every step lies before it.
- **answered**: killed behind the answer. The mutation was there before the call was repeated, and repeating it changed nothing.
- **not reached**: the server did not come to this step again. Index and graph work side by side, so a look at what the other one has done may
  occur once more or less often. Such a run is compared like the others, but counts as no kill.
- **differences**: kills after which anything was lost, resurrected, orphaned, doubled or otherwise not as in the undisturbed run, or the watch
  had a gap or a repeat.

Step by step, with the operations in which it occurs:

| step | in | killed before it | killed after it |
|---|---|---|---|
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

_DISTRIBUTED_STEPS = """## The distributed profile: every step of a mutation

The same on PostgreSQL, Weaviate, Neo4j and Redis. Each case has a namespace of its own; the server that is started after a kill waits until the
leases of the dead one have run out, and serves the next case. Rows are counted in PostgreSQL and Neo4j themselves.

| operation | steps | kills | lost | answered | not reached | differences |
|---|---|---|---|---|---|---|
{operations}

| step | in | killed before it | killed after it |
|---|---|---|---|
{steps}
"""

_STORES = """## The distributed profile: stores that are killed, suspended or cut off under load

Four clients write as above and one searches, while a store is killed with kill -9 and started again, suspended (SIGSTOP) for a while, or the
connection to it goes through a proxy that delays everything, lets nothing through (a black hole) or resets connections. Every call is sent again
under its `request_id` until it is answered. Afterwards, without a restart of the server: every store in step, the doctor finds nothing, every
client finds exactly what it was told, nothing removed is found, and the watch that runs through all of it has every revision once. At the end the
log holds every acknowledged mutation once, and the stores are opened and compared.

Acknowledged and searches: while the fault lasted. In part: answered, with the phase named that failed.

| store | fault | rounds | acknowledged | sent again | searches whole | in part | refused | outcome |
|---|---|---|---|---|---|---|---|---|
{rows}
"""


def _rows(cells: Iterable[Sequence[object]]) -> str:
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in cells)


def _steps(findings: Sequence[Finding]) -> dict[str, str]:
    """The table by operation, and the one by step."""
    by_operation = {f.subject: [g for g in findings if g.subject == f.subject] for f in findings}
    rows: list[list[object]] = []
    for operation, of in by_operation.items():
        outcomes = Counter(f.outcome for f in of)
        kills = len(of) - outcomes[NOT_REACHED]
        told = [outcomes[outcome] for outcome in (LOST, ANSWERED, NOT_REACHED, DIFFERENT)]
        rows.append([operation, len({f.case for f in of}), kills, *told])
    rows.append(["**all**", *(sum(int(str(row[column])) for row in rows) for column in range(1, 7))])
    by_step: dict[str, list[Finding]] = {}
    for finding in findings:
        by_step.setdefault(finding.case.partition("#")[0], []).append(finding)
    steps = []
    for step, of in sorted(by_step.items()):
        calls = Counter(operation for operation, _ in {(f.subject, f.case) for f in of})
        where = ", ".join(f"{name} {calls[name]}" for name in by_operation if calls[name])
        steps.append([f"`{step}`", where, *(_outcomes(of, moment) for moment in ("before", "after"))])
    return {"operations": _rows(rows), "steps": _rows(steps)}


def _outcomes(findings: Sequence[Finding], moment: str) -> str:
    found = Counter(f.outcome for f in findings if f.moment == moment)
    return ", ".join(f"{name} {found[name]}" for name in (LOST, ANSWERED, NOT_REACHED, DIFFERENT) if found[name])


def _stores(findings: Sequence[Finding]) -> str:
    """One row for each store, fault and outcome."""
    ordered = sorted(findings, key=lambda f: (f.subject, f.case, f.outcome))
    rows: list[list[object]] = []
    for (subject, case, outcome), group in groupby(ordered, key=lambda f: (f.subject, f.case, f.outcome)):
        of = list(group)
        counts: Counter[str] = Counter()
        for finding in of:
            counts.update(finding.counts)
        rows.append([subject, case, len(of), *(counts[name] for name in COUNTED), outcome])
    return _rows(rows)


def _files(findings: Sequence[Finding]) -> str:
    """One row for each file and outcome; the damages that led to it are listed."""
    ordered = sorted(findings, key=lambda f: (f.subject, f.outcome))
    grouped = groupby(ordered, key=lambda f: (f.subject, f.outcome))
    return _rows((subject, "; ".join(dict.fromkeys(f.case for f in of)), outcome) for (subject, outcome), of in grouped)


if __name__ == "__main__":
    sys.stdout.write(Report.read(Path(sys.argv[1])).page("make faults, broken off", 0))
