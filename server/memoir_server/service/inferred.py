"""What an add in mode INFER did, and how it is kept for a duplicate of its request or for its ingestion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from memoir_server.domain.change import Change, Draft, EventType
from memoir_server.domain.conversation import AddMode
from memoir_server.domain.duplicate import Duplicate
from memoir_server.domain.inference.facts import Dropped
from memoir_server.domain.inference.planning import Action, Plan
from memoir_server.domain.inference.usage import Usage
from memoir_server.domain.memory import Memory
from memoir_server.domain.store import Durability
from memoir_server.domain.time import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredItem:
    """One decision about one memory.

    `memory` is as the change left it; for DELETED and UNCHANGED the memory concerned, None where it has been removed
    since. `duplicate` is set where a memory said it already.
    """

    action: Action
    memory_id: str
    memory: Memory | None
    previous_text: str = ""
    reason: str = ""
    quote: str = ""
    duplicate: Duplicate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """What an add did.

    `mode` is VERBATIM where inference was given up and the messages were kept as they are: `kept` says why.
    `ingestion_id` is set where the work goes on.
    """

    items: tuple[InferredItem, ...] = ()
    revision: int = 0
    durability: Durability = Durability.ACCEPTED
    mode: AddMode = AddMode.INFER
    usage: Usage = field(default_factory=Usage)
    kept: str = ""
    dropped: tuple[Dropped, ...] = ()
    ingestion_id: str = ""


class ItemRecord(msgspec.Struct, array_like=True, frozen=True):
    """One decision, as far as the change itself does not tell."""

    action: int
    memory_id: str
    reason: str
    quote: str
    exact: bool = False


class Record(msgspec.Struct, frozen=True):
    """What a duplicate of the request, or a reader of the ingestion, needs beside the changes."""

    items: list[ItemRecord] = msgspec.field(default_factory=list)
    usage: Usage = msgspec.field(default_factory=Usage)
    kept: str = ""

    def encoded(self) -> bytes:
        """As the ledger keeps it."""
        return msgspec.msgpack.encode(self)

    @property
    def unchanged(self) -> list[str]:
        """Ids of the memories that are named and not changed."""
        return [item.memory_id for item in self.items if item.action == Action.UNCHANGED]


def decode_record(data: bytes) -> Record:
    """The inverse of `encoded`; what was erased, or never kept, is an empty record."""
    return msgspec.msgpack.decode(data, type=Record) if data else Record()


def decode_inferred(outcome: bytes, changes: Sequence[Change], known: Mapping[str, Memory] | None = None) -> Inferred:
    """What an add did, from its outcome as the ledger kept it and the changes of its commit as far as they are not
    erased. `known` are the memories that were named and not changed; of those that are not given, only ids are told.
    Revision and durability are for the caller to set."""
    record = decode_record(outcome)
    return Inferred(
        items=items_of(record, changes, known or {}),
        mode=AddMode.VERBATIM if record.kept else AddMode.INFER,
        usage=record.usage,
        kept=record.kept,
    )


def record_of(plan: Plan, usage: Usage) -> Record:
    """The record of a plan."""
    return Record(
        items=[
            ItemRecord(int(change.action), change.memory.memory_id, change.reason, change.quote, change.exact)
            for change in plan.changes
        ],
        usage=usage,
    )


def items_of(record: Record, changes: Sequence[Change], known: Mapping[str, Memory]) -> tuple[InferredItem, ...]:
    """The decisions with their memories. `changes` are those that were committed; a decision whose change was erased
    since is left out. `known` are the memories that were not changed, as far as they are still there."""
    by_id = {change.memory_id: change for change in changes if change.type in _EVENTS}
    items = []
    for kept in record.items:
        action = Action(kept.action)
        if action is Action.UNCHANGED:
            duplicate = Duplicate(memory_id=kept.memory_id, exact=kept.exact)
            memory = known.get(kept.memory_id)
            items.append(
                InferredItem(
                    action=action,
                    memory_id=kept.memory_id,
                    memory=memory,
                    reason=kept.reason,
                    quote=kept.quote,
                    duplicate=duplicate,
                )
            )
        elif (change := by_id.get(kept.memory_id)) is not None:
            items.append(
                InferredItem(
                    action=action,
                    memory_id=kept.memory_id,
                    memory=change.after or change.before,
                    previous_text=_previous(action, change),
                    reason=kept.reason,
                    quote=kept.quote,
                )
            )
    return tuple(items)


def would_be(namespace: str, drafts: Sequence[Draft], now: Instant) -> tuple[Change, ...]:
    """The changes that drafts would become, without a place in the log."""
    return tuple(
        Change(
            namespace=namespace,
            revision=0,
            commit_time=now,
            type=draft.type,
            memory_id=draft.memory_id,
            before=draft.before,
            after=draft.after,
            reason=draft.reason,
        )
        for draft in drafts
    )


def planned_items(plan: Plan) -> tuple[InferredItem, ...]:
    """The decisions of a plan that is not carried out."""
    return tuple(
        InferredItem(
            action=change.action,
            memory_id=change.memory.memory_id,
            memory=change.memory,
            previous_text=change.before.text
            if change.before is not None and change.action in (Action.UPDATED, Action.SUPERSEDED)
            else "",
            reason=change.reason,
            quote=change.quote,
            duplicate=Duplicate(memory_id=change.memory.memory_id, exact=change.exact)
            if change.action is Action.UNCHANGED
            else None,
        )
        for change in plan.changes
    )


_EVENTS: Final = {EventType.CREATED, EventType.UPDATED, EventType.SUPERSEDED, EventType.DELETED}


def _previous(action: Action, change: Change) -> str:
    return change.before.text if change.before and action in (Action.UPDATED, Action.SUPERSEDED) else ""
