"""The doctor among faults: lag is no finding, work given up is, and a repair clears it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from memoir_server.domain.consistency import CheckSummary, Finding, FindingKind
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.domain.store import StoreKind
from memoir_server.ports.projection import Remove
from memoir_server.service.doctor import Doctor
from tests.service.harness import NS, Memoir, calling, knows, patching, until
from tests.service.test_poison import given_up, spoils_graph, spoils_index

INDEX, GRAPH = StoreKind.INDEX, StoreKind.GRAPH


def doctor_of(memoir: Memoir) -> Doctor:
    return Doctor(
        ledger=memoir.ledger,
        projections={INDEX: memoir.index, GRAPH: memoir.graph},
        embedder=memoir.embedder,
        projector=memoir.projector,
        clock=memoir.clock,
    )


async def findings(doctor: Doctor, **options: Any) -> list[Finding]:
    items = [item async for item in doctor.check(NS, Scope(), **options)]
    assert isinstance(items[-1], CheckSummary)
    return [item for item in items if isinstance(item, Finding)]


async def test_what_is_not_applied_yet_is_no_finding(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    await memoir.create("Ana likes tea", memory_id="a")
    await memoir.create("Ana knows Bo", memory_id="b", **knows("Ana", "Bo"))
    memoir.index_faults.delay("apply", 0.3)
    memoir.graph_faults.delay("apply", 0.3)
    await memoir.create("Ana likes milk", memory_id="c", call=calling(0.25), **knows("Ana", "Carl"))
    await memoir.remembering.update(NS, "a", patching(text="Ana likes coffee"), calling(0.25))
    await memoir.remembering.delete(NS, ["b"], calling(0.25))
    assert await memoir.ledger.watermark(INDEX, NS) < await memoir.head()
    assert await findings(doctor) == []
    memoir.index_faults.up()
    memoir.graph_faults.up()
    await memoir.settle()
    assert await findings(doctor) == []


async def test_a_removal_between_the_two_readings_is_no_finding(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    for number in range(5):
        await memoir.create(f"Ana says {number}", memory_id=f"m{number}", **knows("Ana", f"P{number}"))
    held = memoir.index_faults.hold("scan")
    checking = asyncio.create_task(findings(doctor))
    await held.reached.wait()
    memoir.index_faults.up()
    await memoir.delete("m1")
    await memoir.update("m2", text="Ana says more")
    held.release()
    assert await checking == []


async def test_work_given_up_is_found_and_cleared_by_a_repair(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    memoir.index_faults.refuse("apply", spoils_index("bad"))
    bad = await memoir.create("tea that is bad", memory_id="bad", call=calling(0.3))
    await given_up(memoir, INDEX)
    [finding] = await findings(doctor)
    assert (finding.kind, finding.store, finding.revision) == (FindingKind.MISSING, INDEX, bad.revision)
    still = await doctor.repair(NS, [finding.finding_id], calling(0.5))
    assert (still.repaired, still.resolved) == ((), ())
    await given_up(memoir, INDEX)
    memoir.index_faults.up()
    done = await doctor.repair(NS, [finding.finding_id], calling())
    assert (done.repaired, done.resolved) == ((finding.finding_id,), ())
    assert await memoir.ledger.degraded(INDEX, NS) == 0
    assert await findings(doctor) == []
    assert await memoir.found("tea") == ["bad"]


async def test_a_removal_given_up_is_an_orphan(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    await memoir.create("tea", memory_id="a", **knows("Ana", "Bo"))
    for faults in (memoir.index_faults, memoir.graph_faults):
        faults.refuse("apply", lambda _, actions: any(isinstance(a, Remove) for a in actions))
    await memoir.remembering.delete(NS, ["a"], calling(0.3))
    for store in (INDEX, GRAPH):
        await given_up(memoir, store)
    found = await findings(doctor)
    assert {(f.kind, f.store) for f in found} == {(FindingKind.ORPHANED, INDEX), (FindingKind.ORPHANED, GRAPH)}
    memoir.index_faults.up()
    memoir.graph_faults.up()
    done = await doctor.repair(NS, [f.finding_id for f in found], calling())
    assert set(done.repaired) == {f.finding_id for f in found}
    assert [await memoir.ledger.degraded(store, NS) for store in (INDEX, GRAPH)] == [0, 0]
    assert await findings(doctor) == []


async def test_an_update_given_up_in_the_graph(memoir: Memoir) -> None:
    """The new version names nobody, so that only the old one's end is wrong."""
    doctor = doctor_of(memoir)
    await memoir.create("Ana knows Bo", memory_id="a", **knows("Ana", "Bo"))
    memoir.graph_faults.refuse("apply", lambda *_: True)
    await memoir.remembering.update(NS, "a", patching(entities=(), relations=()), calling(0.3))
    await given_up(memoir, GRAPH)
    memoir.graph_faults.up()
    [finding] = await findings(doctor)
    assert (finding.kind, finding.store, finding.revision) == (FindingKind.STALE, GRAPH, 1)
    await doctor.repair(NS, [finding.finding_id], calling())
    assert await memoir.ledger.degraded(GRAPH, NS) == 0
    assert await findings(doctor) == []


async def test_a_rebuild_clears_what_was_given_up(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    memoir.graph_faults.refuse("apply", spoils_graph("bad"))
    await memoir.create("Ana knows Bo", memory_id="bad", call=calling(0.3), **knows("Ana", "Bo"))
    await given_up(memoir, GRAPH)
    memoir.graph_faults.up()
    steps = [(s.applied, s.total) async for s in doctor.rebuild(NS, GRAPH, calling())]
    assert steps[-1] == (1, 1)
    assert await memoir.ledger.degraded(GRAPH, NS) == 0
    assert await findings(doctor) == []


async def test_a_rebuild_is_asked_for_twice_and_done_once(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    for number in range(5):
        await memoir.create(f"Ana says {number}")

    async def rebuilt() -> list[tuple[int, int]]:
        call = calling(request_id="r-1", method="RebuildProjection")
        return [(s.applied, s.total) async for s in doctor.rebuild(NS, INDEX, call)]

    first, second = await asyncio.gather(rebuilt(), rebuilt())
    assert first[-1] == second[-1] == (5, 5)
    assert (await rebuilt()) == [(5, 5)]
    assert memoir.index_faults.calls["drop"] == 1


async def test_a_rebuild_embeds_nothing(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    await memoir.create("Ana likes tea")
    embedded = list(memoir.model.texts)
    assert [s async for s in doctor.rebuild(NS, INDEX, calling())]
    assert await findings(doctor) == []
    assert memoir.model.texts == embedded


async def test_a_caller_who_leaves_does_not_leave_half_a_rebuild(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    await memoir.create("Ana likes tea", memory_id="a")
    held = memoir.ledger_faults.hold("requeue")

    async def rebuild() -> None:
        async for _ in doctor.rebuild(NS, INDEX, calling()):
            pass

    leaving = asyncio.create_task(rebuild())
    await held.reached.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    memoir.ledger_faults.up()
    held.release()

    async def back() -> bool:
        return await memoir.found("tea") == ["a"]

    await until(back)
    assert await findings(doctor) == []


async def test_a_store_that_is_down_is_said_to_be_so(memoir: Memoir) -> None:
    doctor = doctor_of(memoir)
    await memoir.create("Ana likes tea")
    memoir.graph_faults.down()
    with pytest.raises(StoreUnavailable, match="graph"):
        await findings(doctor)
