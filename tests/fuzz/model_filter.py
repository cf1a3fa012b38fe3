"""The meaning of a Filter message, worked out from the contract's words alone."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Set
from typing import Any

from memoir.v1 import common_pb2, memory_pb2
from tests.fuzz.model_memory import Refused, at, micros

Families = Mapping[str, Set[str]]
"""Families ever stored under each metadata key."""

FORMS = {
    "string_value": "string", "int_value": "number", "double_value": "number", "bool_value": "bool",
    "timestamp_value": "timestamp", "string_list": "strings",
}  # fmt: skip
"""Family of each form of a MetadataValue: families compare with themselves only."""
BUILT_IN = {
    **dict.fromkeys(
        ("memory_id", "text", "kind", "user_id", "agent_id", "session_id", "actor_id", "message_id"), "string"
    ),
    "importance": "number",
    **dict.fromkeys(("create_time", "update_time", "valid_from", "valid_until", "expire_time"), "timestamp"),
}
Filter = common_pb2.Filter
ORDERED: Mapping[int, Callable[[Any, Any], bool]] = {
    Filter.OPERATOR_LESS: operator.lt,
    Filter.OPERATOR_LESS_OR_EQUAL: operator.le,
    Filter.OPERATOR_GREATER: operator.gt,
    Filter.OPERATOR_GREATER_OR_EQUAL: operator.ge,
}


def family(value: Any) -> str:
    """Family of a MetadataValue."""
    return FORMS[value.WhichOneof("kind")]


def check(filter_: Any, path: str, stored: Families) -> None:
    """Raises Refused, with the path, for the first comparison that the contract refuses."""
    form = filter_.WhichOneof("form")
    if form == "compare":
        _check(filter_.compare, f"{path}.compare", stored)
    elif form == "not":
        check(getattr(filter_, "not"), f"{path}.not", stored)
    else:
        for i, child in enumerate(getattr(filter_, form).filters):
            check(child, f"{path}.{form}.filters[{i}]", stored)


def _check(compare: Any, path: str, stored: Families) -> None:
    built_in = BUILT_IN.get(compare.field)
    if built_in is None and not compare.field.startswith("metadata."):
        raise Refused("FIELD_INVALID", f"{path}.field")
    constant, op = family(compare.value), compare.operator
    needed = constant
    if op == Filter.OPERATOR_EXISTS:
        fits = constant == "bool"
    elif op in ORDERED:
        fits = constant in ("number", "string", "timestamp")
    elif op == Filter.OPERATOR_CONTAINS:
        fits, needed = constant == "string", "strings"
    elif op == Filter.OPERATOR_IN:
        fits, needed = constant == "strings", "string"
    else:
        fits = True
    known = {built_in} if built_in else stored.get(compare.field.removeprefix("metadata."))
    if not fits or (op != Filter.OPERATOR_EXISTS and known and needed not in known):
        raise Refused("FIELD_INVALID", f"{path}.value")


def holds(filter_: Any, memory: Any) -> bool:
    """Whether the memory satisfies a filter that `check` lets pass."""
    form = filter_.WhichOneof("form")
    if form == "and":
        return all(holds(f, memory) for f in getattr(filter_, "and").filters)
    if form == "or":
        return any(holds(f, memory) for f in getattr(filter_, "or").filters)
    if form == "not":
        return not holds(getattr(filter_, "not"), memory)
    return _compares(filter_.compare, _value(memory, filter_.compare.field))


def _compares(compare: Any, found: tuple[str, Any] | None) -> bool:
    op = compare.operator
    kind, constant = family(compare.value), plain(compare.value)
    if op == Filter.OPERATOR_EXISTS:
        return bool((found is not None) == constant)
    if op == Filter.OPERATOR_NOT_EQUAL:
        return found != (kind, constant)
    if found is None:
        return False
    if op == Filter.OPERATOR_EQUAL:
        return found == (kind, constant)
    if op == Filter.OPERATOR_CONTAINS:
        return found[0] == "strings" and constant in found[1]
    if op == Filter.OPERATOR_IN:
        return found[0] == "string" and found[1] in constant
    return found[0] == kind and ORDERED[op](found[1], constant)


def plain(value: Any) -> Any:
    """A MetadataValue in Python: text, number, truth, microseconds, or list of text."""
    form = value.WhichOneof("kind")
    if form == "timestamp_value":
        return micros(value.timestamp_value)
    return list(value.string_list.values) if form == "string_list" else getattr(value, form)


def _value(memory: Any, field: str) -> tuple[str, Any] | None:
    """Family and value of a field; None where it is absent."""
    if field.startswith("metadata."):
        key = field.removeprefix("metadata.")
        return (family(memory.metadata[key]), plain(memory.metadata[key])) if key in memory.metadata else None
    kind = BUILT_IN[field]
    if kind == "timestamp":
        return (kind, micros(getattr(memory, field))) if memory.HasField(field) else None
    if field == "importance":
        return (kind, memory.importance) if memory.HasField("importance") else None
    if field == "kind":
        return kind, memory_pb2.MemoryKind.Name(memory.kind)
    if field in ("actor_id", "message_id"):
        text = getattr(memory.provenance[0], field) if memory.provenance else ""
        return (kind, text) if text else None
    if field in ("user_id", "agent_id", "session_id"):
        return (kind, getattr(memory.scope, field)) if memory.scope.HasField(field) else None
    return kind, getattr(memory, field)


def cut_times(filter_: Any) -> None:
    """Cuts timestamps to the microseconds that are kept."""
    form = filter_.WhichOneof("form")
    if form == "not":
        cut_times(getattr(filter_, "not"))
    elif form != "compare":
        for child in getattr(filter_, form).filters:
            cut_times(child)
    elif filter_.compare.value.HasField("timestamp_value"):
        time = filter_.compare.value.timestamp_value
        time.CopyFrom(at(micros(time)))
