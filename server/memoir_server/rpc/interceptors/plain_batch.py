"""Batches of plain memories, which need not be checked item by item.

Checking a hundred items by the contract's rules takes longer than reading them, and nearly all items of large batches
set the same three or four fields. So these fields are checked here first, by the same rules. That an item is plain says
that no rule of the contract refuses it; that it is not says nothing, and the contract's rules decide. A test holds this
against them, and notices when a rule of one of these fields changes.
"""

from __future__ import annotations

import re
from typing import Any, Final

from google.protobuf.message import Message

BATCH: Final = "memoir.v1.BatchCreateMemoriesRequest"
MOST_ITEMS: Final = 500
MOST_CHARACTERS: Final = 65_536

_memory_id: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}").fullmatch
_scope_id: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}").fullmatch


def sample_of(request: Message) -> Message | None:
    """A request of one item that breaks a rule exactly when this one does; None where that cannot be told quickly."""
    if request.DESCRIPTOR.full_name != BATCH:
        return None
    batch: Any = request
    if not 1 < len(batch.items) <= MOST_ITEMS or not all(map(_plain, batch.items)):
        return None
    sample: Any = type(request)(
        namespace=batch.namespace,
        allow_partial=batch.allow_partial,
        durability=batch.durability,
        request_id=batch.request_id,
    )
    sample.items.add().CopyFrom(batch.items[0])
    return sample  # type: ignore[no-any-return]  # a Message, as its class is


def _plain(item: Any) -> bool:
    memory = None
    for field, value in item.ListFields():
        name = field.name
        if name == "memory":
            memory = value
        elif name != "memory_id" or _memory_id(value) is None:
            return False
    if memory is None:
        return False
    for field, value in memory.ListFields():
        name = field.name
        if name == "text":
            if len(value) > MOST_CHARACTERS:
                return False
        elif name == "scope":
            for _, identity in value.ListFields():
                if _scope_id(identity) is None:
                    return False
        elif name not in _UNRULED:
            return False
    return True


_UNRULED: Final = frozenset({"create_time", "valid_from"})
"""Fields of a memory that the contract has no rule for."""
