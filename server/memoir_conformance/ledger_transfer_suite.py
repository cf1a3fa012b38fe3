"""What every ledger must do for exports, imports and listings of scopes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memoir_conformance.ledger_model import (
    ALICE,
    BOB,
    MODEL,
    NOW,
    NS,
    ORIGIN,
    SECOND,
    LedgerFixtures,
    create,
    creating,
    delete,
    fact,
    rich,
    select,
    update,
)
from memoir_server.domain.change import EventType
from memoir_server.domain.filter import Compare, Operator
from memoir_server.domain.memory import Memory, MemoryKind, Scope
from memoir_server.domain.mutation import Decision, Mutation, ReadyVectors
from memoir_server.domain.scopes import ScopeCount, ScopeDimension
from memoir_server.domain.store import StoreKind
from memoir_server.ports.ledger import HistoryQuery, Ledger

USER, AGENT, SESSION = ScopeDimension.USER, ScopeDimension.AGENT, ScopeDimension.SESSION


async def born(ledger: Ledger, *, after: int = 0, limit: int = 100, **selection: object) -> list[tuple[int, str, int]]:
    """(birth, id, revision) of a page."""
    page = await ledger.list_born(NS, select(**selection), after=after, limit=limit)
    return [(b.birth, b.memory.memory_id, b.memory.revision) for b in page]


async def scopes(
    ledger: Ledger,
    dimension: ScopeDimension,
    within: Scope | None = None,
    *,
    after: str = "",
    limit: int = 100,
    now: int = NOW,
) -> list[ScopeCount]:
    return list(await ledger.scopes(NS, dimension, within or Scope(), after=after, limit=limit, now=now))


class TransferSuite(LedgerFixtures):
    """Walks in the order of birth, the history of what they show, vectors that come along, scopes."""

    async def test_memories_come_in_the_order_of_birth(self, ledger: Ledger) -> None:
        assert await born(ledger) == []
        await create(ledger, fact("b"), fact("a", create_time=NOW - SECOND), rich("c"))
        await update(ledger, "b", text="newer")
        assert await born(ledger) == [(1, "b", 4), (2, "a", 2), (3, "c", 3)]
        assert await born(ledger, revision=3) == [(1, "b", 1), (2, "a", 2), (3, "c", 3)]
        assert await born(ledger, revision=1) == [(1, "b", 1)]
        assert await born(ledger, revision=0) == []
        (page,) = await ledger.list_born(NS, select(), after=2, limit=5)
        assert page.memory == replace(rich("c"), revision=3, update_time=NOW + 2)

    async def test_pages_of_one_revision_are_one_listing_whatever_is_written(self, ledger: Ledger) -> None:
        await create(ledger, *(fact(f"m{i}") for i in range(7)))
        pages = await born(ledger, revision=7, limit=3)
        await create(ledger, fact("later"))
        await update(ledger, "m4", text="changed")
        await delete(ledger, "m5")
        await create(ledger, fact("m5", text="another life"))
        while page := await born(ledger, revision=7, after=pages[-1][0], limit=3):
            assert len(page) <= 3
            pages += page
        assert pages == [(i + 1, f"m{i}", i + 1) for i in (0, 1, 2, 3, 4, 6)]
        assert [b for b, _, _ in await born(ledger, after=7)] == [8, 11]

    async def test_more_than_one_read_of_births_is_one_page(self, ledger: Ledger) -> None:
        await create(ledger, *(fact(f"m{i}", scope=BOB if i % 600 == 599 else ALICE) for i in range(2500)))
        filter_ = Compare("user_id", Operator.EQUAL, "bob")
        expected = [600, 1200, 1800, 2400]
        assert [b for b, _, _ in await born(ledger, filter=filter_)] == expected
        assert [b for b, _, _ in await born(ledger, filter=filter_, limit=3)] == expected[:3]
        assert [b for b, _, _ in await born(ledger, scope=BOB, after=600, limit=2)] == expected[1:3]
        assert len(await born(ledger, limit=10_000)) == 2500

    async def test_walks_keep_to_the_selection(self, ledger: Ledger) -> None:
        closed = fact("closed", valid_until=NOW - SECOND)
        fleeting = fact("fleeting", expire_time=NOW + SECOND)
        await create(ledger, closed, fleeting, fact("bobs", scope=BOB), fact("plan", scope=Scope("alice", "bot", "s")))
        await create(ledger, replace(fact("other"), namespace="attic"))
        assert [i for _, i, _ in await born(ledger)] == ["fleeting", "bobs", "plan"]
        assert [i for _, i, _ in await born(ledger, include_superseded=True, scope=ALICE)] == [
            *("closed", "fleeting", "plan")
        ]
        later = select(now=NOW + SECOND, include_superseded=True, scope=ALICE)
        assert [b.memory.memory_id for b in await ledger.list_born(NS, later, after=0, limit=9)] == ["closed", "plan"]
        for scope in (Scope(None, "bot"), Scope(None, None, "s"), Scope("alice", "bot", "s")):
            assert [i for _, i, _ in await born(ledger, scope=scope)] == ["plan"]
        assert list(await ledger.list_born("nowhere", select(), after=0, limit=9)) == []

    async def test_history_of_a_selection_is_of_these_lives(self, ledger: Ledger) -> None:
        await create(ledger, fact("a"), fact("gone"), fact("b", scope=BOB))
        await update(ledger, "a", text="two")
        await delete(ledger, "gone")
        await create(ledger, fact("gone", text="again"))
        await ledger.append_failure(NS, "a", "given up", now=NOW, origin=ORIGIN)
        await ledger.append_failure(NS, "never", "not there", now=NOW, origin=ORIGIN)
        await update(ledger, "b", text="after")

        async def events(query: HistoryQuery, limit: int = 100) -> list[int]:
            return [c.revision for c in await ledger.history(NS, query, limit=limit)]

        everything = select(revision=6, include_superseded=True)
        assert await events(HistoryQuery(until=6, of=everything)) == [1, 3, 4, 6]
        assert await events(HistoryQuery(until=6, of=everything), limit=2) == [1, 3]
        assert await events(HistoryQuery(until=6, after=3, of=everything)) == [4, 6]
        assert await events(HistoryQuery(until=9, of=select(revision=9))) == [1, 3, 4, 6, 7, 9]
        of_alice = select(revision=6, scope=ALICE)
        assert await events(HistoryQuery(until=6, scope=ALICE, of=of_alice)) == [1, 4, 6]
        assert await events(HistoryQuery(until=6, types=frozenset({EventType.UPDATED}), of=everything)) == [4]
        # At revision 3 the first life of "gone" was there, and now it is not.
        assert await events(HistoryQuery(until=3, of=select(revision=3))) == [1, 3]
        named = select(revision=6, filter=Compare("memory_id", Operator.EQUAL, "gone"))
        assert await events(HistoryQuery(until=6, of=named)) == [6]

    async def test_vectors_come_with_the_mutation(self, ledger: Ledger) -> None:
        kept, twin, absent = fact("kept", text="kept"), fact("twin", text="twin"), fact("absent", text="absent")
        await create(ledger, twin)
        computed = np.array([0.0, 1.0, 0.0, 0.0], dtype=np.float32)
        await ledger.keep_vectors(NS, MODEL, {twin.content_hash: computed})
        # The lazy write of the computed vector is over once a later commit is.
        await create(ledger, fact("fence", text="fence"))
        given = np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32)
        hashes = [memory.content_hash for memory in (kept, twin, absent)]

        async def bring(memory: Memory) -> None:
            mutation = Mutation(
                namespace=NS,
                memory_ids=[memory.memory_id],
                decide=creating(memory),
                now=NOW,
                origin=ORIGIN,
                vectors=ReadyVectors(MODEL, dict.fromkeys(hashes, given)),
            )
            await ledger.commit(mutation)

        await bring(kept)
        found = await ledger.vectors(NS, hashes, MODEL)
        assert set(found) == {kept.content_hash, twin.content_hash}
        assert np.array_equal(found[kept.content_hash], given)
        assert np.array_equal(found[twin.content_hash], computed)
        assert await ledger.vectors(NS, hashes, replace(MODEL, version="2")) == {}
        work = (await ledger.pending(StoreKind.INDEX, limit=10, now=NOW))[NS]
        assert [w.change.memory_id for w in work] == ["twin", "fence", "kept"]

    async def test_vectors_without_a_change_make_no_namespace(self, ledger: Ledger) -> None:
        vectors = ReadyVectors(MODEL, {b"h" * 32: np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32)})
        mutation = Mutation(
            namespace=NS, memory_ids=["a"], decide=lambda found: Decision(()), now=NOW, origin=ORIGIN, vectors=vectors
        )
        assert (await ledger.commit(mutation)).revision == 0
        assert list(await ledger.namespaces()) == []
        assert await ledger.vectors(NS, [b"h" * 32], MODEL) == {}

    async def test_scopes_are_counted_by_each_dimension(self, ledger: Ledger) -> None:
        assert await scopes(ledger, USER) == []
        await create(
            ledger,
            fact("1", scope=Scope("ana", "bot", "s1"), create_time=NOW - 9),
            fact("2", scope=Scope("ana", "bot", "s2"), create_time=NOW - 5),
            fact("3", scope=Scope("ana"), create_time=NOW - 7, valid_until=NOW - SECOND),
            fact("4", scope=Scope("ben", None, "s1"), create_time=NOW - 3),
            fact("5", scope=Scope(None, "bot"), create_time=NOW - 1),
        )
        await create(ledger, replace(fact("6", scope=Scope("zoe")), namespace="attic"))
        assert await scopes(ledger, USER) == [
            ScopeCount(Scope("ana"), 3, NOW - 5),
            ScopeCount(Scope("ben"), 1, NOW - 3),
        ]
        assert await scopes(ledger, AGENT) == [ScopeCount(Scope(None, "bot"), 3, NOW - 1)]
        assert await scopes(ledger, SESSION) == [
            ScopeCount(Scope(None, None, "s1"), 2, NOW - 3),
            ScopeCount(Scope(None, None, "s2"), 1, NOW - 5),
        ]
        assert await scopes(ledger, SESSION, Scope("ana")) == [
            ScopeCount(Scope("ana", None, "s1"), 1, NOW - 9),
            ScopeCount(Scope("ana", None, "s2"), 1, NOW - 5),
        ]
        assert await scopes(ledger, USER, Scope(None, "bot", "s2")) == [
            ScopeCount(Scope("ana", "bot", "s2"), 1, NOW - 5)
        ]
        assert await scopes(ledger, USER, Scope("ben")) == [ScopeCount(Scope("ben"), 1, NOW - 3)]

    async def test_scopes_show_what_is_there_now(self, ledger: Ledger) -> None:
        fleeting = fact("fleeting", scope=BOB, expire_time=NOW + SECOND)
        await create(ledger, fact("a"), fact("b"), fleeting)
        await update(ledger, "a", text="twice", kind=MemoryKind.EVENT)
        assert await scopes(ledger, USER) == [ScopeCount(ALICE, 2, NOW), ScopeCount(BOB, 1, NOW)]
        assert await scopes(ledger, USER, now=NOW + SECOND) == [ScopeCount(ALICE, 2, NOW)]
        await delete(ledger, "a", "b")
        assert await scopes(ledger, USER) == [ScopeCount(BOB, 1, NOW)]

    async def test_scopes_come_in_pages_by_code_point(self, ledger: Ledger) -> None:
        names = sorted(["a", "B", "ä", "Z", "\U0001f600", "￮", "ab", "a b"])
        await create(ledger, *(fact(f"m{i}", scope=Scope(name)) for i, name in enumerate(reversed(names))))
        found: list[str | None] = []
        after = ""
        while page := await scopes(ledger, USER, after=after, limit=3):
            found += [count.scope.user_id for count in page]
            after = page[-1].scope.user_id or ""
        assert found == names
