"""Reading and following the history. Generated from `memoir/aio/history.py`; do not edit."""

from collections.abc import Iterable
from typing import Literal, overload

from memoir.aio.history import RECONNECT_TIMEOUT
from memoir.enums import EventType
from memoir.history_events import Bookmark, HistoryEvent
from memoir.sync.base import Pages, Stream, SyncService
from memoir.values import Instant


class History(SyncService):
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
    ) -> Pages[HistoryEvent]:
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
        return self._pages(
            self._core.history(
                memory_id=memory_id,
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                types=types,
                committed_after=committed_after,
                committed_before=committed_before,
                page_size=page_size,
                page_token=page_token,
                timeout=timeout,
            )
        )

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
    ) -> Stream[HistoryEvent]: ...

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
    ) -> Stream[HistoryEvent | Bookmark]: ...

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
    ) -> Stream[HistoryEvent] | Stream[HistoryEvent | Bookmark]:
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
        return self._stream(
            self._core.watch(
                memory_id=memory_id,
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                types=types,
                resume_token=resume_token,
                start_revision=start_revision,
                start_time=start_time,
                bookmarks=bookmarks,
                progress_interval=progress_interval,
                reconnect_timeout=reconnect_timeout,
                timeout=timeout,
            )
        )
