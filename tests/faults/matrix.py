"""Kills at every step of every mutation, worked off by several lanes at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from tests.faults.extent import ALL, SEED
from tests.faults.operations import OPERATIONS, Operation
from tests.faults.report import DIFFERENT, NOT_REACHED, Finding, Report
from tests.faults.site import Site
from tests.faults.steps import MOMENTS, Kill, Reference, interrupt, record

WRITES = (
    *("ledger.commit", "ledger.save_plan", "ledger.execute_reset", "ledger.save_progress", "ledger.erase"),
    *("ledger.say_forgotten", "ledger.finish_reset", "ledger.keep_vectors", "ledger.complete"),
    *("ledger.accept_ingestion", "index.apply", "graph.apply"),
)
"""Steps that change something: they come in every order of events, so each of them must be reached."""

T = TypeVar("T")
Lane = Callable[[str], Site]
"""Makes the site of the case of that name. Cases of one lane come one after the other."""


async def kill_everywhere(
    lanes: Sequence[Lane], part: str, kills: tuple[int, int], report: Report, tell: Callable[[str], None]
) -> None:
    """Records every operation, kills it at its steps, and compares. Raises AssertionError when all is done, if anything
    differed or too few kills took place.

    `kills`: of a part run, those at writes of each operation, and all.
    """
    references: dict[str, Reference] = {}
    began = time.monotonic()

    async def recording(lane: Lane, operation: Operation) -> None:
        async with lane(f"alone-{operation.name}") as site:
            references[operation.name] = await record(operation, site)
        tell(f"{part}: {operation.name} recorded, {len(references[operation.name].steps)} steps")

    await _work_off(lanes, OPERATIONS, recording)
    failures: list[str] = []
    missed: list[Kill] = []
    outcomes: Counter[str] = Counter()
    todo = list(enumerate(_chosen(references, kills), start=1))

    async def killing(lane: Lane, numbered: tuple[int, Kill]) -> None:
        number, kill = numbered
        site = lane(f"kill-{number}")
        try:
            async with site:
                outcome = await interrupt(kill, references[kill.operation.name], site)
        except Exception as failure:  # noqa: BLE001 - reported below, with all the others
            why = f"{kill.operation.name} {kill.step} {kill.moment}, {site.journal.parent}: {failure!r}"
            failures.append(why)
            tell(f"{part}: {why}")
            outcome = DIFFERENT
        if outcome == NOT_REACHED:
            missed.append(kill)
        outcomes[outcome] += 1
        report.add(Finding(part, kill.operation.name, kill.step, outcome, kill.moment))
        if outcomes.total() % 10 == 0 or outcomes.total() == len(todo):
            told = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
            tell(f"{part}: {outcomes.total()} of {len(todo)} kills, {told}, {time.monotonic() - began:.0f} s")

    await _work_off(lanes, todo, killing)
    assert failures == [], "\n".join(failures)
    assert [kill for kill in missed if kill.step.startswith(WRITES)] == []
    assert len(missed) <= len(todo) // 10, missed


async def _work_off(lanes: Sequence[Lane], jobs: Iterable[T], do: Callable[[Lane, T], Awaitable[None]]) -> None:
    """Each lane takes the next job when it is done with one."""
    left = iter(jobs)

    async def work(lane: Lane) -> None:
        for job in left:
            await do(lane, job)

    await asyncio.gather(*(work(lane) for lane in lanes))


def _chosen(references: Mapping[str, Reference], kills: tuple[int, int]) -> list[Kill]:
    """All kills; in a part run a seeded choice, with each operation some times at a write."""
    of = [
        [Kill(operation, step, moment) for step in references[operation.name].steps for moment in MOMENTS]
        for operation in OPERATIONS
    ]
    if ALL:
        return [kill for each in of for kill in each]
    chance = random.Random(SEED)
    writes, most = kills
    chosen = [
        kill for each in of for kill in chance.sample([kill for kill in each if kill.step.startswith(WRITES)], writes)
    ]
    rest = [kill for each in of for kill in each if kill not in chosen]
    return chosen + chance.sample(rest, most - len(chosen))
