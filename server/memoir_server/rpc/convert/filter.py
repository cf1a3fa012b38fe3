"""Filters and moments of the ledger."""

from __future__ import annotations

from typing import Any

from memoir_server.domain.filter import And, Compare, Filter, Not, Operator, Or
from memoir_server.domain.search import AsOf
from memoir_server.rpc.convert.memory import read_value, write_value
from memoir_server.rpc.convert.time import read_time


def read_filter(filter_: Any, path: str) -> Filter:
    """A Filter message. Its depth is bounded by the parser here, and checked by the domain. Raises FieldInvalid."""
    form = filter_.WhichOneof("form")
    if form == "compare":
        compare = filter_.compare
        return Compare(compare.field, Operator(compare.operator), read_value(compare.value, f"{path}.compare.value"))
    if form == "not":
        return Not(read_filter(getattr(filter_, "not"), f"{path}.not"))
    children = tuple(
        read_filter(child, f"{path}.{form}.filters[{i}]") for i, child in enumerate(getattr(filter_, form).filters)
    )
    return And(children) if form == "and" else Or(children)


def read_optional_filter(message: Any, field: str, path: str) -> Filter | None:
    """The Filter in a field of a message, None where it is not set."""
    return read_filter(getattr(message, field), path) if message.HasField(field) else None


def write_filter(target: Any, filter_: Filter) -> None:
    """Sets a Filter message."""
    if isinstance(filter_, Compare):
        target.compare.field = filter_.field
        target.compare.operator = filter_.operator
        write_value(target.compare.value, filter_.value)
    elif isinstance(filter_, Not):
        write_filter(getattr(target, "not"), filter_.filter)
    else:
        children = getattr(target, "and" if isinstance(filter_, And) else "or").filters
        for child in filter_.filters:
            write_filter(children.add(), child)


def read_as_of(message: Any, path: str = "as_of") -> AsOf | None:
    """The AsOf in the field `as_of` of a message, None where it is not set. Raises FieldInvalid."""
    if not message.HasField("as_of"):
        return None
    as_of = message.as_of
    if as_of.WhichOneof("moment") == "time":
        return AsOf(time=read_time(as_of.time, f"{path}.time"))
    return AsOf(revision=as_of.revision)
