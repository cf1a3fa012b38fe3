"""Filters as data: nested dicts and lists to the contract's typed tree, and functions that build such dicts.

    {"topic": "travel"}                                             metadata.topic equals "travel"
    {"score": {"gt": 1, "lt": 5}}                                   several operators on one field: all hold
    {"topic": "travel", "kind": "FACT"}                             several fields: all hold
    {"and": [{"score": {"gt": 1}}, {"score": {"lt": 5}}]}           and / or / not nest
    {"not": {"tags": {"contains": "old"}}}

A key that names a built-in field (see `BUILT_IN_FIELDS`) means that field, any other key means `metadata.<key>`;
`metadata.text` reaches a metadata key with the name of a built-in field. The type of a constant is its Python type,
except that a built-in time field takes RFC 3339 text too and `kind` takes a `MemoryKind`.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

from memoir.enums import MEMORY_KIND, MemoryKind
from memoir.errors import InvalidArgument, invalid
from memoir.v1 import common_pb2
from memoir.values import MetadataInput, metadata_value_to_proto, timestamp_to_proto

#: A filter as data, or the contract's own message for callers that already have one.
FilterInput: TypeAlias = Mapping[str, Any] | common_pb2.Filter

TIME_FIELDS: Final = frozenset({"create_time", "update_time", "valid_from", "valid_until", "expire_time"})
BUILT_IN_FIELDS: Final = TIME_FIELDS | {
    "memory_id",
    "text",
    "kind",
    "user_id",
    "agent_id",
    "session_id",
    "actor_id",
    "message_id",
    "importance",
}
OPERATORS: Final[Mapping[str, common_pb2.Filter.Operator]] = {
    "eq": common_pb2.Filter.OPERATOR_EQUAL,
    "ne": common_pb2.Filter.OPERATOR_NOT_EQUAL,
    "lt": common_pb2.Filter.OPERATOR_LESS,
    "lte": common_pb2.Filter.OPERATOR_LESS_OR_EQUAL,
    "gt": common_pb2.Filter.OPERATOR_GREATER,
    "gte": common_pb2.Filter.OPERATOR_GREATER_OR_EQUAL,
    "contains": common_pb2.Filter.OPERATOR_CONTAINS,
    "in": common_pb2.Filter.OPERATOR_IN,
    "exists": common_pb2.Filter.OPERATOR_EXISTS,
}
_COMBINATORS: Final = frozenset({"and", "or", "not"})
_METADATA: Final = "metadata."


def filter_to_proto(data: FilterInput | None, path: str = "filter") -> common_pb2.Filter | None:
    """Convert a filter; None stays None.

    Raises:
        InvalidArgument: an unknown operator, an empty dict or list, a constant of no known type. The error names
            the place within the filter.
    """
    if data is None or isinstance(data, common_pb2.Filter):
        return data
    return _tree(data, path)


def _tree(data: object, path: str) -> common_pb2.Filter:
    if isinstance(data, common_pb2.Filter):
        return data
    if not isinstance(data, Mapping):
        raise invalid(path, f'{data!r} is not a dict such as {{"topic": "travel"}}')
    if not data:
        raise invalid(path, "an empty dict says nothing; leave the filter out")
    return _all_of([_entry(key, value, path) for key, value in data.items()])


def _entry(key: object, value: object, path: str) -> common_pb2.Filter:
    if not isinstance(key, str) or not key:
        raise invalid(path, f"{key!r} is not the name of a field")
    here = f"{path}.{key}"
    if key == "not":
        return _form("not", _tree(value, here))
    if key in _COMBINATORS:
        if not isinstance(value, list | tuple) or not value:
            raise invalid(here, f"{value!r} is not a list of one or more filters")
        children = [_tree(child, f"{here}[{index}]") for index, child in enumerate(value)]
        return _form(key, common_pb2.Filter.FilterList(filters=children))
    name = key if key in BUILT_IN_FIELDS or key.startswith(_METADATA) else _METADATA + key
    if not isinstance(value, Mapping):
        return _comparison(name, "eq", value, here)
    if not value:
        raise invalid(here, 'an empty dict says nothing; use {"exists": True} to ask for presence')
    return _all_of([_comparison(name, operator, constant, here) for operator, constant in value.items()])


def _all_of(filters: list[common_pb2.Filter]) -> common_pb2.Filter:
    if len(filters) == 1:
        return filters[0]
    return _form("and", common_pb2.Filter.FilterList(filters=filters))


def _form(name: str, value: object) -> common_pb2.Filter:
    """Set one arm by name: `and`, `or` and `not` cannot be written as Python keywords."""
    arms: dict[str, Any] = {name: value}
    return common_pb2.Filter(**arms)


def _comparison(name: str, operator: object, constant: object, path: str) -> common_pb2.Filter:
    number = OPERATORS.get(operator) if isinstance(operator, str) else None
    if number is None:
        raise invalid(path, f"{operator!r} is not an operator; use one of {', '.join(OPERATORS)}")
    compare = common_pb2.Filter.Comparison(
        field=name, operator=number, value=_constant(name, constant, f"{path}.{operator}")
    )
    return common_pb2.Filter(compare=compare)


def _constant(name: str, constant: object, path: str) -> common_pb2.MetadataValue:
    if constant is None:
        raise invalid(path, 'None is not a constant; use {"exists": False} to ask for absence')
    if name in TIME_FIELDS and isinstance(constant, str):
        return common_pb2.MetadataValue(timestamp_value=timestamp_to_proto(constant, path))
    if name == "kind":
        if isinstance(constant, list | tuple):
            constant = [_kind_name(item) for item in constant]
        else:
            constant = _kind_name(constant)
    return metadata_value_to_proto(cast("MetadataInput", constant), path)


def _kind_name(value: object) -> object:
    """Return the contract's name of a kind; anything else unchanged, for the server to judge."""
    if not isinstance(value, str):
        return value
    try:
        number = MEMORY_KIND.encode(cast("MemoryKind", value), "kind")
    except InvalidArgument:
        return value
    return MEMORY_KIND.prefix + MEMORY_KIND.decode(number) if not value.isdecimal() else value


class Field:
    """A field to compare; every comparison returns a filter as data. Made by `field`."""

    __slots__ = ("_key",)
    # Comparisons build filters, so fields are never equal and have no hash.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self._key = _METADATA + name if name in _COMBINATORS else name

    def _compare(self, operator: str, constant: object) -> dict[str, Any]:
        return {self._key: {operator: constant}}

    def eq(self, constant: MetadataInput) -> dict[str, Any]:
        """Equal."""
        return self._compare("eq", constant)

    def ne(self, constant: MetadataInput) -> dict[str, Any]:
        """Not equal, or absent."""
        return self._compare("ne", constant)

    def lt(self, constant: MetadataInput) -> dict[str, Any]:
        """Less than."""
        return self._compare("lt", constant)

    def lte(self, constant: MetadataInput) -> dict[str, Any]:
        """Less than or equal."""
        return self._compare("lte", constant)

    def gt(self, constant: MetadataInput) -> dict[str, Any]:
        """Greater than."""
        return self._compare("gt", constant)

    def gte(self, constant: MetadataInput) -> dict[str, Any]:
        """Greater than or equal."""
        return self._compare("gte", constant)

    def contains(self, constant: str) -> dict[str, Any]:
        """The stored list of strings contains the constant."""
        return self._compare("contains", constant)

    def in_(self, constants: list[str]) -> dict[str, Any]:
        """The stored string is one of the constants."""
        return self._compare("in", list(constants))

    def exists(self, present: bool = True) -> dict[str, Any]:
        """The field is present, or with False absent."""
        return self._compare("exists", present)

    __lt__ = lt
    __le__ = lte
    __gt__ = gt
    __ge__ = gte

    def __eq__(self, constant: MetadataInput) -> dict[str, Any]:  # type: ignore[override]
        return self.eq(constant)

    def __ne__(self, constant: MetadataInput) -> dict[str, Any]:  # type: ignore[override]
        return self.ne(constant)


def field(name: str) -> Field:
    """Name a built-in field or a metadata key: `field("score") > 1` is {"score": {"gt": 1}}."""
    return Field(name)


def and_(*filters: FilterInput) -> dict[str, Any]:
    """All hold."""
    return {"and": [*filters]}


def or_(*filters: FilterInput) -> dict[str, Any]:
    """At least one holds."""
    return {"or": [*filters]}


def not_(negated: FilterInput) -> dict[str, Any]:
    """The filter does not hold."""
    return {"not": negated}
