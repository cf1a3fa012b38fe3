"""What a read covers: filters, time ranges, validity, the past (semantics 1 and 2)."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memoir_server.domain.conversation import Message, NewMemory
from memoir_server.domain.errors import FieldInvalid, MemoryNotFound
from memoir_server.domain.filter import And, Compare, Filter, Not, Operator, Or
from memoir_server.domain.memory import Memory, Moment, Role, Scope
from memoir_server.domain.search import AsOf, Recipe, SearchSpec
from memoir_server.domain.selection import TimeRange
from memoir_server.ports.ledger import ListPosition
from memoir_server.service.recalling import ListSpec
from tests.service.harness import ANA, NS, SECOND, Memoir, World, calling, knows, patching


def score(operator: Operator, value: int | float) -> Compare:
    return Compare("metadata.score", operator, value)


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        (And((score(Operator.GREATER, 1), score(Operator.LESS, 4))), {2, 3}),
        (Or((score(Operator.LESS, 1), score(Operator.GREATER_OR_EQUAL, 4))), {0, 4}),
        (Not(score(Operator.EQUAL, 2)), {0, 1, 3, 4, None}),
        (And((Or((score(Operator.EQUAL, 1), score(Operator.EQUAL, 2))), Not(score(Operator.EQUAL, 1.0)))), {2}),
        (score(Operator.NOT_EQUAL, 2), {0, 1, 3, 4, None}),
        (Compare("metadata.score", Operator.EXISTS, False), {None}),
        (Compare("memory_id", Operator.IN, ("m1", "m3", "elsewhere")), {1, 3}),
        (Compare("metadata.never_stored", Operator.EQUAL, "x"), set()),
        (And(()), {0, 1, 2, 3, 4, None}),
    ],
)
async def test_search_and_list_filter_alike(memoir: Memoir, filter_: Filter, expected: set[int | None]) -> None:
    for i in range(5):
        await memoir.create(f"tea {i}", memory_id=f"m{i}", metadata={"score": i})
    await memoir.create("tea without a score", memory_id="mNone")
    ids = {f"m{i}" for i in expected}
    assert set(await memoir.found("tea", filter=filter_)) == ids
    assert {m.memory_id for m in await memoir.listed(filter=filter_)} == ids


@pytest.mark.parametrize(
    "filter_",
    [
        Compare("scores", Operator.EQUAL, 1),
        Compare("metadata.score", Operator.GREATER, "high"),
        And((score(Operator.EQUAL, 1), Not(Compare("importance", Operator.EQUAL, "x")))),
    ],
)
async def test_a_filter_that_could_only_be_ignored_is_refused(memoir: Memoir, filter_: Filter) -> None:
    await memoir.create("tea", metadata={"score": 1})
    with pytest.raises(FieldInvalid, match=r"^spec\.filter"):
        await memoir.search("tea", filter=filter_)
    with pytest.raises(FieldInvalid, match=r"^filter"):
        await memoir.listed(filter=filter_)


async def test_a_filter_reads_the_current_version(memoir: Memoir) -> None:
    await memoir.create("tea", memory_id="m", metadata={"score": 1})
    await memoir.update("m", metadata={"score": 2})
    assert await memoir.found("tea", filter=score(Operator.EQUAL, 1)) == []
    assert await memoir.found("tea", filter=score(Operator.EQUAL, 2)) == ["m"]
    assert await memoir.found("tea", filter=score(Operator.EQUAL, 1), as_of=AsOf(revision=1)) == ["m"]


async def test_a_time_range_is_half_open(memoir: Memoir) -> None:
    for t in (10, 20, 30):
        await memoir.create("tea", memory_id=f"m{t}", create_time=t)
    for created, expected in [
        (TimeRange(10, 30), ["m10", "m20"]),
        (TimeRange(20, None), ["m20", "m30"]),
        (TimeRange(None, 20), ["m10"]),
        (TimeRange(21, 30), []),
    ]:
        assert sorted(await memoir.found("tea", created=created)) == expected
        assert sorted(m.memory_id for m in await memoir.listed(created=created)) == expected
    later = Compare("create_time", Operator.GREATER_OR_EQUAL, Moment(20))
    assert await memoir.found("tea", created=TimeRange(None, 30), filter=later) == ["m20"]


async def test_a_superseded_memory_is_hidden_unless_it_is_asked_for(memoir: Memoir) -> None:
    now = memoir.clock.time
    await memoir.create("lives in Rome", memory_id="rome", valid_from=now - 100)
    await memoir.create("lives in Oslo", memory_id="oslo", valid_from=now, supersedes=("rome",))
    assert await memoir.found("lives in Rome") == ["oslo"]
    assert set(await memoir.found("lives in Rome", include_superseded=True)) == {"oslo", "rome"}
    assert await memoir.found("lives", valid_at=now - 1) == ["rome"]
    assert await memoir.found("lives", valid_at=now) == ["oslo"]
    assert await memoir.found("lives", valid_at=now - 101) == []
    assert [m.memory_id for m in await memoir.listed()] == ["oslo"]
    assert (await memoir.recalling.get(NS, "rome", as_of=None)).superseded_by == "oslo"
    assert await memoir.found("lives", as_of=AsOf(revision=1)) == ["rome"]


async def test_a_statement_that_ends_later_is_shown_until_then(memoir: Memoir) -> None:
    end = memoir.clock.time + 10 * SECOND
    await memoir.create("on holiday", memory_id="m", valid_until=end)
    memoir.clock.time = end - 1
    assert await memoir.found("holiday") == ["m"]
    memoir.clock.time = end
    assert await memoir.found("holiday") == []
    assert await memoir.found("holiday", include_superseded=True) == ["m"]


async def test_min_score_means_the_same_in_every_query(memoir: Memoir) -> None:
    for text in ("green tea with milk", "tea", "milk", "wine and bread", "green wine"):
        await memoir.create(text)
    for recipe in (Recipe.BALANCED, Recipe.SEMANTIC, Recipe.KEYWORD):
        everything = (await memoir.search("green tea with milk", recipe=recipe)).hits
        scores = sorted({hit.score for hit in everything})
        assert len(scores) > 1
        for minimum in scores:
            kept = (await memoir.search("green tea with milk", recipe=recipe, min_score=minimum)).hits
            assert kept == tuple(hit for hit in everything if hit.score >= minimum)
    assert (await memoir.search("green tea with milk", min_score=1.0)).hits[0].memory.text == "green tea with milk"


async def test_as_of_a_time_is_the_last_revision_until_then(memoir: Memoir) -> None:
    first = await memoir.create("tea", memory_id="m")
    memoir.clock.advance(10)
    second = await memoir.update("m", text="wine")
    at = second.changes[0].commit_time
    assert (await memoir.recalling.get(NS, "m", as_of=AsOf(time=at - 1))).text == "tea"
    assert (await memoir.recalling.get(NS, "m", as_of=AsOf(time=at))).text == "wine"
    assert (await memoir.recalling.get(NS, "m", as_of=AsOf(time=at + 10**15))).text == "wine"
    with pytest.raises(MemoryNotFound):
        await memoir.recalling.get(NS, "m", as_of=AsOf(time=first.update_time - 1))
    assert [hit.memory.text for hit in (await memoir.search("tea", as_of=AsOf(time=at - 1))).hits] == ["tea"]


@pytest.mark.parametrize("read", ["get", "list", "search"])
async def test_a_revision_that_has_not_been_is_refused(memoir: Memoir, read: str) -> None:
    await memoir.create("tea", memory_id="m")
    as_of = AsOf(revision=2)
    reads: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: memoir.recalling.get(NS, "m", as_of=as_of),
        "list": lambda: memoir.listed(as_of=as_of),
        "search": lambda: memoir.search("tea", as_of=as_of),
    }
    with pytest.raises(FieldInvalid, match="newest revision 1"):
        await reads[read]()
    assert await memoir.listed(as_of=AsOf(revision=0)) == []
    assert await memoir.found("tea", as_of=AsOf(revision=0)) == []


async def test_the_pages_of_a_listing_are_of_one_moment(memoir: Memoir) -> None:
    for i in range(6):
        await memoir.create(f"tea {i}", memory_id=f"m{i}", create_time=100 - i)
    spec = ListSpec(scope=ANA, filter=None, created=TimeRange(), include_superseded=False, as_of=None, valid_at=None)
    first = await memoir.recalling.list(NS, spec, after=None, revision=None, limit=3)
    assert [m.memory_id for m in first.memories] == ["m0", "m1", "m2"]
    await memoir.update("m4", text="wine")
    await memoir.create("tea in between", memory_id="new", create_time=96)
    await memoir.delete("m5")
    last = first.memories[-1]
    second = await memoir.recalling.list(
        NS, spec, after=ListPosition(last.create_time, last.memory_id), revision=first.revision, limit=3
    )
    assert [(m.memory_id, m.text) for m in second.memories] == [("m3", "tea 3"), ("m4", "tea 4")]
    assert second.revision == first.revision


WORDS = ["tea", "coffee", "rome", "oslo", "garden", "music", "bo", "cy"]
QUERIES = ["tea in rome", "what does bo like", "coffee music garden", "Ana and the garden"]
USERS = [ANA, Scope("ana-2"), Scope("ana", "agent", "s1")]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
IDS = st.integers(0, 5).map("m{}".format)
Step = tuple[str, str, str, Scope, list[str]]
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("create"), IDS, TEXTS, st.sampled_from(USERS), st.lists(IDS, max_size=2, unique=True)),
    st.tuples(st.just("add"), st.just(""), TEXTS, st.sampled_from(USERS), st.just([])),
    st.tuples(st.just("update"), IDS, TEXTS, st.just(ANA), st.just([])),
    st.tuples(st.just("move"), IDS, st.just(""), st.sampled_from(USERS), st.just([])),
    st.tuples(st.just("delete"), IDS, st.just(""), st.just(ANA), st.just([])),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was answered at one revision: hits as (id, revision, score) per question, and all versions of the lists."""

    revision: int
    searches: dict[tuple[str, Scope], list[tuple[str, int, float]]]
    lists: dict[Scope, list[Memory]]


async def look(memoir: Memoir, as_of: AsOf | None) -> Seen:
    searches, lists = {}, {}
    for scope in USERS:
        for query in QUERIES:
            spec = SearchSpec(query=query, scope=scope, limit=100, as_of=as_of)
            result = await memoir.recalling.search(NS, spec, calling())
            searches[query, scope] = [(h.memory.memory_id, h.memory.revision, h.score) for h in result.hits]
        lists[scope] = await memoir.listed(scope, as_of=as_of)
    return Seen(await memoir.head(), searches, lists)


async def take(memoir: Memoir, step: Step, existing: set[str]) -> None:
    """Makes one step, unless it could only be refused."""
    verb, memory_id, text, scope, supersedes = step
    if verb == "add":
        message = Message(role=Role.USER, content=text, actor_id="Ana")
        await memoir.remembering.add(NS, scope, [message], calling())
    elif verb == "create" and memory_id not in existing:
        old = tuple(s for s in supersedes if s in existing)
        facts = knows("Ana", text.split()[0])
        new = NewMemory(memory_id=memory_id, text=text, scope=scope, supersedes=old, **facts)
        await memoir.remembering.create(NS, new, calling())
        existing.add(memory_id)
    elif verb == "update" and memory_id in existing:
        await memoir.update(memory_id, text=text, **knows("Bo", text.split()[-1]))
    elif verb == "move" and memory_id in existing:
        await memoir.remembering.update(NS, memory_id, patching(scope=scope, importance=0.7), calling())
    elif verb == "delete" and memory_id in existing:
        await memoir.delete(memory_id)
        existing.discard(memory_id)


async def law(directory: Path, steps: list[Step]) -> None:
    async with World(directory).running() as memoir:
        seen: list[Seen] = []
        # The speakers of a scope are those of now, so all of them are there from the start.
        for scope in USERS:
            await take(memoir, ("add", "", "hello", scope, []), set())
        existing: set[str] = set()
        for step in steps:
            memoir.clock.advance(1)
            await take(memoir, step, existing)
            await memoir.settle()
            seen.append(await look(memoir, None))
        alive = {m.memory_id: m for scope in USERS for m in await memoir.listed(scope, include_superseded=True)}
        born = {e.memory_id: e.revision for e in await memoir.events() if e.after is not None and e.before is None}
        for then in seen:
            now = await look(memoir, AsOf(revision=then.revision))

            def remain(memory_id: str, revision: int) -> bool:
                return memory_id in alive and revision >= born[memory_id]

            for scope, memories in then.lists.items():
                expected = [m for m in memories if remain(m.memory_id, m.revision)]
                assert now.lists[scope] == expected
                for memory in expected:
                    got = await memoir.recalling.get(NS, memory.memory_id, as_of=AsOf(revision=then.revision))
                    assert got == memory
            for question, hits in then.searches.items():
                expected_hits = [hit for hit in hits if remain(hit[0], hit[1])]
                # The order may differ: it rests on term statistics of the present, and on neighbours that may be gone.
                assert sorted(now.searches[question]) == sorted(expected_hits)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=10))
def test_a_read_as_of_a_revision_is_what_was_answered_then(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(law(Path(directory), steps))
