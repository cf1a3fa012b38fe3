"""One search: its phases, their events, and what happens when one of them fails.

Keyword candidates and the query's embedding are fetched side by side; whatever is known is ranked anew after each
phase, hydrated from the ledger and sent. The ledger row decides what may be shown: a stale index can cost a hit, never
show a deleted memory or another user's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from memoir_server.domain.analysis import analyse
from memoir_server.domain.dates import parse_dates
from memoir_server.domain.embedding import EmbedKind
from memoir_server.domain.entry import DenseCandidates
from memoir_server.domain.errors import FeatureDisabled, StoreUnavailable
from memoir_server.domain.graph import normalise_name
from memoir_server.domain.memory import Memory
from memoir_server.domain.ranking.evidence import Evidence, GraphEvidence
from memoir_server.domain.ranking.query import QuerySignals, named_speakers, strip_names
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
    SearchSpec,
    Started,
)
from memoir_server.domain.selection import Selection, TimeRange
from memoir_server.domain.store import StoreKind
from memoir_server.domain.time import to_datetime
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable
from memoir_server.ports.graph import EntityGraph, GraphMatch
from memoir_server.ports.index import IndexQuery, MemoryIndex
from memoir_server.ports.ledger import Ledger
from memoir_server.service.call import Call
from memoir_server.service.deadlines import Deadlines
from memoir_server.service.tracing import child_span

tracer = trace.get_tracer("memoir.search")

DEPTH = 200
"""Candidates per arm (semantics 8)."""
MAX_SPEAKERS = 64
"""Speakers of a scope that a query is compared with."""
PHASE_RESERVE_SECONDS = 0.05
"""Kept of the caller's deadline when a phase is cut off, so that what is known can still be sent."""


def settings_of(spec: SearchSpec) -> RecipeSettings:
    """Settings of the spec's recipe."""
    return settings_for(spec.recipe, spec.fusion)


def phases_of(spec: SearchSpec) -> tuple[Phase, ...]:
    """Phases that will be reported, in order."""
    settings = settings_of(spec)
    phases = []
    if settings.keyword:
        phases.append(Phase.KEYWORD)
    if settings.dense:
        phases.append(Phase.DENSE)
    if settings.graph and spec.graph_depth > 0:
        phases.append(Phase.GRAPH)
    return tuple(phases)


def stores_of(spec: SearchSpec) -> tuple[StoreKind, ...]:
    """Projections the search reads."""
    return (StoreKind.INDEX, StoreKind.GRAPH) if Phase.GRAPH in phases_of(spec) else (StoreKind.INDEX,)


class _Arms(NamedTuple):
    """The query as read, and what runs beside the keyword phase: nothing where the answer was at hand."""

    signals: QuerySignals
    query: IndexQuery
    embedding: asyncio.Future[NDArray[np.float32]] | None
    matching: asyncio.Future[Sequence[GraphMatch]] | None


class Search:
    """One search from start to end.

    With `provisional`, hits are ranked and sent after every phase, for a reader who is waiting for them. Without, all
    of them come with the last phase, in the same order and with the same scores.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        index: MemoryIndex,
        graph: EntityGraph,
        embedder: Embedder,
        namespace: str,
        spec: SearchSpec,
        selection: Selection,
        revision: int,
        search_id: str,
        call: Call,
        deadlines: Deadlines,
        provisional: bool,
    ) -> None:
        if spec.rerank:
            raise FeatureDisabled("rerank")
        self._ledger = ledger
        self._index = index
        self._graph = graph
        self._embedder = embedder
        self._namespace = namespace
        self._spec = spec
        self._selection = selection
        self._revision = revision
        self._search_id = search_id
        self._call = call
        self._deadlines = deadlines
        self._provisional = provisional
        self._settings = settings_of(spec)
        self._limit = min(spec.limit or DEFAULT_LIMIT, MAX_LIMIT)
        self._vector: NDArray[np.float32] | None = None
        self._evidence = Evidence.empty()
        self._graph_evidence: dict[int, GraphEvidence] = {}
        self._matches: dict[int, GraphMatch] = {}
        self._memories: dict[int, Memory] = {}
        self._hidden: set[int] = set()
        self._sent: dict[str, Hit] = {}
        self._ranked: tuple[Hit, ...] = ()
        self._reports: list[PhaseReport] = []

    async def run(self) -> AsyncIterator[SearchEvent]:
        """Yields Started, one event per phase, Completed. Raises StoreUnavailable when every phase failed."""
        phases = phases_of(self._spec)
        yield Started(search_id=self._search_id, phases=phases, revision=self._revision)
        last: PhaseReport | None = None
        arms = await self._begin(phases)
        try:
            for phase in phases:
                report = await self._phase(phase, arms)
                self._reports.append(report)
                if report.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
                    yield PhaseFailed(report=report)
                    continue
                last = report
                if self._provisional:
                    yield await self._ranked_hits(report, arms.signals)
        finally:
            await _abandon(arms.embedding, arms.matching)
        failed = [report for report in self._reports if report.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)]
        # A phase that had nothing to do gives no answer either: "nothing found" would be a guess.
        if last is None or (failed and not any(report.outcome is Outcome.DONE for report in self._reports)):
            raise StoreUnavailable(failed[0].store, failed[0].error)
        if not self._provisional:
            yield await self._ranked_hits(last, arms.signals)
        minimum = self._spec.min_score or 0.0
        yield Completed(
            order=tuple(hit.memory.memory_id for hit in self._ranked if hit.score >= minimum),
            phases=tuple(self._reports),
            revision=self._revision,
        )

    async def _begin(self, phases: Sequence[Phase]) -> _Arms:
        """Reads the query, and starts what takes time."""
        text = self._spec.query
        speakers = await self._ledger.speakers(
            self._namespace, self._spec.scope, limit=MAX_SPEAKERS, revision=self._selection.revision
        )
        named = named_speakers(text, speakers)
        terms = tuple(dict.fromkeys(analyse(text)))
        dates = parse_dates(text, now=to_datetime(self._selection.reference))
        query = IndexQuery(selection=self._selection, allowed=await self._allowed(), depth=DEPTH)
        return _Arms(
            signals=QuerySignals(terms=terms, dates=dates, speakers=named),
            query=query,
            embedding=self._embedding(strip_names(text, named) if named else text) if self._settings.dense else None,
            matching=self._matching() if Phase.GRAPH in phases else None,
        )

    def _embedding(self, text: str) -> asyncio.Future[NDArray[np.float32]] | None:
        """The query's vector to come; None where it is known already."""
        self._vector = self._embedder.at_hand(text, kind=EmbedKind.QUERY)
        return None if self._vector is not None else asyncio.ensure_future(self._embed(text))

    def _matching(self) -> asyncio.Future[Sequence[GraphMatch]] | None:
        """What the graph has to say, to come; None where it is known to know no name of the query."""
        sentence = normalise_name(self._spec.query).replace("'s", " ").split()
        words = [word for raw in sentence if (word := raw.strip(".,;:!?\"'()[]"))]
        names = self._graph.names_at_hand(self._namespace, words, self._spec.scope)
        if names is not None and not names:
            return None
        return asyncio.ensure_future(self._match(words, names))

    async def _phase(self, phase: Phase, arms: _Arms) -> PhaseReport:
        """Gathers one phase's evidence, within the caller's deadline."""
        started = time.perf_counter()
        with child_span(tracer, f"search {phase.name.lower()}") as span:
            timer = self._deadlines.enter(self._call.deadline - PHASE_RESERVE_SECONDS)
            try:
                count = await self._gather(phase, arms)
            except (StoreUnavailable, EmbedderUnavailable) as failure:
                span.set_status(StatusCode.ERROR, str(failure))
                return _failure_report(phase, failure, started)
            except asyncio.CancelledError:
                if not timer.expired:
                    raise
                span.set_status(StatusCode.ERROR, "timed out")
                return _late_report(phase, started, slow=self._waited_for(phase))
            finally:
                self._deadlines.leave(timer)
            span.set_attribute("memoir.candidates", count)
        outcome = Outcome.SKIPPED if phase is Phase.GRAPH and not count else Outcome.DONE
        return PhaseReport(phase=phase, outcome=outcome, elapsed_us=_since(started), candidates=count)

    def _waited_for(self, phase: Phase) -> str:
        """The store a phase was waiting for when its time ran out."""
        if phase is Phase.GRAPH:
            return "graph"
        return "embedder" if phase is Phase.DENSE and self._vector is None else "index"

    async def _gather(self, phase: Phase, arms: _Arms) -> int:
        if phase is Phase.KEYWORD:
            return await self._keyword(arms.signals.terms, arms.query)
        if phase is Phase.DENSE:
            if self._vector is None:
                assert arms.embedding is not None
                self._vector = await arms.embedding
            return await self._dense(self._vector, arms.query)
        return await self._merge_graph(await arms.matching, arms.query) if arms.matching is not None else 0

    async def _allowed(self) -> NDArray[np.int64] | None:
        """What the index cannot filter on is resolved by the ledger."""
        if self._spec.filter is None and self._spec.created == TimeRange():
            return None
        return await self._ledger.versions_matching(self._namespace, self._selection)

    async def _embed(self, text: str) -> NDArray[np.float32]:
        with child_span(tracer, "embed query"):
            rows = await self._embedder.embed([text], kind=EmbedKind.QUERY)
        vector: NDArray[np.float32] = rows[0]
        return vector

    async def _keyword(self, terms: Sequence[str], query: IndexQuery) -> int:
        candidates = await self._index.keyword(self._namespace, terms, query)
        self._evidence = self._evidence.with_keyword(candidates)
        return len(candidates)

    async def _dense(self, vector: NDArray[np.float32], query: IndexQuery) -> int:
        # Keyword hits may lie beyond the depth of the dense arm: their cosines decide over their scores all the same.
        candidates = await self._index.dense(self._namespace, vector, query, also=self._evidence.revision)
        self._evidence = self._evidence.with_dense(candidates)
        return candidates.nearest

    async def _entries(self, vector: NDArray[np.float32] | None, revisions: NDArray[np.int64]) -> DenseCandidates:
        """Columns and cosines of certain entries, as far as the selection covers them; NaN without a vector."""
        query = IndexQuery(selection=self._selection, allowed=revisions, depth=len(revisions))
        if vector is not None:
            return await self._index.dense(self._namespace, vector, query)
        found = await self._index.dense(
            self._namespace, np.zeros(self._embedder.model.dimension, dtype=np.float32), query
        )
        return replace(found, cosine=np.full(len(found), np.nan))

    async def _match(self, words: Sequence[str], names: Collection[str] | None) -> Sequence[GraphMatch]:
        if names is None:
            names = await self._graph.known_names(self._namespace, words, self._spec.scope)
            sentence = f" {' '.join(words)} "
            names = [name for name in names if f" {name} " in sentence]
        if not names:
            return ()
        return await self._graph.match(
            self._namespace, list(names), self._selection, depth=self._spec.graph_depth, limit=DEPTH
        )

    async def _merge_graph(self, matches: Sequence[GraphMatch], query: IndexQuery) -> int:
        """Adds what the graph found: evidence for candidates known already, and new candidates, never a gate."""
        if not matches:
            return 0
        self._matches = {match.revision: match for match in matches}
        self._graph_evidence = {
            match.revision: GraphEvidence(hops=match.hops, entities=match.entities) for match in matches
        }
        unknown = self._evidence.unknown(np.array(sorted(self._matches), dtype=np.int64))
        if query.allowed is not None:
            unknown = np.intersect1d(unknown, query.allowed)
        if len(unknown):
            self._evidence = self._evidence.with_dense(await self._entries(self._vector, unknown))
        return len(matches)

    async def _ranked_hits(self, report: PhaseReport, signals: QuerySignals) -> PhaseHits:
        """The state after a phase. Ranks anew only when the phase brought something.

        Hydration reads the ledger: without it there is no answer at all, so its failure is the call's.
        """
        if report.candidates or not self._sent:
            await self._rank(signals)
        return self._phase_hits(report)

    async def _rank(self, signals: QuerySignals) -> None:
        """Ranks all evidence and hydrates from the top until the limit is reached or nothing is left."""
        settled = self._limit
        ranking = rank(self._evidence, signals, self._settings, graph=self._graph_evidence, first=settled)
        hits: list[Hit] = []
        position = 0
        while len(hits) < self._limit and position < len(ranking):
            end = min(len(ranking), position + self._limit - len(hits))
            if end > settled:
                # Some of the first were hidden; places this deep have no settled order yet.
                settled = len(ranking)
                ranking = rank(self._evidence, signals, self._settings, graph=self._graph_evidence)
            revisions = ranking.revision[position:end].tolist()
            scores = ranking.score[position:end].tolist()
            await self._hydrate(revisions)
            hits.extend(
                self._hit(ranking, position + i, scores[i], memory)
                for i, revision in enumerate(revisions)
                if (memory := self._memories.get(revision)) is not None
            )
            position = end
        self._ranked = tuple(hits)

    async def _hydrate(self, revisions: Sequence[int]) -> None:
        wanted = [r for r in revisions if r not in self._memories and r not in self._hidden]
        if wanted:
            found = await self._ledger.hydrate(self._namespace, wanted, self._selection)
            self._memories.update(found)
            self._hidden.update(r for r in wanted if r not in found)

    def _hit(self, ranking: Ranking, place: int, score: float, memory: Memory) -> Hit:
        relations = self._matches[memory.revision].relations if memory.revision in self._matches else ()
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
            order=tuple(hit.memory.memory_id for hit in self._ranked),
        )


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1_000_000)


def _late_report(phase: Phase, started: float, *, slow: str) -> PhaseReport:
    return PhaseReport(
        phase=phase,
        outcome=Outcome.TIMED_OUT,
        elapsed_us=_since(started),
        error="the caller's deadline left no more time",
        store=slow,
    )


def _failure_report(phase: Phase, failure: Exception, started: float) -> PhaseReport:
    store = failure.store if isinstance(failure, StoreUnavailable) else "embedder"
    return PhaseReport(phase=phase, outcome=Outcome.FAILED, elapsed_us=_since(started), error=str(failure), store=store)


async def _abandon(*futures: asyncio.Future[Any] | None) -> None:
    """Stops what is still under way, and takes note of failures nobody waits for any more."""
    pending = []
    for future in futures:
        if future is None:
            continue
        if not future.done():
            future.cancel()
            pending.append(future)
        elif not future.cancelled():
            future.exception()
    if pending:
        # Nothing to wait for is the rule, and gathering even that would take longer than ranking does.
        await asyncio.gather(*pending, return_exceptions=True)
