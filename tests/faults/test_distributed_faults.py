"""Clients write and search while the real stores are killed, suspended and cut off in turn. What was acknowledged is
there afterwards, what was removed is not, nothing happened twice, index and graph agree with the ledger, and a watcher
missed nothing. The server runs on: nothing is restarted but what was killed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from memoir import AsyncMemoir, PhaseOutcome
from stores.deployment import Deployment
from stores.four import Stores
from tests.faults.checks import (
    check_history,
    check_state,
    check_stores,
    check_uncertain,
    cleaned_up,
    reconnected,
    watch,
    watched_up_to,
)
from tests.faults.distributed import LIFE_SECONDS, adapters, fresh
from tests.faults.extent import SEED, STORE_REPETITIONS, STORE_ROUNDS
from tests.faults.report import RECOVERED, STORES, Finding, Report
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.snapshot import examined, settled
from tests.faults.store_faults import StoreFault, proxies, schedule, store_faults
from tests.faults.workload import CALL_SECONDS, LOST, Writer

NAMESPACE = "faults"
PATIENCE_SECONDS = 4.0
"""Deadline of a mutation: some of them end while their store is away."""
SEARCH_SECONDS = 2.0
ENOUGH = 20
LONGEST_SECONDS = 6.0
"""A fault lasts until so many mutations were acknowledged, where that can be, but no longer than that."""


@pytest.mark.timeout(7200)
async def test_nothing_acknowledged_is_lost_to_faults_of_stores(
    four_stores: Stores, tmp_path: Path, report: Report, tell: Callable[[str], None]
) -> None:
    chance = random.Random(SEED)
    deployed = await asyncio.to_thread(fresh, four_stores, "load")
    writers = [
        Writer(f"user{i}", random.Random(chance.random()), patience=PATIENCE_SECONDS, durability=durability)
        for i, durability in enumerate(("INDEXED", "INDEXED", "ACCEPTED", "ACCEPTED"))
    ]
    seen: list[int] = []
    async with proxies(deployed.settings) as (made, through):
        environment = Deployment(through).environment
        server = ServerProcess(tmp_path / "data", free_address(), environment=environment, life=LIFE_SECONDS)
        await asyncio.to_thread(server.start)
        faults = store_faults(four_stores, made, server)
        rounds = [fault for _ in range(STORE_REPETITIONS) for fault in schedule(faults, chance, STORE_ROUNDS)]
        watcher = asyncio.create_task(watch(server.address, NAMESPACE, seen))
        try:
            async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
                for number, fault in enumerate(rounds, start=1):
                    began = time.monotonic()
                    try:
                        counts = await _befallen(client, writers, fault, chance)
                        head = (await client.server_info(timeout=CALL_SECONDS)).revision
                        await watched_up_to(head, watcher, seen)
                    except BaseException as failure:
                        failure.add_note(f"round {number}: {fault.subject}, {fault.kind}")
                        raise
                    report.add(Finding(STORES, fault.subject, fault.kind, RECOVERED, counts=counts))
                    told = ", ".join(f"{count} {name}" for name, count in counts.items())
                    took = time.monotonic() - began
                    tell(f"{STORES}: {number} of {len(rounds)}, {fault.subject} {fault.kind}: {told}, {took:.0f} s")
                # From here on nobody writes, neither a client nor the server in the background.
                await cleaned_up(client, writers)
                await settled(client)
                head = await check_history(client, writers)
                await watched_up_to(head, watcher, seen)
                revision = (await client.server_info(timeout=CALL_SECONDS)).revision
                assert revision == head, "something wrote after the end"
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])
            for store in four_stores.each:
                await asyncio.to_thread(store.resume)
                await asyncio.to_thread(store.start)
            await asyncio.to_thread(server.stop)
    assert seen == list(range(1, head + 1)), "the watch has a gap or a repeat"
    stores = adapters(deployed.settings)
    await check_stores(stores.ledger, stores.index, stores.graph, NAMESPACE, writers)


async def _befallen(
    client: AsyncMemoir, writers: list[Writer], fault: StoreFault, chance: random.Random
) -> dict[str, int]:
    """One fault under load, and everything compared afterwards. Returns what was counted while it lasted."""
    end = asyncio.Event()
    searches: Counter[str] = Counter()
    working = [asyncio.create_task(writer.insist(client, end)) for writer in writers]
    reading = asyncio.create_task(_search(client, writers, chance, end, searches))
    try:
        await asyncio.sleep(chance.uniform(0.2, 0.6))
        before, repeated = _acknowledged(writers), sum(writer.repeated for writer in writers)
        searches.clear()
        await fault.begin()
        try:
            await asyncio.sleep(chance.uniform(0.5, 3.0))
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_SECONDS):
                    while _acknowledged(writers) < before + ENOUGH:
                        await asyncio.sleep(0.05)
        finally:
            counts = {"acknowledged": _acknowledged(writers) - before, **_counted(searches)}
            # A store may take minutes to start where little else can run.
            stop = asyncio.get_running_loop().call_later(LONGEST_SECONDS, end.set)
            await fault.end()
            stop.cancel()
        await asyncio.sleep(chance.uniform(0.2, 0.8))
    finally:
        end.set()
        await asyncio.gather(*working, reading)
    counts["sent again"] = sum(writer.repeated for writer in writers) - repeated
    await reconnected(client)
    await settled(client)
    for writer in writers:
        await check_uncertain(client, writer)
        await writer.repeat_uncertain(client)
        await check_state(client, writer)
    await settled(client)
    await examined(client)
    return counts


async def _search(
    client: AsyncMemoir, writers: list[Writer], chance: random.Random, end: asyncio.Event, searches: Counter[str]
) -> None:
    """Searches until the end. With a store away an answer may lack something; it may not hold what was removed before
    it was asked for, nor anything of somebody else."""
    while not end.is_set():
        writer = chance.choice(writers)
        gone = {(key, text) for key, text in writer.removed if writer.expected.get(key) != text}
        try:
            result = await client.search("tea rain chess", user_id=writer.user_id, limit=50, timeout=SEARCH_SECONDS)
        except LOST:
            searches["refused"] += 1
            await asyncio.sleep(0.05)
            continue
        found = {(hit.memory.id, hit.memory.text) for hit in result.hits}
        assert not found & gone, f"found although removed: {found & gone}"
        assert {hit.memory.scope.user_id for hit in result.hits} <= {writer.user_id}
        whole = all(phase.outcome in _WHOLE for phase in result.phases)
        searches["whole" if whole else "in part"] += 1


_WHOLE = (PhaseOutcome.DONE, PhaseOutcome.SKIPPED)


def _acknowledged(writers: list[Writer]) -> int:
    return sum(len(writer.acknowledged) for writer in writers)


def _counted(searches: Counter[str]) -> dict[str, int]:
    return {f"searches {name}": searches[name] for name in ("whole", "in part", "refused")}
