"""Which memories are returned to callers: counted in memory on the way out, kept in the ledger now and then.

Approximate on purpose: what was counted since the last flush is lost when the process is killed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from opentelemetry import metrics

from memoir_server.domain.access import Access, Noted
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock
from memoir_server.ports.ledger import Ledger

logger = logging.getLogger(__name__)

MAX_PENDING: Final = 50_000
"""Memories counted and not yet kept; further ones are not counted until the next flush. Some 15 MB."""
_GATHERED: Final = 10_000
"""Accesses noted one after the other before they are added up."""
BATCH: Final = 1_000
"""Memories per transaction."""

_meter = metrics.get_meter("memoir_server.accesses")
_kept_counter = _meter.create_counter("memoir.accesses.kept", "{access}", "Accesses of memories that were kept")
_lost_counter = _meter.create_counter(
    "memoir.accesses.lost", "{access}", "Accesses that were not counted, since too many waited to be kept"
)


class Accesses:
    """Counts accesses. While it is not `enabled` nothing is counted."""

    def __init__(self, ledger: Ledger, clock: Clock, *, enabled: bool = True, flush_seconds: float = 30.0) -> None:
        self._ledger = ledger
        self._clock = clock
        self._enabled = enabled
        self._flush_seconds = flush_seconds
        self._noted: list[tuple[str, Sequence[str], Instant, int]] = []
        self._noted_count = 0
        self._pending: dict[tuple[str, str], tuple[int, Instant, int]] = {}
        self._lost = 0
        self._full = asyncio.Event()
        self._ending = asyncio.Event()
        # What is being kept must be counted once, not among the pending and in the ledger too.
        self._flushing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def enabled(self) -> bool:
        """Whether accesses are counted."""
        return self._enabled

    def note(self, namespace: str, memory_ids: Sequence[str], seen: int) -> None:
        """Counts one access of each memory. `seen`: a revision at which they were what was returned. Costs a list entry
        per call and never waits: it lies on the path of every read."""
        if not self._enabled:
            return
        self._noted.append((namespace, memory_ids, self._clock.now(), seen))
        self._noted_count += len(memory_ids)
        if self._noted_count >= min(_GATHERED, MAX_PENDING // 2):
            self._add_up()

    def _add_up(self) -> None:
        """Brings what was noted to the counts."""
        pending = self._pending
        for namespace, memory_ids, now, seen in self._noted:
            for memory_id in memory_ids:
                key = (namespace, memory_id)
                before = pending.get(key)
                if before is not None:
                    pending[key] = (before[0] + 1, now, seen)
                elif len(pending) < MAX_PENDING:
                    pending[key] = (1, now, seen)
                else:
                    self._lost += 1
        self._noted.clear()
        self._noted_count = 0
        if len(pending) * 2 >= MAX_PENDING:
            self._full.set()

    async def of(self, namespace: str, memory_ids: Sequence[str]) -> Mapping[str, Access]:
        """What has been counted of each memory that exists, kept or not yet; nothing while counting is off."""
        if not self._enabled:
            return {}
        async with self._flushing:
            kept = await self._ledger.accesses(namespace, memory_ids)
            self._add_up()
            return {i: self._waiting(namespace, i, each.born).after(each.access) for i, each in kept.items()}

    async def start(self) -> None:
        """Starts keeping what is counted."""
        if self._enabled:
            self._task = asyncio.create_task(self._serve(), name="accesses")

    async def stop(self) -> None:
        """Keeps what has been counted, and ends."""
        if self._task is None:
            return
        # Not cancelled: what is being kept at this moment would be counted again.
        self._ending.set()
        self._full.set()
        await self._task
        try:
            await self.flush()
        except StoreUnavailable as outage:
            logger.warning("accesses of %d memories are lost: %s", len(self._pending), outage)

    async def flush(self) -> None:
        """Keeps what has been counted. Raises StoreUnavailable: what is not kept stays counted then."""
        async with self._flushing:
            self._add_up()
            _lost_counter.add(self._lost)
            self._lost = 0
            by_namespace: dict[str, list[str]] = {}
            for namespace, memory_id in self._pending:
                by_namespace.setdefault(namespace, []).append(memory_id)
            for namespace, memory_ids in by_namespace.items():
                for start in range(0, len(memory_ids), BATCH):
                    await self._keep(namespace, memory_ids[start : start + BATCH])

    async def _keep(self, namespace: str, memory_ids: Sequence[str]) -> None:
        taken = {memory_id: self._pending[namespace, memory_id] for memory_id in memory_ids}
        noted = [Noted(memory_id, Access(count, last), seen) for memory_id, (count, last, seen) in taken.items()]
        await self._ledger.note_accesses(namespace, noted)
        for memory_id, (count, _, _) in taken.items():
            # More may have come while this was being written.
            total, last, seen = self._pending.pop((namespace, memory_id))
            if total > count:
                self._pending[namespace, memory_id] = (total - count, last, seen)
        _kept_counter.add(sum(count for count, _, _ in taken.values()))

    def _waiting(self, namespace: str, memory_id: str, born: int) -> Access:
        count, last, seen = self._pending.get((namespace, memory_id), (0, 0, 0))
        # What was seen before this memory was born had its id earlier.
        return Access(count, last) if seen >= born else Access()

    async def _serve(self) -> None:
        while not self._ending.is_set():
            await _within(self._flush_seconds, self._full)
            self._full.clear()
            try:
                await self.flush()
            except StoreUnavailable as outage:
                logger.warning("accesses are waiting to be kept: %s", outage)
                # Too many of them would otherwise wake this at once.
                await _within(self._flush_seconds, self._ending)


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Waits for the event, but no longer than that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
