"""One mutation, interrupted at one step; and the same one left alone, to compare with."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass

from memoir import AsyncMemoir, MemoirError
from tests.faults.operations import Operation
from tests.faults.report import ANSWERED, LOST, NOT_REACHED
from tests.faults.site import Site
from tests.faults.snapshot import Shown, Stored, difference, look, settled

QUIET_SECONDS = 0.4
"""No step for so long, once nothing is left to apply: the mutation is over, and what follows it too. Shorter than the pause
in which an idle projector looks for work."""
DEATH_SECONDS = 10.0
"""How long the process may live on after the answer: what follows it is quick, but for a busy machine."""
REACH_SECONDS = 60.0
MOMENTS = ("before", "after")


@dataclass(frozen=True, slots=True)
class Reference:
    """What an operation does when nothing goes wrong: its steps in order, and what is there afterwards."""

    steps: tuple[str, ...]
    shown: Shown
    stored: Stored


@dataclass(frozen=True, slots=True)
class Kill:
    """Where the process ends."""

    operation: Operation
    step: str
    moment: str


async def record(operation: Operation, site: Site) -> Reference:
    """Runs the operation undisturbed, repeats it after a restart, and looks at everything."""
    await site.begin()
    async with site.client() as client:
        await _quiet(client)
        site.record()
        await operation.run(client)
        await settled(client)
        recorded = await _recorded(site)
        first = await look(client)
    await site.restart()
    async with site.client() as client:
        await operation.run(client)
        shown = await look(client)
    assert shown == first, f"repeating the operation changed something: {difference(first, shown)}"
    return Reference(recorded, shown, await site.stored())


async def interrupt(kill: Kill, reference: Reference, site: Site) -> str:
    """Kills the server at the step, starts it again, repeats the operation, and compares everything with the reference.

    Returns LOST, ANSWERED or NOT_REACHED. Raises AssertionError where they differ.
    """
    seen: list[int] = []
    await site.begin()
    watcher = asyncio.create_task(_watch(site, seen))
    try:
        async with site.client() as client:
            await _reached(1, seen)
            await _quiet(client)
            site.record(f"{kill.step}:{kill.moment}")
            answered = await _until_death(kill.operation, client, site)
        died = not site.server.running()
        site.stop_recording()
        await site.restart()
        async with site.client() as client:
            if answered:
                found = difference(reference.shown, await look(client))
                assert not found, f"before the call was repeated: {found}"
            await kill.operation.run(client)
            shown = await look(client)
        found = difference(reference.shown, shown)
        assert not found, found
        await _reached(shown.head, seen)
    finally:
        site.stop_recording()
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
    assert seen == list(range(1, reference.shown.head + 1)), "the watch has a gap or a repeat"
    found = difference(reference.stored, await site.stored())
    assert not found, found
    if not died:
        return NOT_REACHED
    return ANSWERED if answered else LOST


async def _quiet(client: AsyncMemoir) -> None:
    """Waits until the work of the start is done, so that the first step is one of the mutation."""
    await settled(client)
    await asyncio.sleep(QUIET_SECONDS)


async def _recorded(site: Site) -> tuple[str, ...]:
    """The steps, once no more come; stops the recording."""
    size = -1
    while size != (size := site.journal.stat().st_size):
        await asyncio.sleep(QUIET_SECONDS)
    site.stop_recording()
    return tuple(site.journal.read_text(encoding="utf-8").split())


async def _until_death(operation: Operation, client: AsyncMemoir, site: Site) -> bool:
    """Runs the operation until the process has ended; whether the answer came before that."""
    running = asyncio.create_task(operation.run(client))
    deadline = float("inf")
    while site.server.running() and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
        if running.done() and deadline == float("inf"):
            deadline = time.monotonic() + DEATH_SECONDS
    if not running.done():
        # Nobody is there to answer; the client would go on trying.
        running.cancel()
    try:
        await running
    except (MemoirError, asyncio.CancelledError):
        return False
    return True


async def _watch(site: Site, seen: list[int]) -> None:
    async with site.client() as client:
        async for event in client.watch(start_revision=1, reconnect_timeout=None):
            seen.append(event.revision)  # noqa: PERF401 - others read the list while it grows


async def _reached(revision: int, seen: list[int]) -> None:
    async with asyncio.timeout(REACH_SECONDS):
        while not seen or seen[-1] < revision:
            await asyncio.sleep(0.01)
