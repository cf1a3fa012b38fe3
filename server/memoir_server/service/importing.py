"""Import: memories with their ids, times and origins, as an export or another system gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from memoir_server.domain.change import Draft, EventType, make_draft
from memoir_server.domain.conversation import NewMemory
from memoir_server.domain.embedding import EmbeddingModel, Vector, decode_vector, encode_vector
from memoir_server.domain.errors import FieldInvalid, MemoirError, MemoryAlreadyExists
from memoir_server.domain.memory import Memory, make_memory
from memoir_server.domain.mutation import Decision, Mutation, ReadyVectors
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import Clock
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.ledger import Ledger
from memoir_server.service.call import Call

REASON = "imported"
"""Reason of the events that an import makes."""
_MEMORY = "item.memory.memory"
_VALUES = "item.memory.embedding.values"


class OnConflict(IntEnum):
    """What wins where an id exists with other content; the numbers are those of the contract."""

    SKIP = 1
    REPLACE = 2
    FAIL = 3


class ImportAction(IntEnum):
    """What was done with an item; the numbers are those of the contract's MemoryChange.Action."""

    ADDED = 1
    UPDATED = 2
    UNCHANGED = 5


@dataclass(frozen=True, slots=True)
class GivenVector:
    """A vector that came with a memory, and the model that is said to have made it."""

    model: str
    version: str
    values: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportItem:
    """A memory to take in; `memory.memory_id` is set, and `memory.supersedes` is kept as it is.

    `stored` tells the state of a memory as a ledger had it, in which an absent field is absent, from one that was made
    for the import, whose absent times are filled in as on creation.
    """

    memory: NewMemory
    superseded_by: str = ""
    stored: bool = False
    vector: GivenVector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What came of one item: either an action, with the revision of the memory's version, or an error."""

    memory_id: str
    action: ImportAction | None = None
    error: MemoirError | None = None
    revision: int = 0


class Importing:
    """Takes memories in, a batch at a time."""

    def __init__(self, ledger: Ledger, embedder: Embedder, clock: Clock) -> None:
        self._ledger = ledger
        self._embedder = embedder
        self._clock = clock

    async def take(
        self, namespace: str, items: Sequence[ImportItem], on_conflict: OnConflict, call: Call
    ) -> Sequence[ImportResult]:
        """Stores the items of one batch, whose ids differ, in one transaction; returns their results, in order, once
        they are durable. An item that is refused does not disturb the others. Nothing waits for the projections.

        Raises StoreUnavailable: nothing of the batch is stored then.
        """
        now = self._clock.now()
        judgement = _Judgement(namespace, on_conflict, now)
        vectors: dict[bytes, Vector] = {}
        sound: list[ImportItem] = []
        refused: dict[str, FieldInvalid] = {}
        for item in items:
            try:
                _check_alive(item.memory, now)
                vector = _usable(item.vector, self._embedder.model)
            except FieldInvalid as problem:
                refused[item.memory.memory_id] = problem
                continue
            sound.append(item)
            if vector is not None:
                vectors[_content_hash(item)] = vector

        def decide(found: Mapping[str, Memory]) -> Decision:
            return Decision(judgement.drafts(sound, found))

        committed = await self._ledger.commit(
            Mutation(
                namespace=namespace,
                memory_ids=[item.memory.memory_id for item in sound],
                decide=decide,
                now=now,
                origin=call.origin,
                vectors=ReadyVectors(self._embedder.model, vectors) if vectors else None,
            )
        )
        revisions = {change.memory_id: change.revision for change in committed.changes}
        results = []
        for item in items:
            memory_id = item.memory.memory_id
            result = judgement.results.get(memory_id)
            if result is None:
                result = ImportResult(memory_id=memory_id, error=refused[memory_id])
            elif memory_id in revisions:
                result = replace(result, revision=revisions[memory_id])
            results.append(result)
        return results


@dataclass(slots=True)
class _Judgement:
    """What is to be done with each item of a batch, given the memories that exist."""

    namespace: str
    on_conflict: OnConflict
    now: Instant
    results: dict[str, ImportResult] = field(default_factory=dict)

    def drafts(self, items: Sequence[ImportItem], found: Mapping[str, Memory]) -> list[Draft]:
        """The changes to make; fills `results`, anew each time."""
        self.results.clear()
        drafts = []
        for item in items:
            memory_id = item.memory.memory_id
            before = found.get(memory_id)
            after = _imported(self.namespace, item, before, self.now)
            result = self._judge(after, before)
            self.results[memory_id] = result
            if result.action is ImportAction.ADDED:
                drafts.append(make_draft(type=EventType.CREATED, memory_id=memory_id, after=after, reason=REASON))
            elif result.action is ImportAction.UPDATED:
                drafts.append(
                    make_draft(type=EventType.UPDATED, memory_id=memory_id, before=before, after=after, reason=REASON)
                )
        return drafts

    def _judge(self, after: Memory, before: Memory | None) -> ImportResult:
        memory_id = after.memory_id
        # Supersession may close a memory at its own beginning, so an empty interval is a state that exists.
        if after.valid_from is not None and after.valid_until is not None and after.valid_until < after.valid_from:
            problem = "must not be earlier than valid_from (which is create_time unless set)"
            return ImportResult(memory_id=memory_id, error=FieldInvalid(f"{_MEMORY}.valid_until", problem))
        if before is None:
            return ImportResult(memory_id=memory_id, action=ImportAction.ADDED)
        if _same(after, before) or self.on_conflict is OnConflict.SKIP:
            return ImportResult(memory_id=memory_id, action=ImportAction.UNCHANGED, revision=before.revision)
        if self.on_conflict is OnConflict.FAIL:
            return ImportResult(memory_id=memory_id, error=MemoryAlreadyExists(self.namespace, memory_id))
        if after.scope != before.scope:
            problem = "differs from that of the stored memory, and a scope cannot change; import under another id"
            return ImportResult(memory_id=memory_id, error=FieldInvalid(f"{_MEMORY}.scope", problem))
        return ImportResult(memory_id=memory_id, action=ImportAction.UPDATED)


def _imported(namespace: str, item: ImportItem, before: Memory | None, now: Instant) -> Memory:
    """The memory that the item means. What only the ledger gives is taken from the stored one, so that equality is
    equality of content; an absent create_time is the stored one, so that the same item means the same again."""
    new = item.memory
    said = new.create_time
    if said is None:
        said = now if before is None else before.create_time
    return make_memory(
        namespace=namespace,
        memory_id=new.memory_id,
        text=new.text,
        kind=new.kind,
        scope=new.scope,
        metadata=new.metadata,
        importance=new.importance,
        valid_from=said if new.valid_from is None and not item.stored else new.valid_from,
        valid_until=new.valid_until,
        expire_time=new.expire_time,
        create_time=said,
        update_time=0 if before is None else before.update_time,
        provenance=new.provenance,
        entities=new.entities,
        relations=new.relations,
        revision=0 if before is None else before.revision,
        supersedes=new.supersedes,
        superseded_by=item.superseded_by,
        turn=0 if before is None else before.turn,
    )


def _same(after: Memory, before: Memory) -> bool:
    """Equal, down to the types of metadata values: 1, 1.0 and True are three values."""
    return after == before and all(type(value) is type(before.metadata[key]) for key, value in after.metadata.items())


def _check_alive(memory: NewMemory, now: Instant) -> None:
    """Raises FieldInvalid for a memory whose time is over."""
    if memory.expire_time is not None and memory.expire_time <= now:
        raise FieldInvalid(
            f"{_MEMORY}.expire_time", "has passed, so the memory would be gone at once; clear it to import the memory"
        )


def _usable(given: GivenVector | None, model: EmbeddingModel) -> Vector | None:
    """The vector, if it is one of this server's model: others are computed anew. Raises FieldInvalid for a vector that
    cannot be one of the model it names."""
    if given is None or (given.model, given.version) != (model.name, model.version):
        return None
    vector = decode_vector(encode_vector(given.values), model.dimension)
    if vector is None:
        raise FieldInvalid(
            _VALUES,
            f"is no vector of {model}, which has {model.dimension} components and unit norm; leave the embedding out "
            "to have it computed",
        )
    return vector


def _content_hash(item: ImportItem) -> bytes:
    return _imported("", item, None, 0).content_hash
