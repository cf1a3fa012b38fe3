"""Accesses are counted on the way out, and kept in batches."""

from __future__ import annotations

import asyncio

import pytest

from memoir_server.domain.access import Access
from memoir_server.domain.conversation import Message
from memoir_server.domain.memory import Role, Scope
from memoir_server.domain.search import SearchSpec
from memoir_server.service import accesses as accesses_module
from memoir_server.service.accesses import Accesses
from memoir_server.service.contexts import Contexts
from tests.service.harness import ANA, NS, SECOND, Memoir, World, calling, until


async def counts(memoir: Memoir, *memory_ids: str) -> dict[str, int]:
    return {memory_id: access.count for memory_id, access in (await memoir.accesses.of(NS, memory_ids)).items()}


async def test_what_a_caller_gets_is_counted(memoir: Memoir) -> None:
    await memoir.create("Ana likes tea", memory_id="a")
    await memoir.create("Bo lives in Porto", memory_id="b")
    assert await counts(memoir, "a", "b", "c") == {"a": 0, "b": 0}
    await memoir.recalling.get(NS, "a", as_of=None)
    assert await counts(memoir, "a") == {"a": 1}
    await memoir.found("tea", limit=1)
    memoir.clock.advance(5)
    async for _ in memoir.recalling.stream(NS, SearchSpec(query="tea", scope=ANA, limit=1), calling()):
        pass
    assert dict(await memoir.accesses.of(NS, ["a", "b"])) == {"a": Access(3, memoir.clock.time), "b": Access()}


async def test_what_nobody_gets_is_not_counted(memoir: Memoir) -> None:
    await memoir.create("Ana likes tea", memory_id="a")
    await memoir.listed()
    await memoir.found("tea", min_score=1.0)
    await memoir.recalling.get(NS, "a", as_of=None, counted=False)
    stream = memoir.recalling.stream(NS, SearchSpec(query="tea", scope=ANA), calling())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert await counts(memoir, "a") == {"a": 0}, "a search that was broken off has no final hits"


async def test_a_context_counts_what_it_cites(memoir: Memoir) -> None:
    scope = Scope("ana", None, "s1")
    turns = [Message(role=Role.USER, content=text, actor_id="Ana") for text in ("hello", "I like tea", "and you?")]
    written = await memoir.remembering.add(NS, scope, [*turns, turns[0]], calling())
    contexts = Contexts(memoir.recalling, memoir.ledger, memoir.accesses)
    spec = SearchSpec(query="tea", scope=ANA, limit=1)
    built = await contexts.build(NS, spec, calling(), max_tokens=500, neighbours=1)
    cited = {memory_id for part in built.context.parts for memory_id in part.memory_ids}
    assert cited == set(written.ids[:3])
    assert await counts(memoir, *written.ids) == {i: int(i in cited) for i in written.ids}


async def test_counts_are_kept_across_a_restart(world: World) -> None:
    async with world.running() as memoir:
        await memoir.create("Ana likes tea", memory_id="a")
        for _ in range(3):
            await memoir.recalling.get(NS, "a", as_of=None)
        await memoir.accesses.flush()
        await memoir.recalling.get(NS, "a", as_of=None)
        last = world.clock.time
    world.clock.advance(60)
    async with world.running() as memoir:
        assert dict(await memoir.accesses.of(NS, ["a"])) == {"a": Access(4, last)}
        assert await memoir.head() == 1, "an access is no event"


async def test_they_are_kept_by_themselves_in_one_go(memoir: Memoir) -> None:
    for i in range(5):
        await memoir.create(f"statement {i}", memory_id=f"m{i}")
    accesses = Accesses(memoir.ledger, memoir.clock, flush_seconds=0.02)
    for i in range(5):
        accesses.note(NS, [f"m{i}"], 5)
    await accesses.start()

    async def kept() -> bool:
        return all(each.access.count == 1 for each in (await memoir.ledger.accesses(NS, ["m0", "m4"])).values())

    await until(kept)
    await accesses.stop()
    assert memoir.ledger_faults.calls["note_accesses"] == 1


async def test_an_outage_of_the_ledger_loses_nothing(memoir: Memoir, caplog: pytest.LogCaptureFixture) -> None:
    await memoir.create("Ana likes tea", memory_id="a")
    accesses = Accesses(memoir.ledger, memoir.clock, flush_seconds=0.02)
    memoir.ledger_faults.fail("note_accesses", times=1)
    accesses.note(NS, ["a"], 1)
    await accesses.start()

    async def kept() -> bool:
        return (await memoir.ledger.accesses(NS, ["a"]))["a"].access.count == 1

    await until(kept)
    assert "accesses are waiting to be kept" in caplog.text
    memoir.ledger_faults.down()
    accesses.note(NS, ["a"], 1)
    await accesses.stop()
    assert "accesses of 1 memories are lost" in caplog.text
    memoir.ledger_faults.up()


async def test_an_access_while_others_are_being_kept_is_counted_once(memoir: Memoir) -> None:
    await memoir.create("Ana likes tea", memory_id="a")
    accesses = Accesses(memoir.ledger, memoir.clock)
    accesses.note(NS, ["a"], 1)
    held = memoir.ledger_faults.hold("note_accesses")
    flushing = asyncio.create_task(accesses.flush())
    await held.reached.wait()
    accesses.note(NS, ["a"], 1)
    asking = asyncio.create_task(accesses.of(NS, ["a"]))
    held.release()
    await flushing
    assert (await asking)["a"].count == 2
    await accesses.flush()
    assert (await memoir.ledger.accesses(NS, ["a"]))["a"].access.count == 2


async def test_there_is_a_bound(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesses_module, "MAX_PENDING", 2)
    for name in "abc":
        await memoir.create(f"statement {name}", memory_id=name)
    accesses = Accesses(memoir.ledger, memoir.clock)
    accesses.note(NS, ["a", "b", "c", "a"], 3)
    assert {i: each.count for i, each in (await accesses.of(NS, ["a", "b", "c"])).items()} == {"a": 2, "b": 1, "c": 0}
    await accesses.flush()
    accesses.note(NS, ["c"], 3)
    assert (await accesses.of(NS, ["c"]))["c"].count == 1


async def test_a_full_memory_is_emptied_at_once(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesses_module, "MAX_PENDING", 2)
    await memoir.create("Ana likes tea", memory_id="a")
    accesses = Accesses(memoir.ledger, memoir.clock, flush_seconds=3600)
    await accesses.start()
    accesses.note(NS, ["a"], 1)

    async def kept() -> bool:
        return (await memoir.ledger.accesses(NS, ["a"]))["a"].access.count == 1

    await until(kept)
    assert (await memoir.ledger.accesses(NS, ["a"]))["a"].access.count == 1, "written once, and not again"
    await accesses.stop()


async def test_they_can_be_turned_off(memoir: Memoir) -> None:
    await memoir.create("Ana likes tea", memory_id="a")
    accesses = Accesses(memoir.ledger, memoir.clock, enabled=False)
    await accesses.start()
    accesses.note(NS, ["a"], 1)
    assert dict(await accesses.of(NS, ["a"])) == {}
    await accesses.stop()
    assert not memoir.ledger_faults.calls["note_accesses"]


async def test_a_count_does_not_pass_to_the_next_memory_of_that_id(memoir: Memoir) -> None:
    await memoir.create("Ana likes tea", memory_id="a", expire_time=memoir.clock.time + SECOND)
    await memoir.recalling.get(NS, "a", as_of=None)
    memoir.clock.advance(5)
    await memoir.create("Ana likes coffee", memory_id="a")
    assert await counts(memoir, "a") == {"a": 0}
    await memoir.accesses.flush()
    assert await counts(memoir, "a") == {"a": 0}


@pytest.mark.parametrize("erasing", [False, True])
async def test_a_reset_leaves_no_count(memoir: Memoir, erasing: bool) -> None:
    await memoir.create("Ana likes tea", memory_id="a")
    await memoir.recalling.get(NS, "a", as_of=None)
    await memoir.accesses.flush()
    await memoir.recalling.get(NS, "a", as_of=None)
    await memoir.finished(await memoir.reset(ANA, include_history=erasing))
    await memoir.accesses.flush()
    assert await counts(memoir, "a") == {}
