"""What every ledger must do. An adapter's test module subclasses the suites and gives the two fixtures `open_ledger`
(opens a fresh ledger) and `reopen` (opens what is left of one as after a crash)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
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
    commit,
    create,
    delete,
    fact,
    get,
    ids,
    log,
    request,
    rich,
    select,
    update,
)
from memoir_server.domain.change import Draft, EventType
from memoir_server.domain.errors import (
    EtagMismatch,
    MemoryAlreadyExists,
    MemoryNotFound,
    RequestIdReused,
)
from memoir_server.domain.filter import Compare, Family, Operator, matches
from memoir_server.domain.memory import (
    NEVER,
    Memory,
    MemoryKind,
    Moment,
    Provenance,
    Scope,
)
from memoir_server.domain.mutation import Decide, Decision
from memoir_server.domain.selection import TimeRange
from memoir_server.ports.ledger import HistoryQuery, Ledger, ListPosition


class WritingSuite(LedgerFixtures):
    """Mutations: place in the log, decisions, idempotency, expiry."""

    async def test_versions_come_back_whole(self, ledger: Ledger) -> None:
        written = await create(ledger, rich())
        (change,) = written.changes
        assert change.after is not None
        assert change.after == replace(rich(), revision=1, update_time=NOW)
        assert await get(ledger, "rich") == change.after
        found = await get(ledger, "rich")
        assert found is not None
        assert {k: type(v) for k, v in found.metadata.items()} == {k: type(v) for k, v in rich().metadata.items()}
        (event,) = await ledger.history(NS, HistoryQuery(), limit=10)
        assert event == change
        assert event.origin == ORIGIN

    async def test_revisions_are_consecutive_and_times_rise(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b"), now=NOW)
        await create(ledger, fact("c"), now=NOW - 50)
        await update(ledger, "a", text="new", now=NOW + SECOND)
        changes = await ledger.history(NS, HistoryQuery(), limit=10)
        assert [c.revision for c in changes] == [1, 2, 3, 4]
        assert [c.commit_time for c in changes] == [NOW, NOW + 1, NOW + 2, NOW + SECOND]
        head = await ledger.head(NS)
        assert (head.revision, head.commit_time) == (4, NOW + SECOND)
        assert [await ledger.commit_time(NS, r) for r in range(5)] == [0, NOW, NOW + 1, NOW + 2, NOW + SECOND]
        times = (NOW - 1, NOW, NOW + 1, NOW + 3, NOW + SECOND, NOW + 2 * SECOND)
        assert [await ledger.revision_at(NS, t) for t in times] == [0, 1, 2, 3, 4, 4]

    async def test_namespaces_are_apart(self, ledger: Ledger) -> None:
        assert list(await ledger.namespaces()) == []
        await create(ledger, fact("a"))
        await create(ledger, replace(fact("a", text="other"), namespace="attic"))
        assert list(await ledger.namespaces()) == ["attic", NS]
        assert (await ledger.head("attic")).revision == 1
        other = await ledger.get("attic", ["a"], revision=NEVER - 1, now=NOW)
        assert other["a"].text == "other"
        assert other["a"].namespace == "attic"
        assert (await ledger.head("nowhere")).revision == 0
        assert await ledger.get("nowhere", ["a"], revision=NEVER - 1, now=NOW) == {}

    async def test_decisions_that_fail_leave_nothing(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"))
        with pytest.raises(MemoryAlreadyExists):
            await create(ledger, fact("new"), fact("a"))
        with pytest.raises(MemoryNotFound):
            await update(ledger, "gone", text="x")
        with pytest.raises(EtagMismatch) as refused:
            await update(ledger, "a", etag='"7"', text="x")
        assert refused.value.current_etag == '"1"'
        with pytest.raises(ZeroDivisionError):
            await commit(ledger, lambda found: 1 // 0, ["a"])  # type: ignore[arg-type]
        assert await log(ledger) == [(1, EventType.CREATED, "a")]
        assert (await update(ledger, "a", etag='"1"', text="x")).revision == 2

    async def test_drafts_outside_the_mutations_memories_are_refused(self, ledger: Ledger) -> None:
        with pytest.raises(ValueError, match="memory_ids"):
            await commit(ledger, [Draft(type=EventType.CREATED, memory_id="a", after=fact("a"))], [])
        await create(ledger, fact("a"))
        with pytest.raises(ValueError, match="exists"):
            await commit(ledger, [Draft(type=EventType.CREATED, memory_id="a", after=fact("a"))])

    async def test_fifty_writers_get_revisions_of_their_own(self, ledger: Ledger) -> None:
        await create(ledger, fact("shared", text="0"))

        async def write(i: int) -> int:
            await create(ledger, fact(f"m{i}"))

            def decide(found: Mapping[str, Memory]) -> Decision:
                before = found["shared"]
                after = replace(before, text=str(int(before.text) + 1))
                return Decision([Draft(type=EventType.UPDATED, memory_id="shared", before=before, after=after)])

            return (await commit(ledger, decide, ["shared"])).revision

        revisions = await asyncio.gather(*(write(i) for i in range(50)))
        assert len(set(revisions)) == 50
        shared = await get(ledger, "shared")
        assert shared is not None
        assert shared.text == "50"
        assert [r for r, _, _ in await log(ledger)] == list(range(1, 102))
        assert await ledger.verify_chain(NS)

    async def test_turns_count_within_the_scope(self, ledger: Ledger) -> None:
        def episode(i: str, session: str | None, user: str = "alice") -> Memory:
            return fact(i, scope=Scope(user, None, session), kind=MemoryKind.EPISODE)

        await create(ledger, episode("a1", "s"), episode("b1", "t"), episode("a2", "s"), fact("f"))
        await create(ledger, episode("a3", "s"), episode("c1", "s", "bob"), episode("n1", None))
        turns = {i: m.turn for i in ("a1", "a2", "a3", "b1", "c1", "n1", "f") if (m := await get(ledger, i))}
        assert turns == {"a1": 1, "a2": 2, "a3": 3, "b1": 1, "c1": 1, "n1": 1, "f": 0}
        await update(ledger, "a2", text="edited")
        middle = await get(ledger, "a2")
        assert middle is not None
        assert middle.turn == 2
        around = await ledger.neighbours(NS, middle, before=1, after=5, now=NOW)
        assert [m.memory_id for m in around] == ["a1", "a3"]
        await delete(ledger, "a1")
        assert [m.memory_id for m in await ledger.neighbours(NS, middle, before=1, after=0, now=NOW)] == []

    async def test_a_duplicate_request_gets_the_first_answer(self, ledger: Ledger, reopen: Reopen) -> None:
        first = await create(ledger, fact("a"), fact("b"), key=request())
        await delete(ledger, "a")
        again = await create(ledger, fact("a"), fact("b"), key=request())
        assert again == replace(first, replayed=True)
        with pytest.raises(RequestIdReused):
            await create(ledger, fact("a"), key=request(b"g" * 32))
        ledger = await reopen(ledger)
        assert await create(ledger, fact("a"), fact("b"), key=request()) == replace(first, replayed=True)
        day = 24 * 3600 * SECOND
        with pytest.raises(MemoryAlreadyExists):
            await create(ledger, fact("b"), now=NOW + day, key=request())

    async def test_duplicates_in_flight_write_once(self, ledger: Ledger) -> None:
        results = await asyncio.gather(*(create(ledger, fact("a"), key=request()) for _ in range(8)))
        assert sorted(r.replayed for r in results) == [False] + [True] * 7
        assert all(replace(r, replayed=False) == replace(results[0], replayed=False) for r in results)
        assert await log(ledger) == [(1, EventType.CREATED, "a")]

    async def test_failures_are_not_recorded_and_empty_mutations_are(self, ledger: Ledger) -> None:
        with pytest.raises(MemoryNotFound):
            await commit(ledger, _raising(MemoryNotFound(NS, "x")), ["x"], key=request())
        done = await commit(ledger, lambda found: Decision((), b"nothing"), ["x"], key=request())
        assert (done.changes, done.outcome, done.revision, done.replayed) == ((), b"nothing", 0, False)
        await create(ledger, fact("x"))
        again = await commit(ledger, _raising(AssertionError("decided again")), ["x"], key=request())
        assert (again.changes, again.outcome, again.revision, again.replayed) == ((), b"nothing", 0, True)

    async def test_expiry_hides_everything_and_is_recorded_when_met(self, ledger: Ledger) -> None:
        await create(ledger, fact("a", expire_time=NOW + 10), fact("b"))
        await update(ledger, "a", text="second")
        assert await get(ledger, "a", now=NOW + 9) is not None
        assert await get(ledger, "a", now=NOW + 10) is None
        assert await get(ledger, "a", revision=1, now=NOW + 10) is None
        assert await ids(ledger, now=NOW + 10) == ["b"]
        assert list(await ledger.expired(NOW + 9, limit=5)) == []
        assert list(await ledger.expired(NOW + 10, limit=5)) == [(NS, "a")]
        with pytest.raises(MemoryNotFound):
            await update(ledger, "a", text="late", now=NOW + 10)
        assert (await ledger.head(NS)).revision == 3
        done = await create(ledger, fact("a", text="again"), now=NOW + 10)
        assert [c.type for c in done.changes] == [EventType.CREATED]
        assert done.revision == 5
        assert await log(ledger, after=3) == [(4, EventType.EXPIRED, "a"), (5, EventType.CREATED, "a")]
        assert list(await ledger.expired(NOW + SECOND, limit=5)) == []
        memory = await get(ledger, "a")
        assert memory is not None
        assert memory.text == "again"

    async def test_a_sweep_records_expiry(self, ledger: Ledger) -> None:
        await create(ledger, fact("a", expire_time=NOW + 10), fact("b", expire_time=NOW + 20))
        await commit(ledger, lambda found: Decision(()), ["a", "b"], now=NOW + 15)
        assert await log(ledger, after=2) == [(3, EventType.EXPIRED, "a")]
        (event,) = await ledger.history(NS, HistoryQuery(after=2), limit=5)
        assert event.before is not None
        assert event.before.memory_id == "a"
        assert list(await ledger.expired(NOW + 20, limit=5)) == [(NS, "b")]

    async def test_a_later_expire_time_governs_all_versions(self, ledger: Ledger) -> None:
        await create(ledger, fact("a", expire_time=NOW + 10))
        await update(ledger, "a", expire_time=None)
        assert await get(ledger, "a", revision=1, now=NOW + SECOND) is not None
        await update(ledger, "a", expire_time=NOW + 20)
        assert await get(ledger, "a", revision=2, now=NOW + SECOND) is None

    async def test_a_restart_loses_nothing(self, ledger: Ledger, reopen: Reopen) -> None:
        await create(ledger, rich(), fact("b"))
        await update(ledger, "b", text="new")
        identity, before = ledger.ledger_id, await ledger.history(NS, HistoryQuery(), limit=10)
        ledger = await reopen(ledger)
        assert ledger.ledger_id == identity
        assert await ledger.history(NS, HistoryQuery(), limit=10) == before
        assert await ids(ledger) == ["b", "rich"]
        assert (await create(ledger, fact("c"))).revision == 4
        assert await ledger.verify_chain(NS)


def _raising(error: Exception) -> Decide:
    def decide(found: Mapping[str, Memory]) -> Decision:
        raise error

    return decide


class ReadingSuite(LedgerFixtures):
    """Reads: past moments, selections, filters, paging, history."""

    async def test_the_past_is_kept_for_what_still_exists(self, ledger: Ledger) -> None:
        await create(ledger, fact("a", text="one"), fact("b", text="bee"))
        await update(ledger, "a", text="two")
        await delete(ledger, "b")
        assert [m.text if (m := await get(ledger, "a", revision=r)) else None for r in range(5)] == [
            *(None, "one", "one", "two", "two")
        ]
        assert [await get(ledger, "b", revision=r) for r in range(5)] == [None] * 5
        assert await ids(ledger, revision=2) == ["a"]
        several = await ledger.get(NS, ["a", "b", "c"], revision=1, now=NOW)
        assert {k: m.text for k, m in several.items()} == {"a": "one"}
        await create(ledger, fact("b", text="second life"))
        assert await get(ledger, "b", revision=2) is None
        assert sorted(await ids(ledger)) == ["a", "b"]

    async def test_superseded_versions_need_asking_for(self, ledger: Ledger) -> None:
        await create(ledger, fact("old", valid_from=NOW - 100))
        old = await get(ledger, "old")
        assert old is not None
        new = fact("new", valid_from=NOW - 10, supersedes=("old",))
        closed = replace(old, valid_until=NOW - 10, superseded_by="new")
        await commit(
            ledger,
            [
                Draft(type=EventType.SUPERSEDED, memory_id="old", before=old, after=closed),
                Draft(type=EventType.CREATED, memory_id="new", after=new),
            ],
        )
        assert await ids(ledger) == ["new"]
        assert await ids(ledger, include_superseded=True) == ["new", "old"]
        assert await ids(ledger, valid_at=NOW - 50) == ["old"]
        assert await ids(ledger, valid_at=NOW - 10) == ["new"]
        assert await ids(ledger, revision=1) == ["old"]

    async def test_scopes_that_look_alike_stay_apart(self, ledger: Ledger) -> None:
        users = ["alice", "alice-2", "alice@x.com", "Alice", "alic"]
        await create(ledger, *(fact(f"m{i}", scope=Scope(u, "bot", f"s{i}")) for i, u in enumerate(users)))
        await create(ledger, fact("free", scope=Scope(None, "bot")))
        assert [await ids(ledger, scope=Scope(u)) for u in users] == [[f"m{i}"] for i in range(5)]
        assert await ids(ledger, scope=Scope(None, "bot")) == ["free", "m0", "m1", "m2", "m3", "m4"]
        assert await ids(ledger, scope=Scope(None, None, "s3")) == ["m3"]
        assert await ids(ledger, scope=Scope("alice", "other")) == []

    async def test_paging_covers_everything_once(self, ledger: Ledger) -> None:
        memories = [fact(f"m{i:02}", create_time=NOW - (i * 7) % 5) for i in range(23)]
        await create(ledger, *memories)
        expected = [m.memory_id for m in sorted(memories, key=lambda m: (-m.create_time, m.memory_id))]
        for scope in (Scope(), ALICE):
            for limit in (1, 4, 23, 100):
                seen: list[str] = []
                after: ListPosition | None = None
                while page := await ledger.list_memories(NS, select(scope=scope), after=after, limit=limit):
                    assert len(page) <= limit
                    seen.extend(m.memory_id for m in page)
                    after = ListPosition(page[-1].create_time, page[-1].memory_id)
                assert seen == expected

    async def test_created_range(self, ledger: Ledger) -> None:
        await create(ledger, *(fact(f"m{i}", create_time=i) for i in range(5)))
        assert await ids(ledger, created=TimeRange(1, 4)) == ["m3", "m2", "m1"]
        assert await ids(ledger, created=TimeRange(None, 1)) == ["m0"]

    async def test_hydration_decides_what_is_shown(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b", scope=BOB), fact("c", expire_time=NOW + 5), fact("d"))
        await update(ledger, "a", text="two")
        await delete(ledger, "d")
        everything = list(range(1, 9))

        async def shown(**fields: object) -> list[int]:
            return sorted(await ledger.hydrate(NS, everything, select(**fields)))

        assert await shown() == [2, 3, 5]
        assert await shown(scope=ALICE) == [3, 5]
        assert await shown(revision=2) == [1, 2]
        assert await shown(now=NOW + 5) == [2, 5]
        assert await shown(filter=Compare("text", Operator.EQUAL, "two")) == [5]
        hydrated = await ledger.hydrate(NS, [5], select())
        assert hydrated[5].text == "two"
        assert await ledger.hydrate(NS, [], select()) == {}

    async def test_versions_matching(self, ledger: Ledger) -> None:
        await create(ledger, *(fact(f"m{i}", metadata={"n": i}) for i in range(6)))
        await update(ledger, "m5", metadata={"n": 0})
        small = Compare("metadata.n", Operator.LESS, 2)
        found = await ledger.versions_matching(NS, select(filter=small))
        assert found.dtype == np.int64
        assert found.tolist() == [1, 2, 7]
        assert (await ledger.versions_matching(NS, select(filter=small, revision=6))).tolist() == [1, 2]
        assert (await ledger.versions_matching("nowhere", select())).tolist() == []

    async def test_metadata_families(self, ledger: Ledger) -> None:
        await create(
            ledger, fact("a", metadata={"n": 1, "t": ("x",)}), fact("b", metadata={"n": "one", "m": Moment(1)})
        )
        await delete(ledger, "b")
        assert await ledger.metadata_families(NS, frozenset({"n", "t", "m", "never"})) == {
            "n": {Family.NUMBER, Family.STRING},
            "t": {Family.STRINGS},
            "m": {Family.TIMESTAMP},
        }

    async def test_speakers_of_a_scope(self, ledger: Ledger) -> None:
        def said(memory_id: str, *actors: str, session: str = "s") -> Memory:
            provenance = tuple(Provenance(actor_id=actor) for actor in actors)
            return fact(memory_id, scope=Scope("alice", None, session), provenance=provenance)

        await create(ledger, said("a", "Ann"), said("b", "Bea"), said("c", "Bea"), said("d", "Cid", session="t"))
        await create(ledger, said("e", "Ann", "Bea"), said("f"), replace(said("g", "Z"), scope=BOB))
        assert list(await ledger.speakers(NS, ALICE, limit=9)) == ["Bea", "Ann", "Cid"]
        assert list(await ledger.speakers(NS, ALICE, limit=1)) == ["Bea"]
        assert list(await ledger.speakers(NS, Scope(None, None, "t"), limit=9)) == ["Cid"]
        await delete(ledger, "b", "c")
        await update(ledger, "a", text="edited")
        await update(ledger, "d", provenance=(Provenance(actor_id="Dora"),))
        assert list(await ledger.speakers(NS, ALICE, limit=9)) == ["Ann", "Dora"]
        assert list(await ledger.speakers(NS, Scope(), limit=9)) == ["Ann", "Dora", "Z"]
        assert list(await ledger.speakers("nowhere", ALICE, limit=9)) == []

    async def test_speakers_who_had_spoken_by_a_revision(self, ledger: Ledger) -> None:
        for memory_id, actor in (("a", "Ann"), ("b", "Bea"), ("c", "Ann")):
            await create(ledger, fact(memory_id, scope=ALICE, provenance=(Provenance(actor_id=actor),)))
        assert list(await ledger.speakers(NS, ALICE, limit=9, revision=1)) == ["Ann"]
        assert list(await ledger.speakers(NS, ALICE, limit=9, revision=2)) == ["Ann", "Bea"]

    async def test_numbers_compare_exactly(self, ledger: Ledger) -> None:
        values: list[int | float] = [2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 5, 5.0, 0.1, -0.0, 1e300]
        await create(ledger, *(fact(f"m{i}", metadata={"n": v}) for i, v in enumerate(values)))
        for constant in values:
            for operator in (Operator.EQUAL, Operator.NOT_EQUAL, Operator.LESS, Operator.GREATER_OR_EQUAL):
                filter_ = Compare("metadata.n", operator, constant)
                expected = [f"m{i}" for i, v in enumerate(values) if matches(filter_, fact("x", metadata={"n": v}))]
                assert await ids(ledger, filter=filter_) == expected, filter_

    async def test_history_is_narrowed(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("b", scope=BOB))
        await update(ledger, "a", text="two", now=NOW + SECOND)
        await delete(ledger, "b", now=NOW + 2 * SECOND)
        await ledger.append_failure(NS, "a", "gave up", now=NOW, origin=ORIGIN)
        created, updated, deleted, failed = EventType.CREATED, EventType.UPDATED, EventType.DELETED, EventType.FAILED
        everything = [(1, created, "a"), (2, created, "b"), (3, updated, "a"), (4, deleted, "b"), (5, failed, "a")]
        assert await log(ledger) == everything
        assert await log(ledger, after=2, until=4) == everything[2:4]
        assert await log(ledger, memory_id="b") == [everything[1], everything[3]]
        assert await log(ledger, memory_id="a") == [everything[0], everything[2], everything[4]]
        assert await log(ledger, scope=ALICE) == [everything[0], everything[2]]
        assert await log(ledger, scope=BOB) == [everything[1], everything[3]]
        assert await log(ledger, scope=BOB, watch=True) == [everything[1], everything[3]]
        assert await log(ledger, types=frozenset({deleted, failed})) == everything[3:]
        assert await log(ledger, committed=TimeRange(NOW + 1, NOW + 2 * SECOND)) == everything[1:3]
        assert [c.revision for c in await ledger.history(NS, HistoryQuery(after=1), limit=2)] == [2, 3]
        assert list(await ledger.history("nowhere", HistoryQuery(), limit=5)) == []
        (failure,) = await ledger.history(NS, HistoryQuery(after=4), limit=5)
        assert failure.reason == "gave up"

    async def test_long_histories_page(self, ledger: Ledger) -> None:
        await create(ledger, *(fact(f"m{i}") for i in range(150)))
        seen: list[int] = []
        while page := await ledger.history(NS, HistoryQuery(after=seen[-1] if seen else 0), limit=40):
            seen.extend(c.revision for c in page)
        assert seen == list(range(1, 151))

    async def test_waiting_for_the_head(self, ledger: Ledger) -> None:
        assert await ledger.wait_beyond(NS, 0, 0.01) == 0
        waiting = asyncio.create_task(ledger.wait_beyond(NS, 0, 10.0))
        await asyncio.sleep(0.01)
        await create(ledger, fact("a"))
        assert await asyncio.wait_for(waiting, 5.0) == 1
        assert await ledger.wait_beyond(NS, 0, 10.0) == 1
