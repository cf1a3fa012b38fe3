"""One mutation, interrupted at one step; and the same one left alone, to compare with."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from memoir import AsyncMemoir, MemoirError
from tests.faults.operations import Operation, prepare
from tests.faults.recorded_server import KILL_VARIABLE, STEPS_VARIABLE
from tests.faults.report import ANSWERED, LOST, NOT_REACHED
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.snapshot import Shown, Stored, difference, look, open_stores, settled

NAMESPACE = "steps"
MODULE = "tests.faults.recorded_server"
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


async def prepared(directory: Path) -> Path:
    """A data directory as every case finds it."""
    server = ServerProcess(directory / "prepared", free_address())
    await asyncio.to_thread(server.start)
    try:
        async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
            await prepare(client)
            await settled(client)
    finally:
        await asyncio.to_thread(server.stop)
    return server.data


async def record(operation: Operation, origin: Path, directory: Path) -> Reference:
    """Runs the operation undisturbed, repeats it after a restart, and looks at everything."""
    server = _copied(origin, directory)
    steps = directory / "steps"
    try:
        await asyncio.to_thread(server.start, module=MODULE, environment={STEPS_VARIABLE: str(steps)})
        async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
            await _quiet(client)
            steps.touch()
            await operation.run(client)
            await settled(client)
            recorded = await _recorded(steps)
            first = await look(client)
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
            await operation.run(client)
            shown = await look(client)
        assert shown == first, "repeating the operation changed something"
    finally:
        await asyncio.to_thread(server.stop)
    return Reference(recorded, shown, await open_stores(server.data, NAMESPACE))


async def interrupt(kill: Kill, reference: Reference, origin: Path, directory: Path) -> str:
    """Kills the server at the step, starts it again, repeats the operation, and compares everything with the reference.

    Returns LOST, ANSWERED or NOT_REACHED. Raises AssertionError where they differ.
    """
    server = _copied(origin, directory)
    seen: list[int] = []
    try:
        steps = directory / "steps"
        at = f"{kill.step}:{kill.moment}"
        await asyncio.to_thread(
            server.start, module=MODULE, environment={STEPS_VARIABLE: str(steps), KILL_VARIABLE: at}
        )
        watcher = asyncio.create_task(_watch(server.address, seen))
        try:
            async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
                await _reached(1, seen)
                await _quiet(client)
                steps.touch()
                answered = await _until_death(kill.operation, client, server)
            died = not server.running()
            steps.unlink()
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
                if answered:
                    found = difference(reference.shown, await look(client))
                    assert not found, f"before the call was repeated: {found}"
                await kill.operation.run(client)
                shown = await look(client)
            found = difference(reference.shown, shown)
            assert not found, found
            await _reached(shown.head, seen)
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
    finally:
        await asyncio.to_thread(server.stop)
    assert seen == list(range(1, reference.shown.head + 1)), "the watch has a gap or a repeat"
    found = difference(reference.stored, await open_stores(server.data, NAMESPACE))
    assert not found, found
    if not died:
        return NOT_REACHED
    return ANSWERED if answered else LOST


def _copied(origin: Path, directory: Path) -> ServerProcess:
    directory.mkdir(parents=True)
    return ServerProcess(Path(shutil.copytree(origin, directory / "data")), free_address())


async def _quiet(client: AsyncMemoir) -> None:
    """Waits until the work of the start is done, so that the first step is one of the mutation."""
    await settled(client)
    await asyncio.sleep(QUIET_SECONDS)


async def _recorded(steps: Path) -> tuple[str, ...]:
    """The steps, once no more come; stops the recording."""
    size = -1
    while size != (size := steps.stat().st_size):
        await asyncio.sleep(QUIET_SECONDS)
    return tuple(steps.rename(steps.with_suffix(".done")).read_text(encoding="utf-8").split())


async def _until_death(operation: Operation, client: AsyncMemoir, server: ServerProcess) -> bool:
    """Runs the operation until the process has ended; whether the answer came before that."""
    running = asyncio.create_task(operation.run(client))
    deadline = float("inf")
    while server.running() and time.monotonic() < deadline:
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


async def _watch(address: str, seen: list[int]) -> None:
    async with AsyncMemoir(address, namespace=NAMESPACE) as client:
        async for event in client.watch(start_revision=1, reconnect_timeout=None):
            seen.append(event.revision)  # noqa: PERF401 - others read the list while it grows


async def _reached(revision: int, seen: list[int]) -> None:
    async with asyncio.timeout(REACH_SECONDS):
        while not seen or seen[-1] < revision:
            await asyncio.sleep(0.01)
