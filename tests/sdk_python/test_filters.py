"""Filters as data: every form against the tree it stands for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from memoir import InvalidArgument, MemoryKind, and_, field, not_, or_
from memoir.filters import OPERATORS, filter_to_proto
from memoir.v1 import common_pb2
from memoir.values import metadata_value_to_proto

Operator = common_pb2.Filter.Operator


def compare(name: str, operator: str, value: Any) -> common_pb2.Filter:
    return common_pb2.Filter(
        compare=common_pb2.Filter.Comparison(
            field=name, operator=OPERATORS[operator], value=metadata_value_to_proto(value, name)
        )
    )


def tree(form: str, *filters: common_pb2.Filter) -> common_pb2.Filter:
    arms: dict[str, Any] = {form: filters[0] if form == "not" else common_pb2.Filter.FilterList(filters=filters)}
    return common_pb2.Filter(**arms)


GT_1, LT_5 = compare("metadata.score", "gt", 1), compare("metadata.score", "lt", 5)
TRAVEL = compare("metadata.topic", "eq", "travel")
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)

CASES: list[tuple[dict[str, Any], common_pb2.Filter]] = [
    ({"topic": "travel"}, TRAVEL),
    ({"metadata.topic": {"eq": "travel"}}, TRAVEL),
    ({"and": [{"score": {"gt": 1}}, {"score": {"lt": 5}}]}, tree("and", GT_1, LT_5)),
    ({"score": {"gt": 1, "lt": 5}}, tree("and", GT_1, LT_5)),
    ({"topic": "travel", "score": {"gt": 1}}, tree("and", TRAVEL, GT_1)),
    ({"or": [{"topic": "travel"}, {"not": {"score": {"gt": 1}}}]}, tree("or", TRAVEL, tree("not", GT_1))),
    (
        {"and": [{"or": [{"topic": "travel"}, {"score": {"gt": 1}}]}, {"or": [{"score": {"lt": 5}}]}]},
        tree("and", tree("or", TRAVEL, GT_1), tree("or", LT_5)),
    ),
    ({"kind": {"eq": "FACT"}}, compare("kind", "eq", "MEMORY_KIND_FACT")),
    ({"kind": MemoryKind.EVENT}, compare("kind", "eq", "MEMORY_KIND_EVENT")),
    (
        {"kind": {"in": ["FACT", "MEMORY_KIND_EVENT"]}},
        compare("kind", "in", ["MEMORY_KIND_FACT", "MEMORY_KIND_EVENT"]),
    ),
    ({"metadata.kind": "FACT"}, compare("metadata.kind", "eq", "FACT")),
    ({"create_time": {"gte": "2026-01-02T03:04:05.678901Z"}}, compare("create_time", "gte", WHEN)),
    ({"create_time": {"lt": WHEN}}, compare("create_time", "lt", WHEN)),
    ({"since": "2026-01-02T03:04:05Z"}, compare("metadata.since", "eq", "2026-01-02T03:04:05Z")),
    ({"tags": {"contains": "old"}}, compare("metadata.tags", "contains", "old")),
    ({"tags": ["a", "b"]}, compare("metadata.tags", "eq", ["a", "b"])),
    ({"flag": True}, compare("metadata.flag", "eq", True)),
    ({"ratio": {"ne": 0.5}}, compare("metadata.ratio", "ne", 0.5)),
    (
        {"user_id": {"lte": "m"}, "gone": {"exists": False}},
        tree("and", compare("user_id", "lte", "m"), compare("metadata.gone", "exists", False)),
    ),
    ({"metadata.and": 1}, compare("metadata.and", "eq", 1)),
]


@pytest.mark.parametrize(("data", "expected"), CASES, ids=[str(data) for data, _ in CASES])
def test_data(data: dict[str, Any], expected: common_pb2.Filter) -> None:
    assert filter_to_proto(data) == expected


BUILT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (and_(field("score") > 1, field("score") < 5), {"and": [{"score": {"gt": 1}}, {"score": {"lt": 5}}]}),
    (or_(field("a") >= 1, field("a") <= 2.5), {"or": [{"a": {"gte": 1}}, {"a": {"lte": 2.5}}]}),
    (not_(field("topic") == "x"), {"not": {"topic": {"eq": "x"}}}),
    (field("topic") != "x", {"topic": {"ne": "x"}}),
    (field("tags").contains("x"), {"tags": {"contains": "x"}}),
    (field("topic").in_(["x", "y"]), {"topic": {"in": ["x", "y"]}}),
    (field("topic").exists(), {"topic": {"exists": True}}),
    (field("not").eq(1), {"metadata.not": {"eq": 1}}),
]


@pytest.mark.parametrize(("built", "data"), BUILT, ids=[str(data) for _, data in BUILT])
def test_builder_gives_the_same_data_and_tree(built: dict[str, Any], data: dict[str, Any]) -> None:
    assert built == data
    assert filter_to_proto(built) == filter_to_proto(data)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"score": {"above": 1}}, "filter.score"),
        ({"and": [{"a": 1}, {"score": {"$gt": 1}}]}, "filter.and[1].score"),
        ({}, "filter"),
        ({"or": []}, "filter.or"),
        ({"and": {"a": 1}}, "filter.and"),
        ({"not": "x"}, "filter.not"),
        ({"a": {}}, "filter.a"),
        ({"a": None}, "filter.a.eq"),
        ({"a": {"eq": object()}}, "filter.a.eq"),
        ({"a": 2**63}, "filter.a.eq"),
        ({"create_time": {"gt": "yesterday"}}, "filter.create_time.gt"),
        ({"create_time": {"gt": datetime(2026, 1, 1)}}, "filter.create_time.gt"),  # noqa: DTZ001 - refused on purpose
        ("topic = 'travel'", "filter"),
        ({1: 2}, "filter"),
    ],
)
def test_refused(data: Any, place: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        filter_to_proto(data)
    assert isinstance(caught.value, ValueError)
    assert caught.value.field_violations[0].field == place
    assert caught.value.reason == "FIELD_INVALID"


def test_none_is_no_filter() -> None:
    assert filter_to_proto(None) is None
    assert filter_to_proto(TRAVEL) is TRAVEL
