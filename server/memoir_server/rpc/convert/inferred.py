"""What inference did, in the contract's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from memoir.v1 import memory_pb2 as pb
from memoir_server.domain.inference.facts import Dropped, DropReason
from memoir_server.domain.inference.usage import Usage
from memoir_server.rpc.convert.memory import write_duplicate, write_memory
from memoir_server.service.inferred import InferredItem


def write_inferred(changes: Any, namespace: str, items: Sequence[InferredItem]) -> None:
    """Adds a MemoryChange for each decision, in their order."""
    for item in items:
        change = changes.add(
            action=int(item.action), previous_text=item.previous_text, reason=item.reason, source_quote=item.quote
        )
        if item.memory is not None:
            write_memory(change.memory, item.memory, full=True)
        else:
            # Removed since: only its id is left to tell.
            change.memory.namespace = namespace
            change.memory.memory_id = item.memory_id
        if item.duplicate is not None:
            write_duplicate(change.duplicate, item.duplicate)


_REASONS: Final = {
    DropReason.QUOTE_NOT_FOUND: pb.DroppedFact.REASON_QUOTE_NOT_FOUND,
    DropReason.QUOTE_TOO_SHORT: pb.DroppedFact.REASON_QUOTE_TOO_SHORT,
    DropReason.KIND_NOT_WANTED: pb.DroppedFact.REASON_KIND_NOT_WANTED,
    DropReason.PERSONAL_DATA: pb.DroppedFact.REASON_PERSONAL_DATA,
    DropReason.SAID_TWICE: pb.DroppedFact.REASON_SAID_TWICE,
    DropReason.NOT_THE_USERS_REQUEST: pb.DroppedFact.REASON_NOT_THE_USERS_REQUEST,
}


def write_dropped(target: Any, dropped: Sequence[Dropped]) -> None:
    """Adds a DroppedFact for each thing that was left out."""
    for each in dropped:
        target.add(text=each.text, quote=each.quote, reason=_REASONS[each.reason])


def write_usage(target: pb.InferenceUsage, usage: Usage) -> None:
    """Sets an InferenceUsage message."""
    target.llm_calls = usage.calls
    target.prompt_tokens = usage.prompt_tokens
    target.completion_tokens = usage.completion_tokens
    target.model = usage.model
