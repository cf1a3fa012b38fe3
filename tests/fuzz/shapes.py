"""Values at and beyond the borders of every type, and ways to break a good message with them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

from memoir.v1 import common_pb2

TEXTS: Final = (
    "",
    " ",
    "\x00",
    "a\x1fb",
    "\x7f",
    "\n",
    "x" * 63,
    "x" * 64,
    "x" * 65,
    "x" * 128,
    "x" * 129,
    "x" * 257,
    "x" * 513,
    "x" * 1025,
    "x" * 4097,
    "x" * 8193,
    "x" * 65537,
    "é",
    "e\u0301",
    "中文 データ 한국어",
    "\u202eevil\u202c",
    "\ufeff",
    "\uffff",
    "\U0001f469\u200d\U0001f52c",
    "\U00020000",
    "\U000e0041",
    "\U0010ffff",
    "'; DROP TABLE memories; --",
    '" OR * NEAR (',
    "../../etc/passwd",
    "%s%n{}",
    "default",
    "UPPER",
    "-a",
    "a-b",
    "*",
    '"1"',
    "metadata.",
    "metadata.key",
    "metadata.a.b",
    'k"]',
)
INTEGERS: Final = (0, 1, -1, 2, 3, 4, 6, 100, 1000, 1001, 2**31 - 1, -(2**31))
LONG_INTEGERS: Final = (*INTEGERS, 2**31, 2**53 - 1, 2**53, 2**63 - 1, -(2**63))
DOUBLES: Final = (0.0, -0.0, 1.0, 0.5, -1e-9, 1.0000001, 5e-324, 1.8e308, float("nan"), float("inf"), -float("inf"))
SECONDS: Final = (0, 1, -1, -62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800, 2**63 - 1, -(2**63))
NANOS: Final = (0, 1, 999, 999_999_999, 1_000_000_000, -1, 2**31 - 1)
ENUMS: Final = (-1, 0, 1, 2, 3, 5, 7, 9, 10, 99, 2**31 - 1, -(2**31))
_INTEGER_TYPES: Final = (Field.CPPTYPE_INT32, Field.CPPTYPE_UINT32)


class Shapes:
    """Hostile values and messages, all drawn from one generator."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def text(self) -> str:
        """One of the known troublemakers, or code points of any plane (no surrogates: they are no UTF-8)."""
        if self.random.random() < 0.7:
            return self.random.choice(TEXTS)
        planes = (0x0, 0x20, 0x300, 0x4E00, 0xE000, 0x1F600, 0x20000, 0xE0000, 0x10FF00)
        return "".join(chr(self.random.choice(planes) + self.random.randrange(256)) for _ in range(12))

    def scalar(self, field: Field) -> Any:
        """A value that the wire type can carry; whether the contract allows it is another matter."""
        kind = field.cpp_type
        if kind == Field.CPPTYPE_STRING:
            if field.type == Field.TYPE_BYTES:
                return self.random.randbytes(8)
            return self.text()
        if kind == Field.CPPTYPE_BOOL:
            return self.random.random() < 0.5
        if kind == Field.CPPTYPE_ENUM:
            return self.random.choice(ENUMS)
        if kind in (Field.CPPTYPE_DOUBLE, Field.CPPTYPE_FLOAT):
            return self.random.choice(DOUBLES)
        if field.containing_type is not None and field.containing_type.full_name in (
            "google.protobuf.Timestamp",
            "google.protobuf.Duration",
        ):
            return self.random.choice(NANOS if field.name == "nanos" else SECONDS)
        return self.random.choice(INTEGERS if kind in _INTEGER_TYPES else LONG_INTEGERS)

    def break_(self, message: Message) -> None:
        """Sets one field, anywhere in the tree, to a hostile value."""
        node: Any = self.random.choice(list(nodes(message)))
        if not node.DESCRIPTOR.fields:
            return
        self._set(node, self.random.choice(list(node.DESCRIPTOR.fields)), 3)

    def add_unknown_field(self, message: Message) -> None:
        """Appends a field that no version of the contract has: number 9999, a varint."""
        message.MergeFromString(b"\xf8\xf0\x04" + bytes([self.random.randrange(128)]))

    def fill(self, node: Any, depth: int) -> None:
        """Sets some fields of a message."""
        fields = list(node.DESCRIPTOR.fields)
        for field in self.random.sample(fields, min(len(fields), self.random.randint(0, 3))):
            self._set(node, field, depth)

    def _set(self, node: Any, field: Field, depth: int) -> None:
        value = getattr(node, field.name)
        if field.message_type is None:
            if field.is_repeated:
                value.extend([self.scalar(field)] * self.random.choice((1, 1, 2, 33, 1001)))
            else:
                setattr(node, field.name, self.scalar(field))
        elif field.message_type.full_name == common_pb2.Filter.DESCRIPTOR.full_name and not field.is_repeated:
            value.CopyFrom(self.deep_filter())
        elif field.message_type.GetOptions().map_entry:
            inner = value[self.text()]
            if isinstance(inner, Message) and depth:
                self.fill(inner, depth - 1)
        elif field.is_repeated:
            for _ in range(self.random.choice((1, 1, 2, 65))):
                self._fill_or_leave(value.add(), depth)
        else:
            value.SetInParent()
            self._fill_or_leave(value, depth)

    def _fill_or_leave(self, node: Any, depth: int) -> None:
        if depth:
            self.fill(node, depth - 1)

    def deep_filter(self) -> common_pb2.Filter:
        """Nested from nothing at all to deeper than protobuf's own limit allows a server to decode."""
        filter_ = common_pb2.Filter()
        inner: Any = filter_
        for _ in range(self.random.choice((0, 1, 7, 8, 9, 30, 60))):
            form = self.random.choice(("and", "or", "not"))
            inner = getattr(inner, form)
            if form != "not":
                inner = inner.filters.add()
        inner.compare.field = self.random.choice(("text", "nothing", "metadata.n", "", "importance", "create_time"))
        inner.compare.operator = self.random.choice(ENUMS)
        self.fill(inner.compare.value, 1)
        return filter_


def nodes(message: Any) -> Iterator[Any]:
    """The message and all messages set in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for inner in value.values():
                    yield from nodes(inner)
        elif field.is_repeated:
            for inner in value:
                yield from nodes(inner)
        else:
            yield from nodes(value)
