"""What befalls a ledger in PostgreSQL: lost connections, outages, lost races, schemas it must not touch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import psycopg
import pytest

from memoir_conformance.ledger_model import ALICE, NOW, NS, commit, create, fact, get, ids, log, request, update
from memoir_server.adapters.ledger.postgres import PostgresLedger, PostgresOptions
from memoir_server.adapters.ledger.postgres.database import Database
from memoir_server.adapters.ledger.postgres.transaction import Transaction
from memoir_server.domain.change import Draft, EventType
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import Decision
from stores.postgresql import Postgresql
from tests.conformance.postgres_model import END_SESSIONS, opened, options, others_see, server
from tests.tcp_proxy import TcpProxy, Trouble, tcp_proxy

pytestmark = pytest.mark.stores

__all__ = ["server"]


def through(proxy: TcpProxy, server: Postgresql) -> str:
    """The server's URL, by way of the proxy."""
    address = server.address
    return f"postgresql://{address.username}:{address.password}@127.0.0.1:{proxy.port}/{address.database}"


# -- connections


@pytest.mark.parametrize("reached", [False, True])
async def test_a_commit_whose_answer_is_lost_is_found_out_by_its_key(server: Postgresql, reached: bool) -> None:
    async with tcp_proxy(server.address.host, server.address.port) as proxy:
        settings = options(server, url=through(proxy, server))
        async with opened(settings) as ledger:
            await create(ledger, fact("before"))
            for number in range(4):
                key = request(request_id=f"r{number}")
                proxy.cut_at, proxy.after = b"COMMIT", reached
                with pytest.raises(StoreUnavailable, match="connection failed"):
                    await create(ledger, fact(f"m{number}"), key=key)
                again = await create(ledger, fact(f"m{number}"), key=key)
                assert again.replayed is reached
                assert again.revision == number + 2
                assert [c.memory_id for c in again.changes] == [f"m{number}"]
            assert proxy.cuts == 4
            assert await log(ledger) == [
                (revision, EventType.CREATED, memory_id)
                for revision, memory_id in enumerate(["before", "m0", "m1", "m2", "m3"], 1)
            ]
            assert await ledger.verify_chain(NS)


async def test_a_writer_whose_session_is_ended_leaves_nothing(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))

        def decide(found: Mapping[str, Memory]) -> Decision:
            with others_see(settings) as beside:
                beside.execute(END_SESSIONS, ("memoir",))
            return Decision([Draft(type=EventType.CREATED, memory_id="b", after=fact("b"))])

        with pytest.raises(StoreUnavailable):
            await commit(ledger, decide, ["b"], key=request())
        # The next call finds a connection at once: those that ended are known without asking.
        assert await ids(ledger) == ["a"]
        done = await create(ledger, fact("b"), key=request())
        assert (done.replayed, done.revision) == (False, 2)


async def test_it_serves_again_when_the_server_is_back(server: Postgresql) -> None:
    settings = options(server, wait_seconds=0.5)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
        watching = asyncio.create_task(ledger.wait_beyond(NS, 1, 100.0))
        await asyncio.gather(*(get(ledger, "a") for _ in range(8)))
        for way in (server.stop, server.kill):
            await asyncio.to_thread(way)
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await get(ledger, "a")
                with pytest.raises(StoreUnavailable):
                    await create(ledger, fact("b"))
            await asyncio.to_thread(server.start)
            found = None
            while found is None:
                try:
                    found = await get(ledger, "a")
                except StoreUnavailable:
                    await asyncio.sleep(0.05)
            assert found.text == "likes tea"
        # Who waited before it all began waits still.
        assert (await create(ledger, fact("b"))).revision == 2
        assert await watching == 2
        assert await ledger.verify_chain(NS)


async def test_a_server_that_does_not_answer_is_given_up(server: Postgresql) -> None:
    async with tcp_proxy(server.address.host, server.address.port) as proxy:
        settings = options(
            server, url=through(proxy, server), statement_seconds=0.2, wait_seconds=0.5, connect_seconds=1.0
        )
        async with opened(settings) as ledger:
            await create(ledger, fact("a"))
            proxy.trouble(Trouble.HOLD)
            with pytest.raises(StoreUnavailable):
                await get(ledger, "a")
            with pytest.raises(StoreUnavailable):
                await create(ledger, fact("b"))
            proxy.trouble(Trouble.RESET)
            with pytest.raises(StoreUnavailable):
                await get(ledger, "a")
            proxy.trouble(Trouble.NONE)
            found = None
            while found is None:
                try:
                    found = await get(ledger, "a")
                except StoreUnavailable:
                    await asyncio.sleep(0.05)
            assert found.text == "likes tea"


async def test_a_statement_that_takes_too_long_is_ended(server: Postgresql) -> None:
    settings = options(server, statement_seconds=0.3)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
        with others_see(settings) as beside, beside.transaction():
            beside.execute("SELECT 1 FROM namespaces FOR UPDATE")
            with pytest.raises(StoreUnavailable, match="took too long"):
                await update(ledger, "a", text="new")
            # Reads do not wait for writers.
            assert await get(ledger, "a") is not None
        assert (await update(ledger, "a", text="new")).revision == 2


async def test_a_connection_whose_statement_failed_knows_no_statements_that_never_were(server: Postgresql) -> None:
    """What follows a failure in one message is not run, nor prepared, whatever the client believes."""
    settings = options(server, statement_seconds=0.2, fewest_connections=1, most_connections=1)
    async with opened(settings) as ledger:
        for number in range(1, 8):
            await create(ledger, fact(f"m{number}"))
            with others_see(settings) as beside, beside.transaction():
                beside.execute("SELECT 1 FROM namespaces FOR UPDATE")
                with pytest.raises(StoreUnavailable, match="took too long"):
                    await update(ledger, "m1", text="never")
            assert (await update(ledger, "m1", text=str(number))).revision == 2 * number


async def test_calls_wait_for_a_connection_only_so_long(server: Postgresql) -> None:
    settings = options(server, fewest_connections=1, most_connections=1, most_waiting=2, wait_seconds=0.3)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
        with others_see(settings) as beside, beside.transaction():
            beside.execute("SELECT 1 FROM namespaces FOR UPDATE")
            writing = asyncio.create_task(update(ledger, "a", text="new"))
            await asyncio.sleep(0.1)
            with pytest.raises(StoreUnavailable, match="all connections are in use"):
                await get(ledger, "a")
            reads = await asyncio.gather(*(get(ledger, "a") for _ in range(6)), return_exceptions=True)
            said = [str(failure) for failure in reads if isinstance(failure, StoreUnavailable)]
            assert len(said) == 6
            assert any("calls wait already" in words for words in said)
        assert (await writing).revision == 2


async def test_writers_of_one_namespace_leave_connections_to_others(server: Postgresql) -> None:
    settings = options(server, most_connections=2, statement_seconds=20.0)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
        await create(ledger, replace(fact("a"), namespace="attic"))
        with others_see(settings) as beside, beside.transaction():
            beside.execute("SELECT 1 FROM namespaces WHERE name = %s FOR UPDATE", (NS,))
            writing = [asyncio.create_task(create(ledger, fact(f"m{number}"))) for number in range(20)]
            await asyncio.sleep(0.1)
            assert await get(ledger, "a") is not None
            await create(ledger, replace(fact("b"), namespace="attic"))
            assert not any(task.done() for task in writing)
        done = await asyncio.gather(*writing)
        # In the order in which they came.
        assert [committed.revision for committed in done] == list(range(2, 22))


async def test_writers_that_wait_for_their_turn_are_given_up_with_the_first(server: Postgresql) -> None:
    settings = options(server, statement_seconds=0.5, wait_seconds=1.0)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
        with others_see(settings) as beside, beside.transaction():
            beside.execute("SELECT 1 FROM namespaces FOR UPDATE")
            done = await asyncio.gather(
                *(create(ledger, fact(f"m{number}")) for number in range(5)), return_exceptions=True
            )
        assert all(isinstance(failure, StoreUnavailable) for failure in done), done
        assert any("other writes of namespace 'lab'" in str(failure) for failure in done)
        await asyncio.to_thread(server.stop)
        try:
            done = await asyncio.gather(
                *(create(ledger, fact(f"n{number}")) for number in range(50)), return_exceptions=True
            )
        finally:
            await asyncio.to_thread(server.start)
        assert all(isinstance(failure, StoreUnavailable) for failure in done), done
    async with opened(settings) as ledger:
        assert await ids(ledger) == ["a"]


async def test_a_failure_that_is_passed_over_is_not_taken_for_success(server: Postgresql) -> None:
    async with opened(options(server)) as ledger:

        async def job(transaction: Transaction) -> None:
            await transaction.make_namespace(NS)
            with suppress(psycopg.errors.DivisionByZero):
                await transaction.fetch("SELECT 1 / 0")

        with pytest.raises(RuntimeError, match="passed over"):
            await ledger.database.run(job)
        assert (await create(ledger, fact("a"))).revision == 1


async def test_a_caller_that_goes_away_does_not_lose_its_write(server: Postgresql) -> None:
    async with opened(options(server)) as ledger:
        await create(ledger, fact("a"))
        writing = asyncio.create_task(create(ledger, fact("b", scope=ALICE)))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await ledger.wait_beyond(NS, 1, 30.0) == 2
        assert await get(ledger, "b") is not None


async def test_a_closed_ledger_has_finished_and_says_so(server: Postgresql) -> None:
    settings = options(server)
    ledger = PostgresLedger(settings)
    with pytest.raises(StoreUnavailable, match="not open"):
        await get(ledger, "a")
    await ledger.open()
    writing = [asyncio.create_task(create(ledger, fact(f"m{number}"))) for number in range(5)]
    while not await ledger.namespaces():  # noqa: ASYNC110  # nothing else tells
        await asyncio.sleep(0.01)
    await ledger.close()
    await ledger.close()
    await asyncio.gather(*writing)
    with pytest.raises(StoreUnavailable):
        await get(ledger, "a")
    with pytest.raises(StoreUnavailable):
        await create(ledger, fact("b"))
    async with opened(settings) as again:
        assert len(await ids(again)) == 5


# -- races


async def test_a_transaction_that_loses_a_race_is_run_again(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
        await create(ledger, replace(fact("a"), namespace="attic"))
        await _deadlock(ledger.database, 2)
    async with opened(replace(settings, attempts=1)) as ledger:
        with pytest.raises(StoreUnavailable, match="lost 1 races"):
            await _deadlock(ledger.database, 2)


async def _deadlock(database: Database, count: int) -> None:
    """Two transactions that lock the same two rows in opposite orders, the first time they run."""
    met = asyncio.Barrier(count)
    runs = 0

    def job(*names: str):  # type: ignore[no-untyped-def]
        first = True

        async def locking(transaction: Transaction) -> None:
            nonlocal first, runs
            runs += 1
            assert await transaction.namespace(names[0]) is not None
            if first:
                first = False
                await met.wait()
            assert await transaction.namespace(names[1]) is not None

        return locking

    done = await asyncio.gather(database.run(job(NS, "attic")), database.run(job("attic", NS)), return_exceptions=True)
    for failure in done:
        if failure is not None:
            raise failure
    assert runs == count + 1


# -- opening


async def test_servers_that_start_at_once_make_one_ledger(server: Postgresql) -> None:
    settings = options(server)
    async with AsyncExitStack() as stack:
        ledgers = [PostgresLedger(settings) for _ in range(5)]
        await asyncio.gather(*(ledger.open() for ledger in ledgers))
        for ledger in ledgers:
            stack.push_async_callback(ledger.close)
        ledger_id = ledgers[0].ledger_id
        assert {ledger.ledger_id for ledger in ledgers} == {ledger_id}
        assert len({await ledger.confirm_token(NS, "r") for ledger in ledgers}) == 1
        done = await asyncio.gather(*(create(ledger, fact(f"m{i}")) for i, ledger in enumerate(ledgers)))
        assert sorted(committed.revision for committed in done) == [1, 2, 3, 4, 5]
    async with opened(options(server)) as other:
        assert other.ledger_id != ledger_id


async def test_a_newer_schema_is_refused(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
        with others_see(settings) as beside:
            beside.execute("UPDATE schema_version SET version_num = '9999'")
        with pytest.raises(StoreUnavailable, match=r"step 9999.*newer server"):
            await PostgresLedger(settings).open()
        assert await ids(ledger) == ["a"]


async def test_a_schema_that_holds_something_else_is_refused(server: Postgresql) -> None:
    settings = options(server)
    with psycopg.connect(settings.url, autocommit=True) as beside:
        beside.execute(f"CREATE SCHEMA {settings.schema} CREATE TABLE something (x int)")
        with pytest.raises(StoreUnavailable, match="not a ledger of Memoir; choose another schema"):
            await PostgresLedger(settings).open()
        found = beside.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (settings.schema,)).fetchall()
        assert found == [("something",)]


async def test_a_database_of_another_encoding_is_refused(server: Postgresql) -> None:
    server.query("DROP DATABASE IF EXISTS latin")
    server.query("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    address = replace(server.address, database="latin")
    with pytest.raises(StoreUnavailable, match="encoded as LATIN1; create one with ENCODING 'UTF8'"):
        await PostgresLedger(PostgresOptions(url=address.url)).open()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://memoir:hush-hush@127.0.0.1:1/memoir", "connection failed"),
        ("postgresql://memoir:hush-hush@{host}:{port}/memoir", "login is refused|connection failed.*authentication"),
        ("postgresql://memoir:{password}@{host}:{port}/nowhere", "does not exist"),
        ("postgresql://memoir:hush-hush@[:/", "malformed"),
        ("host=127.0.0.1 password=hush-hush nonsense", "malformed"),
    ],
)
async def test_what_cannot_be_reached_is_named_without_its_password(server: Postgresql, url: str, said: str) -> None:
    address = server.address
    url = url.format(host=address.host, port=address.port, password=address.password)
    settings = options(server, url=url)
    assert "hush" not in repr(settings)
    with pytest.raises(StoreUnavailable, match=said) as refused:
        await PostgresLedger(settings).open()
    assert "hush-hush" not in str(refused.value)
    assert address.password not in str(refused.value)


async def test_a_database_that_takes_no_writes_is_named(server: Postgresql) -> None:
    address = server.create_database("frozen")
    settings = PostgresOptions(url=address.url)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
    server.query("ALTER DATABASE frozen SET default_transaction_read_only = on")
    async with opened(settings) as ledger:
        assert await get(ledger, "a") is not None
        with pytest.raises(StoreUnavailable, match="takes no writes; connect to the primary"):
            await create(ledger, fact("b"))


async def test_a_role_without_privileges_is_named(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings):
        server.query("DROP ROLE IF EXISTS guest")
        server.query("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        address = replace(server.address, username="guest", password="guest")
        with pytest.raises(StoreUnavailable, match="lacks a privilege"):
            await PostgresLedger(replace(settings, url=address.url)).open()


async def test_a_schema_that_is_dropped_under_the_server_is_named(server: Postgresql) -> None:
    settings = options(server)
    async with opened(settings) as ledger:
        await create(ledger, fact("a"))
        with others_see(settings) as beside:
            beside.execute(f"DROP SCHEMA {settings.schema} CASCADE")
        with pytest.raises(StoreUnavailable, match="table of the ledger is gone"):
            await get(ledger, "a")


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema": "Memoir"},
        {"schema": "pg_memoir"},
        {"schema": 'x"; DROP'},
        {"schema": ""},
        {"most_connections": 0},
        {"fewest_connections": 5, "most_connections": 4},
        {"statement_seconds": 0.0},
        {"wait_seconds": -1.0},
        {"attempts": 0},
        {"most_waiting": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        PostgresOptions(url="postgresql://", **wrong)  # type: ignore[arg-type]


# -- what others may do to the tables


async def test_tampering_breaks_the_chain(server: Postgresql) -> None:
    for statement in (
        "UPDATE versions SET text = 'a lie' WHERE memory_id = 'a'",
        "UPDATE events SET commit_time = commit_time + 1 WHERE memory_id = 'b'",
        "UPDATE events SET type = 7, salt = NULL, detail = NULL, digest = '\\x00' WHERE memory_id = 'b'",
        "UPDATE events SET salt = NULL WHERE memory_id = 'b'",
        "DELETE FROM events WHERE memory_id = 'b'",
        "UPDATE namespaces SET chain = '\\x00'",
    ):
        settings = options(server)
        async with opened(settings) as ledger:
            await create(ledger, fact("a", text="the truth"), fact("b"), fact("c"))
            assert await ledger.verify_chain(NS)
            assert await ledger.verify_chain("nowhere")
            with others_see(settings) as beside:
                beside.execute(statement)
            assert not await ledger.verify_chain(NS), statement


async def test_numbers_of_namespaces_are_not_believed_for_longer_than_the_database_lives(server: Postgresql) -> None:
    """After a backup is put back, a number may mean another namespace."""
    settings = options(server)
    async with opened(settings) as ledger:
        await create(ledger, fact("a", "of the lab"))
        await create(ledger, replace(fact("a", "of the attic"), namespace="attic"))
        with others_see(settings) as beside:
            beside.execute("UPDATE namespaces SET name = 'cellar' WHERE name = 'lab'")
            # A write goes by what it locks, whatever was known.
            assert (await create(ledger, fact("a", "anew"))).revision == 1
            beside.execute(END_SESSIONS, ("memoir",))
        found = await ledger.get(NS, ["a"], revision=2**53 - 2, now=NOW)
        assert [memory.text for memory in found.values()] == ["anew"]
        found = await ledger.get("cellar", ["a"], revision=2**53 - 2, now=NOW)
        assert [memory.text for memory in found.values()] == ["of the lab"]


def test_migrations_block_no_event_loop(server: Postgresql) -> None:
    """Opening runs beside whatever else the loop does."""
    settings = options(server)
    beats = 0
    stop = threading.Event()

    async def beat() -> None:
        nonlocal beats
        while not stop.is_set():
            beats += 1
            await asyncio.sleep(0.001)

    async def both() -> None:
        beating = asyncio.create_task(beat())
        async with opened(settings):
            stop.set()
        await beating

    asyncio.run(both())
    assert beats > 3


async def test_settings_of_the_url_are_kept_beside_those_of_the_ledger(server: Postgresql) -> None:
    settings = options(server, url=f"{server.address.url}?options=-c%20work_mem%3D7MB&application_name=other")
    async with opened(settings) as ledger:
        ((memory, path, name),) = await ledger.database.fetch(
            "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('application_name')"
        )
        assert (memory, path, name) == ("7MB", settings.schema, "memoir")
