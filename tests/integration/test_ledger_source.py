"""A ledger's file as the source of a copy: read whole, and left as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memoir_server.adapters.ledger.sqlite import copying
from memoir_server.adapters.ledger.sqlite.copying import SqliteLedgerSource
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.ledger_copy import ROWS, Part, Row
from tests.integration.harness import serving


async def killed(tmp_path: Path, count: int) -> Path:
    """What a kill -9 leaves: all of it still in the write-ahead log."""
    left = tmp_path / "left"
    left.mkdir()
    async with serving(tmp_path) as client:
        for number in range(count):
            await client.create(f"note {number}", f"m-{number}", request_id=f"r-{number}")
        for name in ("ledger.db", "ledger.db-wal"):
            shutil.copy(tmp_path / "data" / name, left / name)
    return left


async def everything(source: SqliteLedgerSource) -> dict[Part, list[Row]]:
    found: dict[Part, list[Row]] = {}
    for part in Part:
        rows: list[Row] = []
        page = await source.read(part, b"")
        while page.rows:
            rows.extend(page.rows)
            page = await source.read(part, page.position)
        assert len(rows) == await source.count(part)
        assert {type(row) for row in rows} <= {ROWS[part]}
        found[part] = rows
    return found


async def test_what_a_killed_server_left_is_read_whole_and_left_as_it_is(tmp_path: Path) -> None:
    left = await killed(tmp_path, 12)
    before = {path.name: path.read_bytes() for path in left.iterdir()}
    source = SqliteLedgerSource(left)
    await source.open()
    try:
        [namespace] = await source.namespaces()
        assert (namespace.name, namespace.revision) == ("default", 12)
        assert await source.verify_chain(namespace)
        found = await everything(source)
        assert [len(found[part]) for part in (Part.EVENTS, Part.VERSIONS, Part.REQUESTS)] == [12, 12, 12]
        assert await source.note() is None
    finally:
        await source.close()
    assert before == {name: (left / name).read_bytes() for name in before}
    with pytest.raises(StoreUnavailable, match="not open"):
        await source.count(Part.EVENTS)


@pytest.mark.parametrize("most", [{"MOST_ROWS": 1}, {"MOST_ROWS": 5}, {"MOST_BYTES": 1}])
async def test_pages_of_any_size_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: dict[str, int]
) -> None:
    source = SqliteLedgerSource(await killed(tmp_path, 12))
    await source.open()
    try:
        whole = await everything(source)
        for name, value in most.items():
            monkeypatch.setattr(copying, name, value)
        assert await everything(source) == whole
        assert len((await source.read(Part.EVENTS, b"")).rows) < 12
    finally:
        await source.close()


async def test_a_source_and_a_server_shut_each_other_out(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(StoreUnavailable, match="is in use by another server"):
            await SqliteLedgerSource(tmp_path / "data").open()
    source = SqliteLedgerSource(tmp_path / "data")
    await source.open()
    try:
        with pytest.raises(StoreUnavailable, match="is in use by another server"):
            async with serving(tmp_path):
                pass
    finally:
        await source.close()
    async with serving(tmp_path) as client:
        assert (await client.create("Ana likes tea")).revision == 1
