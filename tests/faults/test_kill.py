"""kill -9 while clients create, add, update, delete, supersede and reset: what was acknowledged is there afterwards,
what was removed is not, nothing happened twice, index and graph agree with the ledger, and a watcher missed nothing."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from memoir import AsyncMemoir, Unavailable
from memoir_server.adapters.graph.sqlite import SqliteGraph
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from tests.faults.extent import ROUNDS, SEED
from tests.faults.report import Report
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.workload import Writer

NAMESPACE = "faults"
WRITERS = 4
FAR_FUTURE = 2**52


@pytest.mark.timeout(900)
async def test_nothing_acknowledged_is_lost_to_kills(tmp_path: Path, report: Report) -> None:
    chance = random.Random(SEED)
    address = free_address()
    server = ServerProcess(tmp_path / "data", address)
    writers = [Writer(f"user{i}", random.Random(chance.random())) for i in range(WRITERS)]
    seen: list[int] = []
    server.start()
    try:
        async with AsyncMemoir(address, namespace=NAMESPACE) as client:
            watcher = asyncio.create_task(_watch(address, seen))
            for _ in range(ROUNDS):
                working = [asyncio.create_task(writer.work(client)) for writer in writers]
                await asyncio.sleep(chance.uniform(0.05, 1.2))
                server.kill()
                await asyncio.gather(*working)
                server.start()
                await _reconnected(client)
                for writer in writers:
                    await _check_uncertain(client, writer)
                    await writer.repeat_uncertain(client)
                    await _check_state(client, writer)
            head = await _check_history(client, writers)
            await _watched_up_to(head, seen)
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
    finally:
        server.stop()
    assert seen == list(range(1, head + 1)), "the watch has a gap or a repeat"
    done = Counter(mutation.name for writer in writers for mutation in writer.acknowledged.values())
    assert set(done) == {"create", "create_many", "add", "update", "delete", "delete_many", "supersede", "reset"}
    await _check_stores(server.data, writers)
    report.rounds[f"{ROUNDS} rounds, {done.total()} acknowledged mutations"] = (
        "none lost, resurrected, orphaned or doubled; watch without gap"
    )


async def _reconnected(client: AsyncMemoir) -> None:
    """The connection notices the new server after its own backoff; until then calls fail at once."""
    async with asyncio.timeout(15):
        while True:
            with suppress(Unavailable):
                await client.server_info()
                return
            await asyncio.sleep(0.05)


async def _watch(address: str, seen: list[int]) -> None:
    async with AsyncMemoir(address, namespace=NAMESPACE) as client:
        async for event in client.watch(start_revision=1):
            seen.append(event.revision)  # noqa: PERF401 - others read the list while it grows


async def _watched_up_to(head: int, seen: list[int]) -> None:
    async with asyncio.timeout(30):
        while not seen or seen[-1] < head:
            await asyncio.sleep(0.05)


async def _listed(client: AsyncMemoir, writer: Writer) -> dict[str, str]:
    return {
        memory.id: memory.text
        async for memory in client.list(user_id=writer.user_id, include_superseded=True, page_size=1000, timeout=30)
    }


async def _check_uncertain(client: AsyncMemoir, writer: Writer) -> None:
    """A lost call happened whole or not at all."""
    if writer.uncertain is None:
        return
    before = writer.expected
    actual = await _listed(client, writer)
    if not writer.uncertain.changes:
        new = {key: text for key, text in actual.items() if key not in before}
        assert {key: text for key, text in actual.items() if key in before} == before
        assert len(new) in (0, writer.uncertain.events)
        return
    after = {key: text for key, text in {**before, **writer.uncertain.changes}.items() if text is not None}
    assert actual in (before, after), f"{writer.uncertain.name} happened in part"


async def _check_state(client: AsyncMemoir, writer: Writer) -> None:
    """Every acknowledged change is there, nothing else is, and search agrees."""
    assert await _listed(client, writer) == writer.expected
    revision = (await client.server_info(timeout=30)).revision
    for memory_id, text in writer.chance.sample(sorted(writer.expected.items()), min(3, len(writer.expected))):
        found = await _found(client, writer, text, revision)
        assert memory_id in found, f"{memory_id} is not found by its own words"
    for memory_id, text in writer.removed[-3:]:
        if writer.expected.get(memory_id) != text:
            found = await _found(client, writer, text, revision)
            assert found.get(memory_id) != text, f"{memory_id} came back as it was"


async def _found(client: AsyncMemoir, writer: Writer, text: str, revision: int) -> dict[str, str]:
    result = await client.search(
        text.split()[1],
        user_id=writer.user_id,
        recipe="keyword",
        include_superseded=True,
        min_revision=revision,
        timeout=30,
    )
    return {hit.memory.id: hit.memory.text for hit in result.hits}


async def _check_history(client: AsyncMemoir, writers: list[Writer]) -> int:
    """Every acknowledged mutation is in the log exactly once; returns the newest revision."""
    counts: Counter[str] = Counter()
    head = 0
    async for event in client.history(timeout=30):
        counts[event.request_id] += 1
        assert event.revision == head + 1, "the log has a gap"
        head = event.revision
    for writer in writers:
        for request_id, mutation in writer.acknowledged.items():
            assert counts[request_id] == mutation.events, (
                f"{mutation.name} {request_id} is in the log {counts[request_id]} times"
            )
    return head


async def _check_stores(data: Path, writers: list[Writer]) -> None:
    """Opens the stores themselves: index and graph hold what the ledger holds, and nothing of what was removed."""
    ledger, index, graph = SqliteLedger(data), SqliteIndex(data), SqliteGraph(data)
    await ledger.open()
    await index.open()
    await graph.open()
    try:
        assert await ledger.verify_chain(NAMESPACE)
        selection = Selection(scope=Scope(), include_superseded=True, reference=FAR_FUTURE, now=0)
        current = await ledger.list_memories(NAMESPACE, selection, after=None, limit=100_000)
        assert {m.memory_id for m in current} == {key for writer in writers for key in writer.expected}
        by_id = {memory.memory_id: memory for memory in current}
        held = await index.find(NAMESPACE, sorted(by_id))
        assert set(by_id) == {memory_id for memory_id, _ in held}
        assert {(m.memory_id, m.revision) for m in current} <= set(held)
        mentioned = {memory_id for memory_id, _ in await graph.find(NAMESPACE, sorted(by_id))}
        assert mentioned == {memory_id for memory_id, m in by_id.items() if m.entities}
        gone = sorted({key for writer in writers for key, _ in writer.removed} - set(by_id))
        assert await index.find(NAMESPACE, gone) == []
        assert await graph.find(NAMESPACE, gone) == []
    finally:
        await graph.close()
        await index.close()
        await ledger.close()
