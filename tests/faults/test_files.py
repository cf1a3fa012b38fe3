"""Damaged, missing and read-only files, and a disk that is full: a rebuild or a clear refusal, never a wrong answer."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from memoir import AsyncMemoir, MemoirError
from tests.faults.extent import SEED
from tests.faults.operations import CALL_SECONDS
from tests.faults.report import Report
from tests.faults.server_process import ServerProcess, free_address
from tests.faults.snapshot import Shown, difference, look, settled
from tests.faults.steps import NAMESPACE, prepared

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
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """A stopped server with the data of `prepare`."""
    process = ServerProcess(await prepared(tmp_path), free_address())
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


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize("name", ["index.db", "graph.db"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_projection_is_rebuilt(
    server: ServerProcess, name: str, damage: Callable[[Path], None], killed: bool, report: Report
) -> None:
    server.start()
    before = await _shown(server)
    if killed:
        server.kill()
    else:
        server.stop()
    damage(server.data / name)
    server.start()
    found = difference(before, await _shown(server))
    assert not found, found
    how = next(label for label, function in DAMAGES.items() if function is damage)
    report.files[f"`{name}` {how}, server {'killed' if killed else 'stopped'}"] = "rebuilt, same answers"


@pytest.mark.parametrize("damage", [_truncate, _empty, _garbage, _garbage_inside])
async def test_a_damaged_ledger_is_refused(
    server: ServerProcess, damage: Callable[[Path], None], report: Report
) -> None:
    ledger = server.data / "ledger.db"
    whole = server.data.with_name("whole.db")
    shutil.copy(ledger, whole)
    damage(ledger)
    damaged = ledger.read_bytes()
    said = server.refuse()
    assert "Traceback" not in said, said
    assert "error: " in said and "backup" in said, said
    assert ledger.read_bytes() == damaged, "the server wrote into a ledger that it refused"
    # What the refusal asks for helps: the projections have not suffered.
    shutil.copy(whole, ledger)
    server.start()
    assert len((await _shown(server)).memories) == 4
    how = next(label for label, function in DAMAGES.items() if function is damage)
    report.files[f"`ledger.db` {how}"] = "start refused: restore a backup"


@pytest.mark.parametrize("held", ["nothing", "data"])
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
    report.files[f"read-only directory that holds {held}"] = "start refused: names the directory"


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
    report.files["disk full while serving"] = "STORE_UNAVAILABLE, reads go on; works again with space"
