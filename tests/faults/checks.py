"""What must be true of the writers' memories, whatever has befallen the server and its stores."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

from memoir import AsyncMemoir, EventType, ResetState, Unavailable
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger
from tests.faults.snapshot import FAR_FUTURE
from tests.faults.workload import CALL_SECONDS, Writer

PATIENCE_SECONDS = 90.0
"""Bounds every wait for what must come; generous, since other tests may keep the machine busy."""


async def reconnected(client: AsyncMemoir) -> None:
    """The connection notices the new server after its own backoff; until then calls fail at once."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(Unavailable):
                await client.server_info(timeout=CALL_SECONDS)
                return
            await asyncio.sleep(0.05)


async def watch(address: str, namespace: str, seen: list[int]) -> None:
    """Follows the log from its beginning, over every interruption."""
    async with AsyncMemoir(address, namespace=namespace) as client:
        async for event in client.watch(start_revision=1, reconnect_timeout=None):
            seen.append(event.revision)  # noqa: PERF401 - others read the list while it grows


async def cleaned_up(client: AsyncMemoir, writers: list[Writer]) -> None:
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
            for writer in writers:
                await _none_failed(client, writer)
            await asyncio.sleep(0.05)


async def _none_failed(client: AsyncMemoir, writer: Writer) -> None:
    """A clean-up that met a store which was away goes on by itself."""
    for label, plan in writer.plans.items():
        if label in writer.acknowledged:
            reset = await client.get_reset(plan)
            assert reset.state is not ResetState.FAILED, f"reset {reset.id} failed: {reset.error}"


async def watched_up_to(head: int, watcher: asyncio.Task[None], seen: list[int]) -> None:
    """Waits until the watch has come that far."""
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


async def check_uncertain(client: AsyncMemoir, writer: Writer) -> None:
    """A lost call happened whole or not at all, however often it was sent."""
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


async def check_state(client: AsyncMemoir, writer: Writer) -> None:
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


async def check_history(client: AsyncMemoir, writers: list[Writer]) -> int:
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


async def check_stores(
    ledger: Ledger, index: MemoryIndex, graph: EntityGraph, namespace: str, writers: list[Writer]
) -> None:
    """Looks into the stores themselves: index and graph hold what the ledger holds, and nothing of what was removed."""
    await ledger.open()
    await index.open()
    await graph.open()
    try:
        assert await ledger.verify_chain(namespace)
        selection = Selection(scope=Scope(), include_superseded=True, reference=FAR_FUTURE, now=0)
        current = await ledger.list_memories(namespace, selection, after=None, limit=100_000)
        assert {m.memory_id for m in current} == {key for writer in writers for key in writer.expected}
        by_id = {memory.memory_id: memory for memory in current}
        held = await index.find(namespace, sorted(by_id))
        assert set(by_id) == {memory_id for memory_id, _ in held}
        assert {(m.memory_id, m.revision) for m in current} <= set(held)
        assert len(held) == await index.count(namespace, Scope())
        mentioned = {memory_id for memory_id, _ in await graph.find(namespace, sorted(by_id))}
        assert mentioned == {memory_id for memory_id, m in by_id.items() if m.entities}
        gone = sorted({key for writer in writers for key, _ in writer.removed} - set(by_id))
        assert await index.find(namespace, gone) == []
        assert await graph.find(namespace, gone) == []
    finally:
        await graph.close()
        await index.close()
        await ledger.close()
