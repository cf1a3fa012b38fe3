"""Rules that read, and what holds after every step."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant

from memoir.v1 import common_pb2, history_pb2, memory_pb2
from tests.fuzz.drawing import SCOPES, TIMES, filters, history_filters, rarely, time_ranges
from tests.fuzz.machine_core import (
    AS_OF,
    PICKS,
    SPACES,
    TIMEOUT,
    Core,
    Open,
    Space,
    holding,
    same_all,
    same_refusal,
    step,
)
from tests.fuzz.model_memory import Refused, at
from tests.fuzz.model_reads import Place, order
from tests.integration.harness import Refusal

VIEWS = st.sampled_from((0, 1, 2))
LOOKS = 4
"""Revisions in a row."""
SIZES = st.sampled_from((1, 1, 1, 2, 3, 0))


class ReadRules(Core):
    """Every read of the ledger."""

    @step(space=SPACES, pick=PICKS, view=VIEWS, as_of=AS_OF)
    def get(self, space: int, pick: int, view: Any, as_of: Any) -> None:
        known = self.spaces[space]
        request = memory_pb2.GetMemoryRequest(
            namespace=known.name, memory_id=known.some_id(pick), view=view, as_of=known.as_of(as_of)
        )
        actual = self.ask(self.server.memory.GetMemory, request)
        if self.compare("GetMemory", actual, lambda: known.reads.get(request, self.now)) and request.HasField("as_of"):
            self.saw("get as of")

    @step(
        space=SPACES,
        scope=rarely(st.sampled_from(SCOPES), one_in=2),
        filter_=rarely(filters(), one_in=2),
        created=rarely(time_ranges(), one_in=6),
        superseded=st.booleans(),
        as_of=AS_OF,
        valid_at=rarely(st.sampled_from(TIMES), one_in=6),
        view=VIEWS,
        size=SIZES,
        whole=st.booleans(),
    )
    def list_first(
        self,
        space: int,
        scope: Any,
        filter_: Any,
        created: Any,
        superseded: bool,
        as_of: Any,
        valid_at: Any,
        view: Any,
        size: int,
        whole: bool,
    ) -> None:
        """Lists a first page, or all pages at once."""
        known = self.spaces[space]
        request = memory_pb2.ListMemoriesRequest(
            namespace=known.name,
            page_size=size,
            scope=scope,
            filter=filter_,
            create_time_range=created,
            include_superseded=superseded,
            as_of=known.as_of(as_of),
            valid_at=valid_at,
            view=view,
        )
        self._list(known, request, None)
        if whole:
            self._to_the_end(known, request)

    @step(space=SPACES, filter_=filters(), as_of=AS_OF, valid_at=st.sampled_from(TIMES))
    def list_by_filter(self, space: int, filter_: Any, as_of: Any, valid_at: Any) -> None:
        """Lists what a filter lets through, and what its negation does of what was true at a moment."""
        known = self.spaces[space]
        opposite = common_pb2.Filter()
        getattr(opposite, "not").CopyFrom(filter_)
        for wanted, moment in ((filter_, None), (opposite, valid_at)):
            request = memory_pb2.ListMemoriesRequest(
                namespace=known.name,
                page_size=2,
                include_superseded=True,
                filter=wanted,
                as_of=known.as_of(as_of),
                valid_at=moment,
            )
            self._list(known, request, None)
            self._to_the_end(known, request)

    def _to_the_end(self, known: Space, request: Any) -> None:
        while known.listings and known.listings[-1].request is request:
            self._continue(known, known.listings[-1], request)
            self.saw("listing continued at once")

    def open_both(self, space: Space) -> None:
        """First pages of a listing of everything, and of the history."""
        everything = memory_pb2.ListMemoriesRequest(namespace=space.name, page_size=1, include_superseded=True)
        self._list(space, everything, None)
        events = history_pb2.ListHistoryRequest(namespace=space.name, page_size=1)
        self._history(space, events, *space.reads.history_range(events))

    @step(
        lambda self: holding("listings")(self) or holding("histories")(self),
        pick=PICKS,
        misused=st.sampled_from((False, False, False, True)),
        size=SIZES,
        memories=st.booleans(),
    )
    def next_page(self, pick: int, misused: bool, size: int, memories: bool) -> None:
        """Goes on with a listing or a history, whatever has been changed since."""
        if holding("listings")(self) and (memories or not holding("histories")(self)):
            self._next_memories(*self.among("listings", pick), misused, size)
        else:
            self._next_events(*self.among("histories", pick), misused, size)

    def _next_memories(self, known: Space, open_: Open, misused: bool, size: int) -> None:
        request = memory_pb2.ListMemoriesRequest()
        request.CopyFrom(open_.request)
        request.page_token, request.page_size = open_.token, size
        if misused:
            request.include_superseded = not request.include_superseded
            self._refuse_token(self.ask(self.server.memory.ListMemories, request))
            return
        if known.log.head != open_.head:
            self.saw("listing continued after a change")
        self._continue(known, open_, request)

    def _continue(self, space: Space, open_: Open, request: Any) -> None:
        request.page_token = open_.token
        space.listings.remove(open_)
        assert isinstance(open_.place, Place)
        self._list(space, request, open_.place)

    def _list(self, space: Space, request: Any, place: Place | None) -> None:
        actual = self.ask(self.server.memory.ListMemories, request)

        def predict() -> Any:
            nonlocal place
            place = place or space.reads.start(request)
            memories = space.reads.listing(request, place, self.now)
            size = request.page_size or 50
            token = getattr(actual, "next_page_token", "")
            assert bool(token) == (len(memories) > size), f"token {token!r}: {len(memories)} left, pages of {size}"
            return memory_pb2.ListMemoriesResponse(
                memories=memories[:size], next_page_token=token, revision=place.revision
            )

        accepted = self.compare("ListMemories", actual, predict)
        if not accepted:
            return
        assert place is not None
        for form in ("filter", "as_of", "valid_at", "create_time_range"):
            if request.HasField(form) and actual.memories:
                self.saw(f"list by {form}")
        if actual.next_page_token:
            last = order(actual.memories[-1])
            space.listings.append(Open(request, actual.next_page_token, Place(place.revision, last), space.log.head))

    @step(
        space=SPACES,
        filter_=history_filters(),
        pick=rarely(PICKS, one_in=3),
        moments=rarely(st.tuples(PICKS, PICKS, st.integers(-1, 1)), one_in=3),
        size=SIZES,
    )
    def history_first(self, space: int, filter_: Any, pick: int | None, moments: Any, size: int) -> None:
        known = self.spaces[space]
        if pick is not None:
            filter_.memory_id = known.some_id(pick)
        request = history_pb2.ListHistoryRequest(namespace=known.name, page_size=size, filter=filter_)
        if moments is not None:
            first, second, shift = moments
            ends = sorted(known.log.commit_time(n % (known.log.head + 1)) + shift for n in (first, second))
            request.commit_time_range.start_time.CopyFrom(at(ends[0]))
            if ends[1] > ends[0]:
                request.commit_time_range.end_time.CopyFrom(at(ends[1]))
        after, until = known.reads.history_range(request)
        self._history(known, request, after, until)

    def _next_events(self, known: Space, open_: Open, misused: bool, size: int) -> None:
        request = history_pb2.ListHistoryRequest()
        request.CopyFrom(open_.request)
        request.page_token, request.page_size = open_.token, size
        if misused:
            unasked: Any = next(t for t in range(1, 9) if t not in request.filter.types)
            request.filter.types.append(unasked)
            self._refuse_token(self.ask(self.server.history.ListHistory, request))
            return
        if known.log.head != open_.head:
            self.saw("history continued after a change")
        known.histories.remove(open_)
        assert isinstance(open_.place, tuple)
        self._history(known, request, *open_.place)

    def _history(self, space: Space, request: Any, after: int, until: int) -> None:
        actual = self.ask(self.server.history.ListHistory, request)
        events = space.reads.history(request, after=after, until=until)
        size = request.page_size or 50

        def predict() -> Any:
            token = getattr(actual, "next_page_token", "")
            assert bool(token) == (len(events) > size), f"token {token!r}: {len(events)} left, pages of {size}"
            resume = getattr(actual, "resume_token", "")
            assert resume
            return history_pb2.ListHistoryResponse(events=events[:size], next_page_token=token, resume_token=resume)

        assert self.compare("ListHistory", actual, predict)
        if actual.next_page_token:
            reached = actual.events[-1].revision
            space.histories.append(Open(request, actual.next_page_token, (reached, until), space.log.head))
            space.resumable.append((request.filter, actual.resume_token, reached))

    @step(
        space=SPACES,
        filter_=history_filters(),
        start=st.integers(1, 20),
        form=st.sampled_from(("revision", "time", "token")),
    )
    def watch(self, space: int, filter_: Any, start: int, form: str) -> None:
        """Follows the history from a place up to now."""
        known = self.spaces[space]
        request = history_pb2.WatchHistoryRequest(namespace=known.name, filter=filter_)
        revision = 1 + start % (known.log.head + 1)
        after = revision - 1
        if form == "token" and known.resumable:
            filter_, request.resume_token, after = known.resumable[start % len(known.resumable)]
            request.filter.CopyFrom(filter_)
            self.saw("watch from a listing's resume token")
        elif form == "time" and revision <= known.log.head:
            request.start_time.CopyFrom(at(known.log.commit_time(revision)))
        else:
            request.start_revision = revision
        call = self.server.history.WatchHistory(request, timeout=TIMEOUT)
        events = []
        for response in call:
            if response.WhichOneof("item") == "bookmark":
                assert response.bookmark.caught_up
                break
            events.append(response.event)
        call.cancel()
        same_all(events, known.reads.watched(request.filter, after=after), "WatchHistory")
        self.tally["WatchHistory accepted"] += 1

    @step(space=SPACES, oldest=st.integers(0, 40), by_time=st.booleans(), superseded=st.booleans())
    def look_back(self, space: int, oldest: int, by_time: bool, superseded: bool) -> None:
        """Lists everything as of several revisions in a row, or as of their commit times."""
        known = self.spaces[space]
        start = oldest % (known.log.head + 1)
        for revision in range(start, min(start + LOOKS, known.log.head) + 1):
            time = at(known.log.commit_time(revision))
            as_of = common_pb2.AsOf(time=time) if by_time else common_pb2.AsOf(revision=revision)
            request = memory_pb2.ListMemoriesRequest(
                namespace=known.name,
                page_size=1000,
                include_superseded=superseded,
                as_of=as_of,
                view=memory_pb2.MEMORY_VIEW_FULL,
            )
            self._list(known, request, None)

    @invariant()
    def history_and_memories_are_as_predicted(self) -> None:
        """After every step the whole log of what was touched, and everything that can be seen of it."""
        for space in self.spaces:
            if not space.touched:
                continue
            space.touched = False
            told = self.server.history.ListHistory(
                history_pb2.ListHistoryRequest(namespace=space.name, page_size=1000), timeout=TIMEOUT
            )
            same_all(told.events, space.log.events, "the history")
            request = memory_pb2.ListMemoriesRequest(
                namespace=space.name, page_size=1000, include_superseded=True, view=memory_pb2.MEMORY_VIEW_FULL
            )
            self._list(space, request, None)

    def _refuse_token(self, actual: Any) -> None:
        assert isinstance(actual, Refusal), f"a token of another listing was taken: {actual}"
        same_refusal(actual, Refused("TOKEN_INVALID", field="page_token"))
        self.saw("page token of another listing")
