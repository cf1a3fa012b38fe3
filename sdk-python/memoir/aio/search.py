"""Searching."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from memoir import methods
from memoir.aio.base import AsyncService
from memoir.enums import FUSION, MEMORY_VIEW, RECIPE, Fusion, MemoryView, Recipe
from memoir.filters import FilterInput, filter_to_proto
from memoir.search_results import (
    ContextResult,
    SearchEvent,
    SearchResult,
    context_from_proto,
    event_from_proto,
    search_result_from_proto,
)
from memoir.streams import AsyncStream
from memoir.v1 import search_pb2
from memoir.values import Instant, Moment, as_of_to_proto, optional_timestamp, scope_to_proto, time_range_to_proto


class AsyncSearch(AsyncService):
    """Ranked retrieval."""

    async def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        limit: int = 0,
        filter: FilterInput | None = None,
        created_after: Instant | None = None,
        created_before: Instant | None = None,
        min_score: float | None = None,
        recipe: Recipe | str | None = None,
        fusion: Fusion | str | None = None,
        rerank: bool = False,
        graph_depth: int | None = None,
        as_of: Moment | None = None,
        valid_at: Instant | None = None,
        include_superseded: bool = False,
        explain: bool = False,
        view: MemoryView | str | None = None,
        min_revision: int = 0,
        timeout: float | None = None,
    ) -> SearchResult:
        """Rank memories for a query and return the best.

        Args:
            query: the question or the last message, in natural language.
            user_id, agent_id, session_id: whose memories; without any, the whole namespace.
            limit: hits wanted; 10 when 0, at most 100.
            filter: data such as {"topic": "travel"} (see `memoir.filters`).
            created_after, created_before: created_after <= create_time < created_before.
            min_score: drop hits below this score, 0..1.
            recipe: "balanced" (default), "semantic", "keyword", "graph" or "recent".
            fusion: "weighted", "reciprocal_rank", "max" or "borda"; None for the recipe's own.
            rerank: rerank with a model; needs the feature "rerank".
            graph_depth: hops in the graph, 0..3; None means 1.
            as_of: what was known at a past moment: an aware datetime, RFC 3339 text, or a revision (int).
            valid_at: what was true in the world at a moment.
            include_superseded: without valid_at, also memories whose valid_until has passed.
            explain: fill `rank_score` and `parts` of each hit.
            view: "BASIC" when None; "FULL" adds entities and relations.
            min_revision: wait, within the timeout, until this revision is visible.
            timeout: seconds, retries included.

        Raises:
            InvalidArgument, FreshnessTimeout, StoreUnavailable (when every phase failed).
        """
        spec = search_spec(
            query=query,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            limit=limit,
            filter=filter,
            created_after=created_after,
            created_before=created_before,
            min_score=min_score,
            recipe=recipe,
            fusion=fusion,
            rerank=rerank,
            graph_depth=graph_depth,
            as_of=as_of,
            valid_at=valid_at,
            include_superseded=include_superseded,
            explain=explain,
            view=view,
            min_revision=min_revision,
        )
        request = search_pb2.SearchMemoriesRequest(namespace=self._namespace, spec=spec)
        return search_result_from_proto(await self._transport.unary(methods.SEARCH_MEMORIES, request, timeout))

    def search_stream(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        limit: int = 0,
        filter: FilterInput | None = None,
        created_after: Instant | None = None,
        created_before: Instant | None = None,
        min_score: float | None = None,
        recipe: Recipe | str | None = None,
        fusion: Fusion | str | None = None,
        rerank: bool = False,
        graph_depth: int | None = None,
        as_of: Moment | None = None,
        valid_at: Instant | None = None,
        include_superseded: bool = False,
        explain: bool = False,
        view: MemoryView | str | None = None,
        min_revision: int = 0,
        timeout: float | None = None,
    ) -> AsyncStream[SearchEvent]:
        """Search phase by phase: `SearchStarted`, then `PhaseHits` or `PhaseFailed` per phase, then `SearchCompleted`.

        The arguments are those of `search`. `memoir.fold(events)` gives what `search` would have returned;
        `memoir.SearchFold` keeps the provisional result while events arrive.
        """
        spec = search_spec(
            query=query,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            limit=limit,
            filter=filter,
            created_after=created_after,
            created_before=created_before,
            min_score=min_score,
            recipe=recipe,
            fusion=fusion,
            rerank=rerank,
            graph_depth=graph_depth,
            as_of=as_of,
            valid_at=valid_at,
            include_superseded=include_superseded,
            explain=explain,
            view=view,
            min_revision=min_revision,
        )
        request = search_pb2.StreamSearchMemoriesRequest(namespace=self._namespace, spec=spec)

        async def events() -> AsyncGenerator[SearchEvent]:
            limit = self._transport.timeout if timeout is None else timeout
            stream = self._transport.server_stream(methods.STREAM_SEARCH_MEMORIES, request, limit)
            async with aclosing(stream) as responses:
                async for response in responses:
                    event = event_from_proto(response)
                    if event is not None:
                        yield event

        return AsyncStream(events())

    async def context(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        limit: int = 0,
        filter: FilterInput | None = None,
        created_after: Instant | None = None,
        created_before: Instant | None = None,
        min_score: float | None = None,
        recipe: Recipe | str | None = None,
        fusion: Fusion | str | None = None,
        rerank: bool = False,
        graph_depth: int | None = None,
        as_of: Moment | None = None,
        valid_at: Instant | None = None,
        include_superseded: bool = False,
        explain: bool = False,
        view: MemoryView | str | None = None,
        min_revision: int = 0,
        max_tokens: int = 0,
        neighbours: int | None = None,
        timeout: float | None = None,
    ) -> ContextResult:
        """Build a cited context for a prompt within a token budget.

        Args:
            max_tokens: budget in tokens of the result's tokenizer; 1000 when 0, at most 32000.
            neighbours: turns to add before and after each verbatim turn found, 0..5; None means 1.
            query and all others: as in `search`.

        Raises:
            As `search`, and FeatureDisabled.
        """
        spec = search_spec(
            query=query,
            user_id=user_id,
            agent_id=agent_id,
            session_id=session_id,
            limit=limit,
            filter=filter,
            created_after=created_after,
            created_before=created_before,
            min_score=min_score,
            recipe=recipe,
            fusion=fusion,
            rerank=rerank,
            graph_depth=graph_depth,
            as_of=as_of,
            valid_at=valid_at,
            include_superseded=include_superseded,
            explain=explain,
            view=view,
            min_revision=min_revision,
        )
        request = search_pb2.BuildContextRequest(
            namespace=self._namespace, spec=spec, max_tokens=max_tokens, neighbours=neighbours
        )
        return context_from_proto(await self._transport.unary(methods.BUILD_CONTEXT, request, timeout))


def search_spec(
    *,
    query: str,
    user_id: str | None,
    agent_id: str | None,
    session_id: str | None,
    limit: int,
    filter: FilterInput | None,
    created_after: Instant | None,
    created_before: Instant | None,
    min_score: float | None,
    recipe: Recipe | str | None,
    fusion: Fusion | str | None,
    rerank: bool,
    graph_depth: int | None,
    as_of: Moment | None,
    valid_at: Instant | None,
    include_superseded: bool,
    explain: bool,
    view: MemoryView | str | None,
    min_revision: int,
) -> search_pb2.SearchSpec:
    """Build what the three methods have in common."""
    return search_pb2.SearchSpec(
        query=query,
        scope=scope_to_proto(user_id, agent_id, session_id),
        filter=filter_to_proto(filter),
        create_time_range=time_range_to_proto(created_after, created_before, ("created_after", "created_before")),
        limit=limit,
        min_score=min_score,
        recipe=RECIPE.encode(recipe, "recipe"),
        fusion=FUSION.encode(fusion, "fusion"),
        rerank=rerank,
        graph_depth=graph_depth,
        as_of=as_of_to_proto(as_of),
        valid_at=optional_timestamp(valid_at, "valid_at"),
        include_superseded=include_superseded,
        explain=explain,
        view=MEMORY_VIEW.encode(view, "view"),
        min_revision=min_revision,
    )
