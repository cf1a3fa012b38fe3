"""Searching. Generated from `memoir/aio/search.py`; do not edit."""

from memoir.enums import Fusion, MemoryView, Recipe
from memoir.filters import FilterInput
from memoir.search_results import ContextResult, SearchEvent, SearchResult
from memoir.sync.base import Stream, SyncService
from memoir.values import Instant, Moment


class Search(SyncService):
    """Ranked retrieval."""

    def search(
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
        return self._run(
            self._core.search(
                query,
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
                timeout=timeout,
            )
        )

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
    ) -> Stream[SearchEvent]:
        """Search phase by phase: `SearchStarted`, then `PhaseHits` or `PhaseFailed` per phase, then `SearchCompleted`.

        The arguments are those of `search`. `memoir.fold(events)` gives what `search` would have returned;
        `memoir.SearchFold` keeps the provisional result while events arrive.
        """
        return self._stream(
            self._core.search_stream(
                query,
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
                timeout=timeout,
            )
        )

    def context(
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
        return self._run(
            self._core.context(
                query,
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
                max_tokens=max_tokens,
                neighbours=neighbours,
                timeout=timeout,
            )
        )
