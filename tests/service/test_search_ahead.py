"""An index that is a server of its own is asked for both arms at once; its answers are the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memoir_server.adapters.index.sqlite import SqliteIndex
from memoir_server.domain.consistency import Portion
from memoir_server.domain.entry import KeywordCandidates
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.search import Completed, Outcome, Phase, PhaseHits, Recipe, SearchResult, SearchSpec
from memoir_server.ports.index import IndexQuery
from tests.service.harness import ANA, NS, Memoir, World, calling, knows

QUERIES = ("tea with Bo", "what did Cy drink yesterday?", "weather", "note 7", "nothing of the kind", "Ana: tea")


async def fill(memoir: Memoir) -> None:
    await memoir.create("Ana drinks tea with Bo", memory_id="bo", **knows("Ana", "Bo"))
    await memoir.create("Ana drinks coffee with Cy", memory_id="cy", **knows("Ana", "Cy"))
    for n in range(12):
        await memoir.create(f"the weather was fine, note {n}", memory_id=f"w{n}")
    await memoir.settle()


def apart(monkeypatch: pytest.MonkeyPatch, *, brings: bool) -> None:
    """Makes the embedded index behave as one elsewhere: nothing at hand, and vectors with words where it `brings`
    them."""
    keyword = SqliteIndex.keyword

    async def keyword_elsewhere(self: SqliteIndex, namespace: str, terms: Any, query: IndexQuery) -> KeywordCandidates:
        found = await keyword(self, namespace, terms, query)
        if not (brings and query.vectors and len(found)):
            return found
        revisions = found.columns.revision.tolist()
        held = await self.scan(namespace, Portion(revisions=revisions), after=0, limit=len(revisions))
        return replace(found, vectors=np.stack([each.vector for each in held if each.vector is not None]))

    monkeypatch.setattr(SqliteIndex, "may_return", True)
    monkeypatch.setattr(SqliteIndex, "keyword", keyword_elsewhere)
    for arm in ("keyword_at_hand", "dense_at_hand"):
        monkeypatch.setattr(SqliteIndex, arm, lambda *arguments, **named: None)


async def answers(memoir: Memoir) -> list[object]:
    """What searches say, without how long they took."""
    told: list[object] = []
    for query in QUERIES:
        for recipe in Recipe:
            found = await memoir.search(query, recipe=recipe, explain=True, limit=5)
            told.append((found.hits, [(r.phase, r.outcome, r.candidates) for r in found.phases]))
        spec = SearchSpec(query=query, scope=ANA, explain=True)
        events = [event async for event in memoir.recalling.stream(NS, spec, calling())]
        told += [(e.new_hits, e.updated_hits, e.order) for e in events if isinstance(e, PhaseHits)]
        told += [e.order for e in events if isinstance(e, Completed)]
    return told


@pytest.mark.parametrize("brings", [True, False])
async def test_the_answers_are_the_same(world: World, monkeypatch: pytest.MonkeyPatch, brings: bool) -> None:
    async with world.running() as memoir:
        await fill(memoir)
        here = await answers(memoir)
        apart(monkeypatch, brings=brings)
        assert await answers(memoir) == here


async def test_both_arms_are_asked_at_once(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(memoir)
    apart(monkeypatch, brings=True)
    held = [memoir.index_faults.hold("keyword"), memoir.index_faults.hold("dense")]
    searching = asyncio.create_task(memoir.search("tea with Bo"))
    async with asyncio.timeout(10):
        for arm in held:
            await arm.reached.wait()
    for arm in held:
        arm.release()
    assert (await searching).hits[0].memory.memory_id == "bo"
    assert memoir.index_faults.calls["dense"] == 1, "words brought their vectors: nothing is left to ask"


async def test_words_do_not_wait_for_the_query_to_be_embedded(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(memoir)
    apart(monkeypatch, brings=True)
    held = memoir.embedder_faults.hold("embed")
    stream = memoir.recalling.stream(NS, SearchSpec(query="tea never asked for", scope=ANA), calling())
    first = [await anext(stream), await anext(stream)][1]
    assert isinstance(first, PhaseHits)
    assert first.report.phase is Phase.KEYWORD
    assert first.new_hits
    held.release()
    assert isinstance([event async for event in stream][-1], Completed)


def outcomes(result: SearchResult) -> dict[Phase, Outcome]:
    return {report.phase: report.outcome for report in result.phases}


async def test_an_index_that_is_down_fails_both_arms(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(memoir)
    apart(monkeypatch, brings=True)
    memoir.index_faults.down()
    result = await memoir.search("tea with Bo")
    assert outcomes(result)[Phase.KEYWORD] is outcomes(result)[Phase.DENSE] is Outcome.FAILED
    assert [hit.memory.memory_id for hit in result.hits] == ["bo"]


@pytest.mark.parametrize(
    ("fail", "left"),
    [
        (lambda memoir: memoir.index_faults.fail("keyword", times=1), Phase.DENSE),
        (lambda memoir: memoir.index_faults.fail("dense", times=1), Phase.KEYWORD),
        (lambda memoir: memoir.embedder_faults.down(), Phase.KEYWORD),
    ],
)
async def test_one_arm_that_fails_leaves_the_other(
    memoir: Memoir, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Memoir], None], left: Phase
) -> None:
    await fill(memoir)
    apart(monkeypatch, brings=True)
    fail(memoir)
    result = await memoir.search("tea for Bo then", graph_depth=0)
    assert outcomes(result)[left] is Outcome.DONE
    assert sorted(set(outcomes(result).values())) == sorted({Outcome.DONE, Outcome.FAILED})
    assert result.hits


async def test_a_ledger_that_fails_leaves_nothing_running(memoir: Memoir, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(memoir)
    apart(monkeypatch, brings=True)
    before = asyncio.all_tasks()
    memoir.ledger_faults.fail("speakers", times=1)
    memoir.index_faults.hold("keyword")
    with pytest.raises(StoreUnavailable, match="ledger"):
        await memoir.search("tea with Bo")
    assert asyncio.all_tasks() <= before
