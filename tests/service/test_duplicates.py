"""What is known already is not stored again (decision 015)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memoir_server.domain.conversation import Message, NewMemory
from memoir_server.domain.duplicate import Duplicate
from memoir_server.domain.errors import FieldInvalid, MemoryAlreadyExists
from memoir_server.domain.memory import EntityMention, MemoryKind, Moment, Provenance, Role, Scope
from memoir_server.domain.reset import ResetTarget
from memoir_server.domain.store import Durability, StoreKind
from memoir_server.service.remembering import Written
from tests.service.harness import ANA, BO, NS, SECOND, Memoir, World, calling


def new(text: str = "Ana likes tea", **fields: object) -> NewMemory:
    return NewMemory(**{"text": text, "scope": ANA, **fields})  # type: ignore[arg-type]


async def add(memoir: Memoir, *items: NewMemory, request_id: str = "", partial: bool = False) -> Written:
    return await memoir.remembering.create_many(NS, items, calling(request_id=request_id), allow_partial=partial)


# -- the exact guard


async def test_what_is_said_again_is_not_stored_and_makes_no_event(memoir: Memoir) -> None:
    first = await add(memoir, new())
    await memoir.create("Bo likes tea", BO)
    memoir.clock.advance(60)
    again = await add(memoir, new(" Ana likes tea\t"))
    assert (again.changes, again.revision, again.durability) == ((), 2, Durability.INDEXED)
    assert again.ids == first.ids
    assert again.duplicates == {0: Duplicate(memory_id=first.ids[0], exact=True)}
    assert again.known == {first.ids[0]: first.changes[0].after}
    assert len(await memoir.events()) == 2


async def test_any_difference_in_what_is_said_is_another_memory(memoir: Memoir) -> None:
    now = memoir.clock.time
    said = new(
        metadata={"n": 1, "at": Moment(5), "tags": ("a",)},
        importance=0.5,
        valid_until=now + SECOND,
        expire_time=now + 9 * SECOND,
        provenance=(Provenance(session_id="s", message_id="m"),),
        entities=(EntityMention(name="Ana"),),
    )
    others = [
        replace(said, **change)
        for change in (
            {"text": "Ana likes Tea"},
            {"scope": Scope("ana", "guide")},
            {"scope": Scope("ana", None, "s1")},
            {"kind": MemoryKind.PREFERENCE},
            {"metadata": {**said.metadata, "n": 1.0}},
            {"metadata": {**said.metadata, "n": True}},
            {"metadata": {**said.metadata, "at": 5}},
            {"metadata": {**said.metadata, "tags": "a"}},
            {"importance": None},
            {"valid_until": None},
            {"expire_time": None},
            {"provenance": ()},
            {"entities": (EntityMention(name="Ana", type="person"),)},
            {"create_time": now - SECOND, "valid_from": now},
            {"valid_from": now - SECOND},
        )
    ]
    written = await add(memoir, said, *others, said, *others)
    assert len(written.changes) == 1 + len(others)
    assert written.ids[: len(written.ids) // 2] == written.ids[len(written.ids) // 2 :]
    assert all(duplicate.exact for duplicate in written.duplicates.values())


async def test_times_left_to_the_server_are_not_compared(memoir: Memoir) -> None:
    now = memoir.clock.time
    dated = await memoir.create("Ana likes tea", create_time=now - 50 * SECOND)
    assert (await add(memoir, new())).ids == (dated.memory_id,)
    later = await memoir.create("Ana lives in Lisbon", valid_from=now + 50 * SECOND)
    today = await add(memoir, new("Ana lives in Lisbon"))
    assert today.ids != (later.memory_id,), "what becomes true later is not true yet"
    memoir.clock.advance(100)
    assert (await add(memoir, new("Ana lives in Lisbon"))).ids == (later.memory_id,)


async def test_only_current_memories_count(memoir: Memoir) -> None:
    first = await memoir.create("Ana likes tea", expire_time=memoir.clock.time + SECOND)
    memoir.clock.advance(2)
    dead = memoir.clock.time - SECOND
    second = await memoir.create("Ana likes tea", expire_time=dead)
    assert second.memory_id != first.memory_id
    third = await memoir.create("Ana likes tea")
    await memoir.create("Ana likes coffee", supersedes=(third.memory_id,))
    fourth = await memoir.create("Ana likes tea")
    assert fourth.memory_id != third.memory_id
    await memoir.update(fourth.memory_id, text="Ana likes cocoa")
    fifth = await memoir.create("Ana likes tea")
    assert (await add(memoir, new("Ana likes cocoa"))).ids == (fourth.memory_id,)
    await memoir.delete(fifth.memory_id)
    assert (await add(memoir, new())).changes


async def test_an_id_of_the_callers_or_a_supersession_is_carried_out_and_reported(memoir: Memoir) -> None:
    first = await memoir.create("Ana likes tea")
    named = await add(memoir, new(memory_id="mine"))
    assert named.duplicates == {0: Duplicate(memory_id=first.memory_id, exact=True, stored=True)}
    assert (named.ids, named.known, len(named.changes)) == (("mine",), {}, 1)
    with pytest.raises(MemoryAlreadyExists):
        await add(memoir, new(memory_id="mine"))
    superseding = await add(memoir, new(supersedes=("mine",)))
    assert superseding.duplicates[0].stored
    assert superseding.changes[0].memory_id == "mine"


async def test_a_refused_item_is_refused_whatever_is_known(memoir: Memoir) -> None:
    await memoir.create("Ana likes tea")
    bad = new(valid_from=5, valid_until=5)
    with pytest.raises(FieldInvalid, match=r"items\[1\]\.memory\.valid_until"):
        await add(memoir, new(), bad)
    written = await add(memoir, new(), bad, new("Ana likes coffee"), new("Ana likes coffee"), partial=True)
    assert list(written.refused) == [1]
    assert [bool(memory_id) for memory_id in written.ids] == [True, False, True, True]
    assert list(written.duplicates) == [0, 3]
    assert written.ids[2] == written.ids[3]


async def test_what_a_batch_closed_says_it_no_more(memoir: Memoir) -> None:
    now = memoir.clock.time
    await memoir.create("Ana likes tea", memory_id="old", valid_from=now - SECOND, create_time=now - SECOND)
    items = (new("Ana likes coffee", supersedes=("old",)), new(), new(memory_id="b"), new(supersedes=("b",)))
    written = await add(memoir, *items)
    assert "old" not in written.ids
    assert len(set(written.ids)) == 4


async def test_writes_at_the_same_moment_store_one_memory(memoir: Memoir) -> None:
    done = await asyncio.gather(*(add(memoir, new(), new("Ana likes coffee")) for _ in range(20)))
    assert len({written.ids for written in done}) == 1
    assert len(await memoir.events()) == 2


async def test_a_repeated_request_gets_the_same_answer(memoir: Memoir) -> None:
    first = await memoir.create("Ana likes tea")
    answer = await add(memoir, new(), new("Ana likes coffee"), new("Ana likes coffee"), request_id="r")
    await memoir.create("Ana likes cocoa")
    await memoir.update(first.memory_id, text="Ana likes green tea")
    again = await add(memoir, new(), new("Ana likes coffee"), new("Ana likes coffee"), request_id="r")
    assert (again.ids, again.duplicates, again.known) == (answer.ids, answer.duplicates, answer.known)
    assert (again.changes, again.revision) == (answer.changes, answer.revision)
    assert again.known[first.memory_id] == first
    await memoir.delete(first.memory_id)
    last = await add(memoir, new(), new("Ana likes coffee"), new("Ana likes coffee"), request_id="r")
    assert (last.ids, last.duplicates) == (answer.ids, answer.duplicates)
    assert first.memory_id not in last.known, "what was removed does not come back"


async def test_an_erasure_forgets_who_asked_for_what_it_erased(memoir: Memoir) -> None:
    first = await memoir.create("Ana likes tea")
    await add(memoir, new(), request_id="r")
    reset = await memoir.reset(ANA, include_history=True)
    assert isinstance(reset.target, ResetTarget)
    await memoir.finished(reset)
    again = await add(memoir, new(), request_id="r")
    assert again.duplicates == {}
    assert again.ids != (first.memory_id,)


# Each statement is one of a few, said in several ways that mean the same.
WAYS = st.tuples(st.integers(0, 3), st.sampled_from(["caf\u00e9 {}", " cafe\u0301 {}", "caf\u00e9 {}\n"]))


@given(st.lists(st.lists(WAYS, min_size=1, max_size=4), min_size=1, max_size=6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_however_it_is_said_and_batched_each_statement_is_stored_once(
    batches: Sequence[Sequence[tuple[int, str]]], together: bool
) -> None:
    async def run() -> None:
        with TemporaryDirectory() as directory:
            async with World(Path(directory)).running() as memoir:
                sent = [add(memoir, *(new(way.format(number)) for number, way in batch)) for batch in batches]
                done = await asyncio.gather(*sent) if together else [await each for each in sent]
                ids: dict[int, set[str]] = {}
                for batch, written in zip(batches, done, strict=True):
                    for (number, _), memory_id in zip(batch, written.ids, strict=True):
                        ids.setdefault(number, set()).add(memory_id)
                assert all(len(found) == 1 for found in ids.values())
                assert {m.memory_id for m in await memoir.listed()} == {i for found in ids.values() for i in found}
                assert len(await memoir.events()) == len(ids)

    asyncio.run(run())


# -- messages

CHAT = Scope("ana", None, "s1")


def said(text: str = "yes", **fields: object) -> Message:
    return Message(**{"role": Role.USER, "content": text, "actor_id": "Ana", **fields})  # type: ignore[arg-type]


async def remember(memoir: Memoir, *messages: Message, scope: Scope = CHAT, validate_only: bool = False) -> Written:
    return await memoir.remembering.add(NS, scope, messages, calling(), validate_only=validate_only)


async def test_a_short_word_is_a_turn_each_time(memoir: Memoir) -> None:
    await remember(memoir, said(), said())
    written = await remember(memoir, said())
    assert [change.after.turn for change in written.changes if change.after] == [3]


async def test_a_message_that_is_sent_again_is_not_a_turn(memoir: Memoir) -> None:
    named, dated = said(message_id="m1"), said(create_time=7)
    first = await remember(memoir, named, dated)
    memoir.clock.advance(9)
    again = await remember(memoir, named, said("and now"), dated, replace(named, create_time=9))
    assert again.ids == (first.ids[0], again.changes[0].memory_id, first.ids[1], first.ids[0])
    assert {i: duplicate.exact for i, duplicate in again.duplicates.items()} == {0: True, 2: True, 3: True}
    assert [change.after.turn for change in again.changes if change.after] == [3]
    others = [
        replace(named, content="no"),
        replace(named, actor_id="Bo"),
        replace(named, role=Role.ASSISTANT),
        replace(dated, create_time=8),
        replace(dated, message_id="m2"),
    ]
    assert (await remember(memoir, *others)).duplicates == {}
    assert (await remember(memoir, named, dated, scope=Scope("ana", None, "s2"))).duplicates == {}


async def test_validate_only_tells_what_is_known(memoir: Memoir) -> None:
    first = await remember(memoir, said(message_id="m1"))
    told = await remember(memoir, said(message_id="m1"), said("new"), validate_only=True)
    assert list(told.duplicates) == [0]
    assert told.known == {first.ids[0]: first.changes[0].after}
    assert [change.after.text for change in told.changes if change.after] == ["new"]
    assert len(await memoir.events()) == 1


# -- the cosine guard


@pytest.fixture
async def guarded(world: World) -> AsyncIterator[Memoir]:
    async with world.running(cosine=0.9) as running:
        yield running


GREEN = "Ana likes green tea in the morning"


async def test_near_words_are_known_already(guarded: Memoir) -> None:
    first = await guarded.create(GREEN)
    again = await add(guarded, new("In the morning Ana likes green tea"))
    [duplicate] = again.duplicates.values()
    assert (duplicate.memory_id, duplicate.exact, duplicate.stored) == (first.memory_id, False, False)
    assert duplicate.cosine == pytest.approx(1.0)
    assert (again.changes, again.known) == ((), {first.memory_id: first})
    assert (await add(guarded, new("Bo lives in Porto"))).duplicates == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": MemoryKind.PREFERENCE},
        {"kind": MemoryKind.EPISODE},
        {"scope": BO},
        {"scope": Scope("ana", "guide")},
        {"memory_id": "mine"},
        {"supersedes": ("first",)},
        {"valid_from": 5},
    ],
)
async def test_what_is_another_statement_or_has_an_identity_is_stored(
    guarded: Memoir, fields: dict[str, object]
) -> None:
    await guarded.create(GREEN, memory_id="first")
    written = await add(guarded, new(GREEN + "!", **fields))
    assert written.duplicates == {}
    assert written.ids[0] != "first"


async def test_a_memory_that_ends_earlier_does_not_stand_for_one_that_lasts(guarded: Memoir) -> None:
    end = guarded.clock.time + 60 * SECOND
    await guarded.create(GREEN, valid_until=end)
    await guarded.create("Bo lives in Porto", expire_time=end)
    assert (await add(guarded, new(GREEN + "!"), new("Bo lives in Porto!"))).duplicates == {}
    assert (await add(guarded, new(GREEN + "?", valid_until=end))).duplicates
    assert (await add(guarded, new("Bo lives in Porto?", expire_time=end))).duplicates


async def test_another_session_of_the_same_owner_counts(guarded: Memoir) -> None:
    first = await guarded.create(GREEN, Scope("ana", None, "s1"))
    assert (await add(guarded, new(GREEN + "!", scope=Scope("ana", None, "s2")))).ids == (first.memory_id,)


async def test_items_of_a_batch_are_compared_with_those_stored_before(guarded: Memoir) -> None:
    written = await add(guarded, new(GREEN), new("Bo lives in Porto"), new(GREEN + "!"), new(GREEN))
    assert [written.ids[0]] * 2 == [written.ids[2], written.ids[3]]
    assert (written.duplicates[2].exact, written.duplicates[3].exact) == (False, True)
    assert len(written.changes) == 2


async def test_a_memory_that_changed_meanwhile_stands_for_nothing(guarded: Memoir) -> None:
    first = await guarded.create(GREEN)
    held = guarded.ledger_faults.hold("commit")
    writing = asyncio.create_task(add(guarded, new(GREEN + "!")))
    await held.reached.wait()
    guarded.ledger_faults.up()
    await guarded.update(first.memory_id, text="Ana moved away")
    held.release()
    assert (await writing).duplicates == {}


@pytest.mark.parametrize(
    ("store", "method"), [(StoreKind.EMBEDDER, "embed"), (StoreKind.INDEX, "dense"), (StoreKind.INDEX, "")]
)
async def test_a_store_that_is_down_does_not_fail_the_write(guarded: Memoir, store: StoreKind, method: str) -> None:
    await guarded.create(GREEN)
    if method:
        guarded.faults[store].fail(method, times=1)
    else:
        guarded.faults[store].down()
        await add(guarded, new("something to apply"))
        await guarded.open_breaker(store)
    written = await add(guarded, new(GREEN + " now and then"))
    assert (written.guard_skipped, written.duplicates, len(written.changes)) == (True, {}, 1)
    exact = await add(guarded, new(GREEN))
    assert exact.duplicates[0].exact, "the exact guard asks nobody but the ledger"
    guarded.faults[store].up()


async def test_a_slow_store_does_not_hold_the_write_up(guarded: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    await guarded.create(GREEN)
    monkeypatch.setattr("memoir_server.service.duplicates.WAIT_SECONDS", 0.05)
    held = guarded.index_faults.hold("dense")
    written = await add(guarded, new(GREEN + "!"))
    assert (written.guard_skipped, written.duplicates) == (True, {})
    held.release()


async def test_the_answer_that_the_guard_was_skipped_is_repeated_too(guarded: Memoir) -> None:
    guarded.index_faults.fail("dense", times=1)
    assert (await add(guarded, new(GREEN), request_id="r")).guard_skipped
    assert (await add(guarded, new(GREEN), request_id="r")).guard_skipped


async def test_a_guard_that_is_off_asks_nobody(memoir: Memoir) -> None:
    await memoir.create(GREEN)
    await memoir.settle()
    memoir.index_faults.calls.clear()
    memoir.embedder_faults.calls.clear()
    written = await memoir.remembering.create(NS, new(GREEN + "!"), calling(durability=Durability.ACCEPTED))
    assert len(written.changes) == 1
    assert not memoir.index_faults.calls["dense"]
