"""Reading and following the change log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from memoir_server.domain.change import Change
from memoir_server.ports.ledger import HistoryQuery, Ledger

PAGE = 500
"""Events a watch reads at a time."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to the revision was considered; `caught_up` once the head there was at the start is passed."""

    revision: int
    caught_up: bool


class WatchEnded(Exception):
    """The server is draining. `revision` is the last one considered: resume after it."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"the server is draining; resume after revision {revision}")
        self.revision = revision


class History:
    """The change log of each namespace. `drain` ends all watches with a place to resume from."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Ends every watch with WatchEnded."""
        self._draining.set()

    async def page(self, namespace: str, query: HistoryQuery, *, limit: int) -> Sequence[Change]:
        """Events by revision."""
        return await self._ledger.history(namespace, query, limit=limit)

    async def watch(
        self, namespace: str, query: HistoryQuery, *, progress_interval: float
    ) -> AsyncIterator[Change | Bookmark]:
        """Events after `query.after` as they are committed: in order, none twice, none left out.

        When nothing was sent for `progress_interval` seconds, and once when the head of the beginning is reached,
        there is a Bookmark. Ends only by WatchEnded.
        """
        loop = asyncio.get_running_loop()
        position = query.after
        goal = (await self._ledger.head(namespace)).revision
        caught_up = False
        silent_since = loop.time()
        while True:
            head = (await self._ledger.head(namespace)).revision
            while position < head:
                self._end_when_draining(position)
                events = await self._ledger.history(
                    namespace, replace(query, after=position, until=head, watch=True), limit=PAGE
                )
                for event in events:
                    yield event
                    silent_since = loop.time()
                # A short page has been read to its end: what the filter left out was considered too.
                position = events[-1].revision if len(events) == PAGE else head
            self._end_when_draining(position)
            silence = loop.time() - silent_since
            if (not caught_up and position >= goal) or silence >= progress_interval:
                caught_up = caught_up or position >= goal
                yield Bookmark(max(position, query.after), caught_up)
                silent_since = loop.time()
                continue
            await self._wait(namespace, position, progress_interval - silence)

    def _end_when_draining(self, position: int) -> None:
        if self._draining.is_set():
            raise WatchEnded(position)

    async def _wait(self, namespace: str, position: int, timeout: float) -> None:
        moved = asyncio.ensure_future(self._ledger.wait_beyond(namespace, position, timeout))
        drained = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({moved, drained}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in (moved, drained):
                future.cancel()
            await asyncio.gather(moved, drained, return_exceptions=True)
