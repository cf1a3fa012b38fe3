"""Memories made in one mutation: what is stored, what it supersedes, and what was known already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memoir_server.domain.change import Draft, EventType, make_draft
from memoir_server.domain.duplicate import Duplicate, Twin, said_code
from memoir_server.domain.errors import FieldInvalid, MemoryAlreadyExists, MemoryNotFound
from memoir_server.domain.memory import Memory
from memoir_server.domain.supersession import supersede
from memoir_server.service.duplicates import Nearby


def check_interval(memory: Memory, path: str) -> None:
    """Raises FieldInvalid for a memory that would be true at no time."""
    if memory.valid_from is not None and memory.valid_until is not None and memory.valid_until <= memory.valid_from:
        raise FieldInvalid(f"{path}.valid_until", "must be later than valid_from (which is create_time unless set)")


class Creations:
    """At most one draft per memory; later items see earlier ones. `found` as in Decide."""

    def __init__(self, namespace: str, found: Mapping[str, Memory]) -> None:
        self._namespace = namespace
        self._found = found
        self._created: dict[str, Memory] = {}
        self._closed: dict[str, tuple[Memory, str]] = {}
        self._saying: dict[int, list[str]] = {}
        for memory in sorted(found.values(), key=lambda memory: memory.revision):
            self._note(said_code(memory), memory.memory_id)
        self._positions: dict[int, str] = {}

    def twin(self, twin: Twin | None) -> Memory | None:
        """The memory that says the same: the oldest of those that are stored, then of those made here."""
        if twin is None:
            return None
        for memory_id in self._saying.get(twin.code, ()):
            # As it is by now: it may have been superseded here.
            memory = self._current(memory_id)
            if twin.matches(memory):
                return memory
        return None

    def nearest(self, candidates: Sequence[Nearby]) -> tuple[Memory, float] | None:
        """The nearest of the candidates that is still as it was when it was compared, and its cosine."""
        for near in candidates:
            if near.memory is None:
                memory_id = self._positions.get(near.position, "")
                if memory_id and not self._created[memory_id].superseded_by:
                    return self._created[memory_id], near.cosine
            else:
                memory = self._found.get(near.memory.memory_id)
                if (
                    memory is not None
                    and memory.revision == near.memory.revision
                    and memory.memory_id not in self._closed
                ):
                    return memory, near.cosine
        return None

    def create(self, memory: Memory, supersedes: Sequence[str], path: str, *, position: int, twin: Twin | None) -> None:
        """Adds one memory. Raises what CreateMemory would; nothing of the item is kept then. `path` is the memory's in
        the request; a memory without a twin is not one that others could repeat."""
        check_interval(memory, path)
        if memory.memory_id in self._found or memory.memory_id in self._created:
            raise MemoryAlreadyExists(self._namespace, memory.memory_id)
        if memory.memory_id in supersedes:
            raise FieldInvalid(path.removesuffix("memory") + "supersedes", "a memory cannot supersede itself")
        if supersedes or memory.supersedes:
            memory = self._supersede(memory, supersedes)
        self._created[memory.memory_id] = memory
        self._positions[position] = memory.memory_id
        if twin is not None:
            # One that a later memory closes at once says something else, and nobody repeats that within a batch.
            self._note(twin.code, memory.memory_id)

    def _supersede(self, memory: Memory, supersedes: Sequence[str]) -> Memory:
        """Closes the others; returns the memory as it is stored then."""
        settled = supersede(memory, [self._current(other) for other in supersedes])
        for closed in settled.closed:
            if closed.memory_id in self._created:
                self._created[closed.memory_id] = closed
            else:
                self._closed[closed.memory_id] = (closed, memory.memory_id)
        return settled.memory

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
            make_draft(type=EventType.CREATED, memory_id=memory_id, after=memory)
            for memory_id, memory in self._created.items()
        ]
        return closings + creations

    def mentions(self, duplicates: Iterable[Duplicate]) -> list[str]:
        """Ids of the duplicates that are not made here."""
        return list(dict.fromkeys(d.memory_id for d in duplicates if d.memory_id not in self._created))

    def _note(self, code: int, memory_id: str) -> None:
        self._saying.setdefault(code, []).append(memory_id)

    def _current(self, memory_id: str) -> Memory:
        if memory_id in self._created:
            return self._created[memory_id]
        if memory_id in self._closed:
            return self._closed[memory_id][0]
        memory = self._found.get(memory_id)
        if memory is None:
            raise MemoryNotFound(self._namespace, memory_id)
        return memory
