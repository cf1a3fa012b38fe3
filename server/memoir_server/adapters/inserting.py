"""Inserting many rows with few statements.

Each statement hands the interpreter lock over and back, and a thread that has to ask for it may wait for milliseconds.

Where a failure undoes the whole transaction, or a savepoint of the caller's, say INSERT OR FAIL: then SQLite need not
be able to undo the one statement, for which it would copy every page before it is changed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import apsw

_SIZES: Final = (200, 100, 50, 20, 10, 5, 2, 1)
"""Rows per statement. Few sizes, so that the connection's cache holds every statement prepared; round ones, since
batches often are."""
_VALUES: Final = 8_192
"""Most values that one statement binds."""


def in_chunks(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Rows of equal width as what follows VALUES, many rows at a time, and the values to bind."""
    if not rows:
        return
    width = len(rows[0])
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size and (size == 1 or size * width <= _VALUES):
            yield _places(width, size), list(chain.from_iterable(rows[start : start + size]))
            start += size


def insert_rows(connection: apsw.Connection, into: str, rows: Sequence[Sequence[Any]]) -> None:
    """Inserts rows of equal width. `into` is the statement up to VALUES."""
    for places, values in in_chunks(rows):
        connection.execute(_joined(into, places), values)


@functools.lru_cache(maxsize=256)
def _places(width: int, size: int) -> str:
    row = f"({','.join('?' * width)})"
    return ",".join([row] * size)


@functools.lru_cache(maxsize=256)
def _joined(into: str, places: str) -> str:
    # One text object per statement, so that finding it prepared does not hash kilobytes each time.
    return f"{into} VALUES {places}"
