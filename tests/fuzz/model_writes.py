"""What every mutation answers and does, as the contract says it. Requests are those of the wire.

Each method returns the whole response, or raises Refused. `made` gives the id that the server has chosen for a position
of the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memoir.v1 import common_pb2, memory_pb2
from tests.fuzz.model_log import Done, Draft, Event, Namespace, Origin
from tests.fuzz.model_memory import (
    Memory,
    Refused,
    basic,
    begin,
    empty_interval,
    episode,
    mask_of,
    patched,
    same_content,
    same_turn,
    settled,
    stored,
)

Change = memory_pb2.MemoryChange
Made = Callable[[int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A memory to create, and where its request stands in the call.

    `own`: it is stored whatever is there. `message`: it is a message that AddMemories keeps.
    """

    memory: Any
    path: str
    supersedes: Sequence[str] = ()
    own: bool = False
    message: bool = False
    create_time_given: bool = False
    valid_from_given: bool = False

    @property
    def told_apart(self) -> bool:
        """False for a turn that has neither an id nor a time from its caller: it is like no other of its call."""
        new = self.memory
        named = bool(new.provenance and new.provenance[0].message_id)
        return new.kind != memory_pb2.MEMORY_KIND_EPISODE or named or self.create_time_given

    def known_as(self, memory: Any) -> bool:
        """Whether a memory that is there says it already."""
        new = self.memory
        episode = new.kind == memory_pb2.MEMORY_KIND_EPISODE
        if not self.told_apart:
            return False
        if self.message:
            return same_turn(memory, new)
        held = (memory.valid_from == new.valid_from) if self.valid_from_given else (begin(memory) <= begin(new))
        return (
            held
            and same_content(memory, new)
            and (not episode or same_turn(memory, new))
            and not (self.create_time_given and memory.create_time != new.create_time)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item: the memory that stands for it, and the one that says the same."""

    memory_id: str
    duplicate: Any = None


class Writes:
    """The mutations of one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._ns = namespace
        self._seen: Callable[[str], None] = namespace.seen

    def add(self, request: Any, now: int, made: Made) -> Any:
        """AddMemories."""
        ns = self._ns
        if request.mode == memory_pb2.ADD_MODE_INFER:
            raise Refused("FEATURE_DISABLED", feature="infer")
        items = [
            Item(
                memory=_named(episode(request, message, now), made(position)),
                path=f"messages[{position}]",
                message=True,
                create_time_given=message.HasField("create_time"),
            )
            for position, message in enumerate(request.messages)
        ]
        if request.validate_only:
            return self._would_add(items, now)
        done = ns.once("AddMemories", request, now, lambda: self._create(items, now, _origin(request), partial=False))
        response = memory_pb2.AddMemoriesResponse(
            revision=done.head, durability=request.durability, mode=memory_pb2.ADD_MODE_VERBATIM
        )
        response.changes.extend(self._creations(done, now, full=False))
        return response

    def _would_add(self, items: Sequence[Item], now: int) -> Any:
        """AddMemories with validate_only: the changes, at revision 0."""
        ns = self._ns
        batch = _Batch(ns, ns.all_visible(now))
        response = memory_pb2.AddMemoriesResponse(
            revision=ns.head, durability=common_pb2.DURABILITY_ACCEPTED, mode=memory_pb2.ADD_MODE_VERBATIM
        )
        for item in items:
            known = batch.known_as(item)
            if known is None:
                batch.create(item)
                change = response.changes.add(action=Change.ACTION_ADDED, memory=basic(item.memory))
            else:
                change = response.changes.add(
                    action=Change.ACTION_UNCHANGED, memory=basic(known), reason="already known"
                )
                change.duplicate.memory_id, change.duplicate.exact = known.memory_id, True
            if known is None or not known.revision:
                change.memory.namespace, change.memory.etag = ns.name, '"0"'
                change.memory.update_time.SetInParent()
        return response

    def create(self, request: Any, now: int, made: Made) -> Any:
        """CreateMemory."""
        item = self._item(request, "", now, made(0))
        done = self._ns.once(
            "CreateMemory", request, now, lambda: self._create([item], now, _origin(request), partial=False)
        )
        response = memory_pb2.CreateMemoryResponse(revision=done.head, durability=request.durability)
        response.changes.extend(self._creations(done, now, full=True))
        if response.changes:
            response.memory.CopyFrom(response.changes[0].memory)
        for event in self._ns.made(done, Event.EVENT_TYPE_SUPERSEDED):
            response.changes.add(
                action=Change.ACTION_SUPERSEDED,
                memory=event.after,
                previous_text=event.before.text,
                reason=event.reason,
            )
        return response

    def batch_create(self, request: Any, now: int, made: Made) -> tuple[Any, Mapping[int, Refused]]:
        """BatchCreateMemories: the response without its errors, and these by position."""
        refused: dict[int, Refused] = {}
        items: list[Item] = []
        positions: list[int] = []
        for position, item in enumerate(request.items):
            try:
                items.append(self._item(item, f"items[{position}].", now, made(position)))
                positions.append(position)
            except Refused as refusal:
                if not request.allow_partial:
                    raise
                refused[position] = refusal
        done = self._ns.once(
            "BatchCreateMemories",
            request,
            now,
            lambda: self._create(items, now, _origin(request), partial=request.allow_partial),
        )
        created = {e.memory_id: e.after for e in self._ns.made(done, Event.EVENT_TYPE_CREATED)}
        response = memory_pb2.BatchCreateMemoriesResponse(revision=done.head, durability=request.durability)
        outcomes = dict(zip(positions, done.outcome or (), strict=False))
        for position in range(len(request.items)):
            result = response.results.add()
            outcome = outcomes.get(position)
            if isinstance(outcome, Refused):
                refused[position] = outcome
            elif outcome is not None:
                if outcome.duplicate is not None:
                    result.duplicate.CopyFrom(outcome.duplicate)
                if outcome.duplicate is not None and not outcome.duplicate.stored:
                    result.memory.CopyFrom(self._then(outcome.memory_id, done, now))
                elif outcome.memory_id in created:
                    result.memory.CopyFrom(created[outcome.memory_id])
        if refused and created:
            self._seen("batch partly refused")
        return response, refused

    def update(self, request: Any, now: int) -> Any:
        """UpdateMemory."""
        ns, memory_id = self._ns, request.memory_id
        mask = mask_of(request)
        if "*" in request.update_mask.paths and len(request.update_mask.paths) > 1:
            raise Refused("FIELD_INVALID", "update_mask")
        if "text" in mask and not request.memory.text:
            raise Refused("FIELD_INVALID", "memory.text")

        def decide(found: Mapping[str, Any]) -> tuple[Sequence[Draft], Any]:
            before = self._existing(memory_id, found, request.etag)
            after = patched(before, request)
            if {"valid_from", "valid_until"} & set(mask) and empty_interval(after):
                raise Refused("FIELD_INVALID", "memory.valid_until")
            if _bytes(after) == _bytes(before):
                self._seen("update that changes nothing")
                return (), None
            return [Draft(type=Event.EVENT_TYPE_UPDATED, memory_id=memory_id, after=after, reason=request.reason)], None

        done = ns.once("UpdateMemory", request, now, lambda: ns.commit([memory_id], decide, now, _origin(request)))
        updated = ns.made(done, Event.EVENT_TYPE_UPDATED)
        shown = updated[0].after if updated else self._then(memory_id, done, now)
        return memory_pb2.UpdateMemoryResponse(memory=shown, revision=done.head, durability=request.durability)

    def delete(self, request: Any, now: int) -> Any:
        """DeleteMemory."""
        done = self._delete("DeleteMemory", request, [request.memory_id], request.etag, now)
        deleted = self._ns.made(done, Event.EVENT_TYPE_DELETED)
        if not deleted:
            self._seen("deletion of what is missing")
        return memory_pb2.DeleteMemoryResponse(revision=done.head if deleted else 0, durability=request.durability)

    def batch_delete(self, request: Any, now: int) -> Any:
        """BatchDeleteMemories."""
        done = self._delete("BatchDeleteMemories", request, list(request.memory_ids), "", now)
        deleted = len(self._ns.made(done, Event.EVENT_TYPE_DELETED))
        if 0 < deleted < len(request.memory_ids):
            self._seen("batch deletion of what is partly missing")
        return memory_pb2.BatchDeleteMemoriesResponse(
            deleted_count=deleted, revision=done.head, durability=request.durability
        )

    def _delete(self, method: str, request: Any, memory_ids: list[str], etag: str, now: int) -> Done:
        def decide(found: Mapping[str, Any]) -> tuple[Sequence[Draft], Any]:
            drafts = []
            for memory_id in memory_ids:
                if memory_id not in found and request.allow_missing:
                    continue
                self._existing(memory_id, found, etag)
                drafts.append(Draft(type=Event.EVENT_TYPE_DELETED, memory_id=memory_id, reason=request.reason))
            return drafts, None

        return self._ns.once(method, request, now, lambda: self._ns.commit(memory_ids, decide, now, _origin(request)))

    def _item(self, request: Any, path: str, now: int, made: str) -> Item:
        """One memory to create, once its fields have been looked at."""
        memory = request.memory
        if not memory.text:
            raise Refused("FIELD_INVALID", f"{path}memory.text")
        if not (memory.scope.HasField("user_id") or memory.scope.HasField("agent_id")):
            raise Refused("FIELD_INVALID", f"{path}memory.scope")
        return Item(
            memory=_named(stored(memory, now), request.memory_id or made),
            path=f"{path}memory",
            supersedes=request.supersedes,
            own=bool(request.memory_id or request.supersedes),
            create_time_given=memory.HasField("create_time"),
            valid_from_given=memory.HasField("valid_from"),
        )

    def _creations(self, done: Done, now: int, *, full: bool) -> list[Any]:
        """One change for each item, in their order: ADDED, or UNCHANGED for what was known already."""
        created = {e.memory_id: e.after for e in self._ns.made(done, Event.EVENT_TYPE_CREATED)}
        changes = []
        for outcome in done.outcome or [Outcome(memory_id) for memory_id in created]:
            change = Change(action=Change.ACTION_ADDED)
            if outcome.duplicate is not None and not outcome.duplicate.stored:
                change.action, change.reason = Change.ACTION_UNCHANGED, "already known"
                memory = self._then(outcome.memory_id, done, now)
            elif outcome.memory_id in created:
                memory = created[outcome.memory_id]
            else:
                continue
            change.memory.CopyFrom(memory if full else basic(memory))
            if outcome.duplicate is not None:
                change.duplicate.CopyFrom(outcome.duplicate)
            changes.append(change)
        return changes

    def _then(self, memory_id: str, done: Done, now: int) -> Any:
        """A memory as it was after the mutation; only its id when it has been removed since."""
        made = [e.after for e in self._ns.made(done, Event.EVENT_TYPE_CREATED) if e.memory_id == memory_id]
        life = self._ns.visible(memory_id, now)
        then = made[0] if made else life.at(done.head) if life is not None else None
        if then is None:
            self._seen("duplicate removed since")
        return then or Memory(namespace=self._ns.name, memory_id=memory_id)

    def _create(self, items: Sequence[Item], now: int, origin: Origin, *, partial: bool) -> Done:
        named = [*(i.memory.memory_id for i in items), *(other for i in items for other in i.supersedes)]

        def decide(found: Mapping[str, Any]) -> tuple[Sequence[Draft], Any]:
            batch = _Batch(self._ns, self._ns.all_visible(now))
            outcomes: list[Outcome | Refused] = []
            for item in items:
                try:
                    outcomes.append(batch.store(item))
                except Refused as refusal:
                    if not partial:
                        raise
                    outcomes.append(refusal)
            return batch.drafts(), outcomes

        done = self._ns.commit(named, decide, now, origin)
        created = {e.memory_id for e in self._ns.made(done, Event.EVENT_TYPE_CREATED)}
        known = {o.duplicate.memory_id for o in done.outcome if isinstance(o, Outcome) and o.duplicate is not None}
        done.mentions = frozenset(known - created)
        return done

    def _existing(self, memory_id: str, found: Mapping[str, Any], etag: str = "") -> Any:
        if memory_id not in found:
            raise Refused("MEMORY_NOT_FOUND", namespace=self._ns.name, memory_id=memory_id)
        if etag and etag != found[memory_id].etag:
            self._seen("etag mismatch")
            raise Refused("ETAG_MISMATCH", memory_id=memory_id, current_etag=found[memory_id].etag)
        return found[memory_id]


class _Batch:
    """Creations of one mutation: a later one sees the earlier ones."""

    def __init__(self, namespace: Namespace, found: Mapping[str, Any]) -> None:
        self._ns = namespace
        self._found = found
        self._created: dict[str, Any] = {}
        self._begun: dict[str, Any] = {}
        self._closed: dict[str, tuple[Any, str]] = {}

    def store(self, item: Item) -> Outcome:
        """Creates the memory, unless it need not be stored."""
        if empty_interval(item.memory):
            raise Refused("FIELD_INVALID", f"{item.path}.valid_until")
        known = self.known_as(item)
        if known is None:
            self.create(item)
            return Outcome(item.memory.memory_id)
        duplicate = memory_pb2.Duplicate(memory_id=known.memory_id, exact=True, stored=item.own)
        if item.own:
            self.create(item)
            self._ns.seen("duplicate stored")
            return Outcome(item.memory.memory_id, duplicate)
        self._ns.seen("message sent before" if item.message else "duplicate not stored")
        return Outcome(known.memory_id, duplicate)

    def known_as(self, item: Item) -> Any | None:
        """The memory that says it already: the oldest version of those stored, then of those made here."""
        there = sorted(self._found.values(), key=lambda memory: int(memory.revision))
        for before in (*there, *self._begun.values()):
            # As it is by now: it may have been superseded here.
            if item.known_as(before) and item.known_as(self._known(before.memory_id)):
                return self._known(before.memory_id)
        return None

    def create(self, item: Item) -> None:
        """Creates the memory, and closes what it supersedes."""
        memory = item.memory
        if memory.memory_id in self._found or memory.memory_id in self._created:
            raise Refused("MEMORY_ALREADY_EXISTS", namespace=self._ns.name, memory_id=memory.memory_id)
        if memory.memory_id in item.supersedes:
            raise Refused("FIELD_INVALID", f"{item.path.removesuffix('memory')}supersedes")
        new, closed = settled(memory, [self._known(other) for other in item.supersedes])
        if new.superseded_by:
            self._ns.seen("new memory stored closed")
        for other in closed:
            if other.memory_id in self._created:
                self._ns.seen("superseded within a batch")
                self._created[other.memory_id] = other
            else:
                self._ns.seen("superseded")
                self._closed[other.memory_id] = (other, memory.memory_id)
        self._created[memory.memory_id] = new
        if item.told_apart:
            self._begun[memory.memory_id] = new

    def drafts(self) -> list[Draft]:
        """What is closed comes before what closes it."""
        return [
            *(
                Draft(type=Event.EVENT_TYPE_SUPERSEDED, memory_id=i, after=after, reason=f"superseded by {by}")
                for i, (after, by) in self._closed.items()
            ),
            *(Draft(type=Event.EVENT_TYPE_CREATED, memory_id=i, after=m) for i, m in self._created.items()),
        ]

    def _known(self, memory_id: str) -> Any:
        if memory_id in self._created:
            return self._created[memory_id]
        if memory_id in self._closed:
            return self._closed[memory_id][0]
        if memory_id not in self._found:
            raise Refused("MEMORY_NOT_FOUND", namespace=self._ns.name, memory_id=memory_id)
        return self._found[memory_id]


def _named(memory: Any, memory_id: str) -> Any:
    memory.memory_id = memory_id
    return memory


def _origin(request: Any) -> Origin:
    return Origin(request_id=request.request_id)


def _bytes(memory: Any) -> bytes:
    """Tells apart what compares as equal: 0.0 and -0.0."""
    data: bytes = memory.SerializeToString(deterministic=True)
    return data
