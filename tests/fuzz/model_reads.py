"""What every read of the ledger answers: get, list, history and watch, now and as of a past moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memoir.v1 import memory_pb2
from tests.fuzz.model_filter import check, holds
from tests.fuzz.model_log import Event, Namespace, covers, memory_of
from tests.fuzz.model_memory import Refused, basic, begin, end, micros


@dataclass(frozen=True, slots=True)
class Place:
    """Where a listing of memories stands: the moment all its pages are read at, and the last memory shown."""

    revision: int
    last: tuple[int, str] | None = None


class Reads:
    """The reads of one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._ns = namespace

    def get(self, request: Any, now: int) -> Any:
        """GetMemory."""
        ns = self._ns
        revision = self._moment(request)
        life = ns.visible(request.memory_id, now)
        version = None if life is None else life.at(revision)
        if version is None:
            raise Refused("MEMORY_NOT_FOUND", namespace=ns.name, memory_id=request.memory_id)
        full = request.view != memory_pb2.MEMORY_VIEW_BASIC
        return memory_pb2.GetMemoryResponse(memory=version if full else basic(version))

    def start(self, request: Any) -> Place:
        """Where the first page of a ListMemories begins."""
        if request.HasField("filter"):
            check(request.filter, "filter", self._ns.families)
        return Place(self._moment(request))

    def listing(self, request: Any, place: Place, now: int) -> list[Any]:
        """Everything a ListMemories has yet to show, in order."""
        ns = self._ns
        reference = ns.commit_time(place.revision) if request.HasField("as_of") else now
        found = []
        for memory_id in ns.current:
            life = ns.visible(memory_id, now)
            version = None if life is None else life.at(place.revision)
            if version is not None and self._lists(request, version, reference):
                found.append(version)
        found.sort(key=order)
        if place.last is not None:
            found = [memory for memory in found if order(memory) > place.last]
        return found if request.view == memory_pb2.MEMORY_VIEW_FULL else [basic(memory) for memory in found]

    def _lists(self, request: Any, memory: Any, reference: int) -> bool:
        if request.HasField("valid_at"):
            moment = micros(request.valid_at)
            true = begin(memory) <= moment < end(memory)
        else:
            true = request.include_superseded or end(memory) > reference
        return (
            true
            and covers(request.scope, memory.scope)
            and within(request.create_time_range, micros(memory.create_time))
            and (not request.HasField("filter") or holds(request.filter, memory))
        )

    def history(self, request: Any, *, after: int, until: int) -> list[Any]:
        """Events of a ListHistory with after < revision <= until, as it has yet to show them."""
        return [e for e in self._ns.events[after:until] if self._shows(request.filter, e)]

    def history_range(self, request: Any) -> tuple[int, int]:
        """The revisions (after, until] that a ListHistory is about, fixed by its first page."""
        told = [e.revision for e in self._ns.events if within(request.commit_time_range, micros(e.commit_time))]
        return (told[0] - 1, told[-1]) if told else (0, 0)

    def watched(self, filter_: Any, *, after: int) -> list[Any]:
        """Events a watch delivers: erased ones under every filter, so that there is no gap."""
        return [e for e in self._ns.events[after:] if e.type == Event.EVENT_TYPE_ERASED or self._shows(filter_, e)]

    def _shows(self, filter_: Any, event: Any) -> bool:
        memory = memory_of(event)
        scoped = bool(filter_.scope.ListFields())
        return (
            (not filter_.types or event.type in filter_.types)
            and (not filter_.memory_id or event.memory_id == filter_.memory_id)
            and (not scoped or (memory is not None and covers(filter_.scope, memory.scope)))
        )

    def _moment(self, request: Any) -> int:
        """The revision that a read is of."""
        ns = self._ns
        moment = request.as_of.WhichOneof("moment") if request.HasField("as_of") else None
        if moment is None:
            return ns.head
        if moment == "time":
            return ns.revision_at(micros(request.as_of.time))
        if request.as_of.revision > ns.head:
            raise Refused("FIELD_INVALID", "as_of.revision")
        return int(request.as_of.revision)


def order(memory: Any) -> tuple[int, str]:
    """Newest create_time first, then by id."""
    return -micros(memory.create_time), memory.memory_id


def within(range_: Any, time: int) -> bool:
    """Whether the time lies in a TimeRange."""
    return (not range_.HasField("start_time") or micros(range_.start_time) <= time) and (
        not range_.HasField("end_time") or time < micros(range_.end_time)
    )
