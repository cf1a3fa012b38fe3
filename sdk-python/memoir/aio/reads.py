"""Reading memories, scopes and accepted inference work."""

from collections.abc import Iterable

from memoir import methods
from memoir.aio.base import AsyncService
from memoir.enums import INGESTION_STATE, MEMORY_VIEW, SCOPE_DIMENSION, IngestionState, MemoryView, ScopeDimension
from memoir.filters import FilterInput, filter_to_proto
from memoir.memory import Memory, memory_from_proto
from memoir.results import Ingestion, ScopeSummary, ingestion_from_proto, scope_summary_from_proto
from memoir.streams import AsyncPages, Page
from memoir.v1 import memory_pb2
from memoir.values import Instant, Moment, as_of_to_proto, optional_timestamp, scope_to_proto, time_range_to_proto


class AsyncReads(AsyncService):
    """Point reads and listings."""

    async def get(
        self,
        memory_id: str,
        *,
        view: MemoryView | str | None = None,
        as_of: Moment | None = None,
        min_revision: int = 0,
        include_access: bool = False,
        timeout: float | None = None,
    ) -> Memory:
        """Read one memory.

        Args:
            memory_id: the memory.
            view: "FULL" when None; "BASIC" leaves out entities and relations.
            as_of: a past moment: an aware datetime, RFC 3339 text, or a revision (int).
            min_revision: wait, within the timeout, until this revision is visible.
            include_access: also how often the memory was returned before, and when last.
            timeout: seconds, retries included.

        Raises:
            MemoryNotFound, FreshnessTimeout.
        """
        request = memory_pb2.GetMemoryRequest(
            namespace=self._namespace,
            memory_id=memory_id,
            view=MEMORY_VIEW.encode(view, "view"),
            as_of=as_of_to_proto(as_of),
            min_revision=min_revision,
            include_access=include_access,
        )
        return memory_from_proto((await self._transport.unary(methods.GET_MEMORY, request, timeout)).memory)

    def list(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        filter: FilterInput | None = None,
        created_after: Instant | None = None,
        created_before: Instant | None = None,
        include_superseded: bool = False,
        as_of: Moment | None = None,
        valid_at: Instant | None = None,
        view: MemoryView | str | None = None,
        min_revision: int = 0,
        include_access: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPages[Memory]:
        """List memories, newest create_time first; iterate over the result, or over its `pages()`.

        Args:
            user_id, agent_id, session_id: whose memories; without any, the whole namespace.
            filter: data such as {"topic": "travel"} (see `memoir.filters`).
            created_after, created_before: created_after <= create_time < created_before.
            include_superseded: also memories whose valid_until has passed.
            as_of: what was known at a past moment. valid_at: what was true in the world at a moment.
            view: "BASIC" when None; "FULL" adds entities and relations.
            include_access: also how often each memory was returned, and when last.
            page_size: 50 when 0, at most 1000. page_token: where to go on.
            timeout: seconds per page, retries included.

        Raises:
            InvalidArgument, TokenInvalid, FreshnessTimeout.
        """
        request = memory_pb2.ListMemoriesRequest(
            namespace=self._namespace,
            page_size=page_size,
            scope=scope_to_proto(user_id, agent_id, session_id),
            filter=filter_to_proto(filter),
            create_time_range=time_range_to_proto(created_after, created_before, ("created_after", "created_before")),
            include_superseded=include_superseded,
            as_of=as_of_to_proto(as_of),
            valid_at=optional_timestamp(valid_at, "valid_at"),
            view=MEMORY_VIEW.encode(view, "view"),
            min_revision=min_revision,
            include_access=include_access,
        )

        async def fetch(token: str) -> Page[Memory]:
            request.page_token = token
            response = await self._transport.unary(methods.LIST_MEMORIES, request, timeout)
            memories = tuple([memory_from_proto(item) for item in response.memories])
            return Page(memories, response.next_page_token, response.revision)

        return AsyncPages(fetch, page_token)

    def scopes(
        self,
        dimension: ScopeDimension | str = ScopeDimension.USER,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPages[ScopeSummary]:
        """List the users, agents or sessions ("USER", "AGENT", "SESSION") that have memories, with counts.

        The ids narrow the listing: `scopes("SESSION", user_id="ana")` lists her sessions.
        """
        request = memory_pb2.ListScopesRequest(
            namespace=self._namespace,
            dimension=SCOPE_DIMENSION.encode(dimension, "dimension"),
            within=scope_to_proto(user_id, agent_id, session_id),
            page_size=page_size,
        )

        async def fetch(token: str) -> Page[ScopeSummary]:
            request.page_token = token
            response = await self._transport.unary(methods.LIST_SCOPES, request, timeout)
            return Page(tuple([scope_summary_from_proto(item) for item in response.scopes]), response.next_page_token)

        return AsyncPages(fetch, page_token)

    async def get_ingestion(self, ingestion_id: str, *, timeout: float | None = None) -> Ingestion:
        """Read the state of accepted inference work.

        Raises:
            IngestionNotFound.
        """
        request = memory_pb2.GetIngestionRequest(namespace=self._namespace, ingestion_id=ingestion_id)
        return ingestion_from_proto((await self._transport.unary(methods.GET_INGESTION, request, timeout)).ingestion)

    def ingestions(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        states: Iterable[IngestionState | str] = (),
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPages[Ingestion]:
        """List accepted inference work, newest first; `states` narrows it, such as ("PENDING", "RUNNING")."""
        request = memory_pb2.ListIngestionsRequest(
            namespace=self._namespace,
            page_size=page_size,
            scope=scope_to_proto(user_id, agent_id, session_id),
            states=[INGESTION_STATE.encode(state, "states") for state in states],
        )

        async def fetch(token: str) -> Page[Ingestion]:
            request.page_token = token
            response = await self._transport.unary(methods.LIST_INGESTIONS, request, timeout)
            return Page(tuple([ingestion_from_proto(item) for item in response.ingestions]), response.next_page_token)

        return AsyncPages(fetch, page_token)
