"""The part of the port for resets and erasure."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from memoir_server.adapters.ledger.sqlite import (
    erasure,
    resets,
)
from memoir_server.adapters.ledger.sqlite.connection import translating
from memoir_server.adapters.ledger.sqlite.heads import Bell
from memoir_server.adapters.ledger.sqlite.opened import LedgerPart
from memoir_server.adapters.ledger.sqlite.resets import read_reset, token_of
from memoir_server.adapters.ledger.sqlite.writer import Transaction
from memoir_server.domain.change import Origin
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import IdempotencyKey
from memoir_server.domain.reset import Reset, ResetReceipt, ResetState, ResetTarget
from memoir_server.domain.time import Instant
from memoir_server.ports.ledger import (
    Recount,
    TargetCount,
)


class ResetPart(LedgerPart):
    """Resets and erasure."""

    async def count_target(self, namespace: str, target: ResetTarget, *, sample: int, now: Instant) -> TargetCount:
        row = self._opened.heads.row(namespace)
        if row is None:
            return TargetCount(memories=0, versions=0, events=0, with_facts=0, sample=(), changed_revision=0)
        return await self._opened.readers.run(
            lambda connection: resets.count_target(connection, row.ns, target, sample)
        )

    async def save_plan(self, reset: Reset, *, key: IdempotencyKey | None, now: Instant) -> Reset:
        return await self._opened.writer.run(lambda transaction: self._resets.save_plan(transaction, reset, key, now))

    async def confirm_token(self, namespace: str, reset_id: str) -> str:
        return token_of(self._opened.secret, namespace, reset_id)

    @translating
    def _read_reset(self, namespace: str, reset_id: str) -> tuple[int, Reset]:
        row = self._opened.heads.row(namespace)
        return read_reset(self._opened.readers.inline, row.ns if row else None, namespace, reset_id)

    async def get_reset(self, namespace: str, reset_id: str) -> Reset:
        return self._read_reset(namespace, reset_id)[1]

    async def unfinished_resets(self) -> Sequence[Reset]:
        return await self._opened.readers.run(resets.running)

    async def claim_reset(self, namespace: str, reset_id: str) -> bool:
        return self._read_reset(namespace, reset_id)[1].state is ResetState.RUNNING

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
        def job(transaction: Transaction) -> Reset:
            transaction.after_commit(lambda: self._announce(namespace, reset_id))
            return self._resets.once(
                transaction,
                key,
                now,
                lambda: self._resets.execute(
                    transaction,
                    namespace,
                    reset_id,
                    allow_drift=allow_drift,
                    now=now,
                    origin=origin,
                    recount=recount,
                ),
            )

        return await self._opened.writer.run(job)

    async def cancel_reset(
        self, namespace: str, reset_id: str, *, now: Instant, key: IdempotencyKey | None = None
    ) -> Reset:
        def job(transaction: Transaction) -> Reset:
            transaction.after_commit(lambda: self._announce(namespace, reset_id))
            return self._resets.once(
                transaction, key, now, lambda: self._resets.cancel(transaction, namespace, reset_id)
            )

        return await self._opened.writer.run(job)

    async def save_progress(self, reset: Reset) -> Reset:
        def job(transaction: Transaction) -> Reset:
            transaction.after_commit(lambda: self._announce(reset.namespace, reset.reset_id))
            return self._resets.save_progress(transaction, reset)

        return await self._opened.writer.run(job)

    async def removed_memories(self, namespace: str, reset_id: str, *, after: str, limit: int) -> Sequence[str]:
        number, _ = self._read_reset(namespace, reset_id)
        return await self._opened.readers.run(
            lambda connection: resets.removed_memories(connection, number, after, limit)
        )

    async def versions_of_others(self, namespace: str, reset_id: str, revisions: Collection[int]) -> frozenset[int]:
        number, _ = self._read_reset(namespace, reset_id)
        ns = self._row(namespace).ns
        return await self._opened.readers.run(
            lambda connection: resets.versions_of_others(connection, ns, number, revisions)
        )

    async def removed_versions(self, namespace: str, reset_id: str, *, after: int, limit: int) -> Sequence[Memory]:
        number, reset = self._read_reset(namespace, reset_id)
        ns = self._row(namespace).ns
        return await self._opened.readers.run(
            lambda connection: resets.removed_versions(connection, ns, number, reset, after, limit)
        )

    async def erase(self, namespace: str, reset_id: str, *, limit: int) -> int:
        self._read_reset(namespace, reset_id)
        row = self._row(namespace)
        progress = self._opened.progress

        def job(transaction: Transaction) -> int:
            erased = erasure.erase(transaction, row, reset_id, limit)
            transaction.after_commit(lambda: progress.forget(row.ns, erased))
            transaction.after_commit(lambda: self._recent.forget(row.ns, erased))
            transaction.after_commit(self._opened.vectors.forget)
            transaction.after_commit(lambda: self._announce(namespace, reset_id))
            return len(erased)

        return await self._opened.writer.run(job)

    async def finish_reset(self, namespace: str, reset_id: str, receipt: ResetReceipt, *, origin: Origin) -> Reset:
        opened = self._opened
        reset = await self.get_reset(namespace, reset_id)
        row = self._row(namespace)
        if reset.target.include_history and not reset.state.terminal:
            await opened.writer.run(lambda transaction: erasure.strip_traces(transaction, row, reset_id, receipt))
            await opened.writer.run_alone(erasure.rewrite_file)

        def job(transaction: Transaction) -> Reset:
            finished = self._resets.finish(transaction, namespace, reset_id, receipt, origin=origin)
            assert finished.receipt is not None
            revision = finished.receipt.revision
            transaction.after_commit(lambda: opened.progress.skip(row.ns, [revision]))
            transaction.after_commit(lambda: self._announce(namespace, reset_id))
            return finished

        return await opened.writer.run(job)

    async def wait_reset(self, namespace: str, reset_id: str, after_sequence: int, timeout: float) -> Reset:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            reset = await self.get_reset(namespace, reset_id)
            left = deadline - loop.time()
            if reset.sequence > after_sequence or reset.state.terminal or left <= 0:
                return reset
            bell = self._reset_bells.setdefault((namespace, reset_id), Bell())
            await bell.wait(left)

    def _announce(self, namespace: str, reset_id: str) -> None:
        bell = self._reset_bells.pop((namespace, reset_id), None)
        if bell is not None:
            bell.ring()
