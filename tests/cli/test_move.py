"""What `memoir move` refuses before it asks any store."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from examples.server_process import ServerProcess
from memoir_server.adapters.ledger.sqlite.schema import MIGRATIONS
from tests.cli.command import HASH, Outcome, memoir

# Nobody listens on port 1.
NOWHERE = """
[server]
profile = "distributed"
[ledger]
url = "postgresql://memoir:secret-word@127.0.0.1:1/memoir"
[index]
url = "http://127.0.0.1:1"
grpc = "127.0.0.1:1"
[graph]
url = "bolt://127.0.0.1:1"
[embedder]
model = "hash"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "distributed.toml"
    file.write_text(NOWHERE, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that has stopped."""
    directory: Path = tmp_path_factory.mktemp("served")
    with ServerProcess(directory, environment=HASH, life_seconds=300) as server:
        assert memoir("add", "Ana likes tea", "-u", "ana", "--target", server.target).status == 0
    return directory / "data"


@pytest.fixture
def data(served: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(served, tmp_path / "again" / "data")


def refused(source: Path, config: Path) -> Outcome:
    done = memoir("move", "--from", str(source), "-c", str(config))
    assert (done.status, done.out) == (1, ""), done.err
    # Before it there may be warnings of the log.
    assert done.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.err
    assert "secret-word" not in done.err
    return done


def test_a_directory_without_a_ledger_stays_as_it_is(tmp_path: Path, config: Path) -> None:
    for directory in (tmp_path / "missing", tmp_path):
        assert "holds no ledger" in refused(directory, config).err
    assert not (tmp_path / "missing").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [config.name]


def test_a_directory_in_use_names_the_process(tmp_path: Path, config: Path) -> None:
    with ServerProcess(tmp_path, environment=HASH, life_seconds=300) as server:
        done = refused(tmp_path / "data", config)
        assert memoir("list", "--target", server.target).status == 0
    assert "is in use by another server (process " in done.err
    assert "end it" in done.err


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (len(MIGRATIONS) + 1, "use the newer release"),
        (len(MIGRATIONS) - 1, "start a server of this release on it once"),
    ],
)
def test_a_ledger_of_another_schema_names_the_fix(data: Path, config: Path, version: int, says: str) -> None:
    connection = apsw.Connection(str(data / "ledger.db"))
    connection.pragma("user_version", version)
    connection.close()
    done = refused(data, config)
    assert f"has schema version {version}" in done.err
    assert says in done.err


def test_a_file_of_something_else_is_no_ledger(tmp_path: Path, config: Path) -> None:
    directory = tmp_path / "other"
    directory.mkdir()
    connection = apsw.Connection(str(directory / "ledger.db"))
    connection.execute("CREATE TABLE bills (id)")
    connection.close()
    assert "is not a ledger of Memoir" in refused(directory, config).err


def test_settings_of_the_embedded_profile_are_no_target(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "embedded.toml"
    config.write_text(f'[server]\ndata = "{tmp_path / "new"}"\n[embedder]\nmodel = "hash"\n', encoding="utf-8")
    assert "setting ledger.adapter = 'sqlite' is not a store that can be moved into" in refused(data, config).err
    assert not (tmp_path / "new").exists()


def test_a_target_that_does_not_answer_leaves_no_trace(data: Path, config: Path) -> None:
    names = {path.name for path in data.iterdir()}
    assert "store 'ledger' is unavailable: the connection failed" in refused(data, config).err
    assert {path.name for path in data.iterdir()} - {"ledger.db-wal", "ledger.db-shm"} == names
    with ServerProcess(data.parent, environment=HASH, life_seconds=300) as server:
        assert "Ana likes tea" in memoir("list", "--target", server.target).out


@pytest.mark.parametrize("text", ["", "{}", '{"move_id": "m", "state": "lost", "target": "t", "time": 1}'])
def test_a_note_that_cannot_be_read_is_not_passed_over(data: Path, config: Path, text: str) -> None:
    (data / "ledger.moved").write_text(text, encoding="utf-8")
    served = memoir("serve", "--data", str(data), "--listen", "127.0.0.1:0", env=HASH)
    assert served.status == 1
    assert "ledger.moved says where this ledger was moved to, but cannot be read" in served.err
    assert "Traceback" not in served.err


@pytest.mark.parametrize(
    ("state", "says"), [("moving", "run the same `memoir move` again"), ("moved", "start servers with the settings of")]
)
def test_a_note_keeps_servers_out(data: Path, state: str, says: str) -> None:
    note = data / "ledger.moved"
    note.write_text(
        f'{{"move_id": "m", "state": "{state}", "target": "postgresql://db:5432/memoir", "time": 1}}', encoding="utf-8"
    )
    served = memoir("serve", "--data", str(data), "--listen", "127.0.0.1:0", env=HASH)
    assert served.status == 1
    assert says in served.err
    assert f"remove {note}" in served.err.replace("\n", "")
