"""The write path: what is stored, what is refused, what a duplicate gets (semantics 5 and 7)."""

from __future__ import annotations

import asyncio

import pytest

from memoir_server.domain.change import EventType
from memoir_server.domain.conversation import AddMode, Message, NewMemory
from memoir_server.domain.errors import (
    EtagMismatch,
    FeatureDisabled,
    FieldInvalid,
    MemoryAlreadyExists,
    MemoryNotFound,
    RequestIdReused,
)
from memoir_server.domain.memory import MemoryKind, Role, Scope
from memoir_server.domain.search import AsOf
from memoir_server.domain.store import Durability
from tests.service.harness import ANA, BO, NS, SECOND, Memoir, World, calling, patching


def item(memory_id: str, text: str = "tea", **fields: object) -> NewMemory:
    return NewMemory(memory_id=memory_id, text=text, scope=ANA, **fields)  # type: ignore[arg-type]


def said(text: str, actor: str = "Ana", **fields: object) -> Message:
    return Message(role=Role.USER, content=text, actor_id=actor, **fields)  # type: ignore[arg-type]


async def test_a_conversation_becomes_one_episode_per_message(memoir: Memoir) -> None:
    scope = Scope("ana", None, "s1")
    written = await memoir.remembering.add(
        NS, scope, [said("I like tea"), said("Since when?", "Bo")], calling(), metadata={"channel": "chat"}
    )
    first, second = (change.after for change in written.changes)
    assert first is not None
    assert second is not None
    assert (first.kind, first.turn, second.turn) == (MemoryKind.EPISODE, 1, 2)
    assert (first.text, first.speaker, second.speaker) == ("I like tea", "Ana", "Bo")
    assert first.metadata == {"channel": "chat"}
    assert first.create_time == first.valid_from == memoir.clock.time
    assert [c.revision for c in written.changes] == [1, 2]
    assert written.revision == 2


async def test_a_message_from_the_past_keeps_its_time(memoir: Memoir) -> None:
    written = await memoir.remembering.add(NS, ANA, [said("long ago", create_time=7)], calling())
    [change] = written.changes
    assert change.after is not None
    assert change.after.create_time == change.after.valid_from == 7
    assert change.commit_time == memoir.clock.time


async def test_validate_only_stores_nothing(memoir: Memoir) -> None:
    await memoir.create("tea")
    written = await memoir.remembering.add(NS, ANA, [said("a"), said("b")], calling(), validate_only=True)
    assert [c.after.text for c in written.changes if c.after] == ["a", "b"]
    assert {c.revision for c in written.changes} == {0}
    assert written.revision == await memoir.head() == 1
    assert len(await memoir.listed()) == 1


async def test_infer_is_a_feature_that_is_off(memoir: Memoir) -> None:
    with pytest.raises(FeatureDisabled):
        await memoir.remembering.add(NS, ANA, [said("a")], calling(), mode=AddMode.INFER)
    assert await memoir.head() == 0


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (item("taken"), MemoryAlreadyExists),
        (item("x", supersedes=("missing",)), MemoryNotFound),
        (item("x", supersedes=("x",)), FieldInvalid),
        (item("x", valid_from=5, valid_until=5), FieldInvalid),
        (item("a"), MemoryAlreadyExists),
    ],
)
async def test_a_batch_is_stored_whole_or_not_at_all(memoir: Memoir, bad: NewMemory, error: type[Exception]) -> None:
    await memoir.create("tea", memory_id="taken")
    with pytest.raises(error):
        await memoir.remembering.create_many(NS, [item("a"), bad, item("b")], calling())
    assert await memoir.head() == 1
    assert [m.memory_id for m in await memoir.listed()] == ["taken"]


async def test_a_partial_batch_leaves_out_what_is_refused_also_when_repeated(memoir: Memoir) -> None:
    await memoir.create("tea", memory_id="taken")
    items = [
        item("a"),
        item("taken"),
        item("b", supersedes=("missing",)),
        item("c", supersedes=("c",)),
        item("d", supersedes=("a",), valid_from=memoir.clock.time + SECOND),
        item("e", supersedes=("b",)),
        item("", "no id of its own"),
    ]

    async def send() -> tuple[object, ...]:
        written = await memoir.remembering.create_many(NS, items, calling(request_id="r"), allow_partial=True)
        refusals = {i: (type(refusal), str(refusal)) for i, refusal in written.refused.items()}
        return written.changes, written.ids, refusals, written.revision

    first = await send()
    _, ids, refusals, revision = first
    assert isinstance(refusals, dict)
    assert {i: kind for i, (kind, _) in refusals.items()} == {
        1: MemoryAlreadyExists,
        2: MemoryNotFound,
        3: FieldInvalid,
        5: MemoryNotFound,
    }
    assert "items[3].supersedes" in refusals[3][1]
    assert isinstance(ids, tuple)
    assert ids[:6] == ("a", "", "", "", "d", "")
    assert ids[6]
    memoir.clock.advance(60)
    assert await send() == first
    assert await memoir.head() == revision == 4


async def test_a_refused_item_leaves_no_trace_in_the_others(memoir: Memoir) -> None:
    await memoir.create("tea", memory_id="old")
    items = [item("x", supersedes=("old", "missing"), valid_from=memoir.clock.time + 1)]
    written = await memoir.remembering.create_many(NS, items, calling(), allow_partial=True)
    assert written.changes == ()
    [old] = await memoir.listed()
    assert (old.valid_until, old.superseded_by) == (None, "")


async def test_a_later_item_supersedes_an_earlier_one(memoir: Memoir) -> None:
    now = memoir.clock.time
    await memoir.create("tea", memory_id="old", valid_from=now - 10)
    items = [
        item("first", supersedes=("old",), valid_from=now),
        item("second", supersedes=("first",), valid_from=now + 10),
    ]
    written = await memoir.remembering.create_many(NS, items, calling())
    assert [(c.type, c.memory_id) for c in written.changes] == [
        (EventType.SUPERSEDED, "old"),
        (EventType.CREATED, "first"),
        (EventType.CREATED, "second"),
    ]
    by_id = {c.memory_id: c.after for c in written.changes if c.after}
    assert (by_id["old"].valid_until, by_id["old"].superseded_by) == (now, "first")
    assert (by_id["first"].valid_until, by_id["first"].superseded_by) == (now + 10, "second")
    assert by_id["first"].supersedes == ("old",)
    assert by_id["second"].supersedes == ("first",)


async def test_a_fact_that_arrives_late_ends_where_the_known_one_begins(memoir: Memoir) -> None:
    now = memoir.clock.time
    await memoir.create("lives in Rome", memory_id="rome", valid_from=now)
    late = await memoir.create("lives in Oslo", memory_id="oslo", valid_from=now - 100, supersedes=("rome",))
    assert (late.valid_until, late.superseded_by) == (now, "rome")
    assert [m.memory_id for m in await memoir.listed()] == ["rome"]
    assert [m.memory_id for m in await memoir.listed(valid_at=now - 1)] == ["oslo"]
    assert [e.type for e in await memoir.events()] == [EventType.CREATED, EventType.CREATED]


async def test_an_update_touches_the_named_fields_only(memoir: Memoir) -> None:
    before = await memoir.create("tea", importance=0.3, metadata={"a": 1})
    memoir.clock.advance(5)
    [change] = (await memoir.update(before.memory_id, importance=None, text="green tea")).changes
    after = change.after
    assert after is not None
    assert change.before == before
    assert (after.text, after.importance, after.metadata) == ("green tea", None, {"a": 1})
    assert (after.create_time, after.update_time) == (before.create_time, memoir.clock.time)
    assert after.revision == change.revision == before.revision + 1


async def test_an_update_that_changes_nothing_commits_nothing(memoir: Memoir) -> None:
    before = await memoir.create("tea")
    written = await memoir.update(before.memory_id, text="tea")
    assert (written.changes, written.revision) == ((), before.revision)
    assert await memoir.recalling.get(NS, before.memory_id, as_of=None) == before


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), (0.0, -0.0)])
async def test_an_update_tells_apart_what_python_calls_equal(memoir: Memoir, old: float, new: float) -> None:
    before = await memoir.create("tea", metadata={"a": old})
    [change] = (await memoir.update(before.memory_id, metadata={"a": new})).changes
    stored = (await memoir.recalling.get(NS, before.memory_id, as_of=None)).metadata["a"]
    assert (type(stored), repr(stored)) == (type(new), repr(new))
    assert change.revision == before.revision + 1


async def test_an_update_must_leave_a_possible_validity(memoir: Memoir) -> None:
    before = await memoir.create("tea", valid_from=5)
    with pytest.raises(FieldInvalid, match="valid_until"):
        await memoir.update(before.memory_id, valid_until=5)
    assert await memoir.head() == 1


async def test_a_memory_closed_at_its_own_beginning_can_still_be_updated(memoir: Memoir) -> None:
    now = memoir.clock.time
    await memoir.create("tea", memory_id="old", valid_from=now)
    await memoir.create("coffee", memory_id="new", valid_from=now, supersedes=("old",))
    [change] = (await memoir.update("old", metadata={"seen": True})).changes
    assert change.after is not None
    assert change.after.valid_from == change.after.valid_until == now


@pytest.mark.parametrize("verb", ["update", "delete"])
async def test_an_etag_guards_against_a_change_in_between(memoir: Memoir, verb: str) -> None:
    before = await memoir.create("tea", memory_id="m")
    await memoir.update("m", text="coffee")

    async def change(etag: str) -> None:
        if verb == "update":
            await memoir.remembering.update(NS, "m", patching(text="water"), calling(), etag=etag)
        else:
            await memoir.remembering.delete(NS, ["m"], calling(), etag=etag)

    with pytest.raises(EtagMismatch) as caught:
        await change(before.etag)
    assert caught.value.current_etag == '"2"'
    assert await memoir.head() == 2
    await change(caught.value.current_etag)
    assert await memoir.head() == 3


async def test_a_delete_is_all_or_nothing_unless_missing_ones_are_allowed(memoir: Memoir) -> None:
    await memoir.create("tea", memory_id="a")
    await memoir.create("tea", memory_id="b")
    with pytest.raises(MemoryNotFound):
        await memoir.delete("a", "missing", "b")
    assert len(await memoir.listed()) == 2
    written = await memoir.remembering.delete(NS, ["a", "missing", "b"], calling(), allow_missing=True, reason="gone")
    assert [(c.type, c.memory_id, c.reason) for c in written.changes] == [
        (EventType.DELETED, "a", "gone"),
        (EventType.DELETED, "b", "gone"),
    ]
    assert await memoir.found("tea") == []
    nothing = await memoir.remembering.delete(NS, ["a"], calling(), allow_missing=True)
    assert (nothing.changes, nothing.revision) == ((), 4)


async def test_an_id_can_be_used_again_after_a_delete(memoir: Memoir) -> None:
    first = await memoir.create("tea of old", memory_id="m")
    await memoir.delete("m")
    second = await memoir.create("coffee of now", memory_id="m", scope=BO)
    assert second.revision == 3
    assert await memoir.found("tea coffee", ANA) == []
    assert await memoir.found("tea coffee", BO) == ["m"]
    # The old life stays gone, also for those who look at its time.
    assert await memoir.listed(as_of=AsOf(revision=first.revision)) == []


async def test_a_repeated_request_gets_the_first_answer(memoir: Memoir) -> None:
    call = calling(request_id="r1")
    first = await memoir.remembering.create(NS, NewMemory(text="tea", scope=ANA), call)
    memoir.clock.advance(3600)
    await memoir.update(first.changes[0].memory_id, text="coffee")
    again = await memoir.remembering.create(NS, NewMemory(text="tea", scope=ANA), calling(request_id="r1"))
    assert again == first
    assert await memoir.head() == 2


async def test_a_repeated_request_gets_the_first_answer_after_a_restart(world: World) -> None:
    async with world.running() as memoir:
        first = await memoir.remembering.create(NS, NewMemory(text="tea", scope=ANA), calling(request_id="r1"))
    async with world.running() as memoir:
        again = await memoir.remembering.create(NS, NewMemory(text="tea", scope=ANA), calling(request_id="r1"))
        assert again == first
        assert await memoir.head() == 1


async def test_another_payload_under_the_same_request_id_is_refused(memoir: Memoir) -> None:
    await memoir.remembering.create(NS, NewMemory(text="tea", scope=ANA), calling(request_id="r1"))
    with pytest.raises(RequestIdReused):
        await memoir.remembering.create(
            NS, NewMemory(text="wine", scope=ANA), calling(request_id="r1", fingerprint=b"other")
        )
    assert await memoir.head() == 1


async def test_a_failure_is_not_remembered(memoir: Memoir) -> None:
    with pytest.raises(MemoryNotFound):
        await memoir.remembering.update(NS, "m", patching(text="x"), calling(request_id="r1"))
    await memoir.create("tea", memory_id="m")
    written = await memoir.remembering.update(NS, "m", patching(text="x"), calling(request_id="r1"))
    assert written.revision == 2


async def test_twenty_duplicates_at_once_write_once(memoir: Memoir) -> None:
    async def send() -> tuple[str, int]:
        written = await memoir.remembering.create(NS, NewMemory(text="tea", scope=ANA), calling(request_id="r1"))
        return written.changes[0].memory_id, written.revision

    assert len(set(await asyncio.gather(*(send() for _ in range(20))))) == 1
    assert await memoir.head() == 1


async def test_writers_of_one_memory_lose_no_update(memoir: Memoir) -> None:
    await memoir.create("tea", memory_id="m", metadata={"n": 0})

    async def increment() -> None:
        while True:
            current = await memoir.recalling.get(NS, "m", as_of=None)
            n = current.metadata["n"]
            assert isinstance(n, int)
            patch = patching(metadata={"n": n + 1})
            try:
                await memoir.remembering.update(
                    NS, "m", patch, calling(durability=Durability.ACCEPTED), etag=current.etag
                )
            except EtagMismatch:
                continue
            return

    await asyncio.gather(*(increment() for _ in range(10)))
    assert (await memoir.recalling.get(NS, "m", as_of=None)).metadata == {"n": 10}
    assert await memoir.head() == 11


async def test_a_memory_expires_at_the_exact_instant(memoir: Memoir) -> None:
    end = memoir.clock.time + 10 * SECOND
    await memoir.create("tea", memory_id="m", expire_time=end)
    memoir.clock.time = end - 1
    assert await memoir.found("tea") == [m.memory_id for m in await memoir.listed()] == ["m"]
    assert await memoir.sweeper.sweep() == 0
    memoir.clock.time = end
    assert await memoir.found("tea") == [m.memory_id for m in await memoir.listed()] == []
    with pytest.raises(MemoryNotFound):
        await memoir.recalling.get(NS, "m", as_of=None)
    with pytest.raises(MemoryNotFound):
        await memoir.update("m", text="too late")
    assert await memoir.sweeper.sweep() == 1
    assert await memoir.sweeper.sweep() == 0
    assert [e.type for e in await memoir.events()] == [EventType.CREATED, EventType.EXPIRED]
    await memoir.settle()
    assert await memoir.index.find(NS, ["m"]) == []


async def test_a_mutation_of_an_expired_memory_records_the_expiry_first(memoir: Memoir) -> None:
    await memoir.create("tea", memory_id="m", expire_time=memoir.clock.time + 1)
    memoir.clock.advance(1)
    again = await memoir.create("tea again", memory_id="m")
    assert [e.type for e in await memoir.events()] == [EventType.CREATED, EventType.EXPIRED, EventType.CREATED]
    assert again.revision == 3
    assert await memoir.found("tea") == ["m"]
