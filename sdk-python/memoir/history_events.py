"""History: events, and the signs of life of a watch."""

from dataclasses import dataclass, field
from datetime import datetime

from memoir.enums import ACTOR_KIND, EVENT_TYPE, ActorKind, EventType
from memoir.memory import Memory, memory_from_proto
from memoir.v1 import history_pb2
from memoir.values import datetime_from_proto


@dataclass(frozen=True, slots=True)
class Actor:
    """Who caused a change."""

    principal: str
    kind: ActorKind


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One committed change.

    Attributes:
        revision: position in the log of the namespace; counts up by one.
        before: None for CREATED and ERASED. after: None for DELETED, EXPIRED and ERASED.
        request_id, traceparent: of the mutation. reset_id: of the reset that caused it. Empty where there is none.
        resume_token: when the event came from a watch, `watch(resume_token=...)` goes on after it. Else empty.
    """

    revision: int
    commit_time: datetime | None
    type: EventType
    memory_id: str
    before: Memory | None
    after: Memory | None
    actor: Actor
    reason: str
    request_id: str
    traceparent: str
    reset_id: str
    resume_token: str
    message: history_pb2.HistoryEvent = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Sign of life of a watch: everything up to `revision` was considered."""

    revision: int
    caught_up: bool
    resume_token: str


def history_event_from_proto(message: history_pb2.HistoryEvent, resume_token: str = "") -> HistoryEvent:
    """Convert an event."""
    return HistoryEvent(
        message.revision,
        datetime_from_proto(message.commit_time) if message.HasField("commit_time") else None,
        EVENT_TYPE.decode(message.type),
        message.memory_id,
        memory_from_proto(message.before) if message.HasField("before") else None,
        memory_from_proto(message.after) if message.HasField("after") else None,
        Actor(message.actor.principal, ACTOR_KIND.decode(message.actor.kind)),
        message.reason,
        message.request_id,
        message.traceparent,
        message.reset_id,
        resume_token,
        message,
    )


def watch_item_from_proto(message: history_pb2.WatchHistoryResponse) -> HistoryEvent | Bookmark | None:
    """Convert an item of a watch; None for a kind this package does not know."""
    match message.WhichOneof("item"):
        case "event":
            return history_event_from_proto(message.event, message.resume_token)
        case "bookmark":
            return Bookmark(message.bookmark.revision, message.bookmark.caught_up, message.resume_token)
        case _:
            return None
