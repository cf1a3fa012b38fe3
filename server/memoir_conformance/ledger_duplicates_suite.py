"""What a ledger knows of memories that say the same, and of accesses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from memoir_conformance.ledger_model import (
    ALICE,
    BOB,
    NOW,
    NS,
    ORIGIN,
    SECOND,
    LedgerFixtures,
    Reopen,
    create,
    delete,
    erase_all,
    execute,
    fact,
    finish,
    log,
    planned,
    request,
    rich,
    update,
)
from memoir_server.domain.access import Access, Kept, Noted
from memoir_server.domain.change import Draft, EventType
from memoir_server.domain.duplicate import Twin, twin_of_memory
from memoir_server.domain.memory import Memory, Scope
from memoir_server.domain.mutation import Committed, Decision, IdempotencyKey, Mutation
from memoir_server.domain.reset import ResetTarget
from memoir_server.ports.ledger import Ledger


def twin(memory: Memory, *, create_time: bool = False, valid_from: bool = False) -> Twin:
    found = twin_of_memory(memory, create_time_given=create_time, valid_from_given=valid_from)
    assert found is not None
    return found


async def twins(ledger: Ledger, *wanted: Twin, now: int = NOW) -> list[str]:
    return [memory.memory_id for memory in await ledger.twins(NS, wanted, now=now)]


async def add_once(ledger: Ledger, memory: Memory, key: IdempotencyKey | None = None) -> Committed:
    """Creates the memory unless one says the same, and remembers which."""

    def decide(found: Mapping[str, Memory]) -> Decision:
        known = [other.memory_id for other in found.values() if twin(memory).matches(other)]
        if known:
            return Decision((), known[0].encode(), known)
        return Decision([Draft(type=EventType.CREATED, memory_id=memory.memory_id, after=memory)])

    return await ledger.commit(
        Mutation(
            namespace=NS,
            memory_ids=[memory.memory_id],
            decide=decide,
            now=NOW,
            origin=ORIGIN,
            idempotency=key,
            twins=[twin(memory)],
        )
    )


class TwinSuite(LedgerFixtures):
    """`Ledger.twins`, and the twins of a mutation."""

    async def test_current_memories_are_found_by_what_they_say(self, ledger: Ledger) -> None:
        assert await twins(ledger, twin(fact("x"))) == []
        await create(ledger, fact("a"), fact("b", "likes coffee"), fact("c", scope=BOB), rich())
        assert await twins(ledger, twin(fact("x"))) == ["a"]
        assert await twins(ledger, twin(fact("x", " likes tea\n")), twin(rich("y"))) == ["a", "rich"]
        assert await twins(ledger, twin(fact("x", scope=Scope("alice", None, "s")))) == []
        assert list(await ledger.twins("elsewhere", [twin(fact("x"))], now=NOW)) == []

    async def test_the_oldest_come_first(self, ledger: Ledger) -> None:
        await create(ledger, fact("b"), fact("a"))
        assert await twins(ledger, twin(fact("x"))) == ["b", "a"]

    async def test_times_that_were_given_are_compared(self, ledger: Ledger) -> None:
        await create(ledger, fact("a", create_time=NOW - 5, valid_from=NOW - 5))
        later = fact("x", create_time=NOW, valid_from=NOW)
        assert await twins(ledger, twin(later)) == ["a"]
        assert await twins(ledger, twin(later, create_time=True)) == []
        assert await twins(ledger, twin(later, valid_from=True)) == []
        same = fact("x", create_time=NOW - 5, valid_from=NOW - 5)
        assert await twins(ledger, twin(same, create_time=True, valid_from=True)) == ["a"]
        earlier = fact("x", create_time=NOW - 9, valid_from=NOW - 9)
        assert await twins(ledger, twin(earlier)) == [], "it was not true yet"

    async def test_what_was_changed_removed_or_has_expired_is_not_found(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b", "likes coffee"), fact("c", "is here", expire_time=NOW + SECOND))
        await update(ledger, "a", text="likes cocoa")
        await delete(ledger, "b")
        assert await twins(ledger, twin(fact("x")), twin(fact("x", "likes coffee"))) == []
        assert await twins(ledger, twin(fact("x", "likes cocoa"))) == ["a"]
        brief = twin(fact("x", "is here", expire_time=NOW + SECOND))
        assert await twins(ledger, brief) == ["c"]
        assert await twins(ledger, brief, now=NOW + SECOND) == []

    async def test_of_equal_writes_at_once_one_is_stored(self, ledger: Ledger) -> None:
        done = await asyncio.gather(*(add_once(ledger, fact(f"m{i}")) for i in range(20)))
        assert len(await log(ledger)) == 1
        stored = [c.changes[0].memory_id for c in done if c.changes]
        assert len(stored) == 1
        assert {c.outcome.decode() for c in done if not c.changes} == set(stored)
        assert {c.revision for c in done} == {1}

    async def test_drafts_may_not_concern_twins(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))

        def decide(found: Mapping[str, Memory]) -> Decision:
            return Decision([Draft(type=EventType.DELETED, memory_id="a", before=found["a"])])

        mutation = Mutation(
            namespace=NS, memory_ids=["x"], decide=decide, now=NOW, origin=ORIGIN, twins=[twin(fact("x"))]
        )
        with pytest.raises(ValueError, match="not among"):
            await ledger.commit(mutation)

    async def test_twins_outlive_a_crash(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, fact("a"))
        assert await twins(await reopen(ledger), twin(fact("x"))) == ["a"]

    async def test_a_request_that_found_an_erased_memory_is_forgotten(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b", scope=BOB))
        first = await add_once(ledger, fact("x"), request())
        assert first.outcome == b"a"
        other = await add_once(ledger, fact("y", scope=BOB), request(request_id="other"))
        again = await add_once(ledger, fact("x"), request())
        assert (again.replayed, again.outcome) == (True, b"a")
        await planned(ledger, ResetTarget(scope=ALICE, include_history=True))
        await execute(ledger)
        await erase_all(ledger)
        await finish(ledger)
        kept = await add_once(ledger, fact("y", scope=BOB), request(request_id="other"))
        assert (kept.replayed, kept.outcome) == (True, other.outcome)
        assert not (await add_once(ledger, fact("x"), request())).replayed


def noted(memory_id: str, count: int, last: int, seen: int = 1) -> Noted:
    return Noted(memory_id, Access(count, last), seen)


class AccessSuite(LedgerFixtures):
    """Counts and times of accesses."""

    async def kept(self, ledger: Ledger, *memory_ids: str) -> dict[str, Kept]:
        return dict(await ledger.accesses(NS, memory_ids))

    async def test_counts_add_up_and_make_no_event(self, ledger: Ledger) -> None:
        assert await self.kept(ledger, "a") == {}
        await create(ledger, fact("a"), fact("b"))
        await ledger.note_accesses(NS, [noted("a", 2, NOW + 5), noted("b", 1, NOW, seen=2)])
        await ledger.note_accesses(NS, [noted("a", 3, NOW + 1)])
        assert await self.kept(ledger, "a", "b", "c") == {
            "a": Kept(1, Access(5, NOW + 5)),
            "b": Kept(2, Access(1, NOW)),
        }
        assert (await ledger.head(NS)).revision == 2
        await ledger.note_accesses("nowhere", [noted("a", 1, NOW)])
        assert dict(await ledger.accesses("nowhere", ["a"])) == {}
        assert await ledger.verify_chain(NS)

    async def test_a_count_survives_changes_and_crashes(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, fact("a"))
        await ledger.note_accesses(NS, [noted("a", 1, NOW)])
        await update(ledger, "a", text="other")
        again = await reopen(ledger)
        assert await self.kept(again, "a") == {"a": Kept(1, Access(1, NOW))}

    async def test_a_count_goes_with_its_memory(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b", expire_time=NOW + SECOND), fact("c", scope=BOB))
        await ledger.note_accesses(NS, [noted("a", 1, NOW), noted("b", 1, NOW, 2), noted("c", 1, NOW, 3)])
        await delete(ledger, "a")
        await update(ledger, "c", text="other", now=NOW + 2 * SECOND)
        await self._touch(ledger, ["b"])
        assert await self.kept(ledger, "a", "b", "c") == {"c": Kept(3, Access(1, NOW))}
        await create(ledger, fact("a"), fact("b"))
        await ledger.note_accesses(NS, [noted("a", 7, NOW, seen=1)])
        found = await self.kept(ledger, "a", "b")
        assert {memory_id: each.access for memory_id, each in found.items()} == {"a": Access(), "b": Access()}

    async def _touch(self, ledger: Ledger, memory_ids: Sequence[str]) -> None:
        await ledger.commit(
            Mutation(
                namespace=NS,
                memory_ids=memory_ids,
                decide=lambda found: Decision(()),
                now=NOW + 2 * SECOND,
                origin=ORIGIN,
            )
        )

    @pytest.mark.parametrize("history", [False, True])
    async def test_a_reset_takes_counts_along(self, ledger: Ledger, history: bool) -> None:
        await create(ledger, fact("a"), fact("b", scope=BOB))
        await ledger.note_accesses(NS, [noted("a", 4, NOW), noted("b", 1, NOW, 2)])
        await planned(ledger, ResetTarget(scope=ALICE, include_history=history))
        await execute(ledger)
        await ledger.note_accesses(NS, [noted("a", 1, NOW)])
        if history:
            await erase_all(ledger)
        await finish(ledger)
        assert list(await self.kept(ledger, "a", "b")) == ["b"]
        await create(ledger, replace(fact("a"), text="anew"))
        assert (await self.kept(ledger, "a"))["a"].access == Access()
