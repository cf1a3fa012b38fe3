"""Several servers on one ledger in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import psycopg
import pytest

from memoir_conformance.ledger_model import (
    NOW,
    NS,
    SECOND,
    commit,
    create,
    delete,
    fact,
    get,
    ids,
    log,
    request,
    rich,
    update,
)
from memoir_server.adapters.ledger.postgres import PostgresLedger
from memoir_server.domain.change import Draft, EventType
from memoir_server.domain.errors import RequestIdReused, StoreUnavailable
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import Committed, Decision
from memoir_server.ports.ledger import HistoryQuery
from stores.postgresql import Postgresql
from tests.conformance.postgres_model import END_SESSIONS, opened, options, others_see, server

pytestmark = pytest.mark.stores

__all__ = ["server"]

HOUR = 3600 * SECOND


async def add_one(ledger: PostgresLedger, memory_id: str) -> Committed:
    """Counts a memory's text on: what is read decides what is written."""

    def decide(found: Mapping[str, Memory]) -> Decision:
        before = found[memory_id]
        after = replace(before, text=str(int(before.text) + 1))
        return Decision([Draft(type=EventType.UPDATED, memory_id=memory_id, before=before, after=after)])

    return await commit(ledger, decide, [memory_id])


async def test_writers_on_two_servers_share_one_log(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as one, opened(settings) as two:
        assert one.ledger_id == two.ledger_id
        assert one.owner != two.owner
        await create(one, fact("shared", "0"))

        async def write(ledger: PostgresLedger, name: str, clock: int) -> None:
            for number in range(12):
                await create(ledger, fact(f"{name}-{number}"), rich(f"{name}-rich-{number}"), now=clock)
                await add_one(ledger, "shared")

        # Their clocks differ by hours, which shows nowhere.
        await asyncio.gather(
            *(write(one, f"one{i}", NOW + HOUR) for i in range(3)), *(write(two, f"two{i}", NOW) for i in range(3))
        )
        history = await one.history(NS, HistoryQuery(), limit=1000)
        assert list(history) == list(await two.history(NS, HistoryQuery(), limit=1000))
        assert [change.revision for change in history] == list(range(1, 1 + 6 * 12 * 3 + 1))
        times = [change.commit_time for change in history]
        assert times == sorted(set(times))
        shared = [change.after for change in history if change.memory_id == "shared"]
        assert [memory.text for memory in shared if memory] == [str(n) for n in range(6 * 12 + 1)]
        for ledger in (one, two):
            assert await ledger.verify_chain(NS)
            assert (await ledger.head(NS)).revision == len(history)
            assert await ledger.speakers(NS, rich().scope, limit=5) == await one.speakers(NS, rich().scope, limit=5)


async def test_what_one_server_wrote_the_other_reads(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as one, opened(settings) as two:
        assert await get(two, "a") is None
        for number in range(20):
            writer, reader = (one, two) if number % 2 else (two, one)
            await (create(writer, fact("a", "0")) if number == 0 else update(writer, "a", text=str(number)))
            found = await get(reader, "a")
            assert found is not None
            assert found.text == str(number)
            assert (await reader.head(NS)).revision == number + 1
            assert list(await reader.namespaces()) == [NS]
        await delete(one, "a")
        assert await ids(two) == []
        assert await get(two, "a", revision=3) is None


async def test_a_namespace_is_made_once_whoever_comes_first(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as one, opened(settings) as two:
        for number in range(5):
            made = [
                create(ledger, replace(fact(f"{name}-{i}"), namespace=f"space-{number}"))
                for name, ledger in (("one", one), ("two", two))
                for i in range(4)
            ]
            done = await asyncio.gather(*made)
            assert sorted(committed.revision for committed in done) == list(range(1, 9))
            assert await one.verify_chain(f"space-{number}")


async def test_a_duplicate_waits_for_the_first_on_another_server(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as one, opened(settings) as two:
        for number in range(8):
            key = request(request_id=f"r{number}")
            done = await asyncio.gather(*(create(at, fact(f"m{number}"), key=key) for at in (one, two, one, two)))
            assert sorted(committed.replayed for committed in done) == [False, True, True, True]
            assert {committed.revision for committed in done} == {number + 1}
            assert all(committed.changes == done[0].changes for committed in done)
        with pytest.raises(RequestIdReused):
            await create(two, fact("other"), key=request(b"x" * 32, "r3"))
        assert len(await log(one)) == 8


async def test_a_watch_sees_what_another_server_writes(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as one, opened(settings) as two:
        seen: list[int] = []

        async def watch() -> None:
            while len(seen) < 30:
                after = seen[-1] if seen else 0
                if await one.wait_beyond(NS, after, 10.0) <= after:
                    return
                changes = await one.history(NS, HistoryQuery(after=after, watch=True), limit=100)
                seen.extend(change.revision for change in changes)

        watching = asyncio.create_task(watch())
        for number in range(30):
            await create(two if number % 3 else one, fact(f"m{number}"))
        await watching
        assert seen == list(range(1, 31))
        assert await one.wait_beyond(NS, 30, 0.05) == 30
        assert await one.wait_beyond("nowhere", 0, 0.05) == 0


async def test_notifications_alone_carry_a_watch(server: Postgresql) -> None:
    settings = options(server, poll_seconds=1000.0)
    async with opened(settings) as one, opened(settings) as two:
        await create(two, fact("first"))
        for revision in range(1, 6):
            watching = asyncio.create_task(one.wait_beyond(NS, revision, 30.0))
            await asyncio.sleep(0.05)
            await create(two, fact(f"next-{revision}"))
            assert await watching == revision + 1


async def test_looking_alone_carries_a_watch(server: Postgresql) -> None:
    """Notifications are lost with the connection that listens."""
    settings = options(server)
    async with opened(settings) as one, opened(settings) as two:
        await create(two, fact("first"))
        for revision in range(1, 4):
            watching = asyncio.create_task(one.wait_beyond(NS, revision, 30.0))
            await asyncio.sleep(0.05)
            with others_see(settings) as beside:
                beside.execute(END_SESSIONS, ("memoir listener",))
            await create(two, fact(f"next-{revision}"))
            assert await watching == revision + 1


async def test_watchers_of_a_closed_ledger_are_let_go(server: Postgresql) -> None:
    settings = options(server)
    ledger = PostgresLedger(settings)
    await ledger.open()
    waiting = [asyncio.create_task(ledger.wait_beyond(NS, 0, 60.0)) for _ in range(3)]
    await asyncio.sleep(0.1)
    await ledger.close()
    for done in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(done, StoreUnavailable)


async def test_foreign_words_on_the_channel_do_no_harm(server: Postgresql) -> None:
    settings = options(server, poll_seconds=1000.0)
    async with opened(settings) as one, opened(settings) as two:
        await create(one, fact("a"))
        with psycopg.connect(settings.url, autocommit=True) as beside:
            for payload in ("", "{}", "[1,2]", '[{"lab":"x"},[]]'):
                beside.execute("SELECT pg_notify(%s, %s)", (f"{settings.schema}_moves", payload))
        watching = asyncio.create_task(two.wait_beyond(NS, 1, 30.0))
        await asyncio.sleep(0.05)
        await create(one, fact("b"))
        assert await watching == 2
