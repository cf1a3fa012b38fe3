"""Waiting for the projections: after a write for its durability, before a read for its min_revision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from memoir_server.domain.errors import FreshnessTimeout, StoreUnavailable
from memoir_server.domain.store import PROJECTIONS, BreakerState, Durability, StoreKind
from memoir_server.ports.ledger import Ledger
from memoir_server.service.call import MAX_WAIT_SECONDS, Call
from memoir_server.service.projector import Projector


class Freshness:
    """Semantics 3 and 4. `longest` bounds the wait of a write, in seconds."""

    def __init__(self, ledger: Ledger, projector: Projector, *, longest: float = MAX_WAIT_SECONDS) -> None:
        self._ledger = ledger
        self._projector = projector
        self._longest = longest

    async def after_write(self, namespace: str, revision: int, call: Call) -> Durability:
        """Waits until the write is in every projection, as long as the call allows; never fails.

        Returns INDEXED when it is. ACCEPTED: it was asked for no more, the wait was too long, or a breaker is open.
        """
        if call.durability is Durability.ACCEPTED:
            return Durability.ACCEPTED
        # Side by side: one bound covers all stores, and the first that gives up ends the wait.
        limit = call.write_wait(self._longest)
        waits = [
            asyncio.ensure_future(self._projector.wait_applied(store, namespace, revision, limit))
            for store in PROJECTIONS
        ]
        try:
            for wait in asyncio.as_completed(waits):
                if not await wait:
                    return Durability.ACCEPTED
        except StoreUnavailable:
            # The write is in the ledger, whatever it says of the projections now.
            return Durability.ACCEPTED
        finally:
            for pending in waits:
                pending.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return Durability.INDEXED

    async def before_read(self, namespace: str, min_revision: int, stores: Sequence[StoreKind], call: Call) -> None:
        """Waits until the stores have applied `min_revision`, within the deadline. 0 does not wait. Reads that the
        ledger answers alone need no call of this.

        Raises FreshnessTimeout; StoreUnavailable at once when a store's breaker is open.
        """
        if not min_revision:
            return
        for store in stores:
            if await self._projector.wait_applied(store, namespace, min_revision, call.read_wait()):
                continue
            if self._projector.breaker(store).state is not BreakerState.CLOSED:
                raise StoreUnavailable(store.name.lower(), "it does not answer; its circuit breaker is open")
            applied = await self._ledger.watermark(store, namespace)
            raise FreshnessTimeout(store.name.lower(), min_revision=min_revision, applied_revision=applied)
