"""What a search knows of its candidates, gathered phase by phase from index, embedder and graph."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry import trace

from memoir_server.domain.analysis import analyse
from memoir_server.domain.columns import DescribedMemory, SessionCodes, columns_of
from memoir_server.domain.dates import parse_dates
from memoir_server.domain.embedding import EmbedKind
from memoir_server.domain.entry import DenseCandidates, KeywordCandidates, cosines
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.graph import normalise_name
from memoir_server.domain.ranking.evidence import Evidence, GraphEvidence
from memoir_server.domain.ranking.query import QuerySignals, make_query_signals, named_speakers, strip_names
from memoir_server.domain.search import Phase, SearchSpec
from memoir_server.domain.selection import ANY_TIME, Selection
from memoir_server.domain.store import StoreKind
from memoir_server.domain.time import to_datetime
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.graph import EntityGraph, GraphMatch
from memoir_server.ports.index import IndexQuery, MemoryIndex, make_index_query
from memoir_server.ports.ledger import Ledger
from memoir_server.service.tracing import child_span

tracer = trace.get_tracer("memoir.search")

DEPTH: Final = 200
"""Candidates per arm (semantics 8)."""
MAX_SPEAKERS: Final = 64
"""Speakers of a scope that a query is compared with."""
_NO_SIGNALS: Final = QuerySignals()
_AROUND_WORDS: Final = ".,;:!?\"'()[]"


class Gathering:
    """The evidence of one search.

    Attributes:
        signals: What the query itself says; empty until `begin` has read it.
        evidence: What index and graph have said so far.
        graph_evidence: What the graph knows of candidates, by revision.
        matches: The graph's matches, by revision.
        unasked: Stores that are left alone in this search.
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
    ) -> None:
        self._ledger = ledger
        self._index = index
        self._graph = graph
        self._embedder = embedder
        self._namespace = namespace
        self._spec = spec
        self._selection = selection
        self._query: IndexQuery | None = None
        self._vector: NDArray[np.float32] | None = None
        self._embedding: asyncio.Future[NDArray[np.float32]] | None = None
        self._matching: asyncio.Future[Sequence[GraphMatch]] | None = None
        self.signals = _NO_SIGNALS
        self.evidence = Evidence.empty()
        self.graph_evidence: Mapping[int, GraphEvidence] = {}
        self.matches: Mapping[int, GraphMatch] = {}
        self.unasked: frozenset[StoreKind] = frozenset()
        self._describing = False
        self._words: asyncio.Future[KeywordCandidates] | None = None
        self._near: asyncio.Future[DenseCandidates] | None = None
        self._brought: NDArray[np.float32] | None = None

    async def begin(self, phases: Collection[Phase], *, ahead: bool = False) -> None:
        """Reads the query, and starts what takes time beside the first phase: nothing where the answer is at hand.

        `ahead`: an index that is a server of its own is asked for both arms at once, and by words while the ledger is
        still being asked who speaks here.
        """
        text, selection = self._spec.query, self._selection
        terms = tuple(dict.fromkeys(analyse(text)))
        # What the index cannot filter on is resolved by the ledger.
        narrowed = self._spec.filter is not None or (
            self._spec.created is not ANY_TIME and self._spec.created != ANY_TIME
        )
        allowed = await self._ledger.versions_matching(self._namespace, selection) if narrowed else None
        ahead = ahead and self._index.may_return
        dense = Phase.DENSE in phases
        self._query = make_index_query(selection=selection, allowed=allowed, depth=DEPTH, vectors=ahead and dense)
        if ahead and Phase.KEYWORD in phases:
            self._words = asyncio.ensure_future(self._index.keyword(self._namespace, terms, self._query))
        if Phase.GRAPH in phases and StoreKind.GRAPH not in self.unasked:
            self._match_names()
        try:
            speakers = await self._ledger.speakers(
                self._namespace, self._spec.scope, limit=MAX_SPEAKERS, revision=selection.revision
            )
        except BaseException:
            await self.abandon()
            raise
        named = named_speakers(text, speakers)
        self.signals = make_query_signals(
            terms=terms, dates=parse_dates(text, now=to_datetime(selection.reference)), speakers=named
        )
        if dense:
            self._embed(strip_names(text, named) if named else text)
            if ahead and (self._vector is not None or self._embedding is not None):
                self._near = asyncio.ensure_future(self._nearest(self._query))

    def at_hand(self, phase: Phase) -> int | None:
        """A phase's evidence, where all of it lies in memory; returns how many candidates, or None: `gather` it."""
        query = self._query
        assert query is not None
        if phase is Phase.KEYWORD:
            words = self._index.keyword_at_hand(self._namespace, self.signals.terms, query)
            if words is None:
                return None
            self.evidence = self.evidence.with_keyword(words)
            return len(words.rows)
        if phase is Phase.DENSE:
            if self._vector is None:
                return None
            near = self._index.dense_at_hand(self._namespace, self._vector, query, also=self.evidence.revision)
            if near is None:
                return None
            self.evidence = self.evidence.with_dense(near)
            return near.nearest
        return 0 if self._matching is None and StoreKind.GRAPH not in self.unasked else None

    async def gather(self, phase: Phase) -> int:
        """A phase's evidence; returns how many candidates. Raises StoreUnavailable, EmbedderUnavailable."""
        query = self._query
        assert query is not None
        if phase is Phase.KEYWORD:
            words = await (self._words or self._index.keyword(self._namespace, self.signals.terms, query))
            self.evidence, self._brought = self.evidence.with_keyword(words), words.vectors
            return len(words)
        if phase is Phase.DENSE and self._near is not None:
            near = await self._near
            assert self._vector is not None
            if self._brought is not None:
                # Not before: what an arm knows belongs to its own phase.
                self.evidence = self.evidence.with_cosine(cosines(self._brought, self._vector))
            self.evidence = self.evidence.with_dense(near)
            if self._brought is None and len(unknown := self.evidence.without_cosine()):
                beyond = await self._index.dense(self._namespace, self._vector, replace(query, depth=0), also=unknown)
                self.evidence = self.evidence.with_dense(beyond)
            return near.nearest
        if phase is Phase.DENSE:
            if self._vector is None:
                assert self._embedding is not None
                self._vector = await self._embedding
            # Keyword hits may lie beyond the depth of the dense arm: their cosines decide over their scores all the
            # same.
            near = await self._index.dense(self._namespace, self._vector, query, also=self.evidence.revision)
            self.evidence = self.evidence.with_dense(near)
            return near.nearest
        return await self._merge_graph(await self._matching, query) if self._matching is not None else 0

    def waited_for(self, phase: Phase) -> StoreKind:
        """The store that a phase waits for, or would."""
        if phase is Phase.GRAPH:
            return StoreKind.INDEX if self._describing else StoreKind.GRAPH
        return StoreKind.EMBEDDER if phase is Phase.DENSE and self._vector is None else StoreKind.INDEX

    async def abandon(self) -> None:
        """Stops what is still under way, and takes note of failures nobody waits for any more."""
        pending: list[asyncio.Future[Any]] = []
        for future in (self._words, self._near, self._embedding, self._matching):
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

    @property
    def under_way(self) -> bool:
        """Whether something was started that `abandon` has to look after."""
        started = (self._words, self._near, self._embedding, self._matching)
        return any(future is not None for future in started)

    def _embed(self, text: str) -> None:
        self._vector = self._embedder.at_hand(text, kind=EmbedKind.QUERY)
        if self._vector is None and StoreKind.EMBEDDER not in self.unasked:
            self._embedding = asyncio.ensure_future(self._embedded(text))

    async def _nearest(self, query: IndexQuery) -> DenseCandidates:
        """The nearest entries, as soon as the query's vector is there."""
        if self._vector is None:
            assert self._embedding is not None
            self._vector = await self._embedding
        return await self._index.dense(self._namespace, self._vector, query)

    async def _embedded(self, text: str) -> NDArray[np.float32]:
        with child_span(tracer, "embed query"):
            rows = await self._embedder.embed([text], kind=EmbedKind.QUERY)
        vector: NDArray[np.float32] = rows[0]
        return vector

    def _match_names(self) -> None:
        """Starts matching, unless the graph is known to know no name of the query."""
        sentence = normalise_name(self._spec.query).replace("'s", " ").split()
        words = [word for raw in sentence if (word := raw.strip(_AROUND_WORDS))]
        names = self._graph.names_at_hand(self._namespace, words, self._spec.scope)
        if names is None or names:
            self._matching = asyncio.ensure_future(self._matched(words, names))

    async def _matched(self, words: Sequence[str], names: Collection[str] | None) -> Sequence[GraphMatch]:
        if names is None:
            names = await self._graph.known_names(self._namespace, words, self._spec.scope)
            sentence = f" {' '.join(words)} "
            names = [name for name in names if f" {name} " in sentence]
        if not names:
            return ()
        return await self._graph.match(
            self._namespace, list(names), self._selection, depth=self._spec.graph_depth, limit=DEPTH
        )

    async def _entries(self, vector: NDArray[np.float32] | None, revisions: NDArray[np.int64]) -> DenseCandidates:
        """Columns and cosines of certain entries, as far as the selection covers them; NaN without a vector."""
        query = IndexQuery(selection=self._selection, allowed=revisions, depth=len(revisions))
        if vector is not None:
            return await self._index.dense(self._namespace, vector, query)
        found = await self._index.dense(
            self._namespace, np.zeros(self._embedder.model.dimension, dtype=np.float32), query
        )
        return replace(found, cosine=np.full(len(found), np.nan))

    async def _merge_graph(self, matches: Sequence[GraphMatch], query: IndexQuery) -> int:
        """Adds what the graph found: evidence for candidates known already, and new candidates, never a gate."""
        if not matches:
            return 0
        self.matches = {match.revision: match for match in matches}
        self.graph_evidence = {
            match.revision: GraphEvidence(hops=match.hops, entities=match.entities) for match in matches
        }
        unknown = self.evidence.unknown(np.array(sorted(self.matches), dtype=np.int64))
        if query.allowed is not None:
            unknown = np.intersect1d(unknown, query.allowed)
        if len(unknown):
            self.evidence = self.evidence.with_dense(await self._described(unknown))
        return len(matches)

    async def _described(self, revisions: NDArray[np.int64]) -> DenseCandidates:
        """What ranking wants to know of entries that the graph alone found: from the index, or, while that is down and
        the graph's word is all there is, from the ledger."""
        try:
            if StoreKind.INDEX in self.unasked:
                raise StoreUnavailable(StoreKind.INDEX.name.lower(), "it did not answer this search before")
            self._describing = True
            return await self._entries(self._vector, revisions)
        except StoreUnavailable:
            if len(self.evidence):
                # Codes of sessions that the index gave cannot be joined with others.
                raise
            memories = await self._ledger.hydrate(self._namespace, revisions.tolist(), self._selection)
        found = [DescribedMemory(memories[revision]) for revision in sorted(memories)]
        return DenseCandidates(
            table=columns_of(found, SessionCodes()),
            rows=np.arange(len(found)),
            cosine=np.full(len(found), np.nan),
            nearest=0,
        )
