"""One search: its phases, their events, and what happens when one of them fails.

Keyword candidates and the query's embedding are fetched side by side (`service/gathering.py`); what is known is ranked,
hydrated from the ledger and sent. The ledger row decides what may be shown: a stale index can cost a hit, never show a
deleted memory or another user's.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.trace import StatusCode

from memoir_server.domain.errors import FeatureDisabled, StoreUnavailable
from memoir_server.domain.memory import Memory
from memoir_server.domain.ranking.rank import Ranking, rank
from memoir_server.domain.ranking.recipes import RecipeSettings, settings_for
from memoir_server.domain.search import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Completed,
    Hit,
    HitUpdate,
    Outcome,
    Phase,
    PhaseFailed,
    PhaseHits,
    PhaseReport,
    SearchEvent,
    SearchResult,
    SearchSpec,
    Started,
    make_phase_report,
    make_search_result,
)
from memoir_server.domain.selection import Selection
from memoir_server.domain.store import StoreKind
from memoir_server.ports.embedder import EmbedderUnavailable
from memoir_server.ports.ledger import Ledger
from memoir_server.service.call import Call
from memoir_server.service.deadlines import Deadlines
from memoir_server.service.gathering import Gathering
from memoir_server.service.reach import REFUSAL, Reach
from memoir_server.service.tracing import child_span, recording

tracer = trace.get_tracer("memoir.search")
meter = metrics.get_meter("memoir.search")

PHASE_RESERVE_SECONDS = 0.05
"""Kept of the caller's deadline when a phase is cut off, so that what is known can still be sent."""
_lacking_counter = meter.create_counter(
    "memoir.search.lacking", unit="{phase}", description="Phases of searches that failed or ran out of time"
)
_NO_TIME: Final = "the caller's deadline left no more time"


def settings_of(spec: SearchSpec) -> RecipeSettings:
    """Settings of the spec's recipe."""
    return settings_for(spec.recipe, spec.fusion)


def phases_of(spec: SearchSpec) -> tuple[Phase, ...]:
    """Phases that will be reported, in order."""
    return _phases(settings_of(spec), spec.graph_depth > 0)


@functools.cache
def _phases(settings: RecipeSettings, reaches: bool) -> tuple[Phase, ...]:
    asked = (
        (Phase.KEYWORD, settings.keyword),
        (Phase.DENSE, settings.dense),
        (Phase.GRAPH, settings.graph and reaches),
    )
    return tuple(phase for phase, on in asked if on)


def stores_of(spec: SearchSpec) -> tuple[StoreKind, ...]:
    """Projections the search reads."""
    return (StoreKind.INDEX, StoreKind.GRAPH) if Phase.GRAPH in phases_of(spec) else (StoreKind.INDEX,)


class Search:
    """One search from start to end, as events (`run`) or as the answer alone (`answer`); one of them, once.

    Both walk through the same phases and rank the same evidence. As events, hits are ranked and sent after every phase,
    for a reader who is waiting for them; for the answer, once, after the last phase that gave any.
    """

    def __init__(
        self,
        *,
        gathering: Gathering,
        ledger: Ledger,
        namespace: str,
        spec: SearchSpec,
        selection: Selection,
        revision: int,
        search_id: str,
        call: Call,
        deadlines: Deadlines,
        reach: Reach,
    ) -> None:
        if spec.rerank:
            raise FeatureDisabled("rerank")
        self._gathering = gathering
        self._ledger = ledger
        self._namespace = namespace
        self._spec = spec
        self._selection = selection
        self._revision = revision
        self._search_id = search_id
        self._call = call
        self._deadlines = deadlines
        self._reach = reach
        # A recorded search asks the stores in full, so that each call has its span.
        self._hasty = not recording()
        self._settings = settings_of(spec)
        self._phases = _phases(self._settings, spec.graph_depth > 0)
        self._limit = min(spec.limit or DEFAULT_LIMIT, MAX_LIMIT)
        self._memories: dict[int, Memory] = {}
        self._hidden: set[int] = set()
        self._sent: dict[str, Hit] = {}
        self._ranked: tuple[Hit, ...] = ()
        self._reports: list[PhaseReport] = []

    async def run(self) -> AsyncIterator[SearchEvent]:
        """Yields Started, one event per phase, Completed. Raises StoreUnavailable when every phase failed."""
        yield Started(search_id=self._search_id, phases=self._phases, revision=self._revision)
        gathering = self._gathering
        self._leave_alone()
        await gathering.begin(self._phases, ahead=not self._reach.troubled)
        try:
            for phase in self._phases:
                report = await self._phase(phase)
                self._reports.append(report)
                if report.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
                    yield PhaseFailed(report=report)
                    continue
                # Ranked anew only when the phase brought something.
                if report.candidates or not self._sent:
                    await self._rank()
                yield self._phase_hits(report)
        finally:
            if gathering.under_way:
                await gathering.abandon()
        self._refuse_guesses()
        yield Completed(
            order=tuple([hit.memory.memory_id for hit in self._final()]),
            phases=tuple(self._reports),
            revision=self._revision,
        )

    async def answer(self) -> SearchResult:
        """What the events of `run` fold to. Raises StoreUnavailable when every phase failed."""
        gathering = self._gathering
        self._leave_alone()
        await gathering.begin(self._phases, ahead=not self._reach.troubled)
        try:
            for phase in self._phases:
                self._reports.append(await self._phase(phase))
        finally:
            if gathering.under_way:
                await gathering.abandon()
        self._refuse_guesses()
        await self._rank()
        return make_search_result(
            hits=self._final(), phases=tuple(self._reports), revision=self._revision, search_id=self._search_id
        )

    def _refuse_guesses(self) -> None:
        """Raises StoreUnavailable where a phase failed and no other gave an answer. One that had nothing to do gives
        none: "nothing found" would be a guess."""
        failed = None
        for report in self._reports:
            if report.outcome is Outcome.DONE:
                return
            if failed is None and report.outcome is not Outcome.SKIPPED:
                failed = report
        if failed is not None:
            # The report says which store too; saying it twice helps nobody.
            why = failed.error.removeprefix(f"store {failed.store!r} is unavailable: ")
            raise StoreUnavailable(failed.store, why)

    def _final(self) -> tuple[Hit, ...]:
        minimum = self._spec.min_score
        return self._ranked if not minimum else tuple([hit for hit in self._ranked if hit.score >= minimum])

    def _leave_alone(self) -> None:
        """Before anything is begun: what is asked beside the first phase must not ask those that do not answer."""
        if self._reach.troubled:
            self._gathering.unasked = frozenset(
                [store for store in (StoreKind.EMBEDDER, StoreKind.GRAPH) if not self._reach.admits(store)]
            )

    async def _phase(self, phase: Phase) -> PhaseReport:
        """Gathers one phase's evidence, within the bound of a phase and the caller's deadline."""
        started = time.perf_counter()
        gathering, reach = self._gathering, self._reach
        count = gathering.at_hand(phase) if self._hasty else None
        if count is None:
            with child_span(tracer, f"search {phase.name.lower()}") as span:
                if reach.troubled and (refusal := self._refusal(phase)) is not None:
                    span.set_status(StatusCode.ERROR, str(refusal))
                    return _failure_report(phase, refusal, started)
                end = self._call.deadline - PHASE_RESERVE_SECONDS
                bound = self._deadlines.now() + reach.phase_seconds
                asked = gathering.waited_for(phase)
                timer = self._deadlines.enter(min(end, bound))
                try:
                    count = await gathering.gather(phase)
                except (StoreUnavailable, EmbedderUnavailable) as failure:
                    self._kept_waiting(phase, started, cut=False)
                    span.set_status(StatusCode.ERROR, str(failure))
                    return _failure_report(phase, failure, started)
                except asyncio.CancelledError:
                    if not timer.expired:
                        raise
                    self._kept_waiting(phase, started, cut=bound < end)
                    span.set_status(StatusCode.ERROR, "timed out")
                    why = f"no answer within {reach.phase_seconds:g} s" if bound < end else _NO_TIME
                    return _late_report(phase, started, slow=gathering.waited_for(phase), why=why)
                finally:
                    self._deadlines.leave(timer)
                if reach.troubled:
                    reach.answered(asked)
                    reach.answered(gathering.waited_for(phase))
                span.set_attribute("memoir.candidates", count)
        outcome = Outcome.SKIPPED if phase is Phase.GRAPH and not count else Outcome.DONE
        return make_phase_report(phase=phase, outcome=outcome, elapsed_us=_since(started), candidates=count)

    def _refusal(self, phase: Phase) -> StoreUnavailable | None:
        """Why a phase fails without asking anybody; None when it may ask."""
        gathering = self._gathering
        store = gathering.waited_for(phase)
        if phase is Phase.GRAPH or store in gathering.unasked:
            return StoreUnavailable(store.name.lower(), REFUSAL) if store in gathering.unasked else None
        # Whatever the phase waits for first, it needs the index.
        if StoreKind.INDEX not in gathering.unasked and self._reach.admits(StoreKind.INDEX):
            return None
        gathering.unasked |= {StoreKind.INDEX}
        return StoreUnavailable(StoreKind.INDEX.name.lower(), REFUSAL)

    def _kept_waiting(self, phase: Phase, started: float, *, cut: bool) -> None:
        store = self._gathering.waited_for(phase)
        self._reach.kept_waiting(store, time.perf_counter() - started, cut=cut)
        if store is StoreKind.INDEX and cut:
            # It is not waited for a second time.
            self._gathering.unasked |= {store}

    async def _rank(self) -> None:
        """Ranks all evidence and hydrates from the top until the limit is reached or nothing is left.

        Hydration reads the ledger: without it there is no answer at all, so its failure is the call's.
        """
        gathering = self._gathering
        settled = self._limit
        ranking = rank(
            gathering.evidence, gathering.signals, self._settings, graph=gathering.graph_evidence, first=settled
        )
        hits: list[Hit] = []
        position = 0
        while len(hits) < self._limit and position < ranking.candidates:
            end = min(ranking.candidates, position + self._limit - len(hits))
            if end > settled:
                # Some of the first were hidden; places this deep have no settled order yet.
                settled = ranking.candidates
                ranking = rank(gathering.evidence, gathering.signals, self._settings, graph=gathering.graph_evidence)
            revisions = ranking.revision[position:end].tolist()
            scores = ranking.score[position:end].tolist()
            await self._hydrate(revisions)
            hits.extend(
                [
                    self._hit(ranking, position + i, scores[i], memory)
                    for i, revision in enumerate(revisions)
                    if (memory := self._memories.get(revision)) is not None
                ]
            )
            position = end
        self._ranked = tuple(hits)

    async def _hydrate(self, revisions: Sequence[int]) -> None:
        wanted = [r for r in revisions if r not in self._memories and r not in self._hidden]
        if wanted:
            found = await self._ledger.hydrate(self._namespace, wanted, self._selection)
            self._memories.update(found)
            if len(found) < len(wanted):
                self._hidden.update([r for r in wanted if r not in found])

    def _hit(self, ranking: Ranking, place: int, score: float, memory: Memory) -> Hit:
        matches = self._gathering.matches
        relations = matches[memory.revision].relations if memory.revision in matches else ()
        if not self._spec.explain:
            return Hit(memory, score, relations=relations)
        return Hit(memory, score, float(ranking.rank_score[place]), ranking.parts(place), relations)

    def _phase_hits(self, report: PhaseReport) -> PhaseHits:
        new: list[Hit] = []
        updated: list[HitUpdate] = []
        for hit in self._ranked:
            sent = self._sent.get(hit.memory.memory_id)
            if sent is None:
                new.append(hit)
            elif sent != hit:
                memory, score, rank_score, parts, relations = hit
                updated.append(HitUpdate(memory.memory_id, score, rank_score, parts, relations))
            self._sent[hit.memory.memory_id] = hit
        return PhaseHits(
            report=report,
            new_hits=tuple(new),
            updated_hits=tuple(updated),
            order=tuple([hit.memory.memory_id for hit in self._ranked]),
        )


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1_000_000)


def _late_report(phase: Phase, started: float, *, slow: StoreKind, why: str) -> PhaseReport:
    return _lacking(phase, Outcome.TIMED_OUT, started, why, slow.name.lower())


def _failure_report(phase: Phase, failure: Exception, started: float) -> PhaseReport:
    store = failure.store if isinstance(failure, StoreUnavailable) else "embedder"
    return _lacking(phase, Outcome.FAILED, started, str(failure), store)


def _lacking(phase: Phase, outcome: Outcome, started: float, why: str, store: str) -> PhaseReport:
    _lacking_counter.add(
        1,
        {
            "memoir.search.phase": phase.name.lower(),
            "memoir.search.outcome": outcome.name.lower(),
            "memoir.store": store,
        },
    )
    return PhaseReport(phase=phase, outcome=outcome, elapsed_us=_since(started), error=why, store=store)
