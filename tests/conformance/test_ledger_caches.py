"""What the SQLite ledger keeps in memory is never older than its file, and nothing of what was erased."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memoir_conformance.ledger_model import (
    ALICE,
    NOW,
    NS,
    SECOND,
    create,
    delete,
    erase_all,
    execute,
    fact,
    finish,
    planned,
    select,
    update,
)
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.filter import Compare, Operator
from memoir_server.domain.memory import NEVER, Memory, Provenance, Scope
from memoir_server.domain.reset import ResetTarget
from memoir_server.domain.selection import Selection, TimeRange

IDS = ("a", "b", "c", "d")
NAMES = ("Ana", "Bo", "Cy")


@asynccontextmanager
async def opened(directory: Path, cache_bytes: int = 1 << 20) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(directory, cache_bytes=cache_bytes, entropy=lambda count: b"\x07" * count)
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.close()


def said(memory_id: str, name: str = "", scope: Scope = ALICE, **fields: object) -> Memory:
    spoken = (Provenance(actor_id=name),) if name else ()
    return replace(fact(memory_id, scope=scope, provenance=spoken), **fields)  # type: ignore[arg-type]


# -- the same answers as the file, after whatever happened

scopes = st.builds(Scope, st.sampled_from(["u", "v"]), st.sampled_from([None, "g"]), st.sampled_from([None, "s"]))
asked = st.builds(
    Scope, st.sampled_from([None, "u", "v"]), st.sampled_from([None, "g"]), st.sampled_from([None, "s", "t"])
)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens to a ledger, at a second after NOW."""

    verb: str
    memory_id: str
    name: str
    scope: Scope
    expires: int | None
    second: int
    reset: ResetTarget


targets = st.builds(
    ResetTarget,
    scope=asked,
    keep_vector=st.booleans(),
    include_history=st.just(False),
) | st.builds(ResetTarget, scope=asked, include_history=st.just(True))
steps = st.builds(
    Step,
    verb=st.sampled_from(["create"] * 3 + ["update", "delete", "reset", "erase"]),
    memory_id=st.sampled_from(IDS),
    name=st.sampled_from(["", *NAMES]),
    scope=scopes,
    expires=st.sampled_from([None, None, 1, 3]),
    second=st.integers(0, 4),
    reset=targets,
)
selections = st.builds(
    Selection,
    scope=asked,
    filter=st.sampled_from([None, None, Compare("metadata.name", Operator.EQUAL, "Bo")]),
    created=st.sampled_from([TimeRange(), TimeRange(), TimeRange(start=NOW + 1)]),
    revision=st.integers(0, 12) | st.just(NEVER - 1) | st.just(NEVER - 1),
    include_superseded=st.booleans(),
    reference=st.just(NOW),
    now=st.integers(0, 5).map(lambda second: NOW + second * SECOND),
)
questions = st.tuples(selections, st.sets(st.integers(1, 14), min_size=1), asked, st.integers(1, 3))


async def happen(ledger: SqliteLedger, step: Step, number: int) -> None:
    now = NOW + step.second * SECOND
    head = (await ledger.head(NS)).revision
    present = await ledger.get(NS, IDS, revision=NEVER - 1, now=now)
    fields: dict[str, Any] = {
        "expire_time": None if step.expires is None else NOW + step.expires * SECOND,
        "metadata": {"name": step.name},
        "create_time": NOW + number,
    }
    if step.verb == "create" and step.memory_id not in present:
        await create(ledger, said(step.memory_id, step.name, step.scope, **fields), now=now)
    elif step.verb in ("create", "update") and step.memory_id in present:
        provenance = (Provenance(actor_id=step.name),) if step.name else ()
        await update(ledger, step.memory_id, now=now, provenance=provenance, **fields)
    elif step.verb == "delete" and step.memory_id in present:
        await delete(ledger, step.memory_id, now=now)
    elif step.verb in ("reset", "erase") and head:
        reset_id = f"reset-{number}"
        await planned(ledger, step.reset, reset_id)
        await execute(ledger, reset_id)
        if step.verb == "erase" and step.reset.include_history:
            await erase_all(ledger, reset_id)
            await finish(ledger, reset_id)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(st.tuples(steps, st.lists(questions, max_size=3)), min_size=2, max_size=14),
    cache_bytes=st.sampled_from([1 << 20, 1 << 20, 2_500]),
)
async def test_a_ledger_answers_as_one_that_holds_nothing(
    history: list[tuple[Step, list[tuple[Selection, set[int], Scope, int]]]],
    cache_bytes: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("pair")
    async with opened(root / "held", cache_bytes) as held, opened(root / "plain", 0) as plain:
        everything = (select(include_superseded=True), set(range(1, 40)), Scope(), 3)
        for number, (step, asked_now) in enumerate(history):
            await happen(held, step, number)
            await happen(plain, step, number)
            for selection, revisions, scope, limit in (*asked_now, everything):
                wanted = sorted(revisions)
                assert await held.hydrate(NS, wanted, selection) == await plain.hydrate(NS, wanted, selection)
                for revision in (NEVER - 1, selection.revision):
                    answers = [
                        await ledger.speakers(NS, scope, limit=limit, revision=revision) for ledger in (held, plain)
                    ]
                    assert list(answers[0]) == list(answers[1])


# -- readers beside a writer


@pytest.mark.parametrize("beyond", [60, 150])
async def test_readers_beside_a_writer_see_one_moment_and_nothing_old(tmp_path: Path, beyond: int) -> None:
    """Of each memory one version at any time: none while its version is replaced would be a hole, two a leftover. The
    shorter list is read on the event loop, the longer one in a thread."""
    memories = [f"m{i}" for i in range(8)]
    async with opened(tmp_path) as ledger:
        await create(ledger, *(said(m, "Ana") for m in memories))
        running = True

        async def write(mine: list[str]) -> None:
            for round_ in range(25):
                for memory_id in mine:
                    done = await update(ledger, memory_id, text=f"round {round_}")
                    # Whoever was told of a commit sees it at once.
                    shown = await ledger.hydrate(NS, range(max(1, done.revision - 90), done.revision + 1), select())
                    assert shown[done.revision].text == f"round {round_}"
                    assert [v.memory_id for v in shown.values()].count(memory_id) == 1

        async def read() -> int:
            asked = 0
            while running:
                head = (await ledger.head(NS)).revision
                first = 1 if beyond > 100 else max(1, head - 39)
                shown = await ledger.hydrate(NS, range(first, head + beyond), select())
                ids = [memory.memory_id for memory in shown.values()]
                assert len(ids) == len(set(ids))
                if first == 1:
                    assert sorted(ids) == memories
                asked += 1
                await asyncio.sleep(0)
            return asked

        readers = [asyncio.create_task(read()) for _ in range(3)]
        await asyncio.gather(write(memories[:4]), write(memories[4:]))
        running = False
        assert all(count > 5 for count in await asyncio.gather(*readers))


async def test_a_commit_between_memory_and_file_shows_in_both_or_in_neither(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await create(ledger, said("a"), said("b"))
        assert sorted(await ledger.hydrate(NS, [1], select())) == [1]
        inline = ledger._opened.readers.inline

        def commit_first(cursor: object, sql: str, bindings: object) -> bool:
            """Both memories are replaced when the first was found in memory, and the second is about to be read."""
            inline.exec_trace = None
            writing = delete(ledger, "a", "b")
            # As far as the writer's queue; the writer goes on while the event loop stands still here.
            writing.send(None)
            file = apsw.Connection(str(tmp_path / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
            until = time.monotonic() + 20
            while file.execute("SELECT revision FROM namespaces").get != 4 and time.monotonic() < until:
                time.sleep(0.005)
            file.close()
            writing.close()
            return True

        inline.exec_trace = commit_first
        assert await ledger.hydrate(NS, [1, 2], select()) == {}
        assert await ledger.hydrate(NS, [1, 2], select()) == {}
        assert len(ledger._opened.caches.versions) == 0


async def test_speakers_are_known_as_soon_as_the_write_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        for number, name in enumerate(itertools.islice(itertools.cycle(NAMES), 9)):
            await create(ledger, said(f"m{number}", name, Scope("u", f"g{number % 2}")))
            for scope in (Scope("u"), Scope(), Scope("u", "g0"), Scope(None, "g1")):
                spoken = await ledger.speakers(NS, scope, limit=10)
                assert await ledger.speakers(NS, scope, limit=10) == spoken
                if scope.agent_id in (None, f"g{number % 2}"):
                    assert name in spoken
            assert list(await ledger.speakers(NS, Scope("v"), limit=10)) == []


# -- what is gone, and what failed


async def test_nothing_erased_stays_in_memory(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await create(ledger, said("a", "Whisperer", text="unspeakable " * 3), said("b", scope=Scope("bob")))
        await update(ledger, "a", text="unspeakable still")
        for selection in (select(), select(revision=1), select(revision=2)):
            await ledger.hydrate(NS, [1, 2, 3], selection)
        assert list(await ledger.speakers(NS, ALICE, limit=5)) == ["Whisperer"]
        await planned(ledger, ResetTarget(scope=ALICE, include_history=True))
        await execute(ledger)
        assert await ledger.hydrate(NS, [1, 2, 3], select()) == {
            2: said("b", scope=Scope("bob"), revision=2, update_time=NOW + 1)
        }
        await erase_all(ledger)
        await finish(ledger)
        gc.collect()
        left = [thing for thing in gc.get_objects() if isinstance(thing, Memory) and "unspeakable" in thing.text]
        assert left == []
        names = [thing for thing in gc.get_objects() if isinstance(thing, tuple) and "Whisperer" in map(repr, thing)]
        assert names == []


async def test_a_write_that_failed_changes_nothing_held(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await create(ledger, said("a", "Ana"))
        before = await ledger.hydrate(NS, [1], select())
        writer = ledger._opened.writer
        await writer.run_alone(lambda connection: connection.pragma("max_page_count", connection.pragma("page_count")))
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await update(ledger, "a", text="x" * 200_000)
        for _ in range(2):
            assert await ledger.hydrate(NS, range(1, 5), select()) == before
            assert list(await ledger.speakers(NS, ALICE, limit=5)) == ["Ana"]
        assert len(ledger._opened.caches.versions) == 1
        await writer.run_alone(lambda connection: connection.pragma("max_page_count", 1_000_000))
        await update(ledger, "a", text="y")
        assert {r: m.text for r, m in (await ledger.hydrate(NS, [1, 2], select())).items()} == {2: "y"}


async def test_what_an_unfinished_statement_sees_is_not_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as ledger:
        await create(ledger, said("a", "Ana"), said("b", "Ana"))
        cursor = ledger._opened.readers.inline.execute("SELECT key FROM versions")
        next(iter(cursor))
        await update(ledger, "a", text="new", provenance=(Provenance(actor_id="Bo"),))
        # The connection is held to the state that its statement began with.
        assert sorted(await ledger.hydrate(NS, [1, 2, 3], select())) == [1, 2]
        assert list(await ledger.speakers(NS, ALICE, limit=5)) == ["Ana"]
        cursor.close()
        assert sorted(await ledger.hydrate(NS, [1, 2, 3], select())) == [2, 3]
        assert list(await ledger.speakers(NS, ALICE, limit=5)) == ["Ana", "Bo"]


async def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, cache_bytes=20_000) as ledger:
        await create(ledger, *(said(f"m{n}", f"name {n}", Scope(f"u{n}"), text="tea " * n) for n in range(60)))
        for n in range(60):
            shown = await ledger.hydrate(NS, [n + 1], select())
            assert shown[n + 1] == replace(shown[n + 1], text="tea " * n)
            assert list(await ledger.speakers(NS, Scope(f"u{n}"), limit=5)) == [f"name {n}"]
            caches = ledger._opened.caches
            assert caches.versions.size_bytes + caches.speakers.size_bytes <= 20_000 * 17 // 16
        assert 2 < len(ledger._opened.caches.versions) < 60
