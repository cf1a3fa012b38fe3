"""Writing memories: create, add, update, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from memoir_server.domain.change import Change, Draft, EventType
from memoir_server.domain.conversation import AddMode, MemoryPatch, Message, NewMemory
from memoir_server.domain.errors import (
    EtagMismatch,
    FeatureDisabled,
    FieldInvalid,
    MemoirError,
    MemoryAlreadyExists,
    MemoryNotFound,
)
from memoir_server.domain.memory import Memory, MemoryKind, MetadataValue, Provenance, Scope
from memoir_server.domain.mutation import Committed, Decide, Decision, Mutation
from memoir_server.domain.store import Durability
from memoir_server.domain.supersession import supersede
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.ledger import Ledger
from memoir_server.service.call import Call
from memoir_server.service.freshness import Freshness


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a mutation did: its changes in order, the revision that covers them, the durability reached."""

    changes: tuple[Change, ...]
    revision: int
    durability: Durability
    refused: Mapping[int, MemoirError]
    """Items of a partial batch that were not stored, by position."""
    ids: tuple[str, ...] = ()
    """Memory id of each item of a batch; empty for one that was refused."""


class Remembering:
    """The write path. Every method is one ledger transaction; then it waits for the projections as the call's
    durability asks (semantics 4)."""

    def __init__(self, ledger: Ledger, freshness: Freshness, clock: Clock, ids: IdSource) -> None:
        self._ledger = ledger
        self._freshness = freshness
        self._clock = clock
        self._ids = ids

    async def add(
        self,
        namespace: str,
        scope: Scope,
        messages: Sequence[Message],
        call: Call,
        *,
        mode: AddMode | None = None,
        metadata: Mapping[str, MetadataValue] | None = None,
        validate_only: bool = False,
    ) -> Written:
        """Remembers a conversation: each message becomes one EPISODE.

        With `validate_only` nothing is stored; the changes are what the real call would do, at revision 0.
        Raises FeatureDisabled("infer") for mode INFER.
        """
        if mode is AddMode.INFER:
            raise FeatureDisabled("infer")
        now = self._clock.now()
        episodes = [self._episode(namespace, scope, m, metadata or {}, now) for m in messages]
        drafts = [Draft(type=EventType.CREATED, memory_id=e.memory_id, after=e) for e in episodes]
        if validate_only:
            head = await self._ledger.head(namespace)
            changes = tuple(
                Change(
                    namespace=namespace,
                    revision=0,
                    commit_time=now,
                    type=d.type,
                    memory_id=d.memory_id,
                    after=d.after,
                )
                for d in drafts
            )
            return Written(changes=changes, revision=head.revision, durability=Durability.ACCEPTED, refused={})

        def decide(found: Mapping[str, Memory]) -> Decision:
            return Decision(drafts)

        return await self._commit(namespace, [e.memory_id for e in episodes], decide, call, now)

    async def create(self, namespace: str, new: NewMemory, call: Call) -> Written:
        """Stores one memory, and closes those it supersedes.

        Raises MemoryAlreadyExists, MemoryNotFound (for a memory it supersedes), FieldInvalid.
        """
        return await self.create_many(namespace, [new], call)

    async def create_many(
        self, namespace: str, items: Sequence[NewMemory], call: Call, *, allow_partial: bool = False
    ) -> Written:
        """Stores memories in order; a later one may supersede an earlier one. All or nothing, unless `allow_partial`:
        then items that are refused are left out and reported."""
        now = self._clock.now()
        memories = [self._memory(namespace, item, now) for item in items]
        touched = dict.fromkeys(m.memory_id for m in memories)
        touched.update(dict.fromkeys(other for item in items for other in item.supersedes))

        def decide(found: Mapping[str, Memory]) -> Decision:
            batch = _Batch(namespace, found)
            outcome = _BatchOutcome([], {})
            for position, (memory, item) in enumerate(zip(memories, items, strict=True)):
                try:
                    batch.create(memory, item.supersedes, position if len(items) > 1 else None)
                except MemoirError as refusal:
                    if not allow_partial:
                        raise
                    outcome.refused[position] = _encode_refusal(refusal)
                    outcome.ids.append("")
                else:
                    outcome.ids.append(memory.memory_id)
            return Decision(batch.drafts(), msgspec.msgpack.encode(outcome))

        return await self._commit(namespace, list(touched), decide, call, now)

    async def update(
        self, namespace: str, memory_id: str, patch: MemoryPatch, call: Call, *, etag: str = "", reason: str = ""
    ) -> Written:
        """Changes the patch's fields. A patch that changes nothing commits nothing, and returns the memory as it is.

        Raises MemoryNotFound, EtagMismatch, FieldInvalid.
        """
        now = self._clock.now()

        def decide(found: Mapping[str, Memory]) -> Decision:
            before = _existing(namespace, memory_id, found, etag)
            after = _patched(before, patch)
            if patch.fields & _BOUNDS:
                # Otherwise the interval may be empty: that of a memory superseded at its own beginning is.
                _check_interval(after, "memory")
            if after == before and _exactly(after.metadata) == _exactly(before.metadata):
                return Decision(())
            return Decision(
                [Draft(type=EventType.UPDATED, memory_id=memory_id, before=before, after=after, reason=reason)]
            )

        return await self._commit(namespace, [memory_id], decide, call, now)

    async def delete(
        self,
        namespace: str,
        memory_ids: Sequence[str],
        call: Call,
        *,
        etag: str = "",
        reason: str = "",
        allow_missing: bool = False,
    ) -> Written:
        """Deletes memories, all or nothing, with what was derived from them. `etag` guards a single one.

        Raises MemoryNotFound unless `allow_missing`, EtagMismatch.
        """
        now = self._clock.now()

        def decide(found: Mapping[str, Memory]) -> Decision:
            wanted = [m for m in memory_ids if m in found] if allow_missing else memory_ids
            return Decision(
                [
                    Draft(
                        type=EventType.DELETED,
                        memory_id=memory_id,
                        before=_existing(namespace, memory_id, found, etag),
                        reason=reason,
                    )
                    for memory_id in wanted
                ]
            )

        return await self._commit(namespace, memory_ids, decide, call, now)

    async def _commit(
        self, namespace: str, memory_ids: Sequence[str], decide: Decide, call: Call, now: Instant
    ) -> Written:
        committed = await self._ledger.commit(
            Mutation(
                namespace=namespace,
                memory_ids=memory_ids,
                decide=decide,
                now=now,
                origin=call.origin,
                idempotency=call.idempotency,
            )
        )
        durability = await self._freshness.after_write(namespace, committed.revision, call)
        return _written(committed, durability)

    def _episode(
        self, namespace: str, scope: Scope, message: Message, metadata: Mapping[str, MetadataValue], now: Instant
    ) -> Memory:
        said = now if message.create_time is None else message.create_time
        return Memory(
            namespace=namespace,
            memory_id=self._ids.new_id(),
            text=message.content,
            kind=MemoryKind.EPISODE,
            scope=scope,
            metadata=metadata,
            create_time=said,
            valid_from=said,
            provenance=(
                Provenance(
                    session_id=scope.session_id or "",
                    message_id=message.message_id,
                    role=message.role,
                    actor_id=message.actor_id,
                    create_time=said,
                ),
            ),
        )

    def _memory(self, namespace: str, new: NewMemory, now: Instant) -> Memory:
        said = now if new.create_time is None else new.create_time
        return Memory(
            namespace=namespace,
            memory_id=new.memory_id or self._ids.new_id(),
            text=new.text,
            kind=new.kind,
            scope=new.scope,
            metadata=new.metadata,
            importance=new.importance,
            valid_from=said if new.valid_from is None else new.valid_from,
            valid_until=new.valid_until,
            expire_time=new.expire_time,
            create_time=said,
            provenance=new.provenance,
            entities=new.entities,
            relations=new.relations,
        )


_BOUNDS = frozenset({"valid_from", "valid_until"})


class _BatchOutcome(msgspec.Struct):
    """What a duplicate of a batch needs beside the changes."""

    ids: list[str]
    refused: dict[int, tuple[str, list[str]]]


class _Batch:
    """Memories created in one mutation: at most one draft per memory, later items see earlier ones."""

    def __init__(self, namespace: str, found: Mapping[str, Memory]) -> None:
        self._namespace = namespace
        self._found = found
        self._created: dict[str, Memory] = {}
        self._closed: dict[str, tuple[Memory, str]] = {}

    def create(self, memory: Memory, supersedes: Sequence[str], position: int | None) -> None:
        """Adds one memory. Raises what CreateMemory would; nothing of the item is kept then."""
        path = "memory" if position is None else f"items[{position}].memory"
        _check_interval(memory, path)
        if memory.memory_id in self._found or memory.memory_id in self._created:
            raise MemoryAlreadyExists(self._namespace, memory.memory_id)
        if memory.memory_id in supersedes:
            raise FieldInvalid(path.removesuffix("memory") + "supersedes", "a memory cannot supersede itself")
        settled = supersede(memory, [self._current(other) for other in supersedes])
        for closed in settled.closed:
            if closed.memory_id in self._created:
                self._created[closed.memory_id] = closed
            else:
                self._closed[closed.memory_id] = (closed, memory.memory_id)
        self._created[memory.memory_id] = settled.memory

    def drafts(self) -> list[Draft]:
        """Closings first, so that at the revision of the new memory the old one is already closed."""
        closings = [
            Draft(
                type=EventType.SUPERSEDED,
                memory_id=memory_id,
                before=self._found[memory_id],
                after=closed,
                reason=f"superseded by {by}",
            )
            for memory_id, (closed, by) in self._closed.items()
        ]
        creations = [
            Draft(type=EventType.CREATED, memory_id=memory_id, after=memory)
            for memory_id, memory in self._created.items()
        ]
        return closings + creations

    def _current(self, memory_id: str) -> Memory:
        if memory_id in self._created:
            return self._created[memory_id]
        if memory_id in self._closed:
            return self._closed[memory_id][0]
        return _existing(self._namespace, memory_id, self._found, "")


def _existing(namespace: str, memory_id: str, found: Mapping[str, Memory], etag: str) -> Memory:
    memory = found.get(memory_id)
    if memory is None:
        raise MemoryNotFound(namespace, memory_id)
    if etag and etag != memory.etag:
        raise EtagMismatch(memory_id, memory.etag)
    return memory


def _patched(before: Memory, patch: MemoryPatch) -> Memory:
    values = {name: getattr(patch.values, name) for name in patch.fields}
    if "create_time" in values and values["create_time"] is None:
        del values["create_time"]
    return replace(before, **values)


def _exactly(metadata: Mapping[str, MetadataValue]) -> Mapping[str, tuple[type, str]]:
    """Tells apart what Python calls equal: 1, 1.0 and true, 0.0 and -0.0."""
    return {key: (type(value), repr(value)) for key, value in metadata.items()}


def _check_interval(memory: Memory, path: str) -> None:
    if memory.valid_from is not None and memory.valid_until is not None and memory.valid_until <= memory.valid_from:
        raise FieldInvalid(f"{path}.valid_until", "must be later than valid_from (which is create_time unless set)")


def _encode_refusal(refusal: MemoirError) -> tuple[str, list[str]]:
    if isinstance(refusal, MemoryAlreadyExists | MemoryNotFound):
        return type(refusal).__name__, [refusal.namespace, refusal.memory_id]
    if isinstance(refusal, FieldInvalid):
        return type(refusal).__name__, [refusal.field, refusal.problem]
    raise refusal


_REFUSALS: Mapping[str, type[MemoryAlreadyExists] | type[MemoryNotFound] | type[FieldInvalid]] = {
    c.__name__: c for c in (MemoryAlreadyExists, MemoryNotFound, FieldInvalid)
}


def _written(committed: Committed, durability: Durability) -> Written:
    outcome = _BatchOutcome([], {})
    if committed.outcome:
        outcome = msgspec.msgpack.decode(committed.outcome, type=_BatchOutcome)
    return Written(
        changes=committed.changes,
        revision=committed.revision,
        durability=durability,
        refused={i: _REFUSALS[name](*arguments) for i, (name, arguments) in outcome.refused.items()},
        ids=tuple(outcome.ids),
    )
