"""Strategies for what the model run sends. Pools are small on purpose: collisions, ties and overlaps are the point."""

from __future__ import annotations

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from memoir.v1 import common_pb2, history_pb2, memory_pb2, reset_pb2
from memoir_server.app.testing import BEGIN

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
IDS = ("a", "b", "c", "Z", "d/e:f@g.h_i-j", "0")
TEXTS = ("likes tea", "likes milk", "茶が好き", "\U0001f600", "Ana met Bob\x00", "Likes tea")
KEYS = ("k", "tags", "n-1")
REASONS = ("", "", "corrected", "用户 asked")
_SCOPES = (
    {"user_id": "ana"},
    {"user_id": "ana", "session_id": "s1"},
    {"user_id": "ana", "agent_id": "bot"},
    {"user_id": "bob"},
    {"user_id": "bob", "session_id": "s1"},
    {"agent_id": "bot"},
    {"user_id": "用户"},
)
OWNERS = tuple(common_pb2.Scope(**fields) for fields in _SCOPES)
SCOPES = (*OWNERS, common_pb2.Scope(), common_pb2.Scope(session_id="s1"), common_pb2.Scope(user_id="an"))
_OFFSETS = (0, 0, 1, -1, -HOUR, HOUR, -DAY, -DAY, DAY, 3 * DAY, -400 * DAY)


def _time(offset: int, nanos: int = 0) -> Timestamp:
    seconds, rest = divmod(BEGIN + offset, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000 + nanos)


TIMES = (
    *(_time(offset) for offset in _OFFSETS), _time(HOUR, 999), Timestamp(seconds=-62_135_596_800),
    Timestamp(seconds=253_402_300_799, nanos=999_999_999),
)  # fmt: skip
SOON = (_time(1), _time(MINUTE), _time(HOUR), _time(2 * DAY), _time(-1), _time(900 * DAY))
PASSING = (1, 1_000, 1_000_000, MINUTE, 20 * MINUTE, HOUR, 25 * HOUR)
"""By how much the clock is moved."""


def _values() -> tuple[Any, ...]:
    value = common_pb2.MetadataValue
    strings = common_pb2.StringList
    return (
        *(value(string_value=text) for text in ("", "x", "likes tea")),
        *(value(int_value=number) for number in (0, 1, -7, 2**53 + 1, 2**63 - 1, -(2**63))),
        *(value(double_value=number) for number in (0.0, -0.0, 1.0, 2.0**53, -1.5, 5e-324)),
        value(bool_value=True),
        value(bool_value=False),
        value(timestamp_value=TIMES[0]),
        value(timestamp_value=_time(HOUR, 999)),
        *(value(string_list=strings(values=items)) for items in ((), ("x",), ("x", "likes tea", "x"))),
    )


VALUES = _values()
WORDS = tuple(common_pb2.MetadataValue(string_value=text) for text in (*IDS[:2], *TEXTS[:3], "ana", "s1", "Ana", "m1"))
NUMBERS = (
    *(v for v in VALUES if v.WhichOneof("kind") in ("int_value", "double_value")),
    common_pb2.MetadataValue(double_value=0.25),
)
MOMENTS = tuple(common_pb2.MetadataValue(timestamp_value=time) for time in TIMES)
KINDS = tuple(
    common_pb2.MetadataValue(string_value=name) for name in ("MEMORY_KIND_FACT", "MEMORY_KIND_EPISODE", "FACT")
)
TEXT_FIELDS = ("memory_id", "text", "user_id", "agent_id", "session_id", "actor_id", "message_id")
TIME_FIELDS = ("create_time", "update_time", "valid_from", "valid_until", "expire_time")
OPERATORS = tuple(range(1, 10))
ORDERING: tuple[int, ...] = (1, 2, 3, 4, 5, 6)


def rarely(strategy: st.SearchStrategy[Any], *, one_in: int = 4) -> st.SearchStrategy[Any]:
    """None, but for one time in so many."""
    return st.integers(0, one_in - 1).flatmap(lambda n: strategy if n == one_in - 1 else st.none())


@st.composite
def memories(draw: Any, *, whole: bool = True) -> Any:
    """A Memory as a request carries it; not `whole`: as an update does, with few fields."""
    few = 3 if whole else 5
    memory = memory_pb2.Memory()
    if whole or draw(st.booleans()):
        memory.text = draw(st.sampled_from(TEXTS + (("",) if draw(st.integers(0, 15)) == 15 else ())))
    if whole:
        memory.scope.CopyFrom(draw(st.sampled_from(OWNERS * 3 + (common_pb2.Scope(session_id="s1"),))))
    memory.kind = draw(st.sampled_from((0, 0, 0, 1, 2, 6)))
    for field, times, one_in in (
        ("create_time", TIMES, few),
        ("valid_from", TIMES, few),
        ("valid_until", TIMES, 5),
        ("expire_time", SOON, 4),
    ):
        time = draw(rarely(st.sampled_from(times), one_in=one_in))
        if time is not None:
            getattr(memory, field).CopyFrom(time)
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=2, unique=True)):
        memory.metadata[key].CopyFrom(draw(st.sampled_from(VALUES)))
    importance = draw(rarely(st.sampled_from((0.0, 0.25, 1.0)), one_in=few))
    if importance is not None:
        memory.importance = importance
    if draw(st.integers(0, few - 1)) >= 2:
        _fill_sources(draw, memory)
    return memory


def _fill_sources(draw: Any, memory: Any) -> None:
    for actor in draw(st.lists(st.sampled_from(("", "Ana")), max_size=2)):
        provenance = memory.provenance.add(actor_id=actor, message_id="m1" if actor else "", role=1, quote="I do")
        provenance.create_time.CopyFrom(draw(st.sampled_from(TIMES)))
    if draw(st.booleans()):
        memory.entities.add(name="Ana", type=draw(st.sampled_from(("", "person"))), aliases=["Anna"])
    if draw(st.booleans()):
        relation = memory.relations.add(subject="Ana", predicate="LIVES_IN", object="Ghent")
        if draw(st.booleans()):
            relation.confidence = 0.25
            relation.valid_from.CopyFrom(draw(st.sampled_from(TIMES)))


@st.composite
def comparisons(draw: Any) -> Any:
    """A comparison that fits more often than not."""
    compare = common_pb2.Filter.Comparison()
    form = draw(st.integers(0, 11))
    if form < 4:
        field, operators, values = draw(st.sampled_from(TEXT_FIELDS)), ORDERING, WORDS
    elif form == 4:
        field, operators, values = "importance", ORDERING, NUMBERS
    elif form < 7:
        field, operators, values = draw(st.sampled_from(TIME_FIELDS)), ORDERING, MOMENTS
    elif form == 7:
        field, operators, values = "kind", ORDERING, KINDS
    elif form < 11:
        field, operators, values = f"metadata.{draw(st.sampled_from((*KEYS, 'never')))}", OPERATORS, VALUES
    else:
        fields = (*TEXT_FIELDS, *TIME_FIELDS, "importance", "nothing", "text.x")
        field, operators, values = draw(st.sampled_from(fields)), OPERATORS, VALUES
    compare.field, compare.operator = field, draw(st.sampled_from(operators))
    if compare.operator == common_pb2.Filter.OPERATOR_EXISTS:
        values = tuple(v for v in VALUES if v.HasField("bool_value"))
    elif compare.operator == common_pb2.Filter.OPERATOR_IN and field.startswith("metadata."):
        values = tuple(v for v in VALUES if v.HasField("string_list"))
    compare.value.CopyFrom(draw(st.sampled_from(values)))
    return common_pb2.Filter(compare=compare)


def filters() -> st.SearchStrategy[Any]:
    """A Filter, at most three deep."""

    def joined(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        def combine(form: str, parts: list[Any]) -> Any:
            filter_ = common_pb2.Filter()
            if form == "not":
                getattr(filter_, form).CopyFrom(parts[0])
            else:
                getattr(filter_, form).filters.extend(parts)
            return filter_

        forms = st.sampled_from(("and", "or", "not"))
        return st.builds(combine, forms, st.lists(children, min_size=1, max_size=3))

    return st.one_of(comparisons(), comparisons(), joined(st.one_of(comparisons(), joined(comparisons()))))


@st.composite
def time_ranges(draw: Any, times: tuple[Timestamp, ...] = TIMES) -> Any:
    """A TimeRange that the contract takes."""
    ends = sorted(draw(st.tuples(st.sampled_from(times), st.sampled_from(times))), key=lambda t: (t.seconds, t.nanos))
    form = draw(st.sampled_from(("start", "end", "both")))
    range_ = common_pb2.TimeRange()
    if form != "end":
        range_.start_time.CopyFrom(ends[0])
    if form != "start" and (form == "end" or ends[0] != ends[1]):
        range_.end_time.CopyFrom(ends[1])
    return range_


@st.composite
def history_filters(draw: Any) -> Any:
    """A HistoryFilter without its memory_id."""
    filter_ = history_pb2.HistoryFilter()
    scope = draw(rarely(st.sampled_from(SCOPES), one_in=2))
    if scope is not None:
        filter_.scope.CopyFrom(scope)
    filter_.types.extend(draw(st.one_of(st.just([]), st.lists(st.integers(1, 8), max_size=3, unique=True))))
    return filter_


@st.composite
def targets(draw: Any, namespace: str) -> Any:
    """A ResetTarget."""
    target = reset_pb2.ResetTarget()
    if draw(st.integers(0, 4)) == 4:
        target.entire_namespace = draw(st.sampled_from((namespace, namespace, "elsewhere")))
    else:
        target.scope.CopyFrom(draw(st.sampled_from((*OWNERS, common_pb2.Scope(session_id="s1")))))
    preserve = draw(rarely(filters(), one_in=2))
    if preserve is not None:
        target.preserve.CopyFrom(preserve)
    flags = ("", "", "include_history", "include_history", "keep_graph", "keep_vector", "keep_vector", "keep_history")
    for flag in draw(st.lists(st.sampled_from(flags), min_size=1, max_size=draw(st.sampled_from((1, 1, 1, 2))))):
        if flag:
            setattr(target, flag, True)
    return target
