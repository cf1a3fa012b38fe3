"""Moving everything a ledger holds into the stores of another deployment, with its ids, its history and its tokens.

1. Nobody writes: the source is locked, and its note keeps servers out between two runs, too. 2. Its chain of digests is
verified. 3. The ledger is copied part by part; each page is one transaction with the place reached. 4. The copy is read
back and compared, and its chain verified. 5. The projector builds index and graph from it, with the vectors it holds.
6. The doctor examines all of it. 7. The record says finished, and the source's note says moved.

A run that ends anywhere is gone on with by the next; until 7 no server opens the target.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from memoir_server.domain.consistency import CheckProgress, Finding
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.domain.move import MoveItem, MoveRemark, MoveResult, MoveStep, Phase
from memoir_server.domain.store import BreakerState, StoreKind
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.ledger_copy import (
    Copied,
    LedgerSource,
    LedgerTarget,
    ModelCopy,
    MoveRecord,
    MoveRefused,
    NamespaceCopy,
    Part,
    Row,
    SourceNote,
    SourceState,
    Stage,
    Standing,
)
from memoir_server.ports.projection import Projection
from memoir_server.service.call import Call
from memoir_server.service.doctor import MAX_FINDINGS, Doctor
from memoir_server.service.projector import Projector

PATIENCE_SECONDS = 60.0
"""How long a store may get nothing done before the move is broken off."""
REPAIRS: Final = 3
"""Rounds of repairs before findings are left to the operator."""
REPAIR_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.5
_DIGEST: Final = 2**63

_encode = msgspec.msgpack.Encoder().encode


def digest_of(rows: Iterable[Row], begun: int = 0) -> int:
    """A digest of rows that their order does not change, on top of that of others: each row's hash, added up."""
    for row in rows:
        begun += int.from_bytes(hashlib.blake2b(_encode(row), digest_size=8).digest(), "big")
    return begun % _DIGEST


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveOptions:
    """How to move.

    Attributes:
        keep_source: Servers may open the source again: this is a rehearsal.
        accept_findings: Finishes although the doctor could not repair everything.
    """

    keep_source: bool = False
    accept_findings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The stores moved to. `ledger` is the target's own, as everything else here knows it; `embedded()` counts the
    texts that had to be embedded."""

    target: LedgerTarget
    ledger: Ledger
    projections: Mapping[StoreKind, Projection]
    projector: Projector
    doctor: Doctor
    model: EmbeddingModel
    embedded: Callable[[], int]


class Moving:
    """One move. `run` once."""

    def __init__(
        self, source: LedgerSource, destination: Destination, clock: Clock, ids: IdSource, options: MoveOptions
    ) -> None:
        self._source = source
        self._to = destination
        self._target = destination.target
        self._clock = clock
        self._ids = ids
        self._options = options
        self._record = MoveRecord(move_id="", source="", began=0)
        self._repaired = 0
        self._findings: Sequence[Finding] = ()

    async def run(self) -> AsyncGenerator[MoveItem, None]:
        """Moves, and tells how far it is; last the result.

        Raises:
            MoveRefused: Source or target are not what can be moved, or the copy is not equal to the source.
            StoreUnavailable: A store does not answer, or a server runs on the source. What was done stays done.
        """
        source, target = self._source, self._target
        async with AsyncExitStack() as closing:
            closing.push_async_callback(source.close)
            await source.open()
            closing.push_async_callback(target.close)
            await target.open()
            namespaces = await source.namespaces()
            note = await source.note()
            events = sum(namespace.revision for namespace in namespaces)
            found = self._record_in(note, await target.standing(), events)
            if found is not None and found.stage is Stage.FINISHED:
                self._record = found
                if note is not None and note.state is SourceState.MOVING:
                    # The run that finished it was killed before it said so here.
                    await self._note_end()
                yield self._result(namespaces, finished=True, moved_before=True)
                return
            await self._open_projections(closing)
            if found is None or found.stage is Stage.COPYING:
                async for item in self._check(namespaces):
                    yield item
                if found is None:
                    await self._begin()
                else:
                    self._record = found
                async for item in self._copy():
                    yield item
            else:
                self._record = found
            closing.push_async_callback(self._to.ledger.close)
            await self._to.ledger.open()
            if self._record.stage is Stage.COPYING:
                async for item in self._compare(namespaces):
                    yield item
                await self._keep(replace(self._record, stage=Stage.BUILDING))
            closing.push_async_callback(self._to.projector.stop)
            await self._to.projector.start()
            async for item in self._build():
                yield item
            async for item in self._examine():
                yield item
            finished = not self._findings or self._options.accept_findings
            if finished:
                await self._keep(replace(self._record, stage=Stage.FINISHED, finished=self._clock.now()))
                await self._note_end()
            memories = await self._memories()
        yield self._result(namespaces, finished=finished, memories=memories)

    # -- what stands

    def _record_in(self, note: SourceNote | None, standing: Standing, events: int) -> MoveRecord | None:
        """The record of the move to go on with; None to begin one. `events`: what the source holds. Raises
        MoveRefused."""
        source, target, record = self._source, self._target, standing.record
        if note is not None and record is not None and record.move_id == note.move_id:
            copied = record.parts.get(Part.EVENTS, Copied())
            if copied.complete and copied.rows != events:
                raise MoveRefused(
                    f"{target.name} holds a copy of {source.name}, which has been written to since: {events} changes, "
                    f"of which {copied.rows} were copied; empty the target, or name another, and move again"
                )
            return record
        if note is not None and note.state is not SourceState.KEPT:
            begun = note.state is SourceState.MOVING
            if begun and not standing.ledger_id and note.target == target.name:
                return None
            raise MoveRefused(
                f"{source.name} {'is being' if begun else 'was'} moved to {note.target}, and {target.name} is not that "
                f"or no longer holds it; name the settings of that move, or, to begin another, remove "
                f"{source.note_name}"
            )
        if not standing.ledger_id:
            return None
        if record is None:
            raise MoveRefused(
                f"{target.name} holds the ledger {standing.ledger_id} already; name an empty database or schema"
            )
        state = "what was moved" if record.stage is Stage.FINISHED else "an unfinished move"
        raise MoveRefused(
            f"{target.name} holds {state} from {record.source}, and {source.name} does not say that it was moved "
            "there; empty it, or name another"
        )

    async def _open_projections(self, closing: AsyncExitStack) -> None:
        """Opens index and graph; one that follows another ledger would be emptied by this one."""
        ours = self._source.identity.ledger_id
        for store, projection in self._to.projections.items():
            closing.push_async_callback(projection.close)
            await projection.open()
            followed = await projection.ledger_id()
            if followed and followed != ours:
                raise MoveRefused(
                    f"the {store.name.lower()} named in the settings belongs to the ledger {followed}; give this "
                    "deployment names of its own (index.prefix, graph.name)"
                )

    async def _check(self, namespaces: Sequence[NamespaceCopy]) -> AsyncIterator[MoveItem]:
        done, total = 0, sum(namespace.revision for namespace in namespaces)
        for namespace in namespaces:
            yield MoveStep(Phase.CHECKING, done, total)
            if not await self._source.verify_chain(namespace):
                raise MoveRefused(
                    f"the history of namespace {namespace.name!r} in {self._source.name} does not match its chain of "
                    "digests: the file is damaged or was changed; restore a backup and move that"
                )
            done += namespace.revision
        yield MoveStep(Phase.CHECKING, done, total)
        page = await self._source.read(Part.MODELS, b"")
        models = [row for row in page.rows if isinstance(row, ModelCopy)]
        kept = [EmbeddingModel(m.name, m.version, m.dimension, m.asymmetric) for m in models]
        if kept and self._to.model not in kept:
            yield MoveRemark(
                f"the settings name the model {self._to.model}, the vectors kept are of "
                f"{', '.join(str(model) for model in kept)}: every text will be embedded anew"
            )

    # -- copying

    async def _begin(self) -> None:
        source = self._source
        record = MoveRecord(move_id=self._ids.new_id(), source=source.name, began=self._clock.now())
        before = await source.note()
        if before is not None and before.state is SourceState.MOVING:
            # The run that left it was killed before the target had anything.
            record = replace(record, move_id=before.move_id)
        self._record = record
        await self._note(SourceState.MOVING)
        try:
            await self._target.begin(source.identity, record)
        except MoveRefused:
            await source.keep_note(before)
            raise

    async def _copy(self) -> AsyncIterator[MoveItem]:
        counts = {part: await self._source.count(part) for part in Part}
        total = sum(counts.values())
        done = sum(copied.rows for copied in self._record.parts.values())
        yield MoveStep(Phase.COPYING, done, total)
        for part in Part:
            copied = self._record.parts.get(part, Copied())
            while not copied.complete:
                page = await self._source.read(part, copied.position)
                copied = (
                    Copied(copied.rows + len(page.rows), digest_of(page.rows, copied.digest), page.position)
                    if page.rows
                    else replace(copied, complete=True)
                )
                record = replace(self._record, parts={**self._record.parts, part: copied})
                await self._target.write(part, page.rows, record, self._record)
                self._record = record
                done += len(page.rows)
                yield MoveStep(Phase.COPYING, done, total)
            if copied.rows != counts[part]:
                raise MoveRefused(
                    f"{self._source.name} has been written to since the move began: {counts[part]} {part}, of which "
                    f"{copied.rows} were copied; remove {self._source.note_name}, empty {self._target.name}, and begin "
                    "anew"
                )

    async def _compare(self, namespaces: Sequence[NamespaceCopy]) -> AsyncIterator[MoveItem]:
        """Reads the copy back: as many rows, the same in every field, and a chain that holds."""
        done, total = 0, sum(copied.rows for copied in self._record.parts.values())
        for part in Part:
            rows, digest, position = 0, 0, b""
            while (page := await self._target.read(part, position)).rows:
                rows, digest, position = rows + len(page.rows), digest_of(page.rows, digest), page.position
                done += len(page.rows)
                yield MoveStep(Phase.COMPARING, done, max(done, total))
            written = self._record.parts[part]
            if (rows, digest) != (written.rows, written.digest):
                what = f"{rows} are there" if rows != written.rows else "some of them differ"
                raise MoveRefused(
                    f"{written.rows} {part} were copied, but {what}: something else writes to {self._target.name}; end "
                    "that, empty it and begin anew"
                )
        for namespace in namespaces:
            if not await self._to.ledger.verify_chain(namespace.name):
                raise MoveRefused(
                    f"the chain of digests of namespace {namespace.name!r} does not hold in {self._target.name}; empty "
                    "it and begin anew"
                )

    # -- index and graph

    async def _build(self) -> AsyncIterator[MoveItem]:
        loop = asyncio.get_running_loop()
        left = await self._behind()
        total, moved = sum(left.values()), loop.time()
        while any(left.values()):
            yield MoveStep(Phase.BUILDING, total - sum(left.values()), total)
            slowest = max(left, key=lambda store: left[store])
            await self._to.projector.wait_moved(slowest, _POLL_SECONDS)
            now = await self._behind()
            if now != left:
                moved = loop.time()
            elif loop.time() - moved > PATIENCE_SECONDS:
                down = self._to.projector.breaker(slowest).state is not BreakerState.CLOSED
                why = "it does not answer" if down else "it takes nothing in"
                raise StoreUnavailable(
                    slowest.name.lower(),
                    f"{why}, and {left[slowest]} changes are left to apply; the log says more. Run the same command "
                    "again when it works: it goes on where it stopped",
                )
            left = now
            total = max(total, sum(left.values()))
        yield MoveStep(Phase.BUILDING, total, total)

    async def _behind(self) -> dict[StoreKind, int]:
        return {store: await self._to.ledger.behind(store) for store in self._to.projections}

    async def _examine(self) -> AsyncIterator[MoveItem]:
        for round_ in range(REPAIRS + 1):
            examined, total = 0, await self._memories()
            found: dict[str, list[Finding]] = {}
            for namespace in await self._to.ledger.namespaces():
                before = examined
                async for item in self._to.doctor.check(namespace, Scope(), max_findings=MAX_FINDINGS):
                    if isinstance(item, Finding):
                        found.setdefault(namespace, []).append(item)
                    elif isinstance(item, CheckProgress):
                        examined = before + item.examined
                        yield MoveStep(Phase.EXAMINING, examined, max(examined, total))
            self._findings = [finding for findings in found.values() for finding in findings]
            if not found or round_ == REPAIRS:
                return
            for namespace, findings in found.items():
                call = Call(deadline=asyncio.get_running_loop().time() + REPAIR_SECONDS)
                done = await self._to.doctor.repair(namespace, [finding.finding_id for finding in findings], call)
                self._repaired += len(done.repaired)

    async def _memories(self) -> int:
        ledger = self._to.ledger
        return sum([await ledger.count_memories(name, Scope()) for name in await ledger.namespaces()])

    # -- records

    async def _keep(self, record: MoveRecord) -> None:
        await self._target.keep_record(record, self._record)
        self._record = record

    async def _note(self, state: SourceState) -> None:
        note = SourceNote(self._record.move_id, state, self._target.name, self._clock.now())
        await self._source.keep_note(note)

    async def _note_end(self) -> None:
        await self._note(SourceState.KEPT if self._options.keep_source else SourceState.MOVED)

    def _result(
        self, namespaces: Sequence[NamespaceCopy], *, finished: bool, moved_before: bool = False, memories: int = 0
    ) -> MoveResult:
        return MoveResult(
            source=self._source.name,
            target=self._target.name,
            finished=finished,
            moved_before=moved_before,
            heads={namespace.name: namespace.revision for namespace in namespaces},
            rows={part.value: copied.rows for part, copied in self._record.parts.items()},
            memories=memories,
            embedded=self._to.embedded(),
            repaired=self._repaired,
            findings=self._findings,
        )
