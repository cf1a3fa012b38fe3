"""Duplicates and accesses over gRPC."""

from __future__ import annotations

import asyncio
from pathlib import Path

from memoir.v1 import common_pb2, memory_pb2
from tests.integration.harness import ANA, TIMEOUT, Client, serving

Change = memory_pb2.MemoryChange
GREEN = "Ana likes green tea in the morning"


async def batch(client: Client, *texts: str) -> memory_pb2.BatchCreateMemoriesResponse:
    items = [
        memory_pb2.BatchCreateMemoriesRequest.Item(memory=memory_pb2.Memory(text=text, scope=ANA)) for text in texts
    ]
    request = memory_pb2.BatchCreateMemoriesRequest(items=items)
    return await client.memory.BatchCreateMemories(request, timeout=TIMEOUT)


async def test_a_memory_said_again_is_the_one_that_is_there(client: Client) -> None:
    first = await client.create("Ana likes tea", importance=0.5)
    again = await client.create("Ana likes tea", importance=0.5, request_id="again")
    assert again.memory == first.memory
    assert (again.revision, again.durability) == (1, common_pb2.DURABILITY_INDEXED)
    [change] = again.changes
    assert (change.action, change.memory, change.reason) == (Change.ACTION_UNCHANGED, first.memory, "already known")
    assert change.duplicate == memory_pb2.Duplicate(memory_id=first.memory.memory_id, exact=True)
    await client.create("Ana likes coffee")
    assert await client.create("Ana likes tea", importance=0.5, request_id="again") == again


async def test_equal_requests_at_once_make_one_memory(client: Client) -> None:
    answers = await asyncio.gather(*(client.create("Ana likes tea") for _ in range(20)))
    assert len({answer.memory.memory_id for answer in answers}) == 1
    assert sorted(answer.changes[0].action for answer in answers) == [
        Change.ACTION_ADDED,
        *[Change.ACTION_UNCHANGED] * 19,
    ]


async def test_each_item_of_a_batch_has_its_answer(client: Client) -> None:
    first = await client.create("Ana likes tea")
    done = await batch(client, "Ana likes coffee", "Ana likes tea", "Ana likes coffee")
    new, known, repeated = done.results
    assert known.memory == first.memory
    assert repeated.memory == new.memory
    assert [r.HasField("duplicate") for r in done.results] == [False, True, True]
    assert done.revision == 2


async def test_near_memories_are_passed_over_where_an_operator_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, duplicates__namespaces='{"default": 0.9}') as client:
        first = await client.create(GREEN)
        again = await client.create("In the morning Ana likes green tea!")
        assert (again.memory, again.duplicate_guard_skipped) == (first.memory, False)
        [change] = again.changes
        assert (change.action, change.reason) == (Change.ACTION_UNCHANGED, "nearly the same is already known")
        assert 0.9 < change.duplicate.cosine <= 1.0
        request = memory_pb2.CreateMemoryRequest(namespace="other", memory=memory_pb2.Memory(text=GREEN, scope=ANA))
        await client.memory.CreateMemory(request, timeout=TIMEOUT)
        request.memory.text += "!"
        stored = await client.memory.CreateMemory(request, timeout=TIMEOUT)
        assert stored.changes[0].action == Change.ACTION_ADDED, "the guard of another namespace is off"


async def test_a_guard_that_cannot_look_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, duplicates__cosine="0.9") as client:
        await client.create(GREEN)
        await client.server.composition.index.close()
        stored = await client.create(GREEN + "!")
        assert (stored.changes[0].action, stored.duplicate_guard_skipped) == (Change.ACTION_ADDED, True)
        done = await batch(client, GREEN + "?")
        assert (len(done.results), done.duplicate_guard_skipped) == (1, True)


async def test_accesses_are_shown_where_they_are_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        await client.create("Ana likes tea", "m-1")
        assert not (await client.get("m-1")).HasField("access_count")
        await client.find("tea")
        seen = await client.get("m-1", include_access=True)
        assert (seen.access_count, seen.HasField("last_access_time")) == (2, True)
    async with serving(tmp_path) as client:
        request = memory_pb2.ListMemoriesRequest(include_access=True)
        [listed] = (await client.memory.ListMemories(request, timeout=TIMEOUT)).memories
        assert listed.access_count == 3, "kept when the server was stopped"
        assert listed.last_access_time.ToMicroseconds() > seen.last_access_time.ToMicroseconds()


async def test_counting_can_be_turned_off(tmp_path: Path) -> None:
    async with serving(tmp_path, accesses__enabled="false") as client:
        await client.create("Ana likes tea", "m-1")
        await client.get("m-1")
        assert not (await client.get("m-1", include_access=True)).HasField("access_count")
