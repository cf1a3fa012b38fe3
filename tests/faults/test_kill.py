"""kill -9 while clients create, add, update, delete, supersede and reset: what was acknowledged is there afterwards,
what was removed is not, nothing happened twice, index and graph agree with the ledger, and a watcher missed nothing."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from memoir import AsyncMemoir
from memoir_server.adapters.graph.sqlite import SqliteGraph
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.adapters.ledger.sqlite import SqliteLedger
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
from tests.faults.extent import ROUNDS, SEED
from tests.faults.report import ROUNDS as ROUNDS_PART
from tests.faults.report import Finding, Report
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.snapshot import settled
from tests.faults.workload import CALL_SECONDS, Writer

NAMESPACE = "faults"
WRITERS = 4


@pytest.mark.timeout(1800)
async def test_nothing_acknowledged_is_lost_to_kills(tmp_path: Path, report: Report) -> None:
    chance = random.Random(SEED)
    address = free_address()
    server = ServerProcess(tmp_path / "data", address)
    writers = [Writer(f"user{i}", random.Random(chance.random())) for i in range(WRITERS)]
    seen: list[int] = []
    server.start()
    try:
        async with AsyncMemoir(address, namespace=NAMESPACE) as client:
            watcher = asyncio.create_task(watch(address, NAMESPACE, seen))
            for _ in range(ROUNDS):
                working = [asyncio.create_task(writer.work(client)) for writer in writers]
                await asyncio.sleep(chance.uniform(0.05, 1.2))
                server.kill()
                await asyncio.gather(*working)
                server.start()
                await reconnected(client)
                for writer in writers:
                    await check_uncertain(client, writer)
                    await writer.repeat_uncertain(client)
                    await check_state(client, writer)
            # From here on nobody writes, neither a client nor the server in the background.
            await cleaned_up(client, writers)
            await settled(client)
            head = await check_history(client, writers)
            await watched_up_to(head, watcher, seen)
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
            assert (await client.server_info(timeout=CALL_SECONDS)).revision == head, "something wrote after the end"
    finally:
        server.stop()
    assert seen == list(range(1, head + 1)), "the watch has a gap or a repeat"
    done = Counter(mutation.name for writer in writers for mutation in writer.acknowledged.values())
    assert set(done) == {"create", "create_many", "add", "update", "delete", "delete_many", "supersede", "reset"}
    data = server.data
    await check_stores(SqliteLedger(data), SqliteIndex(data), SqliteGraph(data), NAMESPACE, writers)
    acknowledged = f"{done.total()} mutations: " + ", ".join(f"{name} {count}" for name, count in sorted(done.items()))
    outcome = "none lost, resurrected, orphaned or doubled; watch without gap"
    report.add(Finding(ROUNDS_PART, str(ROUNDS), acknowledged, outcome))
