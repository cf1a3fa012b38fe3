"""kill -9 before and after every port call of every mutation, each against a run that nobody disturbed."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from tests.faults.extent import ALL, KILLS, SEED
from tests.faults.operations import OPERATIONS, Operation
from tests.faults.report import DIFFERENT, NOT_REACHED, STEPS, Finding, Report
from tests.faults.steps import MOMENTS, Kill, Reference, interrupt, record

AT_ONCE = 4
WRITES = (
    *("ledger.commit", "ledger.save_plan", "ledger.execute_reset", "ledger.save_progress", "ledger.erase"),
    *("ledger.finish_reset", "ledger.keep_vectors", "ledger.complete", "index.apply", "graph.apply"),
)
"""Steps that change something: they come in every order of events, so each of them must be reached."""


@pytest.mark.timeout(7200)
async def test_a_kill_at_any_step_changes_nothing(origin: Path, tmp_path: Path, report: Report) -> None:
    busy = asyncio.Semaphore(AT_ONCE)

    async def recording(operation: Operation) -> Reference:
        async with busy:
            return await record(operation, origin, tmp_path / operation.name)

    recordings = await asyncio.gather(*(recording(operation) for operation in OPERATIONS))
    references = dict(zip((operation.name for operation in OPERATIONS), recordings, strict=True))
    failures: list[str] = []
    missed: list[Kill] = []

    async def one(number: int, kill: Kill) -> None:
        directory = tmp_path / f"kill-{number}"
        async with busy:
            try:
                outcome = await interrupt(kill, references[kill.operation.name], origin, directory)
            except Exception as failure:  # noqa: BLE001 - reported below, with all the others
                failures.append(f"{kill.operation.name} {kill.step} {kill.moment}, {directory}: {failure!r}")
                outcome = DIFFERENT
            else:
                shutil.rmtree(directory)
        if outcome == NOT_REACHED:
            missed.append(kill)
        report.add(Finding(STEPS, kill.operation.name, kill.step, outcome, kill.moment))

    kills = _chosen(references)
    await asyncio.gather(*(one(number, kill) for number, kill in enumerate(kills)))
    assert failures == [], "\n".join(failures)
    assert [kill for kill in missed if kill.step.startswith(WRITES)] == []
    assert len(missed) <= len(kills) // 10, missed


def _chosen(references: dict[str, Reference]) -> list[Kill]:
    """All kills; in a part run a seeded choice, with each operation at least three times and at a write each time."""
    of = [
        [Kill(operation, step, moment) for step in references[operation.name].steps for moment in MOMENTS]
        for operation in OPERATIONS
    ]
    if ALL:
        return [kill for kills in of for kill in kills]
    chance = random.Random(SEED)
    chosen = [
        kill for kills in of for kill in chance.sample([kill for kill in kills if kill.step.startswith(WRITES)], 3)
    ]
    rest = [kill for kills in of for kill in kills if kill not in chosen]
    return chosen + chance.sample(rest, KILLS - len(chosen))


def test_every_operation_is_recorded_down_to_the_stores() -> None:
    """The list of operations is the one the documentation promises."""
    names = [operation.name for operation in OPERATIONS]
    assert names == ["create", "add", "update", "supersede", "delete", "reset", "erasure"]
