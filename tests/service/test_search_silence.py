"""A store that takes the call and says nothing costs searches one phase's time, then nothing until it answers again."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from memoir_server.domain.search import Outcome, Phase, PhaseReport, SearchSpec
from memoir_server.domain.store import BreakerState, Durability, StoreKind
from memoir_server.service import projector as projector_module
from memoir_server.service.reach import REFUSAL, SLOW_SECONDS, Reach
from tests.service.fold import Fold
from tests.service.harness import ANA, NS, Memoir, World, calling, knows, until

PHASE_SECONDS = 1.5 * SLOW_SECONDS
READS = {
    StoreKind.INDEX: ("keyword", "dense"),
    StoreKind.GRAPH: ("match", "known_names"),
    StoreKind.EMBEDDER: ("embed",),
}
FAILS = {
    StoreKind.INDEX: {Phase.KEYWORD, Phase.DENSE},
    StoreKind.GRAPH: {Phase.GRAPH},
    StoreKind.EMBEDDER: {Phase.DENSE},
}


@pytest.fixture
async def memoir(world: World) -> AsyncIterator[Memoir]:
    world.phase_seconds = PHASE_SECONDS
    async with world.running() as running:
        await running.create("Ana drinks tea with Bo", memory_id="bo", **knows("Ana", "Bo"))
        await running.create("Ana drinks tea with Cy", memory_id="cy", **knows("Ana", "Cy"))
        await running.settle()
        yield running


class Silence:
    """A store whose reads hang; `asked` counts those that were begun."""

    def __init__(self, memoir: Memoir, store: StoreKind) -> None:
        self.asked: Counter[str] = Counter()
        self._faults = memoir.faults[store]
        for method in READS[store]:
            self._hang(method)

    def _hang(self, method: str) -> None:
        async def hang(*_: object) -> None:
            self.asked[method] += 1
            await asyncio.Event().wait()

        self._faults.on(method, hang)

    def end(self) -> None:
        self._faults.up()


_questions = itertools.count()


async def ask(memoir: Memoir, *, streamed: bool = False, seconds: float = 30.0) -> dict[Phase, PhaseReport]:
    """Reports of a search in words of its own, so that no cache knows its vector."""
    spec = SearchSpec(query=f"tea with Bo, question {next(_questions)}", scope=ANA)
    async with asyncio.timeout(20):
        if streamed:
            fold = Fold()
            folded = None
            async for event in memoir.recalling.stream(NS, spec, calling(seconds)):
                folded = fold.add(event)
            assert folded is not None
            result = folded
        else:
            result = await memoir.recalling.search(NS, spec, calling(seconds))
    assert "bo" in [hit.memory.memory_id for hit in result.hits]
    return {report.phase: report for report in result.phases}


def failed(reports: dict[Phase, PhaseReport]) -> set[Phase]:
    return {phase for phase, report in reports.items() if report.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("store", list(READS))
async def test_a_silent_store_is_waited_for_once(memoir: Memoir, store: StoreKind, streamed: bool) -> None:
    silence = Silence(memoir, store)
    first = await ask(memoir, streamed=streamed)
    assert failed(first) == FAILS[store]
    assert [r.outcome for r in first.values()].count(Outcome.TIMED_OUT) == 1
    assert {first[phase].store for phase in FAILS[store]} == {store.name.lower()}
    assert sum(silence.asked.values()) == 1
    again = await ask(memoir, streamed=streamed)
    assert failed(again) == FAILS[store]
    refused = [r for r in again.values() if r.outcome is Outcome.FAILED]
    assert refused
    assert all(REFUSAL in report.error for report in refused)


@pytest.mark.parametrize("store", list(READS))
async def test_a_store_that_answers_again_is_asked_again(memoir: Memoir, store: StoreKind) -> None:
    silence = Silence(memoir, store)
    for _ in range(3):
        assert failed(await ask(memoir)) == FAILS[store]
    silence.end()

    async def whole() -> bool:
        return not failed(await ask(memoir))

    await until(whole)
    assert not failed(await ask(memoir))


async def test_what_lies_in_memory_needs_no_store(memoir: Memoir) -> None:
    spec = SearchSpec(query="tea with Bo", scope=ANA)
    await memoir.recalling.search(NS, spec, calling())
    silence = Silence(memoir, StoreKind.EMBEDDER)
    assert failed(await ask(memoir)) == {Phase.DENSE}
    known = await memoir.recalling.search(NS, spec, calling())
    assert {report.outcome for report in known.phases} == {Outcome.DONE}
    assert silence.asked["embed"] == 1


async def test_callers_in_a_hurry_find_out_too(memoir: Memoir) -> None:
    """None of them gives a phase its full time, so that only several in a row count."""
    silence = Silence(memoir, StoreKind.GRAPH)
    for _ in range(3):
        reports = await ask(memoir, seconds=SLOW_SECONDS + 0.08)
        assert reports[Phase.GRAPH].outcome is Outcome.TIMED_OUT
    asked = sum(silence.asked.values())
    assert (await ask(memoir))[Phase.GRAPH].outcome is not Outcome.DONE
    assert sum(silence.asked.values()) <= asked + 1


@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH])
async def test_what_the_projector_found_silent_is_not_asked(
    memoir: Memoir, monkeypatch: pytest.MonkeyPatch, store: StoreKind
) -> None:
    monkeypatch.setattr(projector_module, "PING_SECONDS", 0.05)
    silence = Silence(memoir, store)
    memoir.faults[store].fail("apply", times=1_000_000)
    memoir.faults[store].hold("ping")
    await memoir.create("Ana drinks wine", call=calling(durability=Durability.ACCEPTED))

    async def noticed() -> bool:
        return not memoir.projector.reach.admits(store)

    await until(noticed)
    assert memoir.projector.breaker(store).state is not BreakerState.CLOSED
    reports = await ask(memoir)
    assert failed(reports) == FAILS[store]
    assert {reports[phase].outcome for phase in FAILS[store]} == {Outcome.FAILED}
    assert not silence.asked
    silence.end()
    await memoir.settle()
    assert not failed(await ask(memoir))


async def test_a_store_that_only_refuses_writes_is_read(memoir: Memoir) -> None:
    memoir.index_faults.fail("apply", times=1_000_000)
    await memoir.create("Ana drinks wine", call=calling(durability=Durability.ACCEPTED))
    await memoir.open_breaker(StoreKind.INDEX)
    assert not failed(await ask(memoir))


async def test_a_store_that_refuses_at_once_is_asked_each_time(memoir: Memoir) -> None:
    memoir.graph_faults.down()
    for _ in range(5):
        assert "switched off" in (await ask(memoir))[Phase.GRAPH].error
    memoir.graph_faults.up()
    assert not failed(await ask(memoir))


@pytest.mark.parametrize("store", [StoreKind.INDEX, StoreKind.GRAPH])
async def test_what_the_projector_hears_of_a_store_brings_it_back(memoir: Memoir, store: StoreKind) -> None:
    silence = Silence(memoir, store)
    assert failed(await ask(memoir)) == FAILS[store]
    silence.end()
    await memoir.create("Ana drinks wine", **knows("Ana", "Di"))
    assert not failed(await ask(memoir))


def test_one_tries_while_the_others_wait() -> None:
    now = [100.0]
    reach = Reach(phase_seconds=5.0, clock=lambda: now[0])
    troubles = [reach.troubled]
    reach.kept_waiting(StoreKind.INDEX, 5.0, cut=True)
    troubles.append(reach.troubled)
    now[0] += 3.0
    admitted = [reach.admits(StoreKind.INDEX) for _ in range(2)]
    assert reach.admits(StoreKind.GRAPH)
    now[0] += 5.0
    # The one that tried was never heard of again.
    admitted.append(reach.admits(StoreKind.INDEX))
    assert admitted == [True, False, True]
    reach.answered(StoreKind.INDEX)
    troubles.append(reach.troubled)
    assert troubles == [False, True, False]
    assert reach.admits(StoreKind.INDEX)


def test_quick_failures_do_not_count() -> None:
    reach = Reach(clock=lambda: 0.0)
    for _ in range(10):
        reach.kept_waiting(StoreKind.GRAPH, SLOW_SECONDS / 2, cut=False)
    assert reach.admits(StoreKind.GRAPH)
