"""The doctor against files that were damaged behind the server's back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import grpc
import numpy as np
import pytest

from memoir.v1 import admin_pb2, common_pb2, graph_pb2, memory_pb2, reset_pb2
from memoir_server.domain.store import StoreKind
from tests.integration.harness import ANA, TIMEOUT, Client, refusal_of, refused, serving

Kind = admin_pb2.Finding
BOB = common_pb2.Scope(user_id="bob")
LONG = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """Everything one check said."""

    findings: list[admin_pb2.Finding]
    progress: list[tuple[int, int]]
    summary: admin_pb2.CheckConsistencyResponse.Summary

    @property
    def seen(self) -> list[tuple[str, str, str]]:
        """Kind, store and memory of each finding, sorted."""
        return sorted(
            (
                Kind.FindingKind.Name(f.kind).removeprefix("FINDING_KIND_"),
                common_pb2.StoreKind.Name(f.store).removeprefix("STORE_KIND_"),
                f.memory_id or "-",
            )
            for f in self.findings
        )

    @property
    def ids(self) -> list[str]:
        return [f.finding_id for f in self.findings]


async def check(client: Client, **fields: Any) -> Check:
    findings: list[admin_pb2.Finding] = []
    progress: list[tuple[int, int]] = []
    stream = client.admin.CheckConsistency(admin_pb2.CheckConsistencyRequest(**fields), timeout=LONG)
    async for item in stream:
        which = item.WhichOneof("item")
        if which == "finding":
            findings.append(item.finding)
        elif which == "progress":
            progress.append((item.progress.examined, item.progress.total))
        else:
            return Check(findings, progress, item.summary)
    raise AssertionError("no summary came")


async def repair(client: Client, finding_ids: list[str], **fields: Any) -> admin_pb2.RepairConsistencyResponse:
    request = admin_pb2.RepairConsistencyRequest(finding_ids=finding_ids, **fields)
    return await client.admin.RepairConsistency(request, timeout=TIMEOUT)


async def rebuild(client: Client, store: int, **fields: Any) -> list[tuple[int, int]]:
    request = admin_pb2.RebuildProjectionRequest(store=store, **fields)  # type: ignore[arg-type]
    return [(s.applied, s.total) async for s in client.admin.RebuildProjection(request, timeout=LONG)]


async def degraded(client: Client) -> int:
    answer = await client.admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=TIMEOUT)
    return sum(store.degraded for store in answer.stores)


def knows(subject: str, object_: str) -> dict[str, Any]:
    return {
        "entities": [graph_pb2.EntityMention(name=name, type="person") for name in (subject, object_)],
        "relations": [graph_pb2.RelationStatement(subject=subject, predicate="KNOWS", object=object_)],
    }


@pytest.fixture
async def filled(client: Client) -> Client:
    """Six memories: one replaced once, one deleted, some with facts."""
    await client.create("Ana likes tea", "a-1")
    await client.create("Ana knows Carla", "a-2", **knows("Ana", "Carla"))
    await client.create("Ana knows Dora", "a-3", **knows("Ana", "Dora"))
    await client.create("Bob knows Carla", "b-1", scope=BOB, **knows("Bob", "Carla"))
    await client.create("Ana was here", "gone", **knows("Ana", "Emil"))
    changed = memory_pb2.UpdateMemoryRequest(
        memory_id="a-2", memory=memory_pb2.Memory(text="Ana knows Carla well"), update_mask={"paths": ["text"]}
    )
    await client.memory.UpdateMemory(changed, timeout=TIMEOUT)
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="gone"), timeout=TIMEOUT)
    whole = await check(client)
    assert (whole.findings, whole.summary.examined, whole.summary.revision) == ([], 4, 7)
    return client


def damage(client: Client, file: str, *statements: str) -> None:
    """Changes a store's file behind the server's back."""
    connection = apsw.Connection(str(Path(client.server.composition.settings.server.data) / file))
    connection.set_busy_timeout(5000)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def entry_of(memory_id: str) -> str:
    return f"(SELECT max(id) FROM entries WHERE memory_id = '{memory_id}')"


def version_of(memory_id: str) -> str:
    return f"(SELECT max(id) FROM versions WHERE memory_id = '{memory_id}')"


ORPHAN = (
    "INSERT INTO entries SELECT id + 1000, namespace, 'ghost', {revision}, retired, user, agent, session, kind,"
    " create_time, valid_from, valid_until, importance, speaker, turn, asks, length, terms"
    " FROM entries WHERE memory_id = 'a-1'"
)
OTHER_VECTOR = np.eye(1, 256, dtype="<f4").tobytes().hex()

DAMAGES: dict[str, tuple[str, list[str], list[tuple[str, str, str]]]] = {
    "an entry is gone, with all that belongs to it": (
        "index.db",
        [
            f"DELETE FROM vectors WHERE id = {entry_of('a-3')}",
            f"DELETE FROM postings WHERE rowid = {entry_of('a-3')}",
            f"DELETE FROM entries WHERE id = {entry_of('a-3')}",
        ],
        [("MISSING", "INDEX", "a-3")],
    ),
    "only the row of an entry is gone": (
        "index.db",
        [f"DELETE FROM entries WHERE id = {entry_of('a-3')}"],
        [("MISSING", "INDEX", "a-3")],
    ),
    "an entry cannot be found by its words": (
        "index.db",
        [f"DELETE FROM postings WHERE rowid = {entry_of('a-1')}"],
        [("MISSING", "INDEX", "a-1")],
    ),
    "an entry of a memory nobody made": (
        "index.db",
        [ORPHAN.format(revision=5)],
        [("ORPHANED", "INDEX", "ghost")],
    ),
    "an entry of a revision to come": (
        "index.db",
        [ORPHAN.format(revision=5_000_000)],
        [("ORPHANED", "INDEX", "ghost")],
    ),
    "an entry under the wrong memory": (
        "index.db",
        ["UPDATE entries SET memory_id = 'ghost' WHERE memory_id = 'a-1'"],
        [("MISSING", "INDEX", "a-1"), ("ORPHANED", "INDEX", "ghost")],
    ),
    "a deleted memory is back": (
        "index.db",
        [ORPHAN.format(revision=5).replace("'ghost'", "'gone'")],
        [("ORPHANED", "INDEX", "gone")],
    ),
    "a current version is retired": (
        "index.db",
        ["UPDATE entries SET retired = 3 WHERE memory_id = 'a-1'"],
        [("STALE", "INDEX", "a-1")],
    ),
    "a replaced version is current": (
        "index.db",
        [f"UPDATE entries SET retired = {2**53 - 1} WHERE memory_id = 'a-2'"],
        [("STALE", "INDEX", "a-2")],
    ),
    "an entry is filed under another user": (
        "index.db",
        ["UPDATE entries SET user = '=bob' WHERE memory_id = 'a-1'"],
        [("STALE", "INDEX", "a-1")],
    ),
    "another vector": (
        "index.db",
        [f"UPDATE vectors SET vector = x'{OTHER_VECTOR}' WHERE id = {entry_of('a-1')}"],
        [("EMBEDDING_MISMATCH", "INDEX", "a-1")],
    ),
    "a vector of another dimension": (
        "index.db",
        [f"UPDATE vectors SET vector = x'0000803f00000000' WHERE id = {entry_of('a-1')}"],
        [("EMBEDDING_MISMATCH", "INDEX", "a-1")],
    ),
    "no vector": (
        "index.db",
        [f"DELETE FROM vectors WHERE id = {entry_of('a-1')}"],
        [("EMBEDDING_MISMATCH", "INDEX", "a-1")],
    ),
    "a version of the graph is gone": (
        "graph.db",
        [f"DELETE FROM versions WHERE id = {version_of('a-3')}"],
        [("MISSING", "GRAPH", "a-3")],
    ),
    "a version of the graph is of nobody": (
        "graph.db",
        [
            (
                "INSERT INTO versions SELECT id + 1000, namespace, 'ghost', 1, retired, user, agent, session, 0"
                " FROM versions WHERE memory_id = 'a-3'"
            )
        ],
        [("ORPHANED", "GRAPH", "ghost")],
    ),
    "a version of the graph is retired": (
        "graph.db",
        ["UPDATE versions SET retired = 4 WHERE memory_id = 'a-3'"],
        [("STALE", "GRAPH", "a-3")],
    ),
    "a version of the graph has lost its source": (
        "graph.db",
        ["UPDATE versions SET source_removed = 1 WHERE memory_id = 'a-3'"],
        [("STALE", "GRAPH", "a-3")],
    ),
    "a mention is gone": (
        "graph.db",
        [
            (
                "DELETE FROM mentions WHERE entity IN"
                f" (SELECT entity FROM mentions WHERE version = {version_of('b-1')})"
                f" AND version = {version_of('b-1')} AND name = 'Carla'"
            )
        ],
        [("MISSING", "GRAPH", "-")],
    ),
    "a relation is gone": (
        "graph.db",
        [
            (
                "DELETE FROM relations WHERE id IN"
                f" (SELECT relation FROM relation_sources WHERE version = {version_of('b-1')})"
            )
        ],
        [("MISSING", "GRAPH", "-")],
    ),
    "a mention too many": (
        "graph.db",
        [f"INSERT INTO mentions SELECT entity, {version_of('b-1')}, name FROM mentions WHERE name = 'Dora'"],
        [("ORPHANED", "GRAPH", "-")],
    ),
    "an entity is gone from under three versions": (
        "graph.db",
        ["DELETE FROM entities WHERE id IN (SELECT entity FROM mentions WHERE name = 'Ana')"],
        # Ana, and the relation she is an end of, of each of three versions.
        [("MISSING", "GRAPH", "-")] * 6,
    ),
}


@pytest.mark.parametrize("name", list(DAMAGES))
async def test_what_is_damaged_is_found_and_repaired(filled: Client, name: str) -> None:
    file, statements, expected = DAMAGES[name]
    damage(filled, file, *statements)
    found = await check(filled)
    assert found.seen == expected
    assert found.summary.findings == len(expected)
    assert all(f.message.endswith(".") for f in found.findings)
    assert (await check(filled)).ids == found.ids
    would = await repair(filled, found.ids, validate_only=True)
    assert (list(would.repaired_finding_ids), list(would.resolved_finding_ids)) == (found.ids, [])
    assert (await check(filled)).ids == found.ids
    done = await repair(filled, found.ids)
    assert (list(done.repaired_finding_ids), list(done.resolved_finding_ids)) == (found.ids, [])
    assert (await check(filled)).findings == []
    again = await repair(filled, found.ids)
    assert (list(again.repaired_finding_ids), list(again.resolved_finding_ids)) == ([], found.ids)
    assert await degraded(filled) == 0
    # What is repaired is found as before the damage, by words, by meaning and by names.
    assert [h.memory.memory_id for h in (await filled.find("Ana likes tea")).hits[:1]] == ["a-1"]
    assert {h.memory.memory_id for h in (await filled.find("who knows Dora")).hits} >= {"a-3"}
    assert {h.memory.memory_id for h in (await filled.find("who knows Carla", scope=BOB)).hits} == {"b-1"}


async def test_a_write_after_damage_does_not_meet_what_was_left(filled: Client) -> None:
    """Half an entry is gone; the id it had is the next one to be given."""
    damage(
        filled,
        "index.db",
        "DELETE FROM entries WHERE id >> 32 = (SELECT id >> 32 FROM entries WHERE memory_id = 'a-1')",
    )
    await filled.create("Ana has a bike", "a-9")
    assert await degraded(filled) == 0
    found = await check(filled)
    assert {memory for _, _, memory in found.seen} == {"a-1", "a-2", "a-3"}
    await repair(filled, found.ids)
    assert (await check(filled)).findings == []


async def test_statistics_are_those_of_a_file_that_was_never_damaged(filled: Client) -> None:
    async def scores() -> list[tuple[str, float]]:
        found = await filled.find("Ana knows tea", explain=True)
        return [(h.memory.memory_id, h.score) for h in found.hits]

    before = await scores()
    damage(filled, "index.db", f"DELETE FROM entries WHERE id = {entry_of('a-3')}")
    await repair(filled, (await check(filled)).ids)
    assert await scores() == before
    connection = apsw.Connection(str(Path(filled.server.composition.settings.server.data) / "index.db"))
    counted = "SELECT sum(entries), sum(documents), sum(terms) FROM owners"
    held = f"SELECT count(*), sum(retired = {2**53 - 1}), sum(iif(retired = {2**53 - 1}, length, 0)) FROM entries"
    assert connection.execute(counted).fetchall() == connection.execute(held).fetchall()
    connection.close()


async def test_scope_limit_and_sample(filled: Client) -> None:
    damage(filled, "index.db", "UPDATE entries SET retired = 1")
    damage(filled, "graph.db", "UPDATE versions SET retired = 1")
    whole = await check(filled)
    assert len(whole.findings) == 5 + 4
    assert whole.progress == [(4, 4)]
    bobs = await check(filled, scope=BOB)
    assert bobs.seen == [("STALE", "GRAPH", "b-1"), ("STALE", "INDEX", "b-1")]
    assert bobs.summary.examined == 1
    assert set(bobs.ids) <= set(whole.ids)
    few = await check(filled, max_findings=2)
    assert (len(few.findings), few.summary.findings) == (2, 2)
    some = await check(filled, sample=2)
    assert (some.summary.examined, some.progress) == (2, [(2, 2)])
    assert set(some.ids) <= set(whole.ids)
    assert set((await check(filled, sample=100)).ids) == set(whole.ids)


async def test_relations_that_outlived_their_memory(filled: Client) -> None:
    planned = await filled.reset.PlanReset(
        reset_pb2.PlanResetRequest(target=reset_pb2.ResetTarget(scope=BOB, keep_graph=True)), timeout=TIMEOUT
    )
    request = reset_pb2.ExecuteResetRequest(reset_id=planned.reset.reset_id, confirm_token=planned.confirm_token)
    await filled.reset.ExecuteReset(request, timeout=TIMEOUT)
    watch = reset_pb2.WatchResetRequest(reset_id=planned.reset.reset_id)
    assert [s async for s in filled.reset.WatchReset(watch, timeout=TIMEOUT)]
    assert (await check(filled)).findings == []
    damage(filled, "graph.db", "DELETE FROM versions WHERE source_removed")
    found = await check(filled, scope=BOB)
    assert found.seen == [("MISSING", "GRAPH", "b-1")]
    await repair(filled, found.ids)
    assert (await check(filled)).findings == []


async def test_facts_that_a_reset_took_away(filled: Client) -> None:
    planned = await filled.reset.PlanReset(
        reset_pb2.PlanResetRequest(target=reset_pb2.ResetTarget(scope=ANA, keep_vector=True)), timeout=TIMEOUT
    )
    request = reset_pb2.ExecuteResetRequest(reset_id=planned.reset.reset_id, confirm_token=planned.confirm_token)
    await filled.reset.ExecuteReset(request, timeout=TIMEOUT)
    watch = reset_pb2.WatchResetRequest(reset_id=planned.reset.reset_id)
    assert [s async for s in filled.reset.WatchReset(watch, timeout=TIMEOUT)]
    assert (await check(filled)).findings == []
    back = (
        "INSERT INTO versions SELECT id + 1000, namespace, 'a-3', 3, retired, '=ana', '', '', 0"
        " FROM versions WHERE memory_id = 'b-1'"
    )
    damage(filled, "graph.db", back)
    damage(filled, "index.db", "DELETE FROM entries WHERE memory_id = 'a-3'")
    found = await check(filled)
    assert found.seen == [("MISSING", "INDEX", "a-3")] * 2 + [("ORPHANED", "GRAPH", "a-3")]
    assert list((await repair(filled, found.ids)).repaired_finding_ids) == found.ids
    assert (await check(filled)).findings == []


async def test_a_repair_has_one_answer_per_request_id(filled: Client) -> None:
    damage(filled, "index.db", "DELETE FROM entries WHERE memory_id = 'a-1'")
    found = await check(filled)
    first = await repair(filled, found.ids, request_id="r-1")
    assert await repair(filled, found.ids, request_id="r-1") == first
    assert list(first.repaired_finding_ids) == found.ids
    other = await refused(repair(filled, found.ids, request_id="r-1", validate_only=True))
    assert (other.code, other.reason) == (grpc.StatusCode.ABORTED, "REQUEST_ID_REUSED")


@pytest.mark.parametrize("bad", ["f-1", "", "é", "WzEsMiwxLDEsIm0iLCIiXQ==", "WzEsOSwxLDEsIm0iLCIiXQ", "W10"])
async def test_what_is_no_finding_id_is_refused(client: Client, bad: str) -> None:
    problem = await refused(repair(client, ["WzEsMiwxLDEsIm0iLCIiXQ", bad]))
    assert (problem.code, problem.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["finding_ids[1]"])


async def test_a_namespace_that_does_not_exist_is_clean(client: Client) -> None:
    empty = await check(client, namespace="nowhere")
    assert (empty.findings, empty.summary.examined, empty.summary.revision) == ([], 0, 0)
    assert await rebuild(client, common_pb2.STORE_KIND_INDEX, namespace="nowhere") == [(0, 0)]
    gone = await repair(client, ["WzEsMiwxLDEsIm0iLCIiXQ"], namespace="nowhere")
    assert list(gone.resolved_finding_ids) == ["WzEsMiwxLDEsIm0iLCIiXQ"]


@pytest.mark.parametrize("store", [common_pb2.STORE_KIND_INDEX, common_pb2.STORE_KIND_GRAPH])
async def test_a_rebuild_restores_everything(filled: Client, store: int) -> None:
    file = "index.db" if store == common_pb2.STORE_KIND_INDEX else "graph.db"
    table = "entries" if file == "index.db" else "versions"
    damage(filled, file, f"DELETE FROM {table}")
    assert (await check(filled)).findings
    steps = await rebuild(filled, store, request_id="r-1")
    # Seven changes; the creation of the deleted memory needs no replay, and one that states nothing none in the graph.
    replayed = 6 if store == common_pb2.STORE_KIND_INDEX else 5
    assert steps[-1] == (replayed, replayed)
    assert steps == sorted(set(steps))
    assert (await check(filled)).findings == []
    assert await rebuild(filled, store, request_id="r-1") == [(replayed, replayed)]
    other = common_pb2.STORE_KIND_GRAPH if store == common_pb2.STORE_KIND_INDEX else common_pb2.STORE_KIND_INDEX
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rebuild(filled, other, request_id="r-1")
    assert refusal_of(caught.value).reason == "REQUEST_ID_REUSED"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rebuild(filled, common_pb2.STORE_KIND_LEDGER)
    assert refusal_of(caught.value).fields == ["store"]


async def _write_for(client: Client, seconds: float, user: str) -> int:
    """Creates, updates and deletes as fast as it goes."""
    scope, number = common_pb2.Scope(user_id=user), 0
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        number += 1
        memory_id = f"{user}-{number}"
        await client.create(f"{user} says {number}", memory_id, scope=scope, **knows(user, f"friend {number % 5}"))
        if number % 2:
            changed = memory_pb2.UpdateMemoryRequest(
                memory_id=memory_id, memory=memory_pb2.Memory(text=f"changed {number}"), update_mask={"paths": ["text"]}
            )
            await client.memory.UpdateMemory(changed, timeout=TIMEOUT)
        if number % 3 == 0:
            await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id=memory_id), timeout=TIMEOUT)
    return number


async def test_writes_under_way_are_no_findings(client: Client) -> None:
    writers = [asyncio.create_task(_write_for(client, 6.0, f"u{n}")) for n in range(4)]
    checks = 0
    while not all(writer.done() for writer in writers):
        found = await check(client, **({"sample": 50} if checks % 3 == 2 else {}))
        assert found.findings == []
        checks += 1
    assert sum([await writer for writer in writers]) > 50
    assert checks > 5
    assert (await check(client)).findings == []


async def test_damage_is_found_and_repaired_while_others_write(client: Client) -> None:
    for number in range(30):
        await client.create(f"Ana says {number}", f"a-{number}")
    writers = [asyncio.create_task(_write_for(client, 3.0, f"u{n}")) for n in range(3)]
    for number in range(0, 30, 10):
        damage(client, "index.db", f"DELETE FROM entries WHERE memory_id = 'a-{number}'")
        found = await check(client)
        assert found.seen == [("MISSING", "INDEX", f"a-{number}")]
        assert list((await repair(client, found.ids)).repaired_finding_ids) == found.ids
    assert all([await writer for writer in writers])
    assert (await check(client)).findings == []


async def test_a_rebuild_while_others_write_and_search(client: Client) -> None:
    for number in range(300):
        mentions = [graph_pb2.EntityMention(name="Ana")]
        accepted = common_pb2.DURABILITY_ACCEPTED
        await client.create(f"Ana says {number}", f"a-{number}", entities=mentions, durability=accepted)
    writers = [asyncio.create_task(_write_for(client, 3.0, f"u{n}")) for n in range(2)]
    for _ in range(2):
        for store in (common_pb2.STORE_KIND_INDEX, common_pb2.STORE_KIND_GRAPH):
            rebuilding = asyncio.create_task(rebuild(client, store))
            assert {h.memory.scope.user_id for h in (await client.find("Ana says 7")).hits} <= {"ana"}
            assert (await check(client)).findings == []
            steps = await rebuilding
            assert steps[-1][0] == steps[-1][1] >= 300
    assert all([await writer for writer in writers])
    assert (await check(client)).findings == []
    assert [h.memory.memory_id for h in (await client.find("Ana says 7")).hits[:1]] == ["a-7"]


async def test_a_requeued_change_survives_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        await client.create("Ana likes tea", "a-1")
        damage(client, "index.db", "DELETE FROM entries")
        found = await check(client)
        ledger = client.server.composition.ledger
        await client.server.composition.projector.stop()
        await ledger.requeue_changes(StoreKind.INDEX, "default", [1])
    async with serving(tmp_path) as client:
        async with asyncio.timeout(TIMEOUT):
            ledger = client.server.composition.ledger
            while (await check(client)).findings or await ledger.requeued(StoreKind.INDEX, "default"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert list((await repair(client, found.ids)).resolved_finding_ids) == found.ids
