"""What follows a reset that was executed: physical removal, and the proof of it.

Each step can be repeated, so a crash, or a store that is down, between or inside steps costs a repetition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from memoir_server.domain.change import Actor, ActorKind, Origin
from memoir_server.domain.reset import Reset, ResetReceipt, ResetTarget, StoreReceipt
from memoir_server.domain.store import PROJECTIONS, BreakerState, StoreKind
from memoir_server.ports.clock import Clock
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.projection import Projection
from memoir_server.service.projector import Projector

BATCH = 500
"""Events erased, or memories probed, at a time; a cancel takes effect between batches."""
POLL_SECONDS = 0.5
"""How often the clean-up looks whether it was cancelled while it waits for a store."""
PATIENCE_SECONDS = 3.0
"""How long other servers may take to forget before the reset says that it waits for them."""
NO_ANSWER = "it does not answer, and the clean-up waits for it"


class Clearing:
    """Cleans up after executed resets."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        projections: Mapping[StoreKind, Projection],
        embedder: Embedder,
        projector: Projector,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._projections = projections
        self._embedder = embedder
        self._projector = projector
        self._clock = clock

    async def clear(self, reset: Reset) -> None:
        """Goes on from wherever the clean-up was left, to the receipt, or until the reset is cancelled.

        Args:
            reset: A RUNNING reset as the ledger has it, read since this server has had the right to it.

        Raises:
            StoreUnavailable, CacheUnavailable: A store does not answer; all that was done stays done. Try again later.
            LeaseLost: Another server may have taken over.
            RuntimeError: The probe found what should be gone: somebody has to look.
        """
        if not reset.target.include_history:
            # The ledger let go of them in the transaction that hid them.
            reset = await self._advance(reset, StoreKind.LEDGER, reset.effect(StoreKind.LEDGER).planned)
        for store in PROJECTIONS:
            while not await self._projector.wait_applied(store, reset.namespace, reset.fence_revision, POLL_SECONDS):
                if (await self._ledger.get_reset(reset.namespace, reset.reset_id)).state.terminal:
                    return
                if self._projector.breaker(store).state is not BreakerState.CLOSED:
                    reset = await self.note_waiting(reset, store, NO_ANSWER)
                # The breaker may be open, which ends the wait at once.
                await asyncio.sleep(POLL_SECONDS / 10)
            reset = await self._advance(reset, store, reset.effect(store).planned)
            if reset.state.terminal:
                return
        if reset.target.include_history:
            purged = await self._purge_cache(reset)
            reset = await self._advance(reset, StoreKind.CACHE, max(purged, reset.effect(StoreKind.CACHE).removed))
            if reset.state.terminal or not await self._forgotten_everywhere(reset):
                return
            while await self._ledger.erase(reset.namespace, reset.reset_id, limit=BATCH):
                reset = await self._ledger.get_reset(reset.namespace, reset.reset_id)
                if reset.state.terminal:
                    return
        await self._prove(reset)

    async def note_waiting(self, reset: Reset, store: StoreKind, why: str) -> Reset:
        """Lets those who look at the reset know what it waits for; said once. Returns it as it is then. Raises
        StoreUnavailable."""
        current = await self._ledger.get_reset(reset.namespace, reset.reset_id)
        if current.state.terminal or (current.waiting_for, current.error) == (store, why):
            return current
        return await self._ledger.save_progress(replace(current, waiting_for=store, error=why))

    async def forget(self, reset: Reset) -> bool:
        """Drops what this server remembers of the texts of an erasure that another one cleans up after, once that one
        has come so far. False when it has not. Raises StoreUnavailable, CacheUnavailable."""
        if not (reset.target.include_history and reset.effect(StoreKind.CACHE).removed):
            return False
        await self._purge_cache(reset)
        await self._ledger.say_forgotten(reset.namespace, reset.reset_id)
        return True

    async def _forgotten_everywhere(self, reset: Reset) -> bool:
        """Waits until no server that lives remembers the texts: afterwards nobody could tell it which they were. False
        when the reset was cancelled."""
        if not reset.effect(StoreKind.CACHE).removed:
            return True
        await self._ledger.say_forgotten(reset.namespace, reset.reset_id)
        began = asyncio.get_running_loop().time()
        while others := await self._ledger.not_forgotten(reset.namespace, reset.reset_id):
            if asyncio.get_running_loop().time() > began + PATIENCE_SECONDS:
                why = f"other servers have yet to drop vectors of what is erased from their memory: {others}"
                await self.note_waiting(reset, StoreKind.CACHE, why)
            await asyncio.sleep(POLL_SECONDS / 5)
            if (await self._ledger.get_reset(reset.namespace, reset.reset_id)).state.terminal:
                return False
        return True

    async def _purge_cache(self, reset: Reset) -> int:
        """Purges the vectors of every removed text, and what the projections remember in this process; returns how many
        texts there were."""
        purged, after = 0, 0
        while versions := await self._ledger.removed_versions(
            reset.namespace, reset.reset_id, after=after, limit=BATCH
        ):
            await self._embedder.purge([version.indexed_text for version in versions])
            purged, after = purged + len(versions), versions[-1].revision
        for projection in self._projections.values():
            projection.forget()
        return purged

    async def _advance(self, reset: Reset, store: StoreKind, removed: int) -> Reset:
        """Notes how far the clean-up of a store is, once: an attempt that only repeats what is known says nothing."""
        effects = tuple(replace(e, removed=removed) if e.store is store else e for e in reset.effects)
        if (reset.waiting_for, reset.error) == (store, NO_ANSWER):
            reset = replace(reset, waiting_for=None, error="")
        elif reset.waiting_for is not None and effects == reset.effects:
            return await self._ledger.get_reset(reset.namespace, reset.reset_id)
        return await self._ledger.save_progress(replace(reset, effects=effects))

    async def _prove(self, reset: Reset) -> None:
        remaining = dict.fromkeys(self._projections, 0)
        memories, after = 0, ""
        while batch := await self._ledger.removed_memories(reset.namespace, reset.reset_id, after=after, limit=BATCH):
            memories, after = memories + len(batch), batch[-1]
            for store, projection in self._projections.items():
                if store in untouched(reset.target):
                    continue
                # Whoever applied earlier work has ended, and what he began is through (semantics 15).
                async with self._projector.still(store, reset.namespace):
                    found = await projection.find(reset.namespace, batch)
                revisions = [revision for _, revision in found if revision <= reset.fence_revision]
                # An id that was removed may have been in use again, also by another user, before the fence.
                others = await self._ledger.versions_of_others(reset.namespace, reset.reset_id, revisions)
                remaining[store] += sum(revision not in others for revision in revisions)
        stores = [
            StoreReceipt(store, reset.effect(store).removed, remaining[store])
            for store in self._projections
            if store not in untouched(reset.target)
        ]
        if any(remaining.values()):
            left = ", ".join(f"{store.name.lower()} {count}" for store, count in remaining.items() if count)
            raise RuntimeError(f"the probe after the clean-up still found entries: {left}")
        reset = await self._ledger.save_progress(reset)
        if reset.state.terminal:
            # Cancelled during the probe: what has ended stays as it is.
            return
        erased = 0
        if reset.target.include_history:
            erased = reset.effect(StoreKind.LEDGER).removed
            stores.append(StoreReceipt(StoreKind.LEDGER, erased, 0))
            stores.append(StoreReceipt(StoreKind.CACHE, reset.effect(StoreKind.CACHE).removed, 0))
        await self._ledger.finish_reset(
            reset.namespace,
            reset.reset_id,
            ResetReceipt(
                stores=tuple(stores), memories=memories, events_erased=erased, complete_time=self._clock.now()
            ),
            origin=Origin(actor=Actor("memoir", ActorKind.SYSTEM), reset_id=reset.reset_id),
        )


def untouched(target: ResetTarget) -> frozenset[StoreKind]:
    """Projections in which the reset leaves entries of the memories on purpose, so that a probe proves nothing."""
    if target.keep_vector:
        return frozenset({StoreKind.INDEX})
    return frozenset({StoreKind.GRAPH}) if target.keep_graph else frozenset()
