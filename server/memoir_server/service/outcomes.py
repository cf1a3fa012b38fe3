"""What a write did, and how it is kept for a duplicate of its request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from memoir_server.domain.change import Change
from memoir_server.domain.duplicate import Duplicate
from memoir_server.domain.errors import FieldInvalid, MemoirError, MemoryAlreadyExists, MemoryNotFound
from memoir_server.domain.memory import Memory
from memoir_server.domain.store import Durability


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a mutation did: its changes in order, the revision that covers them, the durability reached."""

    changes: tuple[Change, ...]
    revision: int
    durability: Durability
    refused: Mapping[int, MemoirError] = field(default_factory=dict)
    """Items of a partial batch that were not stored, by position."""
    ids: tuple[str, ...] = ()
    """Memory id of each item, also of one that was there already; empty for one that was refused."""
    duplicates: Mapping[int, Duplicate] = field(default_factory=dict)
    """Items that a memory said already, by position."""
    known: Mapping[str, Memory] = field(default_factory=dict)
    """The memories that stand for items which were not stored, as they were then; one removed since is missing."""
    guard_skipped: bool = False
    """The namespace has a cosine guard, and it could not look."""


class Outcome(msgspec.Struct):
    """What a duplicate of the request needs beside the changes."""

    ids: list[str] = msgspec.field(default_factory=list)
    refused: dict[int, tuple[str, list[str]]] = msgspec.field(default_factory=dict)
    duplicates: dict[int, Duplicate] = msgspec.field(default_factory=dict)
    guard_skipped: bool = False

    def refuse(self, refusal: MemoirError) -> None:
        """Notes that the next item is not stored. Raises the refusal when it is none of a single item."""
        self.refused[len(self.ids)] = _encode_refusal(refusal)
        self.ids.append("")

    def accept(self, memory_id: str, duplicate: Duplicate | None = None) -> None:
        """Notes the next item's memory, and the one that said the same before."""
        if duplicate is not None:
            self.duplicates[len(self.ids)] = duplicate
        self.ids.append(memory_id)

    def encoded(self) -> bytes:
        """As the ledger keeps it."""
        return msgspec.msgpack.encode(self)

    def refusals(self) -> dict[int, MemoirError]:
        """The refused items' errors, by position."""
        return {i: _REFUSALS[name](*arguments) for i, (name, arguments) in self.refused.items()}


def decode_outcome(data: bytes) -> Outcome:
    """The inverse of `encoded`; what was erased, or never kept, is an empty outcome."""
    return msgspec.msgpack.decode(data, type=Outcome) if data else Outcome()


def _encode_refusal(refusal: MemoirError) -> tuple[str, list[str]]:
    if isinstance(refusal, MemoryAlreadyExists | MemoryNotFound):
        return type(refusal).__name__, [refusal.namespace, refusal.memory_id]
    if isinstance(refusal, FieldInvalid):
        return type(refusal).__name__, [refusal.field, refusal.problem]
    raise refusal


_REFUSALS: Mapping[str, type[MemoryAlreadyExists] | type[MemoryNotFound] | type[FieldInvalid]] = {
    c.__name__: c for c in (MemoryAlreadyExists, MemoryNotFound, FieldInvalid)
}
