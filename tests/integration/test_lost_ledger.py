"""A ledger that is missing or empty: where there was one before, the server says so and does not begin another."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from memoir_server.app.server import Server
from memoir_server.domain.errors import StoreUnavailable
from tests.integration.harness import serving, settings_for

PROJECTIONS = ("index.db", "graph.db")


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """The directory of a stopped server that holds one memory."""
    async with serving(tmp_path) as client:
        await client.create("a falcon", memory_id="m")
    return settings_for(tmp_path).server.data


async def refusal(tmp_path: Path) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        await Server(settings_for(tmp_path)).start()
    return str(refused.value)


def ledger_id(data: Path) -> str:
    connection = apsw.Connection(str(data / "ledger.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return str(connection.execute("SELECT value FROM meta WHERE name = 'ledger_id'").get)
    finally:
        connection.close()


def set_aside(data: Path) -> list[Path]:
    return list(data.glob("*.damaged*"))


def delete(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    os.truncate(path, 0)


def lose_the_log(path: Path) -> None:
    """The state of a copy without its write-ahead log, in which everything still was: a head and nothing else."""
    path.unlink()
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.close()


LOSSES = {"is missing": delete, "is empty": empty, "holds nothing": lose_the_log}


@pytest.mark.parametrize("state", LOSSES)
async def test_a_lost_ledger_is_refused_and_its_backup_helps(data: Path, tmp_path: Path, state: str) -> None:
    ledger, backup, held = data / "ledger.db", tmp_path / "backup.db", ledger_id(data)
    shutil.copy(ledger, backup)
    LOSSES[state](ledger)
    lost = ledger.read_bytes() if ledger.exists() else None
    said = await refusal(tmp_path)
    assert f"{ledger} {state}" in said
    for name in PROJECTIONS:
        assert f"{name} (of ledger {held})" in said
    assert "Restore a backup of ledger.db into an empty directory" in said
    assert f"remove the directory {data}" in said
    assert (ledger.read_bytes() if ledger.exists() else None) == lost, "the server wrote where it refused to"
    assert await refusal(tmp_path) == said
    shutil.copy(backup, ledger)
    async with serving(tmp_path) as client:
        assert (await client.get("m")).text == "a falcon"
    assert not set_aside(data), "the refusal did the projections no harm"


@pytest.mark.parametrize("kept", PROJECTIONS)
async def test_one_projection_is_enough_of_a_trace(data: Path, tmp_path: Path, kept: str) -> None:
    held = ledger_id(data)
    delete(data / "ledger.db")
    for name in PROJECTIONS:
        if name != kept:
            delete(data / name)
    assert f"beside it is {kept} (of ledger {held})" in await refusal(tmp_path)


@pytest.mark.parametrize(("damage", "said"), [(empty, "index.db (empty)"), (None, "index.db (unreadable: ")])
async def test_a_projection_that_cannot_be_read_is_a_trace(
    data: Path, tmp_path: Path, damage: Callable[[Path], None] | None, said: str
) -> None:
    for name in ("ledger.db", "graph.db"):
        delete(data / name)
    if damage is None:
        (data / "index.db").write_bytes(b"not a database" * 1000)
    else:
        damage(data / "index.db")
    assert said in await refusal(tmp_path)


@pytest.mark.parametrize("loss", [delete, empty])
async def test_the_log_of_a_lost_ledger_is_refused_and_kept(
    data: Path, tmp_path: Path, loss: Callable[[Path], None]
) -> None:
    """SQLite would delete a log without its file, and with it what a backup may lack."""
    for name in PROJECTIONS:
        delete(data / name)
    loss(data / "ledger.db")
    log = data / "ledger.db-wal"
    log.write_bytes(b"committed, not yet in the file")
    (data / "ledger.db-shm").write_bytes(b"\0" * 32768)
    assert "beside it is ledger.db-wal (its write-ahead log)" in await refusal(tmp_path)
    assert log.read_bytes() == b"committed, not yet in the file"


@pytest.mark.parametrize(
    "leftovers", [("ledger.db",), ("ledger.db", "ledger.db-wal"), ("ledger.db-wal", "ledger.lock")]
)
async def test_what_a_crash_in_the_first_start_leaves_is_no_ledger(tmp_path: Path, leftovers: tuple[str, ...]) -> None:
    data = settings_for(tmp_path).server.data
    data.mkdir()
    for name in leftovers:
        (data / name).touch()
    if "ledger.db" in leftovers:
        (data / "ledger.db-shm").write_bytes(b"\0" * 32768)
    async with serving(tmp_path) as client:
        assert (await client.create("a kettle", memory_id="m")).memory.revision == 1
    async with serving(tmp_path) as client:
        assert (await client.get("m")).text == "a kettle"


async def test_projections_that_never_followed_a_ledger_are_no_trace(data: Path, tmp_path: Path) -> None:
    """They were made, and then the first start ended before it served a call."""
    delete(data / "ledger.db")
    for name in PROJECTIONS:
        connection = apsw.Connection(str(data / name))
        connection.execute("DELETE FROM meta")
        connection.close()
    async with serving(tmp_path) as client:
        assert (await client.create("a kettle", memory_id="m")).memory.revision == 1
