"""Resets: plan, execute, clean up, prove.

Executing hides everything at once, in one ledger transaction. What follows is physical, and goes on across restarts:

1. wait until the projections have applied the fence (their removals are ordinary projection work);
2. for an erasure: drop cached vectors, then erase events, versions and vectors from the ledger in batches;
3. probe every store for what was removed;
4. write the receipt into the log.

Each step can be repeated (`clearing.py`), so a crash between or inside steps costs a repetition. While a store does not
answer the reset stays RUNNING, says what it waits for, and is tried again. Of servers that share a ledger one cleans up
after a reset; when it dies, or does not reach a store, another goes on.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from memoir_server.domain.errors import ConfirmTokenInvalid, FieldInvalid, StoreUnavailable
from memoir_server.domain.filter import check, metadata_keys
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.reset import Reset, ResetState, ResetTarget, StoreEffect
from memoir_server.domain.store import StoreKind
from memoir_server.ports.cache import CacheUnavailable
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import LeaseLost, Ledger, TargetCount
from memoir_server.ports.projection import Projection
from memoir_server.service.breaker import Breaker
from memoir_server.service.call import Call
from memoir_server.service.clearing import Clearing
from memoir_server.service.projector import Projector

logger = logging.getLogger(__name__)

PLAN_LIFE_US = 15 * 60 * 1_000_000
"""How long a plan can be executed."""
SAMPLE = 100
"""Ids shown in a plan."""
TAKE_UP_SECONDS = 1.0
"""How often a server looks at the resets of others, where servers share a ledger: one may have been left, or waits for
this server."""


class Resets:
    """The reset use cases; the clean-up behind them is taken up here."""

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
        self._projector = projector
        self._clock = clock
        self._clearing = Clearing(
            ledger=ledger, projections=projections, embedder=embedder, projector=projector, clock=clock
        )
        self._ids = ids
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._forgotten: set[tuple[str, str]] = set()
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
        unfinished = await self._ledger.unfinished_resets()
        self._forgotten &= {(reset.namespace, reset.reset_id) for reset in unfinished}
        for reset in unfinished:
            await self._take_up(reset)
            await self._forget_texts(reset)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(TAKE_UP_SECONDS)
            try:
                await self._take_up_all()
            except StoreUnavailable as outage:
                logger.warning("resets of other servers are not looked for: %s", outage)
            except Exception:
                # A background task that silently stops is the worst of failures.
                logger.exception("looking for resets of other servers failed")

    async def _forget_texts(self, reset: Reset) -> None:
        """Another server's erasure waits until this one remembers nothing of it."""
        key = (reset.namespace, reset.reset_id)
        if key in self._running or key in self._forgotten:
            return
        try:
            if await self._clearing.forget(reset):
                self._forgotten.add(key)
        except CacheUnavailable as outage:
            logger.warning("what reset %s of namespace %s erases is still remembered: %s", key[1], key[0], outage)

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
        """Cleans up, again and again while stores do not answer, unless another server does it meanwhile."""
        patience = Breaker(asyncio.get_running_loop().time)
        while True:
            try:
                await self._clear_or_fail(reset)
                return
            except LeaseLost as lost:
                logger.warning("reset %s of namespace %s is left to others: %s", reset.reset_id, reset.namespace, lost)
                return
            except (StoreUnavailable, CacheUnavailable) as outage:
                patience.failed()
                logger.warning(
                    "reset %s of namespace %s is waiting: %s; next attempt in %.1f s",
                    reset.reset_id,
                    reset.namespace,
                    outage,
                    patience.delay(),
                )
                await self._wait_with(reset, outage)
            await asyncio.sleep(patience.delay())
            if not await self._claimed_again(reset, patience):
                return

    async def _claimed_again(self, reset: Reset, patience: Breaker) -> bool:
        while True:
            try:
                return await self._ledger.claim_reset(reset.namespace, reset.reset_id)
            except StoreUnavailable:
                patience.failed()
                await asyncio.sleep(patience.delay())

    async def _clear_or_fail(self, reset: Reset) -> None:
        """One attempt. Raises StoreUnavailable and CacheUnavailable, after which the next may do better; LeaseLost."""
        leases = self._projector.leases
        try:
            async with leases.within():
                # What was read before the claim may be out of date.
                current = await self._ledger.get_reset(reset.namespace, reset.reset_id)
                if current.state is ResetState.RUNNING:
                    await self._clearing.clear(current)
        except (LeaseLost, StoreUnavailable, CacheUnavailable):
            raise
        except Exception as failure:  # recorded on the reset, which its watchers see, and retryable by ExecuteReset
            logger.exception("reset %s of namespace %s failed", reset.reset_id, reset.namespace)
            await self._fail(reset, failure)

    async def _fail(self, reset: Reset, failure: Exception) -> None:
        key, task = (reset.namespace, reset.reset_id), asyncio.current_task()
        assert task is not None
        current = await self._ledger.get_reset(*key)
        # Whoever sees FAILED may execute again at once, and needs a new task then.
        self._forget(key, task)
        try:
            await self._ledger.save_progress(
                replace(current, state=ResetState.FAILED, waiting_for=None, error=str(failure))
            )
        except StoreUnavailable:
            if self._running.setdefault(key, task) is task:
                raise

    async def _wait_with(self, reset: Reset, outage: StoreUnavailable | CacheUnavailable) -> None:
        """Says on the reset what it waits for, and lets a server try that may reach what this one does not."""
        name = outage.store if isinstance(outage, StoreUnavailable) else StoreKind.CACHE.name
        store = StoreKind.__members__.get(name.upper(), StoreKind.LEDGER)
        # While the ledger is silent too, nobody can be told.
        with suppress(StoreUnavailable):
            await self._clearing.note_waiting(reset, store, str(outage))
            await self._ledger.release_reset(reset.namespace, reset.reset_id)


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
