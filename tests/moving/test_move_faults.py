"""A move that meets damage, another writer, or a store that refuses or is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from memoir.v1 import reset_pb2
from memoir_server.adapters.index.weaviate import WeaviateIndex
from memoir_server.adapters.ledger.postgres import PostgresLedger, PostgresOptions
from memoir_server.adapters.ledger.postgres.copying import PostgresLedgerTarget
from memoir_server.adapters.ledger.sqlite import copying
from memoir_server.app.clock import SystemClock
from memoir_server.app.moving import move
from memoir_server.app.settings import Settings
from memoir_server.domain.change import Origin
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.move import MoveItem, MoveRemark, MoveResult, MoveStep, Phase
from memoir_server.ports.index import Put
from memoir_server.ports.ledger_copy import (
    Copied,
    Identity,
    MoveRecord,
    MoveRefused,
    NamespaceCopy,
    Part,
    Stage,
    Standing,
)
from memoir_server.service import moving, projector
from memoir_server.service.moving import MoveOptions
from stores.four import Stores
from tests.integration.harness import ANA, TIMEOUT
from tests.integration.test_reset_rpcs import finished, plan
from tests.moving.life import distributed, embedded

pytestmark = pytest.mark.timeout(600)


async def some(data: Path, count: int = 5) -> None:
    async with embedded(data) as client:
        for number in range(count):
            await client.create(f"Ana likes tea {number}", f"m-{number}")


async def run(data: Path, there: Mapping[str, str], options: MoveOptions | None = None) -> list[MoveItem]:
    settings = Settings.load(None, {}, there)
    return [item async for item in move(data, settings, options or MoveOptions())]


async def result(data: Path, there: Mapping[str, str], options: MoveOptions | None = None) -> MoveResult:
    *_, last = await run(data, there, options)
    assert isinstance(last, MoveResult)
    return last


async def refused(data: Path, there: Mapping[str, str]) -> str:
    with pytest.raises(MoveRefused) as refusal:
        await run(data, there)
    return str(refusal.value)


def change(data: Path, statement: str) -> None:
    """Changes the source's file behind everybody's back."""
    connection = apsw.Connection(str(data / "ledger.db"))
    connection.execute(statement)
    connection.close()


async def test_a_damaged_history_is_not_moved(tmp_path: Path, there: Mapping[str, str]) -> None:
    data = tmp_path / "data"
    await some(data)
    change(data, "UPDATE versions SET text = 'Ana likes gin' WHERE memory_id = 'm-2'")
    assert "does not match its chain of digests" in await refused(data, there)
    assert not (data / "ledger.moved").exists()


async def test_pages_are_gone_through_to_the_end(
    tmp_path: Path, there: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    await some(data, 20)
    monkeypatch.setattr(copying, "MOST_BYTES", 200)
    items = await run(data, there)
    steps = [item for item in items if isinstance(item, MoveStep) and item.phase is Phase.COPYING]
    assert len(steps) > 40
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total
    phases = [item.phase for item in items if isinstance(item, MoveStep)]
    assert list(dict.fromkeys(phases)) == list(Phase)
    async with distributed(there, tmp_path) as client:
        assert len((await client.find("tea", limit=50)).hits) == 20


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM memoir.turns; UPDATE memoir.versions SET text = 'Ana likes gin'", "but some of them differ"),
        ("DELETE FROM memoir.vectors WHERE model = 1", "but 0 are there"),
    ],
)
async def test_a_copy_that_is_not_equal_is_not_gone_on_with(
    tmp_path: Path,
    there: Mapping[str, str],
    four_stores: Stores,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    says: str,
) -> None:
    data = tmp_path / "data"
    await some(data)
    write = PostgresLedgerTarget.write

    async def spoilt(self: Any, part: Part, *args: Any) -> None:
        await write(self, part, *args)
        if part is Part.ACCESSES:
            await asyncio.to_thread(four_stores.postgresql.query, statement, database=there["graph.name"])

    monkeypatch.setattr(PostgresLedgerTarget, "write", spoilt)
    assert says in await refused(data, there)
    monkeypatch.undo()
    assert says in await refused(data, there)
    with pytest.raises(StoreUnavailable, match="is not finished"):
        await PostgresLedger(PostgresOptions(url=there["ledger.url"])).open()


async def test_a_source_that_has_changed_is_not_gone_on_with(
    tmp_path: Path, there: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    await some(data)

    async def gone(*_: Any) -> None:
        raise StoreUnavailable("ledger", "the connection failed")

    monkeypatch.setattr(PostgresLedgerTarget, "keep_record", gone)
    with pytest.raises(StoreUnavailable):
        await run(data, there)
    monkeypatch.undo()
    change(data, "DELETE FROM vectors")
    assert "has been written to since the move began: 0 vectors, of which 5 were copied" in await refused(data, there)
    note = (data / "ledger.moved").rename(tmp_path / "note")
    async with embedded(data) as client:
        await client.create("Ana likes gin", "late")
    note.rename(data / "ledger.moved")
    assert "has been written to since: 6 changes, of which 5 were copied" in await refused(data, there)


async def test_two_that_write_notice_each_other(there: Mapping[str, str]) -> None:
    target, other = (PostgresLedgerTarget(PostgresOptions(url=there["ledger.url"])) for _ in range(2))
    await target.open()
    await other.open()
    try:
        assert await target.standing() == Standing()
        first = MoveRecord(move_id="one", source="here", began=1)
        await target.begin(Identity("an-id", b"secret"), first)
        with pytest.raises(MoveRefused, match="holds the ledger an-id by now"):
            await other.begin(Identity("another", b"secret"), replace(first, move_id="two"))
        assert await other.standing() == Standing("an-id", first)
        rows = [NamespaceCopy(7, "default", 0, 0, b"chain")]
        second = replace(first, parts={Part.NAMESPACES: Copied(1, 2, b"\x00", complete=False)})
        await target.write(Part.NAMESPACES, rows, second, first)
        with pytest.raises(MoveRefused, match="another process moves into"):
            await other.write(Part.NAMESPACES, [NamespaceCopy(8, "late", 0, 0, b"chain")], second, first)
        assert (await other.standing()).record == second
        assert (await other.read(Part.NAMESPACES, b"")).rows == rows
        with pytest.raises(MoveRefused):
            await other.keep_record(replace(first, stage=Stage.FINISHED), first)
    finally:
        await target.close()
        await other.close()


async def test_a_store_that_is_gone_is_named_and_nothing_is_lost(
    tmp_path: Path, there: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    await some(data)
    nowhere = {**there, "index.url": "http://127.0.0.1:1", "index.grpc": "127.0.0.1:2"}
    with pytest.raises(StoreUnavailable, match="index"):
        await run(data, nowhere)
    assert not (data / "ledger.moved").exists(), "it was asked before anything was copied"

    async def gone(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("index", "the connection failed")

    monkeypatch.setattr(WeaviateIndex, "apply", gone)
    monkeypatch.setattr(moving, "PATIENCE_SECONDS", 2.0)
    with pytest.raises(StoreUnavailable, match=r"index.*5 changes are left to apply.*goes on where it stopped"):
        await run(data, there)
    monkeypatch.undo()
    assert (await result(data, there)).finished


async def test_what_a_store_refuses_for_good_is_for_the_operator_to_accept(
    tmp_path: Path, there: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    await some(data)
    apply = WeaviateIndex.apply

    async def picky(self: Any, namespace: str, actions: Any, **kwargs: Any) -> None:
        if any(isinstance(action, Put) and action.entry.memory_id == "m-3" for action in actions):
            raise ValueError("too many teas")
        await apply(self, namespace, actions, **kwargs)

    monkeypatch.setattr(WeaviateIndex, "apply", picky)
    monkeypatch.setattr(moving, "REPAIRS", 1)
    monkeypatch.setattr(projector, "FIRST_RETRY_US", 1000)
    left = await result(data, there)
    assert not left.finished
    assert [(f.store.name, f.kind.name, f.memory_id) for f in left.findings] == [("INDEX", "MISSING", "m-3")]
    with pytest.raises(StoreUnavailable, match="is not finished"):
        await PostgresLedger(PostgresOptions(url=there["ledger.url"])).open()
    accepted = await result(data, there, MoveOptions(accept_findings=True))
    assert accepted.finished
    assert len(accepted.findings) == 1
    monkeypatch.undo()
    async with distributed(there, tmp_path) as client:
        assert (await client.get("m-3")).text == "Ana likes tea 3"


async def test_another_model_is_remarked_on_and_embeds_anew(
    tmp_path: Path, there: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    await some(data)
    change(data, "UPDATE models SET version = '0'")
    items = await run(data, there)
    [remark] = [item.text for item in items if isinstance(item, MoveRemark)]
    assert "every text will be embedded anew" in remark
    last = items[-1]
    assert isinstance(last, MoveResult)
    assert (last.embedded, list(last.findings)) == (5, [])


async def test_a_reset_that_was_under_way_ends_there(tmp_path: Path, there: Mapping[str, str]) -> None:
    """Hidden at once, cleaned up after by whoever serves the ledger next; no trace is left in the new stores."""
    data = tmp_path / "data"
    await some(data)
    async with embedded(data) as client:
        planned = await plan(client, reset_pb2.ResetTarget(scope=ANA, include_history=True))
        reset_id = planned.reset.reset_id
        # What a server does first, as if it had been killed before it did anything more.
        await client.server.composition.ledger.execute_reset(
            "default",
            reset_id,
            allow_drift=False,
            now=SystemClock().now(),
            origin=Origin(reset_id=reset_id),
            recount=lambda *_: (),
        )
    assert (await result(data, there)).finished
    async with distributed(there, tmp_path) as client:
        done = await finished(client, reset_id)
        assert done.state == reset_pb2.Reset.STATE_SUCCEEDED
        assert done.receipt.memories == 5
        assert not (await client.find("tea")).hits
        request = reset_pb2.GetResetRequest(reset_id=reset_id)
        assert (await client.reset.GetReset(request, timeout=TIMEOUT)).reset == done
