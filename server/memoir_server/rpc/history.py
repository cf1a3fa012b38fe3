"""HistoryService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from memoir.v1 import history_pb2 as pb
from memoir_server.domain.change import Change
from memoir_server.domain.errors import TokenInvalid
from memoir_server.ports.ledger import Ledger
from memoir_server.rpc.convert.history import read_history_filter, write_history_event
from memoir_server.rpc.convert.time import read_range, read_time
from memoir_server.rpc.incoming import Incoming
from memoir_server.rpc.paging import page_size, parameters_of
from memoir_server.rpc.refusals import ServerDraining
from memoir_server.rpc.tokens import HistoryToken, ResumeToken, Tokens, fingerprint
from memoir_server.service.history import History, WatchEnded

DEFAULT_PROGRESS_SECONDS = 15.0
MIN_PROGRESS_SECONDS = 0.1
MAX_PROGRESS_SECONDS = 60.0


class HistoryService:
    """The change log. `page_bytes` bounds the size of a page."""

    def __init__(self, history: History, ledger: Ledger, tokens: Tokens, *, page_bytes: int) -> None:
        self._history = history
        self._ledger = ledger
        self._tokens = tokens
        self._page_bytes = page_bytes

    async def ListHistory(self, request: pb.ListHistoryRequest, incoming: Incoming) -> pb.ListHistoryResponse:
        size = page_size(request.page_size)
        text, parameters = parameters_of(request, incoming)
        if text:
            place = self._tokens.decode(text, HistoryToken, parameters, field="page_token")
        else:
            place = await self._first_place(request, incoming.namespace, parameters)
        query = read_history_filter(request.filter, after=place.after, until=place.until)
        events = await self._history.page(incoming.namespace, query, limit=size + 1)
        response = pb.ListHistoryResponse()
        room = self._page_bytes
        shown = 0
        for event in events[:size]:
            message = response.events.add()
            write_history_event(message, event)
            room -= message.ByteSize()
            if room < 0 and shown:
                del response.events[-1]
                break
            shown += 1
        reached = place.until
        if shown < len(events):
            reached = events[shown - 1].revision
            response.next_page_token = self._tokens.encode(HistoryToken(parameters, reached, place.until))
        response.resume_token = self._resume_token(_watched(request, incoming), reached)
        return response

    async def WatchHistory(
        self, request: pb.WatchHistoryRequest, incoming: Incoming
    ) -> AsyncIterator[pb.WatchHistoryResponse]:
        watched = _watched(request, incoming)
        query = read_history_filter(request.filter, after=await self._start(request, incoming.namespace, watched))
        stream = self._history.watch(incoming.namespace, query, progress_interval=_progress_seconds(request))
        try:
            async with aclosing(stream) as items:  # type: ignore[type-var]  # an async generator, declared as its protocol
                async for item in items:
                    response = pb.WatchHistoryResponse(resume_token=self._resume_token(watched, item.revision))
                    if isinstance(item, Change):
                        write_history_event(response.event, item)
                    else:
                        response.bookmark.revision = item.revision
                        response.bookmark.caught_up = item.caught_up
                    yield response
        except WatchEnded as ended:
            raise ServerDraining(self._resume_token(watched, ended.revision)) from None

    async def _first_place(self, request: Any, namespace: str, parameters: bytes) -> HistoryToken:
        """The range of commit times as a range of revisions, which is fixed for all pages of the listing."""
        committed = read_range(request, "commit_time_range")
        after, until = 0, (await self._ledger.head(namespace)).revision
        if committed.start is not None:
            after = await self._ledger.revision_at(namespace, committed.start - 1)
        if committed.end is not None:
            until = min(until, await self._ledger.revision_at(namespace, committed.end - 1))
        return HistoryToken(parameters, after, until)

    async def _start(self, request: Any, namespace: str, watched: bytes) -> int:
        """The revision after which the watch begins."""
        start = request.WhichOneof("start")
        if start == "start_revision":
            return int(request.start_revision) - 1
        if start == "start_time":
            return await self._ledger.revision_at(namespace, read_time(request.start_time, "start_time") - 1)
        head = (await self._ledger.head(namespace)).revision
        if start is None:
            return head
        revision = self._tokens.decode(request.resume_token, ResumeToken, watched, field="resume_token").revision
        if revision > head:
            # A place this log never reached: the ledger was restored from an older copy.
            raise TokenInvalid("resume_token")
        return revision

    def _resume_token(self, watched: bytes, revision: int) -> str:
        return self._tokens.encode(ResumeToken(watched, revision))


def _watched(request: Any, incoming: Incoming) -> bytes:
    """What a resume token is bound to: namespace and filter, the same for lists and watches."""
    return fingerprint(b"watch", incoming.namespace.encode(), request.filter.SerializeToString(deterministic=True))


def _progress_seconds(request: Any) -> float:
    if not request.HasField("progress_interval"):
        return DEFAULT_PROGRESS_SECONDS
    asked = request.progress_interval.seconds + request.progress_interval.nanos / 1e9
    return float(min(max(asked, MIN_PROGRESS_SECONDS), MAX_PROGRESS_SECONDS))
