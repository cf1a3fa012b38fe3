"""How values go to PostgreSQL and come back: exactly, and always with the same types.

PostgreSQL's text holds every character but U+0000, which memories may hold. So U+0000 is written as U+0001 U+0001, and
U+0001 as U+0001 U+0002. This keeps equality and, byte by byte (COLLATE "C"), the order of code points; all other texts
stand in the tables as they are.

Lists that a statement takes apart with `unnest` go as one array each, of a type that does not depend on the values.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from psycopg import adapters as _standard
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.pq import Format
from psycopg.types.numeric import Int8BinaryDumper

_INT8: Final = 20
_TEXT: Final = 25
_BYTEA: Final = 17
_INT8_ARRAY: Final = 1016
_TEXT_ARRAY: Final = 1009
_BYTEA_ARRAY: Final = 1001

_NULL: Final = struct.pack(">i", -1)
_head: Final = struct.Struct(">iiIii").pack
_EMPTY: Final = struct.Struct(">iiI").pack
_HEAD_BYTES: Final = 20
_EMPTY_BYTES: Final = 12
_INT8_ELEMENT: Final = np.dtype([("length", ">i4"), ("value", ">i8")])
_length: Final = struct.Struct(">i").pack
_int8: Final = struct.Struct(">iq").pack


def stored_text(text: str) -> str:
    """The text as it stands in a column."""
    if "\x00" in text or "\x01" in text:
        return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    return text


def given_text(stored: str) -> str:
    """The inverse of `stored_text`."""
    if "\x01" in stored:
        return stored.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01")
    return stored


class _Array:
    """An array in the binary format of the protocol."""

    __slots__ = ("data",)

    def __init__(self, element: int, count: int, has_null: bool, items: Iterable[bytes]) -> None:
        self.data = _head(1, has_null, element, count, 1) + b"".join(items) if count else _EMPTY(0, 0, element)


class Int8s(_Array):
    """bigint[]"""

    __slots__ = ()

    def __init__(self, values: Iterable[int | None]) -> None:
        values = list(values)
        super().__init__(_INT8, len(values), None in values, [_NULL if v is None else _int8(8, v) for v in values])


class Bytes(_Array):
    """bytea[]"""

    __slots__ = ()

    def __init__(self, values: Iterable[bytes | None]) -> None:
        values = list(values)
        super().__init__(
            _BYTEA, len(values), None in values, [_NULL if v is None else _length(len(v)) + v for v in values]
        )


class Texts(_Array):
    """text[]"""

    __slots__ = ()

    def __init__(self, values: Iterable[str | None]) -> None:
        data = [None if v is None else stored_text(v).encode() for v in values]
        super().__init__(_TEXT, len(data), None in data, [_NULL if v is None else _length(len(v)) + v for v in data])


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> Buffer:
        return obj.data


class _Int8sDumper(_ArrayDumper):
    oid = _INT8_ARRAY


class _BytesDumper(_ArrayDumper):
    oid = _BYTEA_ARRAY


class _TextsDumper(_ArrayDumper):
    oid = _TEXT_ARRAY


class _TextDumper(Dumper):
    format = Format.BINARY
    oid = _TEXT

    def dump(self, obj: str) -> Buffer:
        return stored_text(obj).encode()


class _TextLoader(Loader):
    format = Format.TEXT

    def load(self, data: Buffer) -> str:
        return given_text(str(data, "utf-8"))


class _TextBinaryLoader(_TextLoader):
    format = Format.BINARY


class _Int8sBinaryLoader(Loader):
    """bigint[] without NULL as an array of numpy: lists of a million revisions come this way."""

    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[np.int64]:
        elements = np.frombuffer(
            data, dtype=_INT8_ELEMENT, offset=_HEAD_BYTES if len(data) > _EMPTY_BYTES else len(data)
        )
        return elements["value"].astype(np.int64)


def ledger_adapters() -> AdaptersMap:
    """What connections of the ledger know. Integers are bigint whatever their size: one statement, one plan."""
    adapters = AdaptersMap(_standard)
    adapters.register_dumper(str, _TextDumper)
    adapters.register_dumper(int, Int8BinaryDumper)
    for kind, dumper in ((Int8s, _Int8sDumper), (Bytes, _BytesDumper), (Texts, _TextsDumper)):
        adapters.register_dumper(kind, dumper)
    adapters.register_loader(_TEXT, _TextLoader)
    adapters.register_loader(_TEXT, _TextBinaryLoader)
    adapters.register_loader(_INT8_ARRAY, _Int8sBinaryLoader)
    return adapters
