"""The comparator notices every change, and lets pass only what a rule says."""

import copy
from collections.abc import Iterator

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from golden_runner.compare import Rules, compare, compare_errors, missing_presence
from golden_runner.contract import METHODS, AnyField, message_class
from golden_runner.corpus import load_suites
from golden_runner.paths import is_map, is_populated, map_value
from golden_runner.samples import populated, real_oneof
from memoir.v1.memory_pb2 import GetMemoryResponse, ListMemoriesResponse, Memory
from memoir.v1.search_pb2 import SearchHit, SearchMemoriesResponse

RESPONSES = sorted({method.response.full_name for method in METHODS.values()})
POPULATED = Rules(populated_only=True)


def variants(type_name: str) -> Iterator[Message]:
    """The response with every field set, and once for each further arm of its oneofs."""
    descriptor = message_class(type_name).DESCRIPTOR
    yield populated(descriptor)
    for oneof in descriptor.oneofs:
        for arm in oneof.fields[1:]:
            if real_oneof(arm) is not None:
                yield populated(descriptor, {oneof.full_name: arm.name})


def mutants(message: Message) -> Iterator[tuple[str, Message]]:
    """Copies of a message with one thing altered each: every field cleared, every scalar changed."""
    for field in message.DESCRIPTOR.fields:
        if not is_populated(message, field):
            continue
        cleared = copy.deepcopy(message)
        cleared.ClearField(field.name)
        if cleared != message:
            yield f"{field.name} cleared", cleared
        yield from changed(message, field)


def changed(message: Message, field: AnyField) -> Iterator[tuple[str, Message]]:
    value = getattr(message, field.name)
    if is_map(field):
        for key in value:
            if map_value(field).message_type is None:
                mutant = copy.deepcopy(message)
                getattr(mutant, field.name)[key] = other(value[key])
                yield f"{field.name}.{key} changed", mutant
            else:
                for what, inner in mutants(value[key]):
                    mutant = copy.deepcopy(message)
                    getattr(mutant, field.name)[key].CopyFrom(inner)
                    yield f"{field.name}.{key}.{what}", mutant
    elif field.is_repeated:
        for index, item in enumerate(value):
            if isinstance(item, Message):
                for what, inner in mutants(item):
                    mutant = copy.deepcopy(message)
                    getattr(mutant, field.name)[index].CopyFrom(inner)
                    yield f"{field.name}.{index}.{what}", mutant
            else:
                mutant = copy.deepcopy(message)
                getattr(mutant, field.name)[index] = other(item)
                yield f"{field.name}.{index} changed", mutant
    elif isinstance(value, Message):
        for what, inner in mutants(value):
            mutant = copy.deepcopy(message)
            getattr(mutant, field.name).CopyFrom(inner)
            yield f"{field.name}.{what}", mutant
    else:
        mutant = copy.deepcopy(message)
        setattr(mutant, field.name, other(value))
        yield f"{field.name} changed", mutant


def other(value: object) -> object:
    """Another value of the same type; numbers change by the least step that their type can show."""
    match value:
        case bool():
            return not value
        case int():
            return value - 1 if value > 0 else value + 1
        case float():
            return value + 2**-20
        case bytes():
            return value + b"!"
        case _:
            return f"{value}!"


@pytest.mark.parametrize("type_name", RESPONSES)
def test_every_altered_field_of_every_response_is_noticed(type_name: str) -> None:
    count = 0
    for message in variants(type_name):
        assert compare(message, copy.deepcopy(message)) == []
        for what, mutant in mutants(message):
            count += 1
            assert compare(message, mutant), f"{what} goes unnoticed"
            assert compare(mutant, message), f"{what} goes unnoticed the other way round"
            # Whatever an expectation states is held in the other mode too.
            assert compare(message, mutant, POPULATED), f"{what} goes unnoticed where only set fields are compared"
    assert count > 0


def test_every_altered_field_of_the_corpus_is_noticed() -> None:
    count = 0
    for suite in load_suites():
        for case in suite.cases:
            for step in case.steps:
                response = message_class(METHODS[step.method].response.full_name)
                for wanted in step.expect.responses:
                    text = MessageToDict(wanted)
                    if "${" in str(text):
                        continue  # needs the variables of a run
                    message = ParseDict(text, response())
                    for what, mutant in mutants(message):
                        count += 1
                        assert compare(message, mutant, POPULATED), f"{suite.name}/{case.name}: {what} goes unnoticed"
    assert count > 1_000


def test_unknown_fields_are_compared() -> None:
    plain = Memory(memory_id="m-1")
    extended = Memory.FromString(plain.SerializeToString() + b"\xf8\x3f\x01")
    assert [str(found) for found in compare(plain, extended)] == ["(unknown fields): want [], got [(1023, 0, '1')]"]


def test_set_to_default_is_not_unset() -> None:
    assert compare(Memory(importance=0.0), Memory())
    assert compare(Memory(scope={}), Memory())
    assert compare(Memory(), Memory(importance=0.0))


def test_populated_only_compares_what_is_stated() -> None:
    want = GetMemoryResponse(memory=Memory(memory_id="m-1"))
    have = GetMemoryResponse(memory=Memory(memory_id="m-1", text="t", revision=7))
    assert compare(want, have, POPULATED) == []
    assert len(compare(want, have)) == 2
    lists = ListMemoriesResponse(memories=[Memory(memory_id="m-1")])
    more = ListMemoriesResponse(memories=[Memory(memory_id="m-1"), Memory(memory_id="m-2")])
    assert compare(lists, more, POPULATED)


def test_tolerances_go_by_path() -> None:
    want = SearchMemoriesResponse(hits=[SearchHit(score=0.5, rank_score=0.5)])
    near = SearchMemoriesResponse(hits=[SearchHit(score=0.5000001, rank_score=0.5)])
    far = SearchMemoriesResponse(hits=[SearchHit(score=0.5, rank_score=0.5000001)])
    rules = Rules.from_strings(tolerances={"hits.*.score": 1e-6})
    assert compare(want, near, rules) == []
    assert compare(want, far, rules)
    assert compare(want, near)


def test_nan_equals_nan_and_nothing_else() -> None:
    nan, one = SearchHit(score=float("nan")), SearchHit(score=1.0)
    assert compare(nan, SearchHit(score=float("nan"))) == []
    assert compare(nan, one)
    assert compare(one, nan)


def test_unordered_lists_match_each_item_once() -> None:
    rules = Rules.from_strings(unordered=["memories"])
    a, b = Memory(memory_id="a"), Memory(memory_id="b")
    assert compare(ListMemoriesResponse(memories=[a, b]), ListMemoriesResponse(memories=[b, a]), rules) == []
    assert compare(ListMemoriesResponse(memories=[a, a]), ListMemoriesResponse(memories=[a, b]), rules)
    assert compare(ListMemoriesResponse(memories=[a, b]), ListMemoriesResponse(memories=[b, a]))


def test_ignored_paths_are_dropped_on_both_sides() -> None:
    rules = Rules.from_strings(ignore=["hits.*.score"])
    want, have = SearchMemoriesResponse(hits=[SearchHit(score=1)]), SearchMemoriesResponse(hits=[SearchHit(score=2)])
    assert compare(want, have, rules) == []
    assert compare(want, SearchMemoriesResponse(), rules)


def test_a_path_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError, match="no field 'colour'"):
        missing_presence(GetMemoryResponse(memory=Memory(text="t")), ["memory.colour"], [])


def test_presence_is_checked_at_every_place() -> None:
    message = ListMemoriesResponse(memories=[Memory(text="a", etag="1"), Memory(text="b")])
    assert [str(found) for found in missing_presence(message, ["memories.*.etag"], [])] == [
        "memories.1.etag: want set, got unset"
    ]
    assert [str(found) for found in missing_presence(message, [], ["memories.*.etag"])] == [
        "memories.0.etag: want unset, got '1'"
    ]
    assert missing_presence(ListMemoriesResponse(), ["memories.*.etag"], [])


def packed(*details: Message) -> list[AnyMessage]:
    out = []
    for detail in details:
        any_detail = AnyMessage()
        any_detail.Pack(detail)
        out.append(any_detail)
    return out


def test_errors_compare_details_by_type_without_order() -> None:
    info, retry = ErrorInfo(reason="R", domain="memoir.dev"), RetryInfo()
    want = Status(code=5, details=packed(info, retry))
    assert compare_errors(want, Status(code=5, message="any text", details=packed(retry, info))) == []
    assert compare_errors(want, Status(code=5, details=packed(info)))
    assert compare_errors(want, Status(code=5, details=packed(info, retry, retry)))
    assert compare_errors(want, Status(code=5, details=packed(ErrorInfo(reason="S", domain="memoir.dev"), retry)))
    assert compare_errors(Status(code=5), want)
    assert compare_errors(Status(code=5), want, populated_only=True) == []


def test_errors_compare_code_and_stated_message() -> None:
    assert compare_errors(Status(code=5), Status(code=3))
    assert compare_errors(Status(code=1), Status(code=4), [4]) == []
    assert compare_errors(Status(code=5, message="a"), Status(code=5, message="b"))
    assert compare_errors(Status(code=5), Status())
