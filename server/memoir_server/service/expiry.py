"""The sweeper: records the expiry of memories. Reads already pass over an expired memory; this makes it history."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from itertools import groupby

from memoir_server.domain.change import Actor, ActorKind, Origin
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import Decision, Mutation
from memoir_server.ports.clock import Clock
from memoir_server.ports.ledger import Ledger

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
"""Time between sweeps; only the history and the disk notice it."""
BATCH = 500
"""Memories per transaction."""


def _nothing_more(found: Mapping[str, Memory]) -> Decision:
    """The ledger records EXPIRED for expired memories of any mutation, so this one has nothing to add."""
    return Decision(())


class Sweeper:
    """Expires memories in the background."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts sweeping."""
        self._task = asyncio.create_task(self._serve(), name="sweeper")

    async def stop(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def sweep(self) -> int:
        """Expires one batch; returns how many memories it held."""
        now = self._clock.now()
        due = sorted(await self._ledger.expired(now, limit=BATCH))
        for namespace, group in groupby(due, key=lambda pair: pair[0]):
            await self._ledger.commit(
                Mutation(
                    namespace=namespace,
                    memory_ids=[memory_id for _, memory_id in group],
                    decide=_nothing_more,
                    now=now,
                    origin=Origin(actor=Actor("memoir", ActorKind.SYSTEM)),
                )
            )
        return len(due)

    async def _serve(self) -> None:
        while True:
            try:
                full = await self.sweep() == BATCH
            except StoreUnavailable as outage:
                logger.warning("expiry is waiting: %s", outage)
                full = False
            await asyncio.sleep(0 if full else SWEEP_SECONDS)
