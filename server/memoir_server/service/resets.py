"""Resets: plan, execute, clean up, prove.

Executing hides everything at once, in one ledger transaction. What follows is physical, and goes on across restarts:

1. wait until the projections have applied the fence (their removals are ordinary projection work);
2. for an erasure: drop cached vectors, then erase events, versions and vectors from the ledger in batches;
3. probe every store for what was removed;
4. write the receipt into the log.

Each step can be repeated, so a crash between or inside steps costs a repetition. Of servers that share a ledger one
cleans up after a reset; when it dies another goes on.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from memoir_server.domain.change import Actor, ActorKind, Origin
from memoir_server.domain.errors import ConfirmTokenInvalid, FieldInvalid, StoreUnavailable
from memoir_server.domain.filter import check, metadata_keys
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.reset import Reset, ResetReceipt, ResetState, ResetTarget, StoreEffect, StoreReceipt
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import LeaseLost, Ledger, TargetCount
from memoir_server.ports.projection import Projection
from memoir_server.service.call import Call
from memoir_server.service.projector import Projector

logger = logging.getLogger(__name__)

PLAN_LIFE_US = 15 * 60 * 1_000_000
"""How long a plan can be executed."""
SAMPLE = 100
"""Ids shown in a plan."""
BATCH = 500
"""Events erased, or memories probed, at a time; a cancel takes effect between batches."""
POLL_SECONDS = 0.5
"""How often the clean-up looks whether it was cancelled while it waits for a store."""
TAKE_UP_SECONDS = 2.0
"""How often a server looks for resets that another one has left, where servers share a ledger."""


class Resets:
    """The reset use cases, and the clean-up behind them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        projections: dict[StoreKind, Projection],
        embedder: Embedder,
        projector: Projector,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        self._ledger = ledger
        self._projections = projections
        self._embedder = embedder
        self._projector = projector
        self._clock = clock
        self._ids = ids
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes up unfinished resets again, those of servers that died later among them. The projector must have been
        started. Raises StoreUnavailable when the ledger does not answer."""
        await self._take_up_all()
        if self._projector.leases.shared:
            self._looking = asyncio.create_task(self._keep_looking(), name="resets")

    async def stop(self) -> None:
        """Ends the clean-up tasks; they are taken up by another server, or at the next start."""
        tasks = [*self._running.values(), *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def plan(self, namespace: str, target: ResetTarget, call: Call) -> tuple[Reset, str]:
        """Counts what the target covers; returns the plan and its confirm token. Changes nothing but the plan itself.

        Raises FieldInvalid for an empty scope, for contradicting flags, or for a preserve filter that cannot be used.
        """
        await self._check(namespace, target)
        now = self._clock.now()
        head = await self._ledger.head(namespace)
        count = await self._ledger.count_target(namespace, target, sample=SAMPLE, now=now)
        reset = await self._ledger.save_plan(
            Reset(
                namespace=namespace,
                reset_id=self._ids.new_id(),
                target=target,
                effects=_effects(target, count),
                sample=count.sample,
                warnings=_warnings(target, count),
                planned_revision=head.revision,
                create_time=now,
                expire_time=now + PLAN_LIFE_US,
            ),
            key=call.idempotency,
            now=now,
        )
        return reset, await self._ledger.confirm_token(namespace, reset.reset_id)

    async def execute(
        self, namespace: str, reset_id: str, confirm_token: str, call: Call, *, allow_drift: bool
    ) -> Reset:
        """Hides the target and starts the clean-up. Executing twice is the same as once.

        Raises ResetNotFound, ConfirmTokenInvalid, ResetPlanStale.
        """
        await self._ledger.get_reset(namespace, reset_id)
        expected = await self._ledger.confirm_token(namespace, reset_id)
        if not hmac.compare_digest(expected.encode(), confirm_token.encode()):
            raise ConfirmTokenInvalid(reset_id)
        now = self._clock.now()
        reset = await self._ledger.execute_reset(
            namespace,
            reset_id,
            allow_drift=allow_drift,
            now=now,
            origin=replace(call.origin, reset_id=reset_id),
            recount=_effects,
            key=call.idempotency,
        )
        if reset.state is ResetState.RUNNING:
            await self._take_up(reset)
        return reset

    async def get(self, namespace: str, reset_id: str) -> Reset:
        """Raises ResetNotFound."""
        return await self._ledger.get_reset(namespace, reset_id)

    async def watch(self, namespace: str, reset_id: str, *, after_sequence: int) -> AsyncIterator[Reset]:
        """The reset after each step, from the current state on; ends after a terminal one.

        Steps may be passed over when they are quicker than the reader; the last never is. Raises ResetNotFound.
        """
        reset = await self._ledger.get_reset(namespace, reset_id)
        sent = after_sequence
        if reset.sequence > sent or reset.state.terminal or reset.state is ResetState.PLANNED:
            yield reset
            sent = reset.sequence
        while not reset.state.terminal:
            reset = await self._ledger.wait_reset(namespace, reset_id, sent, timeout=30.0)
            if reset.sequence > sent:
                yield reset
                sent = reset.sequence

    async def cancel(self, namespace: str, reset_id: str, *, key: IdempotencyKey | None = None) -> Reset:
        """Discards a plan, or stops the clean-up of a running reset; what is hidden stays hidden.

        Raises ResetNotFound, RequestIdReused.
        """
        return await self._ledger.cancel_reset(namespace, reset_id, now=self._clock.now(), key=key)

    async def _check(self, namespace: str, target: ResetTarget) -> None:
        if target.scope is not None and target.scope.empty:
            raise FieldInvalid("target.scope", "an empty scope is refused; name the namespace to reset all of it")
        for flag in ("keep_vector", "keep_graph", "keep_history"):
            if target.include_history and getattr(target, flag):
                raise FieldInvalid(f"target.{flag}", "an erasure keeps nothing; leave out include_history or this flag")
        if target.keep_vector and target.keep_graph:
            raise FieldInvalid("target.keep_graph", "with keep_vector nothing would be removed; set one of them")
        if target.preserve is not None:
            stored = await self._ledger.metadata_families(namespace, metadata_keys(target.preserve))
            check(target.preserve, path="target.preserve", stored=stored)

    async def _take_up_all(self) -> None:
        for reset in await self._ledger.unfinished_resets():
            await self._take_up(reset)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(TAKE_UP_SECONDS)
            try:
                await self._take_up_all()
            except StoreUnavailable as outage:
                logger.warning("resets of other servers are not looked for: %s", outage)

    async def _take_up(self, reset: Reset) -> None:
        """Begins to clean up, unless that is under way, here or elsewhere."""
        key = (reset.namespace, reset.reset_id)
        if key in self._running or not await self._ledger.claim_reset(*key) or key in self._running:
            return
        task = asyncio.create_task(self._serve(reset), name=f"reset-{reset.reset_id}")
        self._running[key] = task
        task.add_done_callback(lambda ended: self._forget(key, ended))

    def _forget(self, key: tuple[str, str], task: asyncio.Task[None] | None) -> None:
        if self._running.get(key) is task:
            del self._running[key]

    async def _serve(self, reset: Reset) -> None:
        leases = self._projector.leases
        try:
            async with leases.within():
                await self._finish(reset)
        except asyncio.CancelledError:
            raise
        except LeaseLost as lost:
            logger.warning("reset %s of namespace %s is left to others: %s", reset.reset_id, reset.namespace, lost)
        except Exception as failure:  # recorded on the reset, which its watchers see, and retryable by ExecuteReset
            logger.exception("reset %s of namespace %s failed", reset.reset_id, reset.namespace)
            if leases.shared and _of_the_ledger(failure):
                # Where nothing can be recorded either; somebody takes it up when the ledger is back.
                return
            # Whoever sees FAILED may execute again at once, and needs a new task then.
            self._forget((reset.namespace, reset.reset_id), asyncio.current_task())
            current = await self._ledger.get_reset(reset.namespace, reset.reset_id)
            await self._ledger.save_progress(replace(current, state=ResetState.FAILED, error=str(failure)))

    async def _finish(self, reset: Reset) -> None:
        if not reset.target.include_history:
            # The ledger let go of them in the transaction that hid them.
            reset = await self._advance(reset, StoreKind.LEDGER, reset.effect(StoreKind.LEDGER).planned)
        for store in PROJECTIONS:
            while not await self._projector.wait_applied(store, reset.namespace, reset.fence_revision, POLL_SECONDS):
                if (await self._ledger.get_reset(reset.namespace, reset.reset_id)).state.terminal:
                    return
                # The breaker may be open, which ends the wait at once.
                await asyncio.sleep(POLL_SECONDS / 10)
            reset = await self._advance(reset, store, reset.effect(store).planned)
            if reset.state.terminal:
                return
        if reset.target.include_history:
            purged = await self._purge_cache(reset)
            reset = await self._advance(reset, StoreKind.CACHE, max(purged, reset.effect(StoreKind.CACHE).removed))
            if reset.state.terminal:
                return
            while await self._ledger.erase(reset.namespace, reset.reset_id, limit=BATCH):
                reset = await self._ledger.get_reset(reset.namespace, reset.reset_id)
                if reset.state.terminal:
                    return
        await self._prove(reset)

    async def _purge_cache(self, reset: Reset) -> int:
        """Purges the vectors of every removed text; returns how many there were."""
        purged, after = 0, 0
        while versions := await self._ledger.removed_versions(
            reset.namespace, reset.reset_id, after=after, limit=BATCH
        ):
            await self._embedder.purge([version.indexed_text for version in versions])
            purged, after = purged + len(versions), versions[-1].revision
        return purged

    async def _advance(self, reset: Reset, store: StoreKind, removed: int) -> Reset:
        effects = tuple(replace(e, removed=removed) if e.store is store else e for e in reset.effects)
        return await self._ledger.save_progress(replace(reset, effects=effects))

    async def _prove(self, reset: Reset) -> None:
        remaining = dict.fromkeys(self._projections, 0)
        memories, after = 0, ""
        while batch := await self._ledger.removed_memories(reset.namespace, reset.reset_id, after=after, limit=BATCH):
            memories, after = memories + len(batch), batch[-1]
            for store, projection in self._projections.items():
                if store in _untouched(reset.target):
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
            if store not in _untouched(reset.target)
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


def _of_the_ledger(failure: Exception) -> bool:
    return isinstance(failure, StoreUnavailable) and failure.store == StoreKind.LEDGER.name.lower()


def _untouched(target: ResetTarget) -> frozenset[StoreKind]:
    """Projections in which the reset leaves entries of the memories on purpose, so that a probe proves nothing."""
    if target.keep_vector:
        return frozenset({StoreKind.INDEX})
    return frozenset({StoreKind.GRAPH}) if target.keep_graph else frozenset()


def _effects(target: ResetTarget, count: TargetCount) -> tuple[StoreEffect, ...]:
    memories = 0 if target.keep_vector else count.memories
    effects = [
        # An erasure takes the DELETED events that it writes itself, too.
        StoreEffect(StoreKind.LEDGER, memories + (count.events if target.include_history else 0)),
        StoreEffect(StoreKind.INDEX, 0 if target.keep_vector else count.versions),
        StoreEffect(StoreKind.GRAPH, 0 if target.keep_graph else count.with_facts),
    ]
    if target.include_history:
        effects.append(StoreEffect(StoreKind.CACHE, count.versions))
    return tuple(effects)


def _warnings(target: ResetTarget, count: TargetCount) -> tuple[str, ...]:
    warnings = []
    if target.scope is None:
        warnings.append("This removes every memory of the namespace, of all users.")
    if target.include_history:
        warnings.append("History is erased too: it cannot be read, restored or exported afterwards.")
    if not count.memories:
        warnings.append("Nothing matches the target now.")
    return tuple(warnings)
