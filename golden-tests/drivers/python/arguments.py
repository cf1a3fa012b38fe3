"""From the corpus's request messages to the arguments a user of the SDK would write."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from memoir.v1 import common_pb2, memory_pb2, search_pb2

BUILT_IN = frozenset(
    "memory_id text kind user_id agent_id session_id actor_id message_id importance "
    "create_time update_time valid_from valid_until expire_time".split()
)
OPERATORS: Mapping[int, str] = {
    common_pb2.Filter.OPERATOR_EQUAL: "eq",
    common_pb2.Filter.OPERATOR_NOT_EQUAL: "ne",
    common_pb2.Filter.OPERATOR_LESS: "lt",
    common_pb2.Filter.OPERATOR_LESS_OR_EQUAL: "lte",
    common_pb2.Filter.OPERATOR_GREATER: "gt",
    common_pb2.Filter.OPERATOR_GREATER_OR_EQUAL: "gte",
    common_pb2.Filter.OPERATOR_CONTAINS: "contains",
    common_pb2.Filter.OPERATOR_IN: "in",
    common_pb2.Filter.OPERATOR_EXISTS: "exists",
}


def optional(message: Message, field: str) -> Any:
    """The value of a field with presence, or None."""
    return getattr(message, field) if message.HasField(field) else None


def scope(value: common_pb2.Scope) -> dict[str, Any]:
    """user_id, agent_id and session_id, as far as they are set."""
    return {name: getattr(value, name) for name in ("user_id", "agent_id", "session_id") if value.HasField(name)}


def metadata_value(value: common_pb2.MetadataValue) -> Any:
    """A typed value as the Python object of its type; a Timestamp stays one, since it keeps nanoseconds."""
    kind = value.WhichOneof("kind")
    if kind == "string_list":
        return list(value.string_list.values)
    return getattr(value, kind) if kind else None


def metadata(values: Mapping[str, common_pb2.MetadataValue]) -> dict[str, Any]:
    """A metadata map as a plain dict."""
    return {key: metadata_value(value) for key, value in values.items()}


def filter_data(value: common_pb2.Filter) -> Any:
    """A filter as data; the contract's own message where the data form has no name for one of its fields."""
    return _tree(value) if _is_sayable(value) else value


def _is_sayable(value: common_pb2.Filter) -> bool:
    match value.WhichOneof("form"):
        case "and":
            return all(map(_is_sayable, getattr(value, "and").filters))
        case "or":
            return all(map(_is_sayable, getattr(value, "or").filters))
        case "not":
            return _is_sayable(getattr(value, "not"))
        case "compare":
            field = value.compare.field
            return field in BUILT_IN or field.startswith("metadata.")
        case _:
            return False


def _tree(value: common_pb2.Filter) -> dict[str, Any]:
    match value.WhichOneof("form"):
        case "and":
            return {"and": [_tree(child) for child in getattr(value, "and").filters]}
        case "or":
            return {"or": [_tree(child) for child in getattr(value, "or").filters]}
        case "not":
            return {"not": _tree(getattr(value, "not"))}
        case _:
            compare = value.compare
            return {compare.field: {OPERATORS[compare.operator]: metadata_value(compare.value)}}


def as_of(message: Message) -> Timestamp | int | None:
    """The moment of a read in the past."""
    if not message.HasField("as_of"):
        return None
    moment: common_pb2.AsOf = message.as_of  # type: ignore[attr-defined]
    return moment.revision if moment.WhichOneof("moment") == "revision" else moment.time


def enum_name(message: Message, field: str) -> str | None:
    """The contract's name of an enum field; None when it is not set."""
    number = getattr(message, field)
    return _enum_text(message, field, number) if number else None


def _enum_text(message: Message, field: str, number: int) -> str:
    values = message.DESCRIPTOR.fields_by_name[field].enum_type
    known = values.values_by_number.get(number) if values else None
    return known.name if known else str(number)


def enum_names(message: Message, field: str) -> list[str]:
    """The contract's names of a repeated enum field."""
    return [_enum_text(message, field, number) for number in getattr(message, field)]


def created_range(message: Message, field: str, names: tuple[str, str]) -> dict[str, Any]:
    """A time range as the pair of arguments that stands for it."""
    if not message.HasField(field):
        return {}
    span: common_pb2.TimeRange = getattr(message, field)
    return dict(zip(names, (optional(span, "start_time"), optional(span, "end_time")), strict=True))


def provenance(value: memory_pb2.Provenance) -> dict[str, Any]:
    """A provenance as a dict."""
    return {
        "session_id": value.session_id,
        "message_id": value.message_id,
        "role": enum_name(value, "role") or "UNSPECIFIED",
        "actor_id": value.actor_id,
        "quote": value.quote,
        "create_time": optional(value, "create_time"),
    }


def new_memory(memory: memory_pb2.Memory) -> dict[str, Any]:
    """The arguments of `create` that a memory message stands for."""
    return {"text": memory.text, **scope(memory.scope), **changeable(memory)}


def changeable(memory: memory_pb2.Memory) -> dict[str, Any]:
    """The fields of a memory that can be written, apart from its text and scope."""
    return {
        "kind": enum_name(memory, "kind"),
        "metadata": metadata(memory.metadata),
        "importance": optional(memory, "importance"),
        "valid_from": optional(memory, "valid_from"),
        "valid_until": optional(memory, "valid_until"),
        "expire_time": optional(memory, "expire_time"),
        "create_time": optional(memory, "create_time"),
        "provenance": [provenance(item) for item in memory.provenance],
        "entities": [
            {"name": item.name, "type": item.type, "aliases": tuple(item.aliases)} for item in memory.entities
        ],
        "relations": [
            {
                "subject": item.subject,
                "predicate": item.predicate,
                "object": item.object,
                "confidence": optional(item, "confidence"),
                "valid_from": optional(item, "valid_from"),
                "valid_until": optional(item, "valid_until"),
            }
            for item in memory.relations
        ],
    }


def message(value: memory_pb2.Message) -> dict[str, Any]:
    """A conversation turn as a dict."""
    return {
        "role": enum_name(value, "role") or "UNSPECIFIED",
        "content": value.content,
        "actor_id": value.actor_id,
        "message_id": value.message_id,
        "create_time": optional(value, "create_time"),
        "images": [image.data for image in value.images],
    }


def search(spec: search_pb2.SearchSpec) -> dict[str, Any]:
    """The arguments that `search`, `search_stream` and `context` have in common."""
    return {
        "query": spec.query,
        **scope(spec.scope),
        **created_range(spec, "create_time_range", ("created_after", "created_before")),
        "limit": spec.limit,
        "filter": filter_data(spec.filter) if spec.HasField("filter") else None,
        "min_score": optional(spec, "min_score"),
        "recipe": enum_name(spec, "recipe"),
        "fusion": enum_name(spec, "fusion"),
        "rerank": spec.rerank,
        "graph_depth": optional(spec, "graph_depth"),
        "as_of": as_of(spec),
        "valid_at": optional(spec, "valid_at"),
        "include_superseded": spec.include_superseded,
        "explain": spec.explain,
        "view": enum_name(spec, "view"),
        "min_revision": spec.min_revision,
    }
