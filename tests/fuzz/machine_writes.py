"""Rules that write."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from memoir.v1 import common_pb2, memory_pb2
from tests.fuzz.drawing import DAY, OWNERS, PASSING, REASONS, TEXTS, TIMES, VALUES, memories, rarely
from tests.fuzz.machine_core import PICKS, SPACES, Core, Space, crowded, holding, refusal_in, same_refusal, step
from tests.fuzz.model_memory import MUTABLE

DURABILITIES = st.sampled_from((1, 1, 1, 2))
REQUEST_IDS = st.sampled_from(("", "", "r1", "r2", "r3"))
OWN_IDS = st.sampled_from((True, True, False))
ETAGS = st.sampled_from(("none", "none", "current", "stale", "garbage"))
MASKS: st.SearchStrategy[list[str]] = st.one_of(
    st.just([]),
    st.just(["*"]),
    st.lists(st.sampled_from((*MUTABLE, "valid_until", "metadata")), max_size=3, unique=True),
)
TURNS = st.sampled_from(("", "", "m1"))
THERE = st.integers(0, 11).map(lambda number: 2 * number)
"""Picks of what is there."""
SUPERSEDED = st.lists(st.one_of(THERE, THERE, PICKS), max_size=2)


class WriteRules(Core):
    """Every mutation, its repeats, and the passing of time between them."""

    @step(
        space=SPACES,
        pick=PICKS,
        own=OWN_IDS,
        memory=memories(),
        supersedes=SUPERSEDED,
        how=DURABILITIES,
        key=REQUEST_IDS,
    )
    def create(self, space: int, pick: int, own: bool, memory: Any, supersedes: list[int], how: Any, key: str) -> None:
        self._create(self.spaces[space], pick, own, memory, supersedes, how, key)

    @step(space=SPACES, pick=PICKS, memory=memories(), other=PICKS, key=REQUEST_IDS)
    def create_in_contradiction(self, space: int, pick: int, memory: Any, other: int, key: str) -> None:
        """As `create`, but a memory that is most often there is superseded."""
        self._create(self.spaces[space], pick | 1, False, memory, [other & ~1], 1, key)

    def _create(
        self, space: Space, pick: int, own: bool, memory: Any, supersedes: list[int], how: Any, key: str
    ) -> None:
        request = memory_pb2.CreateMemoryRequest(
            memory_id=space.some_id(pick) if own else "", memory=memory, durability=how, request_id=key
        )
        request.supersedes.extend(dict.fromkeys(space.some_id(other) for other in supersedes))
        self.write(space, "CreateMemory", request)

    @step(
        crowded(1),
        pick=PICKS,
        without=st.lists(st.sampled_from(("create_time", "valid_from", "provenance")), max_size=2, unique=True),
        own=st.sampled_from((False, False, True)),
        key=REQUEST_IDS,
    )
    def create_again(self, pick: int, without: list[str], own: bool, key: str) -> None:
        """Sends what a memory says already, with or without the times that a server may fill in."""
        known = next(space for space in (*self.spaces, *self.spaces) if space.log.current)
        request = memory_pb2.CreateMemoryRequest(
            durability="DURABILITY_ACCEPTED", request_id=key, memory_id="again" if own else ""
        )
        request.memory.CopyFrom(known.log.current[sorted(known.log.current)[pick % len(known.log.current)]].latest)
        for field in without:
            request.memory.ClearField(field)
        self.write(known, "CreateMemory", request)

    @step(
        space=SPACES,
        items=st.lists(st.tuples(PICKS, OWN_IDS, memories(), SUPERSEDED), min_size=1, max_size=4),
        partial=st.booleans(),
        how=DURABILITIES,
        key=REQUEST_IDS,
    )
    def batch_create(self, space: int, items: list[Any], partial: bool, how: Any, key: str) -> None:
        known = self.spaces[space]
        request = memory_pb2.BatchCreateMemoriesRequest(allow_partial=partial, durability=how, request_id=key)
        earlier: list[str] = []
        for pick, own, memory, supersedes in items:
            item = request.items.add(memory_id=known.some_id(pick) if own else "", memory=memory)
            others = [
                earlier[n // 2 % len(earlier)] if earlier and n % 4 == 0 else known.some_id(n) for n in supersedes
            ]
            item.supersedes.extend(dict.fromkeys(others))
            if item.memory_id:
                earlier.append(item.memory_id)
        self.write(known, "BatchCreateMemories", request)

    @step(
        space=SPACES,
        scope=st.sampled_from(OWNERS),
        messages=st.lists(
            st.tuples(
                st.sampled_from(TEXTS), st.sampled_from(("", "Ana")), TURNS, rarely(st.sampled_from(TIMES), one_in=2)
            ),
            min_size=1,
            max_size=3,
        ),
        value=rarely(st.sampled_from(VALUES), one_in=2),
        mode=st.sampled_from((0, 2, 2, 2, 1)),
        only=st.sampled_from((False, False, False, True)),
        how=DURABILITIES,
        key=REQUEST_IDS,
    )
    def add(
        self, space: int, scope: Any, messages: list[Any], value: Any, mode: Any, only: bool, how: Any, key: str
    ) -> None:
        request = memory_pb2.AddMemoriesRequest(
            scope=scope, mode=mode, validate_only=only, durability=how, request_id=key
        )
        for content, actor, turn, time in messages:
            request.messages.add(
                role=memory_pb2.ROLE_USER, content=content, actor_id=actor, message_id=turn, create_time=time
            )
        if value is not None:
            request.metadata["k"].CopyFrom(value)
        self.write(self.spaces[space], "AddMemories", request)

    @step(holding("added"), pick=PICKS, time=rarely(st.sampled_from(TIMES), one_in=2), key=REQUEST_IDS)
    def add_again(self, pick: int, time: Any, key: str) -> None:
        """Sends messages that were sent before, perhaps with another time."""
        known, sent = self.among("added", pick)
        request = memory_pb2.AddMemoriesRequest()
        request.CopyFrom(sent)
        request.request_id, request.validate_only = key, False
        if time is not None:
            request.messages[0].create_time.CopyFrom(time)
        self.write(known, "AddMemories", request)

    @step(
        space=SPACES,
        pick=PICKS,
        memory=memories(whole=False),
        mask=MASKS,
        etag=ETAGS,
        reason=st.sampled_from(REASONS),
        how=DURABILITIES,
        key=REQUEST_IDS,
    )
    def update(
        self, space: int, pick: int, memory: Any, mask: list[str], etag: str, reason: str, how: Any, key: str
    ) -> None:
        known = self.spaces[space]
        request = memory_pb2.UpdateMemoryRequest(
            memory_id=known.some_id(pick), memory=memory, reason=reason, durability=how, request_id=key
        )
        request.update_mask.paths.extend(dict.fromkeys(mask))
        request.etag = _etag(known, request.memory_id, etag)
        self.write(known, "UpdateMemory", request)

    @step(space=SPACES, pick=PICKS, key=REQUEST_IDS)
    def update_to_the_same(self, space: int, pick: int, key: str) -> None:
        """Sends a memory as it is."""
        known = self.spaces[space]
        memory_id = known.some_id(pick)
        request = memory_pb2.UpdateMemoryRequest(memory_id=memory_id, durability="DURABILITY_ACCEPTED", request_id=key)
        request.memory.SetInParent()
        if memory_id in known.log.current:
            request.memory.CopyFrom(known.log.current[memory_id].latest)
        self.write(known, "UpdateMemory", request)

    @step(
        crowded(2),
        space=SPACES,
        pick=PICKS,
        etag=ETAGS,
        missing=st.booleans(),
        reason=st.sampled_from(REASONS),
        how=DURABILITIES,
        key=REQUEST_IDS,
    )
    def delete(self, space: int, pick: int, etag: str, missing: bool, reason: str, how: Any, key: str) -> None:
        known = self.spaces[space]
        request = memory_pb2.DeleteMemoryRequest(
            memory_id=known.some_id(pick), reason=reason, allow_missing=missing, durability=how, request_id=key
        )
        request.etag = _etag(known, request.memory_id, etag)
        self.write(known, "DeleteMemory", request)

    @step(
        crowded(4),
        space=SPACES,
        picks=st.lists(PICKS, min_size=1, max_size=3),
        missing=st.booleans(),
        reason=st.sampled_from(REASONS),
        how=DURABILITIES,
        key=REQUEST_IDS,
    )
    def batch_delete(self, space: int, picks: list[int], missing: bool, reason: str, how: Any, key: str) -> None:
        known = self.spaces[space]
        request = memory_pb2.BatchDeleteMemoriesRequest(
            reason=reason, allow_missing=missing, durability=how, request_id=key
        )
        request.memory_ids.extend(dict.fromkeys(known.some_id(pick) for pick in picks))
        self.write(known, "BatchDeleteMemories", request)

    @step(holding("sent"), pick=PICKS, form=st.sampled_from(("same", "same", "same", "changed", "a day later")))
    def repeat(self, pick: int, form: str) -> None:
        """Sends an earlier mutation again: as it was, with another payload, or when its request_id is forgotten."""
        known, (method, sent) = self.among("sent", pick)
        request = type(sent)()
        request.CopyFrom(sent)
        if form == "changed":
            request.durability = 3 - request.durability
        elif form == "a day later":
            self.server.clock.time += DAY
        self.write(known, method, request)

    @step(holding("unchanged"), pick=PICKS)
    def repeat_when_removed(self, pick: int) -> None:
        """Repeats a mutation that changed nothing, after the memory that it answered with has been deleted."""
        known, (method, sent, memory_id) = self.among("unchanged", pick)
        gone = memory_pb2.DeleteMemoryRequest(memory_id=memory_id, allow_missing=True, durability="DURABILITY_ACCEPTED")
        self.write(known, "DeleteMemory", gone)
        request = type(sent)()
        request.CopyFrom(sent)
        self.write(known, method, request)

    @step(by=st.sampled_from(PASSING), swept=st.booleans())
    def let_time_pass(self, by: int, swept: bool) -> None:
        """Moves the clock; perhaps the sweeper records what has expired."""
        self.server.clock.time += by
        if swept:
            self._sweep()

    def _sweep(self) -> None:
        self.server.sweep()
        for space in self.spaces:
            for memory_id in sorted(space.log.current):
                if space.log.current[memory_id].gone(self.now):
                    self.saw("expiry recorded by a sweep")
                    space.log.expire(memory_id, self.now)
                    space.touched = True

    def write(self, space: Space, method: str, request: Any) -> None:
        """Sends a mutation and holds its answer to the model."""
        request.namespace = space.name
        head = space.log.head
        actual = self.ask(getattr(self.server.memory, method), request)
        errors = _take_errors(actual)
        if request.durability != common_pb2.DURABILITY_ACCEPTED and hasattr(actual, "durability"):
            # How far it got within its time is no matter of the model.
            assert actual.durability in (1, 2)
            actual.durability = request.durability

        def made(position: int) -> str:
            return _made(actual, position) or f"made-{position}"

        def predict() -> Any:
            now, writes = self.now, space.writes
            if method == "AddMemories":
                response = writes.add(request, now, made)
                response.durability = request.durability if not request.validate_only else actual.durability
                return response
            if method == "CreateMemory":
                return writes.create(request, now, made)
            if method == "BatchCreateMemories":
                response, refused = writes.batch_create(request, now, made)
                assert sorted(errors) == sorted(refused), (errors, refused)
                for position, refusal in refused.items():
                    same_refusal(errors[position], refusal)
                return response
            if method == "UpdateMemory":
                return writes.update(request, now)
            if method == "DeleteMemory":
                return writes.delete(request, now)
            return writes.batch_delete(request, now)

        if self.compare(method, actual, predict):
            if method == "AddMemories":
                space.added.append(request)
            space.made = [i for i in dict.fromkeys([*space.made, *space.log.current]) if i.startswith("0000")]
            if request.request_id:
                space.sent.append((method, request))
                if method in ("CreateMemory", "UpdateMemory") and space.log.head == head:
                    space.unchanged.append((method, request, actual.memory.memory_id))
        space.touched = True


def _etag(space: Space, memory_id: str, form: str) -> str:
    if form == "none":
        return ""
    if form == "current" and memory_id in space.log.current:
        return str(space.log.current[memory_id].latest.etag)
    return '"1"' if form == "stale" else "no-etag"


def _made(actual: Any, position: int) -> str:
    """The id at a position of a response; empty where there is none."""
    if isinstance(actual, memory_pb2.CreateMemoryResponse):
        return actual.memory.memory_id
    if isinstance(actual, memory_pb2.BatchCreateMemoriesResponse) and position < len(actual.results):
        return actual.results[position].memory.memory_id
    if isinstance(actual, memory_pb2.AddMemoriesResponse) and position < len(actual.changes):
        return actual.changes[position].memory.memory_id
    return ""


def _take_errors(actual: Any) -> dict[int, Any]:
    """Takes the errors out of a batch's results, by position."""
    errors = {}
    if isinstance(actual, memory_pb2.BatchCreateMemoriesResponse):
        for position, result in enumerate(actual.results):
            if result.HasField("error"):
                errors[position] = refusal_in(result.error)
                result.ClearField("error")
    return errors
