"""Damaged, missing and read-only files, and a disk that is full: a rebuild or a clear refusal, never a wrong answer."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from memoir import AsyncMemoir, MemoirError
from tests.faults.extent import ALL, SEED
from tests.faults.operations import CALL_SECONDS
from tests.faults.report import FILES, Finding, Report
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.site import NAMESPACE
from tests.faults.snapshot import Shown, difference, look, open_stores, settled

_DROP_FROM_BOUNDING_SET = 24
_OVERRIDE_PERMISSIONS = (1, 2)
"""prctl(2) and capabilities(7): PR_CAPBSET_DROP; CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


def _obey_permissions() -> None:
    """Runs in the child: root, too, is held to the permissions of files from the next program on."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in _OVERRIDE_PERMISSIONS:
            if libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl")


@pytest.fixture
def server(origin: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A stopped server with the data of `prepare`."""
    process = ServerProcess(Path(shutil.copytree(origin, tmp_path / "data")), free_address())
    yield process
    process.stop()


async def _shown(server: ServerProcess) -> Shown:
    async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
        return await look(client)


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _garbage(path: Path) -> None:
    path.write_bytes(random.Random(SEED).randbytes(path.stat().st_size))


def _garbage_inside(path: Path) -> None:
    """The header stays in order: opening the file shows nothing."""
    content = path.read_bytes()
    begin = len(content) // 4
    path.write_bytes(content[:begin] + random.Random(SEED).randbytes(len(content) - begin))


def _delete(path: Path) -> None:
    path.unlink()


DAMAGES = {
    "cut in half": _truncate,
    "emptied": _empty,
    "overwritten with noise": _garbage,
    "overwritten with noise after a quarter": _garbage_inside,
    "deleted": _delete,
}
CASES = [
    (name, damage, end) for name in ("index.db", "graph.db") for damage in DAMAGES for end in ("stopped", "killed")
]
PART = [
    ("index.db", "cut in half", "killed"),
    ("index.db", "overwritten with noise after a quarter", "stopped"),
    ("graph.db", "deleted", "killed"),
]
LEDGER_CASES = [(damage, end) for damage in DAMAGES for end in ("stopped", "killed") if damage != "cut in half"]
LEDGER_CASES.append(("cut in half", "stopped"))
"""Not the half of a killed server's: what the other half held may be in the log still, and then nothing is wrong."""
LEDGER_PART = [("emptied", "killed"), ("overwritten with noise after a quarter", "stopped")]


@pytest.mark.parametrize(("name", "damage", "end"), CASES if ALL else PART)
async def test_a_damaged_projection_is_rebuilt(
    server: ServerProcess, name: str, damage: str, end: str, report: Report
) -> None:
    server.start()
    before = await _shown(server)
    _end(server, end)
    DAMAGES[damage](server.data / name)
    server.start()
    found = difference(before, await _shown(server))
    assert not found, found
    server.stop()
    stored = await open_stores(server.data, NAMESPACE)
    assert {memory_id for memory_id, _ in stored.indexed} == set(before.memories)
    report.add(
        Finding(
            FILES,
            f"`{name}`",
            f"{damage}, server {end}",
            "same answers: rebuilt from the ledger, or whole with its own log",
        )
    )


@pytest.mark.parametrize(("damage", "end"), LEDGER_CASES if ALL else LEDGER_PART)
async def test_a_damaged_ledger_is_refused(server: ServerProcess, damage: str, end: str, report: Report) -> None:
    server.start()
    before = await _shown(server)
    _end(server, end)
    whole = Path(shutil.copytree(server.data, server.data.with_name("whole")))
    ledger = server.data / "ledger.db"
    DAMAGES[damage](ledger)
    damaged = _ledger_files(server.data)
    said = server.refuse()
    assert "Traceback" not in said, said
    assert "error: " in said and "backup" in said, said
    assert _ledger_files(server.data) == damaged, "the server wrote into a ledger that it refused"
    # What the refusal asks for helps, and the projections have not suffered.
    for name in _ledger_files(whole):
        shutil.copy(whole / name, server.data / name)
    server.start()
    found = difference(before, await _shown(server))
    assert not found, found
    assert not list(server.data.glob("*.damaged*"))
    report.add(Finding(FILES, "`ledger.db`", f"{damage}, server {end}", "start refused: restore a backup"))


def _end(server: ServerProcess, end: str) -> None:
    if end == "killed":
        server.kill()
    else:
        server.stop()


def _ledger_files(data: Path) -> dict[str, bytes]:
    """The ledger and its write-ahead log, as far as they are there and hold something."""
    files = [data / "ledger.db", data / "ledger.db-wal"]
    return {file.name: file.read_bytes() for file in files if file.exists() and file.stat().st_size}


@pytest.mark.parametrize("held", ["nothing", "data"] if ALL else ["data"])
async def test_a_read_only_directory_is_refused(server: ServerProcess, held: str, report: Report) -> None:
    if held == "nothing":
        shutil.rmtree(server.data)
        server.data.mkdir()
    paths = [server.data, *server.data.iterdir()]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        said = server.refuse(prepare_child=_obey_permissions)
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert "Traceback" not in said, said
    assert "error: " in said and str(server.data) in said, said
    report.add(Finding(FILES, "directory", f"read-only, holds {held}", "start refused: names the directory"))


async def test_a_full_disk_refuses_writes_and_nothing_else(server: ServerProcess, report: Report) -> None:
    server.start()
    async with AsyncMemoir(server.address, namespace=NAMESPACE) as client:
        before = await look(client)
        # The write-ahead log of the ledger is longer than that already: no file can take another write.
        server.limit_file_size(1)
        with pytest.raises(MemoirError) as refusal:
            await client.create("Ann owns a quill", user_id="ann", request_id="quill", timeout=2)
        assert refusal.value.reason == "STORE_UNAVAILABLE", refusal.value
        found = difference(before, await look(client))
        assert not found, found
        server.limit_file_size(resource.RLIM_INFINITY)
        memory = await client.create("Ann owns a quill", user_id="ann", request_id="quill", timeout=CALL_SECONDS)
        await settled(client)
        result = await client.search("quill", user_id="ann", recipe="keyword", min_revision=memory.revision)
        assert [hit.memory.id for hit in result.hits] == [memory.id]
    server.stop()
    server.start()
    assert (await _shown(server)).head == before.head + 1
    outcome = "writes answer STORE_UNAVAILABLE, reads go on; with space again, so do writes"
    report.add(Finding(FILES, "disk", "full while serving", outcome))
