"""Inserting many rows with few statements.

Each statement hands the interpreter lock over and back, and a thread that has to ask for it may wait for milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import apsw

_SIZES: Final = (128, 32, 8, 4, 2, 1)
"""Rows per statement. Few sizes, so that the connection's cache holds every statement prepared."""
_VALUES: Final = 4_096
"""Most values that one statement binds."""


def in_chunks(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Rows of equal width as what follows VALUES, many rows at a time, and the values to bind."""
    if not rows:
        return
    width = len(rows[0])
    row = f"({','.join('?' * width)})"
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size and (size == 1 or size * width <= _VALUES):
            yield ",".join([row] * size), [value for entry in rows[start : start + size] for value in entry]
            start += size


def insert_rows(connection: apsw.Connection, into: str, rows: Sequence[Sequence[Any]]) -> None:
    """Inserts rows of equal width. `into` is the statement up to VALUES."""
    for places, values in in_chunks(rows):
        connection.execute(f"{into} VALUES {places}", values)
