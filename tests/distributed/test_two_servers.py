"""Two servers over the same stores: writers and watchers on both, and one that is stopped."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from memoir import (
    AsyncMemoir,
    DeadlineExceeded,
    EtagMismatch,
    HistoryEvent,
    MemoryAlreadyExists,
    MemoryNotFound,
    Unavailable,
)
from stores.deployment import Deployment
from tests.distributed.extent import SECONDS
from tests.distributed.linearizable import Seen, violations
from tests.distributed.serving import caught_up, processes
from tests.faults.server_process import ServerProcess

MEMORIES = [f"m{number}" for number in range(8)]
WRITERS = 4
"""On each server."""


@dataclass(slots=True)
class Records:
    """What all clients saw."""

    calls: list[Seen] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def keep(self, memory_id: str, began: float, revision: int, text: str | None, *, is_write: bool) -> None:
        self.calls.append(
            Seen(
                memory_id=memory_id,
                is_write=is_write,
                began=began,
                ended=time.monotonic(),
                revision=revision,
                text=text,
            )
        )


async def work(client: AsyncMemoir, records: Records, chance: random.Random, until: float) -> None:
    """Creates, updates, deletes and reads memories that everybody else changes too."""
    while time.monotonic() < until:
        memory_id, text = chance.choice(MEMORIES), f"note {next(records.numbers)}"
        step = chance.choice(["create", "update", "update", "delete", "get", "get", "get"])
        began = time.monotonic()
        try:
            if step == "create":
                made = await client.create(text, memory_id=memory_id, user_id="ana")
                records.keep(memory_id, began, made.revision, text, is_write=True)
            elif step == "update":
                changed = await client.update(memory_id, text=text)
                records.keep(memory_id, began, changed.revision, text, is_write=True)
            elif step == "delete":
                removed = await client.delete(memory_id)
                records.keep(memory_id, began, removed.revision, None, is_write=True)
            else:
                memory = await client.get(memory_id)
                records.keep(memory_id, began, memory.revision, memory.text, is_write=False)
        except MemoryAlreadyExists:
            # Somebody's is there; which, it does not say.
            continue
        except MemoryNotFound:
            if step == "get":
                records.keep(memory_id, began, 0, None, is_write=False)
        except EtagMismatch as raced:
            raise AssertionError("nobody gave an etag") from raced


async def watch(client: AsyncMemoir, until_revision: asyncio.Future[int]) -> list[tuple[int, str, str]]:
    """Every event from the first one on, until the revision that becomes known at the end."""
    seen: list[tuple[int, str, str]] = []
    async for event in client.watch(start_revision=1, bookmarks=True, progress_interval=0.5):
        if isinstance(event, HistoryEvent):
            seen.append((event.revision, event.type.name, event.memory_id))
        if until_revision.done() and event.revision >= until_revision.result():
            return seen
    raise AssertionError("the watch ended by itself")


@pytest.fixture
async def pair(tmp_path: Path, place: Deployment) -> AsyncIterator[list[ServerProcess]]:
    async with processes(tmp_path, place, 2) as servers:
        yield servers


@pytest.mark.timeout(SECONDS + 240)
async def test_writers_and_watchers_on_both(pair: list[ServerProcess]) -> None:
    records = Records()
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as life, asyncio.TaskGroup() as tasks:
        clients = [await life.enter_async_context(AsyncMemoir(server.address)) for server in pair]
        watchers = [tasks.create_task(watch(client, end)) for client in clients for _ in range(2)]
        until = time.monotonic() + SECONDS
        writers = [
            tasks.create_task(work(client, records, random.Random(f"{number} {which}"), until))
            for which, client in enumerate(clients)
            for number in range(WRITERS)
        ]
        await asyncio.wait(writers)
        head = (await clients[0].server_info()).revision
        end.set_result(head)
    broken = violations(records.calls)

    assert not broken, "\n".join(broken[:20])
    first, *others = [watcher.result() for watcher in watchers]
    assert [revision for revision, _, _ in first] == list(range(1, head + 1)), "a watcher has a gap"
    assert all(other == first for other in others)
    acknowledged = {call.revision for call in records.calls if call.is_write}
    assert acknowledged == set(range(1, head + 1)), "a write is in the log that nobody made, or the other way round"
    async with AsyncMemoir(pair[1].address) as client:
        await caught_up(client)
        last: dict[str, Seen] = {}
        for call in records.calls:
            if call.is_write and call.revision > (last[call.memory_id].revision if call.memory_id in last else 0):
                last[call.memory_id] = call
        wanted = {memory_id: call.text for memory_id, call in last.items() if call.text is not None}
        assert {memory.id: memory.text async for memory in client.list()} == wanted
        summary = await client.check_consistency()
        assert summary.findings == ()


@pytest.mark.timeout(180)
async def test_a_watch_on_one_sees_a_write_on_the_other(pair: list[ServerProcess]) -> None:
    async with AsyncMemoir(pair[0].address) as here, AsyncMemoir(pair[1].address) as there:
        await there.create("begin", user_id="ana")
        watching = here.watch(start_revision=1)
        assert (await anext(aiter(watching))).revision == 1
        for revision in range(2, 12):
            made = await there.create(f"note {revision}", user_id="ana")
            event = await asyncio.wait_for(anext(aiter(watching)), 10)
            assert (event.revision, event.memory_id) == (revision, made.id)
            # Read on one server what was acknowledged on the other.
            assert (await here.get(made.id)).text == f"note {revision}"
            assert made.id in [
                hit.memory.id
                for hit in (await here.search(f"note {revision}", user_id="ana", min_revision=revision)).hits
            ]


@pytest.mark.timeout(180)
async def test_one_that_stops_hands_over_to_the_other(pair: list[ServerProcess]) -> None:
    """Clients that know both addresses see nothing but retries."""
    target = "ipv4:" + ",".join(server.address for server in pair)
    made: dict[str, list[str]] = defaultdict(list)

    async def write(client: AsyncMemoir, name: str, stopped: asyncio.Event) -> None:
        number, more = 0, 30
        while more:
            more -= stopped.is_set()
            number += 1
            memory_id = f"{name}-{number}"
            await client.create(f"note {memory_id}", memory_id=memory_id, user_id="ana", timeout=60)
            made[name].append(memory_id)

    async with AsyncExitStack() as life:
        clients = [await life.enter_async_context(AsyncMemoir(target)) for _ in range(4)]
        stopped = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for number, client in enumerate(clients):
                tasks.create_task(write(client, f"w{number}", stopped))
            await asyncio.sleep(2)
            await asyncio.to_thread(pair[0].stop)
            stopped.set()
        await caught_up(clients[0])
        kept = [memory.id async for memory in clients[0].list()]
    assert len(kept) == len(set(kept))
    assert set(kept) == {memory_id for ids in made.values() for memory_id in ids}


@pytest.mark.timeout(180)
async def test_what_a_killed_server_left_the_other_finishes(pair: list[ServerProcess]) -> None:
    """Its leases run out, and what it had accepted and not applied is applied."""
    async with AsyncMemoir(pair[0].address) as doomed, AsyncMemoir(pair[1].address) as other:
        kept: list[str] = []

        async def write() -> None:
            for number in itertools.count():
                made = await doomed.create(f"note {number}", user_id="ana", durability="ACCEPTED", timeout=5)
                kept.append(made.id)

        writing = asyncio.create_task(write())
        await asyncio.sleep(2)
        await asyncio.to_thread(pair[0].kill)
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await writing
        await caught_up(other, timeout=90)
        # The last one may have been kept without its answer.
        found = {memory.id async for memory in other.list()}
        assert set(kept) <= found
        assert len(found) <= len(kept) + 1
        assert (await other.check_consistency()).findings == ()
