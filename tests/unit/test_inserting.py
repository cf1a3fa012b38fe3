"""Many rows with few statements: all of them, in their order."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.adapters.inserting import insert_rows


@given(st.lists(st.tuples(st.integers(0, 9), st.text(max_size=3)), max_size=300))
def test_every_row_once_in_order(rows: list[tuple[int, str]]) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (place INTEGER PRIMARY KEY, number, text)")
    insert_rows(connection, "INSERT INTO t (number, text)", rows)
    assert connection.execute("SELECT number, text FROM t ORDER BY place").fetchall() == rows
    connection.close()


@pytest.mark.parametrize("width", [1, 40, 500])
def test_rows_of_any_width(width: int) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute(f"CREATE TABLE t ({', '.join(f'c{i}' for i in range(width))})")
    rows = [tuple(range(n, n + width)) for n in range(150)]
    insert_rows(connection, "INSERT INTO t", rows)
    assert connection.execute("SELECT * FROM t ORDER BY c0").fetchall() == rows
    connection.close()
