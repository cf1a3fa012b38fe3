"""Following the history: in order, without a gap, without a repeat, and resumable."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from memoir_server.domain.change import Change, EventType
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import TimeRange
from memoir_server.domain.store import Durability
from memoir_server.ports.ledger import HistoryQuery
from memoir_server.service import history as history_module
from memoir_server.service.history import Bookmark, WatchEnded
from tests.service.harness import ANA, BO, NS, SECOND, Memoir, World, calling

QUICK = 0.05


class Watcher:
    """Follows the history in a task and keeps all it is told."""

    def __init__(self, memoir: Memoir, query: HistoryQuery | None = None, *, interval: float = 30.0) -> None:
        self.items: list[Change | Bookmark] = []
        self.ended_at: int | None = None
        self._memoir = memoir
        self._query = query or HistoryQuery()
        self._interval = interval
        self._news = asyncio.Event()
        self.task = asyncio.create_task(self._follow())

    @property
    def revisions(self) -> list[int]:
        return [item.revision for item in self.items if isinstance(item, Change)]

    @property
    def bookmarks(self) -> list[Bookmark]:
        return [item for item in self.items if isinstance(item, Bookmark)]

    async def told(self, events: int = 0, bookmarks: int = 0) -> None:
        async with asyncio.timeout(10):
            while len(self.revisions) < events or len(self.bookmarks) < bookmarks:
                self._news.clear()
                await self._news.wait()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _follow(self) -> None:
        watch = self._memoir.history.watch(NS, self._query, progress_interval=self._interval)
        try:
            async with aclosing(watch):  # type: ignore[type-var]  # an async generator behind its iterator type
                async for item in watch:
                    self.items.append(item)
                    self._news.set()
        except WatchEnded as end:
            self.ended_at = end.revision


async def test_a_watch_tells_the_past_then_marks_the_present_then_follows(memoir: Memoir) -> None:
    for i in range(3):
        await memoir.create(f"tea {i}")
    watcher = Watcher(memoir)
    await watcher.told(events=3, bookmarks=1)
    assert [type(item) for item in watcher.items] == [Change, Change, Change, Bookmark]
    assert watcher.bookmarks == [Bookmark(3, True)]
    await memoir.create("tea 3")
    await watcher.told(events=4)
    assert watcher.revisions == [1, 2, 3, 4]
    await watcher.stop()


async def test_an_empty_namespace_is_caught_up_with_at_once(memoir: Memoir) -> None:
    watcher = Watcher(memoir)
    await watcher.told(bookmarks=1)
    assert watcher.items == [Bookmark(0, True)]
    await memoir.create("tea")
    await watcher.told(events=1)
    await watcher.stop()


@pytest.mark.parametrize("page", [500, 3, 1])
async def test_concurrent_writers_leave_no_gap_and_no_repeat(
    memoir: Memoir, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "PAGE", page)
    watchers = [Watcher(memoir) for _ in range(3)]

    async def write(writer: int) -> None:
        for i in range(10):
            call = calling(durability=Durability.ACCEPTED)
            made = await memoir.create(f"tea {i}", memory_id=f"m{writer}-{i}", call=call)
            if i % 3 == 0:
                await memoir.remembering.delete(NS, [made.memory_id], calling(durability=Durability.ACCEPTED))

    await asyncio.gather(*(write(writer) for writer in range(4)))
    late = Watcher(memoir)
    for watcher in (*watchers, late):
        await watcher.told(events=56)
        assert watcher.revisions == list(range(1, 57))
        await watcher.stop()
    assert await memoir.events() == [item for item in late.items if isinstance(item, Change)]


async def test_resuming_goes_on_where_it_was_left(memoir: Memoir) -> None:
    for i in range(6):
        await memoir.create(f"tea {i}")
    for after in range(7):
        watcher = Watcher(memoir, HistoryQuery(after=after))
        await watcher.told(events=6 - after, bookmarks=1)
        assert watcher.revisions == list(range(after + 1, 7))
        assert watcher.bookmarks == [Bookmark(6, True)]
        await watcher.stop()


async def test_a_place_that_is_not_reached_yet_is_waited_for(memoir: Memoir) -> None:
    await memoir.create("tea 1")
    watcher = Watcher(memoir, HistoryQuery(after=3))
    await watcher.told(bookmarks=1)
    assert watcher.items == [Bookmark(3, True)]
    for i in range(2, 6):
        await memoir.create(f"tea {i}")
    await watcher.told(events=2)
    assert watcher.revisions == [4, 5]
    await watcher.stop()


async def test_silence_is_broken_by_bookmarks_that_move_over_what_the_filter_left_out(memoir: Memoir) -> None:
    watcher = Watcher(memoir, HistoryQuery(scope=BO), interval=QUICK)
    await memoir.create("tea", ANA)
    await memoir.create("tea", BO)
    await memoir.create("coffee", ANA)

    async with asyncio.timeout(10):
        while Bookmark(3, True) not in watcher.bookmarks:
            await watcher.told(bookmarks=len(watcher.bookmarks) + 1)
    assert watcher.revisions == [2]
    revisions = [item.revision for item in watcher.items]
    assert revisions == sorted(revisions), "a bookmark never goes back"
    assert all(b.caught_up for b in watcher.bookmarks)
    await watcher.stop()


async def test_filters_of_a_watch(memoir: Memoir) -> None:
    await memoir.create("a", Scope("ana", None, "s1"), memory_id="a")
    memoir.clock.advance(10)
    await memoir.create("b", BO, memory_id="b")
    await memoir.update("a", text="aa")
    memoir.clock.advance(10)
    await memoir.delete("a")
    begin = (await memoir.events())[0].commit_time
    expected = {
        HistoryQuery(scope=ANA): [1, 3, 4],
        HistoryQuery(scope=Scope(session_id="s1")): [1, 3, 4],
        HistoryQuery(memory_id="b"): [2],
        HistoryQuery(types=frozenset({EventType.UPDATED, EventType.DELETED})): [3, 4],
        HistoryQuery(committed=TimeRange(begin + SECOND, begin + 15 * SECOND)): [2, 3],
        HistoryQuery(scope=ANA, types=frozenset({EventType.CREATED}), after=1): [],
    }
    for query, revisions in expected.items():
        watcher = Watcher(memoir, query)
        await watcher.told(bookmarks=1)
        assert watcher.revisions == revisions
        assert watcher.bookmarks == [Bookmark(4, True)]
        await watcher.stop()
        assert [c.revision for c in await memoir.history.page(NS, query, limit=100)] == revisions


async def test_a_drain_ends_every_watch_with_its_place(memoir: Memoir) -> None:
    idle = Watcher(memoir)
    await idle.told(bookmarks=1)
    await memoir.create("tea")
    await idle.told(events=1)
    await memoir.create("tea", BO)
    filtered = Watcher(memoir, HistoryQuery(scope=ANA))
    await filtered.told(events=1, bookmarks=1)
    await idle.told(events=2)
    memoir.history.drain()
    await asyncio.wait_for(asyncio.gather(idle.task, filtered.task), 5)
    assert (idle.ended_at, filtered.ended_at) == (2, 2)
    too_late = Watcher(memoir, HistoryQuery(after=1))
    await asyncio.wait_for(too_late.task, 5)
    assert too_late.ended_at == 1, "nothing was sent, so nothing is passed over"


async def test_a_drain_in_the_middle_of_the_past_loses_nothing(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "PAGE", 2)
    for i in range(7):
        await memoir.create(f"tea {i}")
    got: list[int] = []

    async def follow() -> None:
        async for item in memoir.history.watch(NS, HistoryQuery(), progress_interval=30):
            got.append(item.revision)
            if len(got) == 3:
                memoir.history.drain()

    with pytest.raises(WatchEnded) as caught:
        await follow()
    assert got == list(range(1, caught.value.revision + 1))
    rest = await memoir.events(after=caught.value.revision)
    assert got + [c.revision for c in rest] == list(range(1, 8))


async def test_watches_go_on_after_a_restart(world: World) -> None:
    async with world.running() as memoir:
        for i in range(3):
            await memoir.create(f"tea {i}")
        watcher = Watcher(memoir)
        await watcher.told(events=3)
        memoir.history.drain()
        await watcher.task
        place = watcher.ended_at
    assert place == 3
    async with world.running() as memoir:
        again = Watcher(memoir, HistoryQuery(after=place))
        await memoir.create("tea 3")
        await again.told(events=1)
        assert again.revisions == [4]
        await again.stop()


async def test_commit_times_rise_though_the_clock_goes_back(memoir: Memoir) -> None:
    await memoir.create("tea 1")
    memoir.clock.advance(-3600)
    await memoir.create("tea 2")
    memoir.clock.advance(7200)
    await memoir.create("tea 3")
    times = [c.commit_time for c in await memoir.events()]
    assert times[1] == times[0] + 1
    assert times[2] == memoir.clock.time


async def test_an_erasure_reaches_a_watch_under_every_filter(memoir: Memoir) -> None:
    await memoir.create("tea", ANA, memory_id="m")
    await memoir.create("tea", BO, memory_id="other")
    done = await memoir.finished(await memoir.reset(ANA, include_history=True))
    watcher = Watcher(memoir, HistoryQuery(scope=BO))
    await watcher.told(bookmarks=1)
    by_type = [(c.revision, c.type) for c in watcher.items if isinstance(c, Change)]
    assert by_type == [(1, EventType.ERASED), (2, EventType.CREATED), (3, EventType.ERASED)]
    assert done.receipt is not None
    assert [c.revision for c in await memoir.events(scope=BO)] == [2], "a listing for one user shows no stubs"
    await watcher.stop()
