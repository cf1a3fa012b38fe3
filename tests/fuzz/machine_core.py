"""What the rules of the model run share: server, model of each namespace, and the comparison of their answers."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
from google.protobuf import text_format
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from memoir.v1 import common_pb2
from memoir_server.app.testing import BEGIN
from tests.fuzz.drawing import DAY, IDS
from tests.fuzz.judging import judge
from tests.fuzz.model_log import Namespace
from tests.fuzz.model_memory import Refused, at
from tests.fuzz.model_reads import Place, Reads
from tests.fuzz.model_resets import Plan, Resets
from tests.fuzz.model_writes import Writes
from tests.fuzz.steered_server import SteeredServer
from tests.integration.harness import Refusal

TIMEOUT = 60.0
CODES: Mapping[str, grpc.StatusCode] = {
    "FIELD_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "TOKEN_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "MEMORY_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "MEMORY_ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "ETAG_MISMATCH": grpc.StatusCode.ABORTED,
    "REQUEST_ID_REUSED": grpc.StatusCode.ABORTED,
    "RESET_PLAN_STALE": grpc.StatusCode.FAILED_PRECONDITION,
    "CONFIRM_TOKEN_INVALID": grpc.StatusCode.PERMISSION_DENIED,
    "FEATURE_DISABLED": grpc.StatusCode.UNIMPLEMENTED,
}
PICKS = st.integers(0, 23)
"""Chooses among what exists at the time: even numbers what is there, odd ones an id of the pool."""
SPACES = st.sampled_from((0, 0, 0, 1))
AS_OF = st.tuples(
    st.sampled_from(("now", "now", "revision", "revision", "time")), st.integers(0, 40), st.sampled_from((-1, 0, 1))
)
RULES: set[str] = set()
"""Names of all rules, for the proof that each of them ran."""


@dataclass(slots=True)
class Open:
    """A listing that has more pages. Memories stand at `place`, the history after one revision and up to another."""

    request: Any
    token: str
    place: Place | tuple[int, int]
    head: int


@dataclass(slots=True)
class Space:
    """One namespace: its model, and what the server has told of it."""

    log: Namespace
    made: list[str] = field(default_factory=list)
    """Ids chosen by the server."""
    sent: list[tuple[str, Any]] = field(default_factory=list)
    """Mutations with a request_id."""
    unchanged: list[tuple[str, Any, str]] = field(default_factory=list)
    """Those of them that changed nothing, with the memory they answered with."""
    added: list[Any] = field(default_factory=list)
    """Conversations that were added."""
    listings: list[Open] = field(default_factory=list)
    histories: list[Open] = field(default_factory=list)
    resumable: list[tuple[Any, str, int]] = field(default_factory=list)
    """Filter, resume token and revision of listed histories."""
    plans: list[Plan] = field(default_factory=list)
    touched: bool = False

    @property
    def name(self) -> str:
        return self.log.name

    @property
    def writes(self) -> Writes:
        return Writes(self.log)

    @property
    def reads(self) -> Reads:
        return Reads(self.log)

    @property
    def resets(self) -> Resets:
        return Resets(self.log)

    def some_id(self, pick: int) -> str:
        """An id of a memory that exists, or one of the pool, or one that the server made."""
        existing = sorted(self.log.current)
        known = [*IDS, *self.made[-4:]]
        return existing[pick // 2 % len(existing)] if existing and pick % 2 == 0 else known[pick // 2 % len(known)]

    def as_of(self, drawn: tuple[str, int, int]) -> Any:
        """A moment at or near a revision that there is; None for now."""
        form, number, shift = drawn
        revision = number % (self.log.head + 2)
        if form == "now":
            return None
        if form == "revision":
            return common_pb2.AsOf(revision=revision)
        return common_pb2.AsOf(time=at(self.log.commit_time(min(revision, self.log.head)) + shift))


def step(
    when: Callable[[Any], bool] | None = None, *, first: bool = False, **arguments: Any
) -> Callable[[Callable[..., None]], Any]:
    """A rule of the machine, counted each time it runs. With `when` it waits for its time; with `first` it begins."""

    def decorate(function: Callable[..., None]) -> Any:
        name = function.__name__
        RULES.add(name)

        @functools.wraps(function)
        def counted(self: Core, **given: Any) -> None:
            function(self, **given)
            self.tally[name] += 1

        made = (initialize if first else rule)(**arguments)(counted)  # type: ignore[no-untyped-call]
        return made if when is None else precondition(when)(made)

    return decorate


def crowded(least: int) -> Callable[[Core], bool]:
    """Whether so many memories are there that some can be spared: a precondition."""
    return lambda self: sum(len(space.log.current) for space in self.spaces) >= least


def holding(kind: str) -> Callable[[Core], bool]:
    """Whether any space holds something of the kind: a precondition."""
    return lambda self: any(getattr(space, kind) for space in self.spaces)


class Core(RuleBasedStateMachine):
    """Two namespaces of their own on a server that outlives the machine."""

    server: ClassVar[SteeredServer]
    tally: ClassVar[Counter[str]]
    _runs: ClassVar[itertools.count[int]] = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        # What earlier runs left to expire must not fill the sweeps of this one.
        self.server.clock.time = BEGIN + 10_000 * DAY
        self.server.sweep()
        self.server.clock.time = BEGIN
        number = next(self._runs)
        self.spaces = [Space(Namespace(f"run{number}{letter}", self.saw)) for letter in "ab"]

    @property
    def now(self) -> int:
        """The server's time, in microseconds."""
        return self.server.clock.time

    def among(self, kind: str, pick: int) -> tuple[Space, Any]:
        """One of what the spaces hold of a kind, and its space; the newest of each space first."""
        held = [(space, item) for space in self.spaces for item in reversed(getattr(space, kind))]
        return held[pick % len(held)]

    def saw(self, what: str) -> None:
        """Counts something that has come to pass."""
        self.tally[what] += 1

    def ask(self, stub: Any, request: Any) -> Any:
        """The response, or the Refusal."""
        try:
            return stub(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            return judge(error, request)

    def compare(self, method: str, actual: Any, predict: Callable[[], Any]) -> bool:
        """Holds the answer to the prediction; tells whether it was accepted."""
        try:
            expected = predict()
        except Refused as refusal:
            if not isinstance(actual, Refusal):
                raise AssertionError(f"{method} was accepted, not refused with {refusal}: {shown(actual)}") from None
            same_refusal(actual, refusal)
            self.tally[f"{method} refused"] += 1
            return False
        assert not isinstance(actual, Refusal), f"{method} was refused: {actual}, not answered: {shown(expected)}"
        same(actual, expected, method)
        self.tally[f"{method} accepted"] += 1
        return True


def same_refusal(actual: Refusal, expected: Refused) -> None:
    """Code, reason, fields and metadata are as predicted."""
    assert (actual.reason, actual.code) == (expected.reason, CODES[expected.reason]), (actual, expected)
    metadata = dict(expected.metadata)
    if expected.fields:
        metadata["field"] = expected.fields[0]
    if expected.reason == "FIELD_INVALID":
        assert actual.fields == expected.fields, (actual, expected)
    assert actual.metadata == metadata, (actual, expected)


def refusal_in(status: Any) -> Refusal:
    """The refusal in a google.rpc.Status inside a response."""
    details = {}
    for packed in status.details:
        name = packed.type_url.rpartition(".")[2]
        details[name] = getattr(error_details_pb2, name)()
        assert packed.Unpack(details[name])
    info = details["ErrorInfo"]
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return Refusal(code, info.reason, dict(info.metadata), details)


def same(actual: Any, expected: Any, what: str) -> None:
    """Equal to the last bit: compared as bytes, since 0.0 and -0.0 are equal as messages."""
    if _bytes(actual) != _bytes(expected):
        raise AssertionError(f"{what}: the server says\n{shown(actual)}\nthe model says\n{shown(expected)}")


def same_all(actual: Sequence[Any], expected: Sequence[Any], what: str) -> None:
    """The same messages in the same order."""
    for position, (one, other) in enumerate(zip(actual, expected, strict=False)):
        same(one, other, f"{what}, {position}")
    assert len(actual) == len(expected), (
        f"{what}: {len(actual)}, not {len(expected)}: {[shown(m) for m in [*actual, *expected][:40]]}"
    )


def shown(message: Any) -> str:
    """A message for a human."""
    return text_format.MessageToString(message, as_one_line=True, as_utf8=True) or "(empty)"


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data
