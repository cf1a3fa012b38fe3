"""The SQLite ledger: the suite of every ledger, and what only a file can suffer."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from memoir_conformance.ledger_doctor_suite import DoctorSuite
from memoir_conformance.ledger_duplicates_suite import AccessSuite, TwinSuite, twin, twins
from memoir_conformance.ledger_filter_suite import FilterSuite
from memoir_conformance.ledger_ingestion_suite import IngestionSuite
from memoir_conformance.ledger_lease_suite import LeaseSuite
from memoir_conformance.ledger_model import (
    ALICE,
    BOB,
    NOW,
    NS,
    ORIGIN,
    RECEIPT,
    OpenLedger,
    Reopen,
    create,
    erase_all,
    execute,
    fact,
    finish,
    get,
    ids,
    planned,
    request,
    update,
)
from memoir_conformance.ledger_sources_suite import SourcesSuite
from memoir_conformance.ledger_suite import ReadingSuite, WritingSuite
from memoir_conformance.ledger_transfer_suite import TransferSuite
from memoir_conformance.ledger_work_suite import ResetSuite, WorkSuite
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.adapters.ledger.sqlite.erasure import strip_traces
from memoir_server.adapters.ledger.sqlite.schema import MIGRATIONS
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import MemoryKind, Provenance, Scope
from memoir_server.domain.reset import ResetState, ResetTarget
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.ports.ledger import HistoryQuery, Ledger


@pytest.fixture
async def ledgers() -> AsyncIterator[list[SqliteLedger]]:
    opened: list[SqliteLedger] = []
    yield opened
    for ledger in opened:
        await ledger.close()


@pytest.fixture
def open_ledger(tmp_path: Path, ledgers: list[SqliteLedger]) -> OpenLedger:
    async def open_() -> Ledger:
        ledger = SqliteLedger(tmp_path / f"data-{len(ledgers)}")
        await ledger.open()
        ledgers.append(ledger)
        return ledger

    return open_


@pytest.fixture
def reopen(tmp_path: Path, ledgers: list[SqliteLedger]) -> Reopen:
    """What a killed server leaves: the files as they are while it still has them open."""

    async def reopen_(ledger: Ledger) -> Ledger:
        number = next(i for i, known in enumerate(ledgers) if known is ledger)
        copy = tmp_path / f"data-{len(ledgers)}"
        shutil.copytree(tmp_path / f"data-{number}", copy)
        again = SqliteLedger(copy)
        await again.open()
        ledgers.append(again)
        return again

    return reopen_


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def run(runner: asyncio.Runner) -> Callable[[Awaitable[None]], None]:
    async def wait(law: Awaitable[None]) -> None:
        await law

    return lambda law: runner.run(wait(law))


@pytest.fixture(scope="module")
def shared_ledger(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = SqliteLedger(tmp_path_factory.mktemp("shared"))
    runner.run(ledger.open())
    yield ledger
    runner.run(ledger.close())


class TestSqliteWriting(WritingSuite):
    pass


class TestSqliteReading(ReadingSuite):
    pass


class TestSqliteDoctor(DoctorSuite):
    pass


class TestSqliteTwins(TwinSuite):
    pass


class TestSqliteAccesses(AccessSuite):
    pass


class TestSqliteFilters(FilterSuite):
    pass


class TestSqliteSources(SourcesSuite):
    pass


class TestSqliteWork(WorkSuite):
    pass


class TestSqliteLeases(LeaseSuite):
    pass


class TestSqliteResets(ResetSuite):
    pass


class TestSqliteIngestions(IngestionSuite):
    pass


class TestSqliteTransfer(TransferSuite):
    pass


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


class TestFile:
    async def test_erased_text_is_not_in_the_files(self, open_ledger: OpenLedger, tmp_path: Path) -> None:
        ledger = await open_ledger()
        scope = Scope("alice", "bot", "evening-talk")
        # Several namespaces and growing rows, so that pages split and rows move about.
        for i in range(120):
            said = Provenance(actor_id="whisperer", message_id=f"whisper-{i}", quote="the quoted-secret")
            secret = fact(f"hush-{i}", text=f"unspeakable {i} " + "x" * (i * 13 % 700), scope=scope)
            secret = replace(secret, kind=MemoryKind.EPISODE, provenance=(said,), metadata={"code": "swordfish"})
            await create(ledger, secret, key=request(request_id=f"hush-request-{i}"))
            await create(ledger, replace(fact(f"plain-{i}", text="y" * (i * 29 % 900), scope=BOB), namespace="attic"))
            await create(ledger, fact(f"plain-{i}", scope=BOB, text="z" * (i * 31 % 800)))
            if i % 3 == 0:
                await update(ledger, f"hush-{i}", text="unspeakable again " + "w" * (i * 17 % 600))
        await planned(ledger, ResetTarget(scope=Scope(None, "bot")), "older-plan")
        await planned(ledger, ResetTarget(scope=Scope(None, "bot"), include_history=True))
        await execute(ledger)
        secrets = (b"unspeakable", b"hush-", b"whisper", b"quoted-secret", b"swordfish", b"evening-talk")
        directory = tmp_path / "data-0"
        before = everything_in(directory)
        assert all(secret in before for secret in secrets)
        assert await erase_all(ledger, limit=50) == 120 + 40 + 120
        await finish(ledger)
        after = everything_in(directory)
        assert [secret for secret in secrets if secret in after] == []
        assert b"plain-7" in after
        assert await ledger.verify_chain(NS)
        assert len(await ids(ledger)) == 120

    async def test_a_receipt_survives_a_rewrite_that_failed(self, open_ledger: OpenLedger) -> None:
        ledger = await open_ledger()
        assert isinstance(ledger, SqliteLedger)
        await create(ledger, fact("a"))
        await planned(ledger, ResetTarget(scope=ALICE, include_history=True))
        running = await execute(ledger)
        assert await erase_all(ledger) == 2
        row = ledger._opened.heads.row(NS)
        assert row is not None
        await ledger._opened.writer.run(lambda transaction: strip_traces(transaction, row, "reset-1", RECEIPT))
        assert (await ledger.get_reset(NS, "reset-1")).receipt is None
        await ledger.save_progress(replace(running, state=ResetState.FAILED, error="readers"))
        assert (await execute(ledger)).state is ResetState.RUNNING
        done = await ledger.finish_reset(NS, "reset-1", replace(RECEIPT, memories=0, events_erased=0), origin=ORIGIN)
        assert done.receipt is not None
        assert replace(done.receipt, revision=0, digest="") == RECEIPT
        assert await ledger.get_reset(NS, "reset-1") == done

    async def test_tampering_breaks_the_chain(self, open_ledger: OpenLedger, tmp_path: Path) -> None:
        ledger = await open_ledger()
        await create(ledger, fact("a", text="the truth"), fact("b"))
        assert await ledger.verify_chain(NS)
        assert await ledger.verify_chain("nowhere")
        for statement in (
            "UPDATE versions SET text = 'a lie' WHERE memory_id = 'a'",
            "UPDATE events SET commit_time = commit_time + 1 WHERE memory_id = 'b'",
            "UPDATE events SET type = 7, salt = NULL, detail = NULL, digest = zeroblob(32) WHERE memory_id = 'b'",
            "DELETE FROM events WHERE memory_id = 'b'",
        ):
            copy = tmp_path / "copy"
            shutil.copytree(tmp_path / "data-0", copy)
            with apsw.Connection(str(copy / "ledger.db")) as connection:
                connection.execute(statement)
            forged = SqliteLedger(copy)
            await forged.open()
            assert not await forged.verify_chain(NS), statement
            await forged.close()
            shutil.rmtree(copy)

    async def test_two_servers_cannot_share_a_directory(self, open_ledger: OpenLedger, tmp_path: Path) -> None:
        ledger = await open_ledger()
        with pytest.raises(StoreUnavailable, match=f"in use by another server .process {os.getpid()}"):
            await SqliteLedger(tmp_path / "data-0").open()
        await ledger.close()
        second = SqliteLedger(tmp_path / "data-0")
        await second.open()
        await second.close()

    async def test_a_newer_file_is_refused(self, open_ledger: OpenLedger, tmp_path: Path) -> None:
        await (await open_ledger()).close()
        with apsw.Connection(str(tmp_path / "data-0" / "ledger.db")) as connection:
            connection.pragma("user_version", len(MIGRATIONS) + 1)
        with pytest.raises(StoreUnavailable, match="newer server"):
            await SqliteLedger(tmp_path / "data-0").open()

    async def test_a_file_of_the_first_version_is_brought_forward(
        self, open_ledger: OpenLedger, tmp_path: Path
    ) -> None:
        ledger = await open_ledger()
        await create(ledger, fact("a"), fact("b", "likes coffee"))
        await update(ledger, "a", text="likes cocoa")
        await ledger.close()
        with apsw.Connection(str(tmp_path / "data-0" / "ledger.db")) as connection:
            connection.execute(
                "DROP INDEX versions_by_said; ALTER TABLE versions DROP COLUMN said; DROP TABLE accesses; "
                "DROP TABLE ingestions; "
                "DROP INDEX idempotency_mentioning; ALTER TABLE idempotency DROP COLUMN mentions"
            )
            connection.pragma("user_version", 1)
        old = SqliteLedger(tmp_path / "data-0")
        await old.open()
        assert await twins(old, twin(fact("x", "likes coffee")), twin(fact("x", "likes cocoa"))) == ["b", "a"]
        assert await twins(old, twin(fact("x"))) == [], "what was replaced says nothing any more"
        assert await old.verify_chain(NS)
        await create(old, fact("c"))
        await old.close()

    async def test_foreign_and_damaged_files_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "noise").mkdir()
        (tmp_path / "noise" / "ledger.db").write_bytes(b"not a database" * 1000)
        with pytest.raises(StoreUnavailable, match="not an SQLite database"):
            await SqliteLedger(tmp_path / "noise").open()
        (tmp_path / "other").mkdir()
        other = sqlite3.connect(tmp_path / "other" / "ledger.db")
        other.execute("CREATE TABLE something (x)")
        other.close()
        with pytest.raises(StoreUnavailable, match="not a ledger of Memoir"):
            await SqliteLedger(tmp_path / "other").open()
        (tmp_path / "file").write_text("a file")
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            await SqliteLedger(tmp_path / "file").open()

    async def test_a_refused_ledger_keeps_its_log_and_an_orderly_end_needs_none(
        self, open_ledger: OpenLedger, tmp_path: Path
    ) -> None:
        """Closing a damaged file would move its log into it and delete the log."""
        ledger = await open_ledger()
        await create(ledger, fact("a"))
        killed = tmp_path / "killed"
        shutil.copytree(tmp_path / "data-0", killed)
        await ledger.close()
        log = killed / "ledger.db-wal"
        assert not (tmp_path / "data-0" / log.name).exists()
        written = log.read_bytes()
        assert b"likes tea" in written
        shutil.copytree(killed, tmp_path / "whole")
        log.write_bytes(written[:32] + b"\xa5" * (len(written) - 32))
        (killed / "ledger.db").write_bytes(b"not a database" * 1000)
        damaged = log.read_bytes()
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="not an SQLite database"):
                await SqliteLedger(killed).open()
            gc.collect()
            assert log.read_bytes() == damaged
        whole = SqliteLedger(tmp_path / "whole")
        await whole.open()
        assert await get(whole, "a") is not None
        await whole.close()

    async def test_a_full_disk_fails_the_writes_and_nothing_else(self, open_ledger: OpenLedger) -> None:
        ledger = await open_ledger()
        assert isinstance(ledger, SqliteLedger)
        await create(ledger, fact("a"))
        await ledger._opened.writer.run_alone(
            lambda connection: connection.pragma("max_page_count", connection.pragma("page_count"))
        )
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await create(ledger, fact("b", text="x" * 200_000))
        assert await get(ledger, "a") is not None
        await ledger._opened.writer.run_alone(lambda connection: connection.pragma("max_page_count", 1_000_000))
        assert (await create(ledger, fact("b", text="x" * 200_000))).revision == 2
        assert await ledger.verify_chain(NS)

    async def test_a_closed_ledger_says_so(self, open_ledger: OpenLedger) -> None:
        ledger = await open_ledger()
        await create(ledger, fact("a"))
        await ledger.close()
        with pytest.raises(StoreUnavailable):
            await get(ledger, "a")
        with pytest.raises(StoreUnavailable):
            await create(ledger, fact("b"))

    async def test_a_caller_that_goes_away_does_not_lose_its_write(self, open_ledger: OpenLedger) -> None:
        ledger = await open_ledger()
        writing = asyncio.create_task(create(ledger, fact("a", scope=ALICE)))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert await ledger.wait_beyond(NS, 0, 5.0) == 1
        assert await get(ledger, "a") is not None

    async def test_the_same_entropy_gives_the_same_ledger(self, tmp_path: Path) -> None:
        chains = []
        for name in ("one", "two"):
            ledger = SqliteLedger(tmp_path / name, entropy=lambda count: b"\x07" * count)
            await ledger.open()
            await create(ledger, fact("a"))
            chains.append((ledger.ledger_id, ledger._opened.heads.rows()[0].chain))
            assert len(await ledger.history(NS, HistoryQuery(), limit=5)) == 1
            await ledger.close()
        assert chains[0] == chains[1]


async def test_work_that_memory_has_no_room_for_is_read_from_the_file(open_ledger: OpenLedger) -> None:
    ledger = await open_ledger()
    long = "word " * 400_000
    for number in range(6):
        await create(ledger, fact(f"m{number}", long + str(number)))
    work = (await ledger.pending(StoreKind.INDEX, limit=10, now=NOW))[NS]
    assert [item.change.after and item.change.after.text for item in work] == [long + str(n) for n in range(6)]
    for store in PROJECTIONS:
        await ledger.complete(store, NS, [item.change.revision for item in work])
    await create(ledger, fact("later"))
    assert [w.change.memory_id for w in (await ledger.pending(StoreKind.GRAPH, limit=10, now=NOW))[NS]] == ["later"]
