"""The part of the port that reads the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from memoir_server.adapters.ledger.forms.layout import MAX_REVISION
from memoir_server.adapters.ledger.forms.rows import read_changes
from memoir_server.adapters.ledger.postgres import chain, log
from memoir_server.adapters.ledger.postgres.opened import LedgerPart
from memoir_server.domain.change import Change
from memoir_server.ports.ledger import HistoryQuery


class HistoryPart(LedgerPart):
    """History, watches, the chain."""

    async def history(self, namespace: str, query: HistoryQuery, *, limit: int) -> Sequence[Change]:
        ns = await self._database.number(namespace)
        if ns is None:
            return []
        first, last = max(query.after, 0) + 1, MAX_REVISION if query.until is None else query.until
        committed = query.committed
        asked = [time for time in (committed.start, committed.end) if time is not None]
        if asked:
            found = await self._database.fetch_each([log.revision_at(ns, time - 1) for time in asked])
            revisions = [int(rows[0][0]) for rows in found]
            if committed.start is not None:
                first = max(first, revisions[0] + 1)
            if committed.end is not None:
                last = min(last, revisions[-1])
        if first > last:
            return []
        rows = await self._database.fetch(*log.events(ns, first, last, query, limit))
        return read_changes(namespace, rows)

    async def wait_beyond(self, namespace: str, revision: int, timeout: float) -> int:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        watch = self._opened.watch
        while True:
            # Whoever waits is registered before the head is read, so that nothing moves unheard in between.
            waiting = asyncio.ensure_future(watch.wait_beyond(namespace, revision, deadline - loop.time()))
            try:
                await asyncio.sleep(0)
                head = (await self.head(namespace)).revision
                if head > revision or loop.time() >= deadline:
                    return head
                await waiting
            finally:
                waiting.cancel()

    async def verify_chain(self, namespace: str) -> bool:
        ns = await self._database.number(namespace)
        return ns is None or await chain.verify(self._database, ns, namespace)
