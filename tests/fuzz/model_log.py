"""The ledger as plain dictionaries: one namespace, its events, and the lives of its memories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memoir.v1 import history_pb2
from tests.fuzz.model_filter import family
from tests.fuzz.model_memory import Memory, Refused, at, micros

Event = history_pb2.HistoryEvent
CLIENT, SYSTEM = history_pb2.Actor.ACTOR_KIND_CLIENT, history_pb2.Actor.ACTOR_KIND_SYSTEM
KEPT_US = 24 * 3600 * 1_000_000
"""How long a request_id is remembered."""


@dataclass(slots=True, eq=False)
class Life:
    """One life of a memory id, from its creation to its removal: versions by revision, and the events about it."""

    memory_id: str
    versions: dict[int, Any] = field(default_factory=dict)
    events: list[int] = field(default_factory=list)
    facts_kept: bool = False
    """A reset removed it and kept its relations."""

    @property
    def latest(self) -> Any:
        """The newest version."""
        return self.versions[max(self.versions)]

    def gone(self, now: int) -> bool:
        """Whether its expiry has passed."""
        latest = self.latest
        return latest.HasField("expire_time") and micros(latest.expire_time) <= now

    def at(self, revision: int) -> Any | None:
        """The version current at a revision."""
        known = [r for r in self.versions if r <= revision]
        return self.versions[max(known)] if known else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who makes a change, as the history tells it."""

    principal: str = "anonymous"
    kind: Any = CLIENT
    request_id: str = ""
    reset_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A change to be made."""

    type: Any
    memory_id: str
    after: Any = None
    reason: str = ""


@dataclass(slots=True)
class Done:
    """What a mutation did: its own revisions, the head after it, and what a repeat is told beside."""

    revisions: list[int]
    head: int
    outcome: Any = None
    mentions: frozenset[str] = frozenset()
    """Memories that the outcome names and the mutation has not made."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request that must not be applied again."""

    payload: bytes
    created: int
    done: Done


Decide = Callable[[Mapping[str, Any]], tuple[Sequence[Draft], Any]]
"""From the latest versions of the memories named that exist: drafts and outcome. Raises Refused."""


class Namespace:
    """One namespace. `seen` notes what has come to pass, for the proof that the run met it."""

    def __init__(self, name: str, seen: Callable[[str], None]) -> None:
        self.name = name
        self.seen = seen
        self.events: list[Any] = []
        """At revision - 1."""
        self.current: dict[str, Life] = {}
        self.removed: list[Life] = []
        self.families: dict[str, set[str]] = {}
        self.requests: dict[tuple[str, str], Recorded] = {}

    @property
    def head(self) -> int:
        """Newest revision."""
        return len(self.events)

    def commit_time(self, revision: int) -> int:
        """Microseconds; 0 before the first revision."""
        return micros(self.events[revision - 1].commit_time) if revision else 0

    def revision_at(self, time: int) -> int:
        """Last revision committed at or before."""
        return sum(1 for event in self.events if micros(event.commit_time) <= time)

    def visible(self, memory_id: str, now: int) -> Life | None:
        """The life that reads may show."""
        life = self.current.get(memory_id)
        return None if life is None or life.gone(now) else life

    def all_visible(self, now: int) -> dict[str, Any]:
        """The latest versions of everything that exists."""
        return {memory_id: life.latest for memory_id, life in self.current.items() if not life.gone(now)}

    def once(self, method: str, request: Any, now: int, act: Callable[[], Done]) -> Done:
        """Runs the mutation, or tells what the first request with its request_id did."""
        if not request.request_id:
            return act()
        key = (method, request.request_id)
        payload = _payload(request)
        recorded = self.requests.get(key)
        if recorded is not None and recorded.created > now - KEPT_US:
            if recorded.payload != payload:
                self.seen("request_id reused")
                raise Refused("REQUEST_ID_REUSED", request_id=request.request_id)
            self.seen("request repeated")
            return recorded.done
        if recorded is not None:
            self.seen("request forgotten after a day")
        done = act()
        self.requests[key] = Recorded(payload, now, done)
        return done

    def commit(self, named: Sequence[str], decide: Decide, now: int, origin: Origin) -> Done:
        """One transaction: memories named that have expired are recorded as such, unless the decision is a refusal."""
        drafts, outcome = decide({i: life.latest for i in named if (life := self.visible(i, now))})
        for memory_id in dict.fromkeys(named):
            if memory_id in self.current and self.current[memory_id].gone(now):
                self.seen("expiry recorded by a write")
                self.expire(memory_id, now)
        revisions = [self.append(draft, now, origin) for draft in drafts]
        return Done(revisions, self.head, outcome)

    def expire(self, memory_id: str, now: int) -> None:
        """Records the expiry of a memory."""
        self.append(Draft(type=Event.EVENT_TYPE_EXPIRED, memory_id=memory_id), now, Origin("memoir", SYSTEM))

    def append(self, draft: Draft, now: int, origin: Origin) -> int:
        """Writes the next event; returns its revision."""
        revision = self.head + 1
        commit_time = at(max(now, self.commit_time(self.head) + 1))
        event = Event(
            revision=revision,
            commit_time=commit_time,
            type=draft.type,
            memory_id=draft.memory_id,
            reason=draft.reason,
            request_id=origin.request_id,
            reset_id=origin.reset_id,
        )
        event.actor.principal, event.actor.kind = origin.principal, origin.kind
        life = self.current.get(draft.memory_id)
        if draft.type == Event.EVENT_TYPE_CREATED:
            if any(r.memory_id == draft.memory_id for r in self.removed):
                self.seen("id used again")
            life = self.current[draft.memory_id] = Life(draft.memory_id)
        elif life is not None:
            event.before.CopyFrom(life.latest)
        if draft.after is not None:
            event.after.CopyFrom(self._placed(draft, revision, commit_time))
            assert life is not None
            life.versions[revision] = event.after
        if life is not None:
            life.events.append(revision)
        if draft.type in (Event.EVENT_TYPE_DELETED, Event.EVENT_TYPE_EXPIRED) and life is not None:
            self.removed.append(self.current.pop(draft.memory_id))
        self.events.append(event)
        return revision

    def _placed(self, draft: Draft, revision: int, commit_time: Any) -> Any:
        memory = Memory()
        memory.CopyFrom(draft.after)
        memory.namespace, memory.memory_id = self.name, draft.memory_id
        memory.revision, memory.etag = revision, f'"{revision}"'
        memory.update_time.CopyFrom(commit_time)
        for key, value in memory.metadata.items():
            self.families.setdefault(key, set()).add(family(value))
        return memory

    def erase(self, lives: Sequence[Life]) -> None:
        """Leaves nothing of removed memories but the fact that there were events."""
        erased = {revision for life in lives for revision in life.events}
        for revision in erased:
            self.events[revision - 1] = Event(
                revision=revision,
                commit_time=self.events[revision - 1].commit_time,
                type=Event.EVENT_TYPE_ERASED,
            )
        self.removed = [life for life in self.removed if life not in lives]
        self._forget_requests(erased, {life.memory_id for life in lives})

    def _forget_requests(self, erased: set[int], memory_ids: set[str]) -> None:
        """Lets go of requests of which nothing is left, and of what others would be told beside their events."""
        for key, recorded in list(self.requests.items()):
            done = recorded.done
            if erased.isdisjoint(done.revisions) and memory_ids.isdisjoint(done.mentions):
                continue
            if all(self.events[r - 1].type == Event.EVENT_TYPE_ERASED for r in done.revisions):
                self.seen("request erased")
                del self.requests[key]
            else:
                self.seen("request partly erased")
                done.outcome, done.mentions = None, frozenset()

    def made(self, done: Done, type_: Any) -> list[Any]:
        """The events of a mutation that have the type, as far as they are not erased."""
        return [e for e in (self.events[r - 1] for r in done.revisions) if e.type == type_]

    def covered(self, scope: Any) -> list[Life]:
        """Lives of memories of a scope, removed ones included."""
        return [life for life in (*self.current.values(), *self.removed) if covers(scope, life.latest.scope)]


def covers(scope: Any, other: Any) -> bool:
    """Whether every id set in a scope is the same in the other."""
    return all(
        not scope.HasField(name) or (other.HasField(name) and getattr(scope, name) == getattr(other, name))
        for name in ("user_id", "agent_id", "session_id")
    )


def memory_of(event: Any) -> Any | None:
    """The memory an event concerns; None where that is not known."""
    if event.HasField("after"):
        return event.after
    return event.before if event.HasField("before") else None


def _payload(request: Any) -> bytes:
    copy = type(request)()
    copy.CopyFrom(request)
    copy.request_id = ""
    data: bytes = copy.SerializeToString(deterministic=True)
    return data
