"""Events of the history."""

from __future__ import annotations

from typing import Any

from memoir.v1 import history_pb2
from memoir_server.domain.change import Change, EventType
from memoir_server.ports.ledger import HistoryQuery
from memoir_server.rpc.convert.memory import read_scope, write_memory
from memoir_server.rpc.convert.time import write_time


def read_history_filter(filter_: Any, *, after: int, until: int | None = None) -> HistoryQuery:
    """A HistoryFilter message as a query over after < revision <= until."""
    return HistoryQuery(
        after=after,
        until=until,
        scope=read_scope(filter_.scope),
        memory_id=filter_.memory_id or None,
        types=frozenset(EventType(t) for t in filter_.types),
    )


def write_history_event(target: history_pb2.HistoryEvent, change: Change) -> None:
    """Sets a HistoryEvent message. Memories are complete: the history is the record."""
    target.revision = change.revision
    write_time(target.commit_time, change.commit_time)
    target.type = change.type  # type: ignore[assignment]  # the numbers are the contract's
    if change.type is EventType.ERASED:
        return
    target.memory_id = change.memory_id
    if change.before is not None:
        write_memory(target.before, change.before, full=True)
    if change.after is not None:
        write_memory(target.after, change.after, full=True)
    origin = change.origin
    target.actor.principal = origin.actor.principal
    target.actor.kind = origin.actor.kind  # type: ignore[assignment]
    target.reason = change.reason
    target.request_id = origin.request_id
    target.traceparent = origin.traceparent
    target.reset_id = origin.reset_id
