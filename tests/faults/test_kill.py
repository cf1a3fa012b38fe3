"""kill -9 while clients create, add, update, delete, supersede and reset: what was acknowledged is there afterwards,
what was removed is not, nothing happened twice, index and graph agree with the ledger, and a watcher missed nothing."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from memoir import AsyncMemoir, EventType, Unavailable
from memoir_server.adapters.graph.sqlite import SqliteGraph
from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from tests.faults.extent import ROUNDS, SEED
from tests.faults.report import ROUNDS as ROUNDS_PART
from tests.faults.report import Finding, Report
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.snapshot import settled
from tests.faults.workload import CALL_SECONDS, Writer

NAMESPACE = "faults"
WRITERS = 4
FAR_FUTURE = 2**52
PATIENCE_SECONDS = 90.0
"""Bounds every wait for what must come; generous, since other tests may keep the machine busy."""


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
            # From here on nobody writes, neither a client nor the server in the background.
            await _cleaned_up(client, writers)
            await settled(client)
            head = await _check_history(client, writers)
            await _watched_up_to(head, watcher, seen)
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
            assert (await client.server_info(timeout=CALL_SECONDS)).revision == head, "something wrote after the end"
    finally:
        server.stop()
    assert seen == list(range(1, head + 1)), "the watch has a gap or a repeat"
    done = Counter(mutation.name for writer in writers for mutation in writer.acknowledged.values())
    assert set(done) == {"create", "create_many", "add", "update", "delete", "delete_many", "supersede", "reset"}
    await _check_stores(server.data, writers)
    acknowledged = f"{done.total()} mutations: " + ", ".join(f"{name} {count}" for name, count in sorted(done.items()))
    outcome = "none lost, resurrected, orphaned or doubled; watch without gap"
    report.add(Finding(ROUNDS_PART, str(ROUNDS), acknowledged, outcome))


async def _reconnected(client: AsyncMemoir) -> None:
    """The connection notices the new server after its own backoff; until then calls fail at once."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(Unavailable):
                await client.server_info(timeout=CALL_SECONDS)
                return
            await asyncio.sleep(0.05)


async def _watch(address: str, seen: list[int]) -> None:
    async with AsyncMemoir(address, namespace=NAMESPACE) as client:
        async for event in client.watch(start_revision=1, reconnect_timeout=None):
            seen.append(event.revision)  # noqa: PERF401 - others read the list while it grows


async def _cleaned_up(client: AsyncMemoir, writers: list[Writer]) -> None:
    """Waits until every reset has its receipt. The clean-up goes on behind the answer, and after a kill behind the start
    of the next server; its receipt is an event, the last that a reset brings about."""
    expected = sum(mutation.name == "reset" for writer in writers for mutation in writer.acknowledged.values())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            receipts = Counter(
                [event.reset_id async for event in client.history(types=["RESET"], timeout=CALL_SECONDS)]
            )
            assert all(count == 1 for count in receipts.values()), f"a reset ended twice: {receipts}"
            assert len(receipts) <= expected, "a reset ended that nobody asked for"
            if len(receipts) == expected:
                return
            await asyncio.sleep(0.05)


async def _watched_up_to(head: int, watcher: asyncio.Task[None], seen: list[int]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not seen or seen[-1] < head:
            if watcher.done():
                watcher.result()
            await asyncio.sleep(0.05)


async def _listed(client: AsyncMemoir, writer: Writer) -> dict[str, str]:
    return {
        memory.id: memory.text
        async for memory in client.list(
            user_id=writer.user_id, include_superseded=True, page_size=1000, timeout=CALL_SECONDS
        )
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
    revision = (await client.server_info(timeout=CALL_SECONDS)).revision
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
        timeout=CALL_SECONDS,
    )
    return {hit.memory.id: hit.memory.text for hit in result.hits}


async def _check_history(client: AsyncMemoir, writers: list[Writer]) -> int:
    """Every acknowledged mutation is in the log exactly once; returns the newest revision."""
    counts: Counter[str] = Counter()
    head = 0
    async for event in client.history(timeout=CALL_SECONDS):
        counts[event.request_id] += 1
        assert event.revision == head + 1, "the log has a gap"
        assert event.type is not EventType.FAILED, event
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
