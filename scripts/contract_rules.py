"""The validation rules of the contract (buf.validate), in words."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

Words = Callable[[Any], str]

_BOUNDS: Final[Mapping[str, Words]] = {
    "gt": lambda v: f"> {_number(v)}",
    "gte": lambda v: f">= {_number(v)}",
    "lt": lambda v: f"< {_number(v)}",
    "lte": lambda v: f"<= {_number(v)}",
    "finite": lambda _: "finite",
}
_WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "string": {
        "min_len": lambda v: "not empty" if v == 1 else f"at least {v} characters",
        "max_len": lambda v: f"at most {v} characters",
        "pattern": lambda v: f"matches `{v}`",
    },
    "bytes": {
        "min_len": lambda v: "not empty" if v == 1 else f"at least {v} bytes",
        "max_len": lambda v: f"at most {v} bytes",
    },
    "int32": _BOUNDS,
    "int64": _BOUNDS,
    "double": _BOUNDS,
    "enum": {"defined_only": lambda _: "a defined value"},
    "repeated": {
        "min_items": lambda v: f"at least {v} {_items(v)}",
        "max_items": lambda v: f"at most {v} {_items(v)}",
        "unique": lambda _: "no duplicates",
    },
    "map": {"min_pairs": lambda v: f"at least {v} entries", "max_pairs": lambda v: f"at most {v} entries"},
    "field_mask": {"in": lambda v: "paths among " + ", ".join(f"`{path}`" for path in v)},
}
_NESTED: Final[Mapping[str, str]] = {"items": "each", "keys": "each key", "values": "each value"}
_NO_RULE_FOR_EMPTY: Final = 1
"""buf.validate.Ignore.IGNORE_IF_ZERO_VALUE."""


class UnknownRule(Exception):
    """The contract uses a rule that has no words here yet."""


class Rules:
    """Reads the options of a contract that was built with its imports."""

    def __init__(self, image: FileDescriptorSet) -> None:
        pool = DescriptorPool()
        for file in image.file:
            pool.AddSerializedFile(file.SerializeToString())
        # Classes of the image's own pool: only they know the extensions of buf.validate.
        self._options = {
            name: (
                GetMessageClass(pool.FindMessageTypeByName(f"google.protobuf.{name}Options")),
                pool.FindExtensionByName(f"buf.validate.{extension}"),
            )
            for name, extension in (("Field", "field"), ("Oneof", "oneof"), ("Message", "message"))
        }

    def of_field(self, options: Any, enum_values: Mapping[int, str]) -> list[str]:
        """Rules of a field. `enum_values` names the values of the field's enum.

        Raises UnknownRule, so that no rule is left out in silence.
        """
        return in_words(self._extension("Field", options), enum_values)

    def oneof_required(self, options: Any) -> bool:
        """Whether one arm must be set."""
        rules = self._extension("Oneof", options)
        return rules is not None and bool(rules.required)

    def of_message(self, options: Any) -> list[str]:
        """Rules across the fields of a message."""
        rules = self._extension("Message", options)
        return [] if rules is None else [f"{rule.message}." for rule in rules.cel]

    def _extension(self, name: str, options: Any) -> Any:
        kind, extension = self._options[name]
        parsed: Any = kind.FromString(options.SerializeToString())
        return parsed.Extensions[extension] if parsed.HasExtension(extension) else None


def in_words(rules: Any, enum_values: Mapping[int, str]) -> list[str]:
    """Rules of buf.validate.FieldRules, None for none. Raises UnknownRule."""
    words: list[str] = []
    found: list[tuple[Any, Any]] = [] if rules is None else rules.ListFields()
    for rule, value in found:
        if rule.name == "required":
            words.insert(0, "required")
        elif rule.name == "ignore" and value == _NO_RULE_FOR_EMPTY:
            words.insert(0, "may be empty")
        elif rule.name == "cel":
            words.extend(cel.message for cel in value)
        elif rule.name in _WORDS:
            words.extend(_of_type(rule.name, value, enum_values))
        else:
            raise UnknownRule(f"buf.validate.{rule.name} = {value}; give it words in scripts/contract_rules.py")
    return words


def _of_type(kind: str, rules: Any, enum_values: Mapping[int, str]) -> list[str]:
    words: list[str] = []
    order = list(_WORDS[kind])
    # Lower bounds first; the order of the field numbers has no meaning for a reader.
    found = sorted(
        rules.ListFields(), key=lambda item: order.index(item[0].name) if item[0].name in order else len(order)
    )
    for rule, value in found:
        if rule.name in _NESTED and kind in ("repeated", "map"):
            words.extend(f"{_NESTED[rule.name]} {inner}" for inner in in_words(value, enum_values))
        elif kind == "enum" and rule.name in ("in", "not_in"):
            names = ", ".join(f"`{enum_values[number]}`" for number in value)
            words.append(f"{'one of' if rule.name == 'in' else 'not'} {names}")
        elif rule.name in _WORDS[kind]:
            words.append(_WORDS[kind][rule.name](value))
        else:
            raise UnknownRule(f"buf.validate.{kind}.{rule.name} = {value}; give it words in scripts/contract_rules.py")
    return words


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _items(count: int) -> str:
    return "item" if count == 1 else "items"
