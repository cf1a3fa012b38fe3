"""The part of the port for resets and erasure."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Sequence
from typing import Final

from memoir_server.adapters.ledger.forms.changing import Entropy
from memoir_server.adapters.ledger.forms.rows import read_memory
from memoir_server.adapters.ledger.postgres import erasure, leases, resets, targets
from memoir_server.adapters.ledger.postgres.mutations import Mutations
from memoir_server.adapters.ledger.postgres.options import PostgresOptions
from memoir_server.adapters.ledger.postgres.server_part import ServerPart
from memoir_server.adapters.ledger.postgres.transaction import Transaction
from memoir_server.adapters.ledger.sqlite.resets import token_of
from memoir_server.domain.change import Origin
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.reset import Reset, ResetReceipt, ResetTarget
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import Recount, TargetCount

_LOOK_SECONDS: Final = 0.5
"""How often a reset that is waited for is read, whatever was announced."""


class ResetPart(ServerPart):
    """Resets and erasure. Which server cleans up is a lease, like those of the projections."""

    def __init__(self, options: PostgresOptions, *, entropy: Entropy = os.urandom) -> None:
        super().__init__(options, entropy=entropy)
        self._records = resets.ResetRecords(Mutations(entropy))

    async def count_target(self, namespace: str, target: ResetTarget, *, sample: int, now: Instant) -> TargetCount:
        ns = await self._database.number(namespace)
        if ns is None:
            return TargetCount(memories=0, versions=0, events=0, with_facts=0, sample=(), changed_revision=0)
        return await self._database.read(lambda reader: targets.count_target(reader, ns, target, sample))

    async def save_plan(self, reset: Reset, *, key: IdempotencyKey | None, now: Instant) -> Reset:
        return await self._database.run(lambda transaction: self._records.save_plan(transaction, reset, key, now))

    async def confirm_token(self, namespace: str, reset_id: str) -> str:
        return token_of(self._opened.identity.secret, namespace, reset_id)

    async def _numbered(self, namespace: str, reset_id: str) -> tuple[int, Reset]:
        return resets.read_reset(namespace, reset_id, await self._fetch(resets.finding_reset(namespace, reset_id)))

    async def get_reset(self, namespace: str, reset_id: str) -> Reset:
        return (await self._numbered(namespace, reset_id))[1]

    async def unfinished_resets(self) -> Sequence[Reset]:
        return resets.running(await self._fetch(resets.finding_running()))

    async def claim_reset(self, namespace: str, reset_id: str) -> bool:
        ns = await self._database.number(namespace)
        return ns is not None and bool(await self._fetch(leases.claiming_reset(self.owner, ns, reset_id)))

    async def release_reset(self, namespace: str, reset_id: str) -> None:
        ns = await self._must_exist(namespace)

        async def job(transaction: Transaction) -> None:
            transaction.put(*leases.releasing_reset(self.owner, ns, reset_id))

        await self._database.run(job)

    async def say_forgotten(self, namespace: str, reset_id: str) -> None:
        number, _ = await self._numbered(namespace, reset_id)

        async def job(transaction: Transaction) -> None:
            transaction.put(*leases.saying_forgotten(self.owner, number))

        await self._database.run(job)

    async def not_forgotten(self, namespace: str, reset_id: str) -> int:
        number, _ = await self._numbered(namespace, reset_id)
        return int((await self._fetch(leases.counting_not_forgotten(self.owner, number)))[0][0])

    async def execute_reset(
        self,
        namespace: str,
        reset_id: str,
        *,
        allow_drift: bool,
        now: Instant,
        origin: Origin,
        recount: Recount,
        key: IdempotencyKey | None = None,
    ) -> Reset:
        async def job(transaction: Transaction) -> Reset:
            async def act() -> Reset:
                return await self._records.execute(
                    transaction,
                    namespace,
                    reset_id,
                    allow_drift=allow_drift,
                    now=now,
                    origin=origin,
                    recount=recount,
                )

            return await self._records.once(transaction, key, now, act)

        return await self._database.run(job)

    async def cancel_reset(
        self, namespace: str, reset_id: str, *, now: Instant, key: IdempotencyKey | None = None
    ) -> Reset:
        async def job(transaction: Transaction) -> Reset:
            return await self._records.once(
                transaction, key, now, lambda: self._records.cancel(transaction, namespace, reset_id)
            )

        return await self._database.run(job)

    async def save_progress(self, reset: Reset) -> Reset:
        return await self._database.run(lambda transaction: self._records.save_progress(transaction, reset))

    async def removed_memories(self, namespace: str, reset_id: str, *, after: str, limit: int) -> Sequence[str]:
        number, _ = await self._numbered(namespace, reset_id)
        rows = await self._fetch(resets.finding_removed_memories(number, after, limit))
        return [memory_id for (memory_id,) in rows]

    async def versions_of_others(self, namespace: str, reset_id: str, revisions: Collection[int]) -> frozenset[int]:
        number, _ = await self._numbered(namespace, reset_id)
        ns = await self._must_exist(namespace)
        return resets.revisions_of(await self._fetch(resets.finding_versions_of_others(ns, number, revisions)))

    async def removed_versions(self, namespace: str, reset_id: str, *, after: int, limit: int) -> Sequence[Memory]:
        number, reset = await self._numbered(namespace, reset_id)
        ns = await self._must_exist(namespace)
        rows = await self._fetch(resets.finding_removed_versions(ns, number, reset, after, limit))
        return [read_memory(namespace, row) for row in rows]

    async def erase(self, namespace: str, reset_id: str, *, limit: int) -> int:
        return await self._database.run(lambda transaction: erasure.erase(transaction, namespace, reset_id, limit))

    async def finish_reset(self, namespace: str, reset_id: str, receipt: ResetReceipt, *, origin: Origin) -> Reset:
        async def job(transaction: Transaction) -> Reset:
            return await self._records.finish(transaction, namespace, reset_id, receipt, origin=origin)

        if (await self.get_reset(namespace, reset_id)).target.include_history:
            await self._database.run(
                lambda transaction: erasure.strip_traces(transaction, namespace, reset_id, receipt)
            )
        return await self._database.run(job)

    async def wait_reset(self, namespace: str, reset_id: str, after_sequence: int, timeout: float) -> Reset:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        topic = resets.topic_of(namespace, reset_id)
        while True:
            # Whoever waits is registered before the reset is read, so that nothing moves unheard in between.
            left = min(_LOOK_SECONDS, max(0.0, deadline - loop.time()))
            waiting = asyncio.ensure_future(self._opened.watch.wait_topic(topic, left))
            try:
                await asyncio.sleep(0)
                reset = await self.get_reset(namespace, reset_id)
                if reset.sequence > after_sequence or reset.state.terminal or loop.time() >= deadline:
                    return reset
                await waiting
            finally:
                waiting.cancel()
