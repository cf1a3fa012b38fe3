"""Writing memories: create, add, update, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry import metrics

from memoir_server.domain.change import Change, Draft, EventType
from memoir_server.domain.conversation import AddMode, MemoryPatch, Message, NewMemory
from memoir_server.domain.duplicate import Duplicate, Twin, twin_of_memory
from memoir_server.domain.errors import EtagMismatch, FeatureDisabled, MemoirError, MemoryNotFound
from memoir_server.domain.filter import NOT_SAID, And, Compare, Operator
from memoir_server.domain.memory import Memory, MemoryKind, MetadataValue, Provenance, Scope, make_memory
from memoir_server.domain.mutation import Committed, Decide, Decision, Mutation, ReadyVectors
from memoir_server.domain.selection import Selection
from memoir_server.domain.store import Durability
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock, IdSource
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import Ledger
from memoir_server.service.at_hand import vectors_at_hand
from memoir_server.service.call import Call
from memoir_server.service.creating import Creations, check_interval
from memoir_server.service.duplicates import CosineGuard, Nearness
from memoir_server.service.episodes import Episodes
from memoir_server.service.freshness import Freshness
from memoir_server.service.outcomes import Outcome, Written, decode_outcome

__all__ = ["Remembering", "Written"]

MAX_DERIVED: Final = 100
"""Memories that the answer to a deletion names (contract)."""
_EXACT: Final = "exact"
_NEAR: Final = "near"

_duplicate_counter = metrics.get_meter("memoir_server.remembering").create_counter(
    "memoir.duplicates.found", "{item}", "Items of writes that a memory said already"
)


class Remembering:
    """The write path. Every method is one ledger transaction; then it waits for the projections as the call's
    durability asks (semantics 4). What a current memory says already is not stored again (decision 015)."""

    def __init__(
        self,
        ledger: Ledger,
        freshness: Freshness,
        clock: Clock,
        ids: IdSource,
        guard: CosineGuard,
        embedder: Embedder,
    ) -> None:
        self._ledger = ledger
        self._freshness = freshness
        self._clock = clock
        self._ids = ids
        self._guard = guard
        self._embedder = embedder

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
        """Remembers a conversation: each message becomes one EPISODE, unless it is one that was sent before.

        With `validate_only` nothing is stored; the changes are what the real call would do, at revision 0.
        Raises FeatureDisabled("infer") for mode INFER.
        """
        if mode is AddMode.INFER:
            raise FeatureDisabled("infer")
        now = self._clock.now()
        episodes = Episodes(namespace, scope, messages, metadata or {}, self._ids, now)

        def decide(found: Mapping[str, Memory]) -> Decision:
            settled, outcome = episodes.settle(found), Outcome()
            for memory_id, duplicate in zip(settled.ids, settled.duplicates, strict=True):
                outcome.accept(memory_id, duplicate)
            return Decision(settled.drafts, outcome.encoded(), settled.mentions)

        if validate_only:
            head = await self._ledger.head(namespace)
            stored = await self._ledger.twins(namespace, episodes.twins, now=now)
            decision = decide({memory.memory_id: memory for memory in stored})
            changes = tuple(
                Change(
                    namespace=namespace,
                    revision=0,
                    commit_time=now,
                    type=d.type,
                    memory_id=d.memory_id,
                    after=d.after,
                )
                for d in decision.drafts
            )
            committed = Committed(changes=changes, outcome=decision.outcome, revision=head.revision)
            return await self._written(namespace, committed, Durability.ACCEPTED, episodes.known, now)
        return await self._commit(
            namespace,
            episodes.memory_ids,
            decide,
            call,
            now,
            twins=episodes.twins,
            known=episodes.known,
            vectors=vectors_at_hand(self._embedder, episodes.memories),
        )

    async def create(self, namespace: str, new: NewMemory, call: Call) -> Written:
        """Stores one memory, and closes those it supersedes.

        Raises MemoryAlreadyExists, MemoryNotFound (for a memory it supersedes), FieldInvalid.
        """
        return await self.create_many(namespace, [new], call)

    async def create_many(
        self, namespace: str, items: Sequence[NewMemory], call: Call, *, allow_partial: bool = False
    ) -> Written:
        """Stores memories in order; a later one may supersede an earlier one. All or nothing, unless `allow_partial`:
        then items that are refused are left out and reported. An item without an id of its own that supersedes nothing
        is not stored when a memory says it already, an earlier item of the batch included."""
        now = self._clock.now()
        memories = [self._memory(namespace, item, now) for item in items]
        twins = [_twin(memory, item) for memory, item in zip(memories, items, strict=True)]
        guarded = {i: m for i, (m, item) in enumerate(zip(memories, items, strict=True)) if _near_guarded(item)}
        nearness = await self._guard.near(namespace, guarded, now, call) if guarded else Nearness()
        touched = dict.fromkeys(m.memory_id for m in memories)
        touched.update(dict.fromkeys(other for item in items for other in item.supersedes))
        touched.update(dict.fromkeys(nearness.memory_ids))
        known: dict[str, Memory] = {}

        def decide(found: Mapping[str, Memory]) -> Decision:
            creations, outcome = Creations(namespace, found), Outcome(guard_skipped=nearness.skipped)
            for position, (memory, item) in enumerate(zip(memories, items, strict=True)):
                path = f"items[{position}].memory" if len(items) > 1 else "memory"
                try:
                    check_interval(memory, path)
                    duplicate, there = _duplicate(creations, twins[position], nearness, position, stored=_own(item))
                    if there is None:
                        creations.create(memory, item.supersedes, path, position=position, twin=twins[position])
                        outcome.accept(memory.memory_id, duplicate)
                    else:
                        known[there.memory_id] = there
                        outcome.accept(there.memory_id, duplicate)
                except MemoirError as refusal:
                    if not allow_partial:
                        raise
                    outcome.refuse(refusal)
            return Decision(creations.drafts(), outcome.encoded(), creations.mentions(outcome.duplicates.values()))

        return await self._commit(
            namespace,
            list(touched),
            decide,
            call,
            now,
            twins=[twin for twin in twins if twin is not None],
            known=known,
            vectors=nearness.vectors or vectors_at_hand(self._embedder, memories),
        )

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
                check_interval(after, "memory")
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

    async def derived_from(self, namespace: str, deletion: Change) -> Sequence[str]:
        """Ids of the memories whose first source is the message of an EPISODE that was deleted, closed ones too, newest
        first, at most MAX_DERIVED; none where the message has no id, or another kind of memory was deleted."""
        episode = deletion.before
        source = episode.provenance[0] if episode is not None and episode.provenance else Provenance()
        if episode is None or episode.kind is not MemoryKind.EPISODE or not source.message_id:
            return ()
        now = deletion.commit_time
        of_message = Compare("message_id", Operator.EQUAL, source.message_id)
        selection = Selection(
            scope=episode.scope.owner,
            filter=And((of_message, NOT_SAID)),
            include_superseded=True,
            reference=now,
            now=now,
        )
        found = await self._ledger.list_memories(namespace, selection, after=None, limit=MAX_DERIVED)
        # Ids of messages are the caller's, and may be those of each session.
        return [m.memory_id for m in found if m.provenance[0].session_id == source.session_id]

    async def _commit(
        self,
        namespace: str,
        memory_ids: Sequence[str],
        decide: Decide,
        call: Call,
        now: Instant,
        *,
        twins: Sequence[Twin] = (),
        known: Mapping[str, Memory] | None = None,
        vectors: ReadyVectors | None = None,
    ) -> Written:
        """`known` is filled by `decide` with the memories that stand for items which were not stored."""
        committed = await self._ledger.commit(
            Mutation(
                namespace=namespace,
                memory_ids=memory_ids,
                decide=decide,
                now=now,
                origin=call.origin,
                idempotency=call.idempotency,
                twins=twins,
                vectors=vectors,
            )
        )
        durability = await self._freshness.after_write(namespace, committed.revision, call)
        return await self._written(namespace, committed, durability, known or {}, now)

    async def _written(
        self, namespace: str, committed: Committed, durability: Durability, known: Mapping[str, Memory], now: Instant
    ) -> Written:
        outcome = decode_outcome(committed.outcome)
        standing = {d.memory_id for d in outcome.duplicates.values() if not d.stored}
        there: dict[str, Memory] = {}
        if standing:
            there.update({i: memory for i, memory in known.items() if i in standing})
            made = {c.memory_id: c.after for c in committed.changes if c.type is EventType.CREATED and c.after}
            there.update({i: memory for i, memory in made.items() if i in standing})
            if committed.replayed and (lacking := standing - there.keys()):
                # The first answer showed them as they were then.
                there.update(await self._ledger.get(namespace, sorted(lacking), revision=committed.revision, now=now))
        if not committed.replayed:
            for duplicate in outcome.duplicates.values():
                _duplicate_counter.add(1, {"memoir.duplicate": _EXACT if duplicate.exact else _NEAR})
        return Written(
            changes=committed.changes,
            revision=committed.revision,
            durability=durability,
            refused=outcome.refusals(),
            ids=tuple(outcome.ids),
            duplicates=outcome.duplicates,
            known=there,
            guard_skipped=outcome.guard_skipped,
        )

    def _memory(self, namespace: str, new: NewMemory, now: Instant) -> Memory:
        said = now if new.create_time is None else new.create_time
        return make_memory(
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


def _own(item: NewMemory) -> bool:
    """Whether the item is stored whatever is there: its caller gave it an identity, or it is to close others."""
    return bool(item.memory_id or item.supersedes)


def _near_guarded(item: NewMemory) -> bool:
    return item.kind is not MemoryKind.EPISODE and not _own(item)


def _twin(memory: Memory, item: NewMemory) -> Twin | None:
    return twin_of_memory(
        memory, create_time_given=item.create_time is not None, valid_from_given=item.valid_from is not None
    )


def _duplicate(
    creations: Creations, twin: Twin | None, nearness: Nearness, position: int, *, stored: bool
) -> tuple[Duplicate | None, Memory | None]:
    """The duplicate to report of an item, and the memory that stands for it where it need not be stored."""
    same = creations.twin(twin)
    if same is not None:
        duplicate = Duplicate(memory_id=same.memory_id, exact=True, stored=stored)
        return duplicate, None if stored else same
    near = creations.nearest(nearness.found.get(position, ()))
    if near is None:
        return None, None
    memory, cosine = near
    return Duplicate(memory_id=memory.memory_id, exact=False, cosine=cosine), memory


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
