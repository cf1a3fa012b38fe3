"""Reading and following the history."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Final, Literal, overload

from memoir import methods
from memoir.aio.base import AsyncService
from memoir.enums import EVENT_TYPE, EventType
from memoir.errors import MemoirError, invalid
from memoir.history_events import Bookmark, HistoryEvent, history_event_from_proto, watch_item_from_proto
from memoir.resume import resumed
from memoir.streams import AsyncPages, AsyncStream, Page
from memoir.v1 import history_pb2
from memoir.values import (
    Instant,
    duration_to_proto,
    scope_to_proto,
    time_range_to_proto,
    timestamp_to_proto,
)

#: Seconds without any response after which a broken stream is given up, unless the caller says otherwise.
RECONNECT_TIMEOUT: Final = 60.0


class AsyncHistory(AsyncService):
    """The append-only log of changes of the namespace."""

    def history(
        self,
        *,
        memory_id: str = "",
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        types: Iterable[EventType | str] = (),
        committed_after: Instant | None = None,
        committed_before: Instant | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = None,
    ) -> AsyncPages[HistoryEvent]:
        """List past events, oldest first.

        Args:
            memory_id: of one memory; empty means any.
            user_id, agent_id, session_id: scope of the memories.
            types: such as ("CREATED", "DELETED"); empty means all.
            committed_after, committed_before: committed_after <= commit_time < committed_before.
            page_size, page_token, timeout: as in `list`. Each page's `resume_token` starts a watch right after it.

        Raises:
            InvalidArgument, TokenInvalid.
        """
        request = history_pb2.ListHistoryRequest(
            namespace=self._namespace,
            page_size=page_size,
            filter=history_filter(memory_id, user_id, agent_id, session_id, types),
            commit_time_range=time_range_to_proto(
                committed_after, committed_before, ("committed_after", "committed_before")
            ),
        )

        async def fetch(token: str) -> Page[HistoryEvent]:
            request.page_token = token
            response = await self._transport.unary(methods.LIST_HISTORY, request, timeout)
            events = tuple([history_event_from_proto(item) for item in response.events])
            return Page(events, response.next_page_token, resume_token=response.resume_token)

        return AsyncPages(fetch, page_token)

    @overload
    def watch(
        self,
        *,
        memory_id: str = "",
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        types: Iterable[EventType | str] = (),
        resume_token: str | None = None,
        start_revision: int | None = None,
        start_time: Instant | None = None,
        bookmarks: Literal[False] = False,
        progress_interval: float | None = None,
        reconnect_timeout: float | None = RECONNECT_TIMEOUT,
        timeout: float | None = None,
    ) -> AsyncStream[HistoryEvent]: ...

    @overload
    def watch(
        self,
        *,
        memory_id: str = "",
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        types: Iterable[EventType | str] = (),
        resume_token: str | None = None,
        start_revision: int | None = None,
        start_time: Instant | None = None,
        bookmarks: bool,
        progress_interval: float | None = None,
        reconnect_timeout: float | None = RECONNECT_TIMEOUT,
        timeout: float | None = None,
    ) -> AsyncStream[HistoryEvent | Bookmark]: ...

    def watch(
        self,
        *,
        memory_id: str = "",
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        types: Iterable[EventType | str] = (),
        resume_token: str | None = None,
        start_revision: int | None = None,
        start_time: Instant | None = None,
        bookmarks: bool = False,
        progress_interval: float | None = None,
        reconnect_timeout: float | None = RECONNECT_TIMEOUT,
        timeout: float | None = None,
    ) -> AsyncStream[HistoryEvent] | AsyncStream[HistoryEvent | Bookmark]:
        """Follow the history: every event once, in order, across broken connections and server restarts.

        Without a start, the watch begins at the next event after the server has taken the call, which is made with
        the first step of the iteration. To miss nothing, start from a token of `history` or from a revision.

        Args:
            memory_id, user_id, agent_id, session_id, types: as in `history`.
            resume_token: after the event or page that carried it. start_revision: at this revision, inclusive, 1 is
                the beginning. start_time: at the first event committed at or after. Give at most one.
            bookmarks: also yield the signs of life the server sends when nothing matches.
            progress_interval: longest silence of the server in seconds, 0.1..60; None means 15.
            reconnect_timeout: seconds without any response after which the last error is raised; None means never.
            timeout: seconds for the whole watch; None means no deadline.

        Raises:
            HistoryCompacted: the start is gone. TokenInvalid, InvalidArgument.
        """
        if sum(start is not None for start in (resume_token, start_revision, start_time)) > 1:
            raise invalid("start", "resume_token, start_revision and start_time exclude each other; give one")
        request = history_pb2.WatchHistoryRequest(
            namespace=self._namespace,
            filter=history_filter(memory_id, user_id, agent_id, session_id, types),
            resume_token=resume_token,
            start_revision=start_revision,
            start_time=None if start_time is None else timestamp_to_proto(start_time, "start_time"),
            progress_interval=None if progress_interval is None else duration_to_proto(progress_interval),
        )

        def open_stream(left: float | None, failures: int) -> AsyncGenerator[history_pb2.WatchHistoryResponse]:
            return self._transport.server_stream(methods.WATCH_HISTORY, request, left, failures=failures, watch=True)

        def keep_token(error: MemoirError) -> None:
            # A draining server names the place to resume from even when it had sent nothing yet.
            token = error.metadata.get("resume_token")
            if token:
                request.resume_token = token

        async def items() -> AsyncGenerator[HistoryEvent | Bookmark]:
            stream = resumed(
                open_stream,
                timeout=timeout,
                reconnect_timeout=reconnect_timeout,
                is_last=lambda _: False,
                on_error=keep_token,
            )
            async with aclosing(stream) as responses:
                async for response in responses:
                    request.resume_token = response.resume_token
                    item = watch_item_from_proto(response)
                    if isinstance(item, HistoryEvent) or (item is not None and bookmarks):
                        yield item

        return AsyncStream(items())


def history_filter(
    memory_id: str,
    user_id: str | None,
    agent_id: str | None,
    session_id: str | None,
    types: Iterable[EventType | str],
) -> history_pb2.HistoryFilter | None:
    """Build the narrowing of a history; None when nothing is narrowed."""
    scope = scope_to_proto(user_id, agent_id, session_id)
    numbers = [EVENT_TYPE.encode(item, "types") for item in types]
    if scope is None and not memory_id and not numbers:
        return None
    return history_pb2.HistoryFilter(scope=scope, memory_id=memory_id, types=numbers)
