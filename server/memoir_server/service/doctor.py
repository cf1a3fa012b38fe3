"""The doctor: checks the projections against the ledger, repairs single findings, and rebuilds whole projections.

A repair changes no truth: it takes out what the ledger does not know, and makes the changes concerned pending again,
for the projector to apply as it applies all work. The server goes on serving meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from memoir_server.domain.consistency import (
    CheckItem,
    CheckProgress,
    CheckSummary,
    Finding,
    FindingKind,
    Portion,
    RebuildProgress,
    Repair,
    Version,
    read_finding_id,
)
from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.mutation import Committed, Decision, IdempotencyKey, Mutation
from memoir_server.domain.store import BreakerState, StoreKind
from memoir_server.ports.clock import Clock
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.projection import Projection, Remove
from memoir_server.service.call import Call
from memoir_server.service.examining import BATCH, Examiner
from memoir_server.service.projector import Projector

MAX_FINDINGS = 1000
"""Findings of a check that names no limit."""
POLL_SECONDS = 0.2
"""How often progress is looked at when nothing tells of it."""
REMEMBERED_REBUILDS = 1000
"""Rebuilds of this process whose duplicates are recognised."""


class _RepairOutcome(msgspec.Struct, array_like=True):
    repairable: list[str]
    resolved: list[str]


class _RebuildOutcome(msgspec.Struct, array_like=True):
    total: int
    until: int


class Doctor:
    """The consistency use cases."""

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
        self._projector = projector
        self._clock = clock
        self._examiner = Examiner(ledger=ledger, projections=projections, embedder=embedder, projector=projector)
        self._rebuilds: dict[IdempotencyKey, None] = {}

    async def check(
        self, namespace: str, scope: Scope, *, max_findings: int = 0, sample: int = 0
    ) -> AsyncIterator[CheckItem]:
        """Compares in bounded batches: findings as they are confirmed, progress after each batch, last the summary.

        Args:
            namespace: Namespace to check, at its newest revision.
            scope: Whose memories; an empty scope is all.
            max_findings: Ends the check after so many; 0 means MAX_FINDINGS.
            sample: Examines so many memories chosen at random, removed ones among them; 0 means all, and then also
                what the stores hold of memories that the ledger never knew.

        Raises:
            StoreUnavailable: The ledger or a store does not answer.
        """
        head = (await self._ledger.head(namespace)).revision
        limit = max_findings or MAX_FINDINGS
        examined = findings = 0
        if sample:
            ids = await self._ledger.sample_memories(namespace, scope, limit=sample)
            total = len(ids)
            portions = [
                Portion(scope=scope, until=head, memory_ids=ids[start : start + BATCH])
                for start in range(0, total, BATCH)
            ]
        else:
            total = await self._ledger.count_memories(namespace, scope)
            portions = [Portion(scope=scope, until=head)]
        for portion in portions:
            async for step in self._examine(namespace, portion):
                if isinstance(step, int):
                    examined += step
                    yield CheckProgress(examined=examined, total=max(total, examined))
                    continue
                for finding in step:
                    findings += 1
                    yield finding
                    if findings == limit:
                        yield CheckSummary(examined=examined, findings=findings, revision=head)
                        return
        yield CheckSummary(examined=examined, findings=findings, revision=head)

    async def _examine(self, namespace: str, portion: Portion) -> AsyncIterator[Sequence[Finding] | int]:
        """Findings of a portion, and numbers of memories examined."""
        async for step in self._examiner.examine(namespace, portion):
            # Of a sample every memory counts, also one of which nothing should be left.
            if portion.memory_ids is None or not isinstance(step, int):
                yield step
        async for beyond in self._examiner.examine_beyond(namespace, portion):
            yield beyond
        if portion.memory_ids is not None:
            yield len(portion.memory_ids)

    async def repair(
        self, namespace: str, finding_ids: Sequence[str], call: Call, *, validate_only: bool = False
    ) -> Repair:
        """Repairs those of the findings that are still true, and waits until that is done, as a write waits.

        What cannot be applied by then stays pending, or is given up again, and is in neither list of the answer.

        Raises:
            FieldInvalid: An id is not one of a finding.
            RequestIdReused: The same request_id came with other findings.
            StoreUnavailable: The ledger or a store does not answer.
        """
        findings = [_read(finding_id, position) for position, finding_id in enumerate(finding_ids)]
        by_store: dict[StoreKind, list[Finding]] = defaultdict(list)
        for finding in findings:
            by_store[finding.store].append(finding)
        true = {f for store, asked in by_store.items() for f in await self._true(store, namespace, asked)}
        outcome = _RepairOutcome([i for i in finding_ids if i in true], [i for i in finding_ids if i not in true])
        committed = await self._remember(namespace, call, outcome)
        if committed is not None and committed.replayed:
            outcome = msgspec.msgpack.decode(committed.outcome, type=_RepairOutcome)
        repaired = outcome.repairable
        if not validate_only:
            left: set[str] = set()
            for store, asked in by_store.items():
                wanted = [finding for finding in asked if finding.finding_id in repaired]
                left |= await self._repair(store, namespace, wanted, call)
            repaired = [finding_id for finding_id in repaired if finding_id not in left]
        return Repair(repaired=tuple(repaired), resolved=tuple(outcome.resolved))

    async def rebuild(self, namespace: str, store: StoreKind, call: Call) -> AsyncIterator[RebuildProgress]:
        """Drops one namespace of the projection, makes all of it pending, and tells how far the projector has come
        until it has caught up with what the ledger held at the beginning. Searches go on, and find what is there.

        A duplicate of a request drops nothing once more; it tells how far the first one has come.

        Raises:
            RequestIdReused: The same request_id came with another projection.
            StoreUnavailable: The ledger or the store does not answer.
        """
        until = (await self._ledger.head(namespace)).revision
        outcome = _RebuildOutcome(await self._ledger.replay_size(store, namespace), until)
        committed = await self._remember(namespace, call, outcome)
        duplicate = committed is not None and committed.replayed
        if committed is not None and duplicate:
            outcome = msgspec.msgpack.decode(committed.outcome, type=_RebuildOutcome)
            # The first one may have been stopped before it began; then its record alone rebuilds nothing.
            left = await self._ledger.backlog(store, namespace, until=outcome.until)
            duplicate = left > 0 or call.idempotency in self._rebuilds
        if call.idempotency is not None:
            self._rebuilds[call.idempotency] = None
            while len(self._rebuilds) > REMEMBERED_REBUILDS:
                del self._rebuilds[next(iter(self._rebuilds))]
        if not duplicate:
            try:
                await self._projector.rebuild_namespace(store, namespace)
            except BaseException:
                if call.idempotency is not None:
                    self._rebuilds.pop(call.idempotency, None)
                raise
        told = -1
        while True:
            left = await self._ledger.backlog(store, namespace, until=outcome.until)
            applied = max(0, outcome.total - left)
            if applied != told or not left:
                yield RebuildProgress(applied=applied, total=outcome.total)
            if not left:
                return
            told = applied
            await self._projector.wait_moved(store, POLL_SECONDS)

    async def _remember(
        self, namespace: str, call: Call, outcome: _RepairOutcome | _RebuildOutcome
    ) -> Committed | None:
        """Records the answer under the call's request_id; None when it has none."""
        if call.idempotency is None:
            return None

        def decide(found: Mapping[str, Memory]) -> Decision:
            return Decision([], msgspec.msgpack.encode(outcome))

        return await self._ledger.commit(
            Mutation(
                namespace=namespace,
                memory_ids=[],
                decide=decide,
                now=self._clock.now(),
                origin=call.origin,
                idempotency=call.idempotency,
            )
        )

    async def _true(self, store: StoreKind, namespace: str, asked: Sequence[Finding]) -> set[str]:
        """Ids of those of the findings that are true now."""
        async with self._projector.still(store, namespace):
            found = await self._examiner.findings(store, namespace, [f.revision for f in asked], pending=True)
        return {f.finding_id for f in found} & {f.finding_id for f in asked}

    async def _repair(self, store: StoreKind, namespace: str, asked: Sequence[Finding], call: Call) -> set[str]:
        """Repairs what is still true, waits, and returns the ids of what is not repaired then."""
        ids = {finding.finding_id for finding in asked}
        if not ids:
            return ids
        projection = self._projections[store]
        async with self._projector.still(store, namespace):
            now = await self._examiner.findings(store, namespace, [f.revision for f in asked], pending=True)
            found = [finding for finding in now if finding.finding_id in ids]
            revisions: set[int] = set()
            if found:
                await projection.settle(namespace)
                revisions = await self._take_out(store, namespace, found)
                revisions |= await self._changes_behind(store, namespace, found)
                await self._ledger.requeue_changes(store, namespace, sorted(revisions))
        while revisions & await self._ledger.requeued(store, namespace) and call.write_wait() > 0:
            if self._projector.breaker(store).state is not BreakerState.CLOSED:
                break
            await self._projector.wait_moved(store, min(POLL_SECONDS, call.write_wait()))
        return await self._true(store, namespace, asked)

    async def _take_out(self, store: StoreKind, namespace: str, found: Sequence[Finding]) -> set[int]:
        """Removes orphaned entries; returns the changes that put back what went with them and should not have."""
        orphans = [f for f in found if f.kind is FindingKind.ORPHANED and not f.resource]
        await self._projector.remove(store, namespace, [Remove(f.memory_id, upto=f.revision) for f in orphans])
        revisions: set[int] = set()
        for orphan in orphans:
            portion = Portion(memory_ids=[orphan.memory_id], until=orphan.revision)
            after, more = 0, True
            while more:
                page = await self._ledger.versions(namespace, portion, after=after, limit=BATCH)
                for version in page:
                    revisions |= _changes_of(store, version)
                    after = version.revision
                more = len(page) == BATCH
            # It may be a removal that was given up: applying it again is what clears that.
            revisions.update(await self._examiner.removals_after(namespace, orphan.memory_id, orphan.revision))
        return revisions

    async def _changes_behind(self, store: StoreKind, namespace: str, found: Sequence[Finding]) -> set[int]:
        """The changes that make the versions as they should be."""
        wanted = sorted({f.revision for f in found if f.kind is not FindingKind.ORPHANED or f.resource})
        revisions: set[int] = set()
        for start in range(0, len(wanted), BATCH):
            portion = Portion(revisions=wanted[start : start + BATCH])
            for version in await self._ledger.versions(namespace, portion, after=0, limit=BATCH):
                revisions |= _changes_of(store, version)
        return revisions


def _changes_of(store: StoreKind, version: Version) -> set[int]:
    """Revisions of the changes that put the version, ended it, or took its facts away; of kept relations only the
    removal that left them."""
    changes = {version.retired, version.facts_removed}
    if version.memory is not None and (store is StoreKind.INDEX or not version.facts_removed):
        changes.add(version.revision)
    return {revision for revision in changes if 0 < revision < NEVER}


def _read(finding_id: str, position: int) -> Finding:
    try:
        return read_finding_id(finding_id)
    except ValueError as fault:
        raise FieldInvalid(
            f"finding_ids[{position}]", f"is no id of a finding ({fault}); use those that CheckConsistency sends"
        ) from fault
