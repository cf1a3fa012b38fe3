"""Stores never outlive their owner, and the command line ends exactly what it started."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stores import cache
from stores.errors import StoreError
from stores.four import Stores, bounded_stores, temporary_directory
from stores.neo4j import Neo4j, pins
from stores.process import Identity
from stores.progress import Progress, Silent
from stores.redis import Redis
from stores.store import Record

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parents[2]

OWNER = """
import sys, time
from stores.four import bounded_stores
with bounded_stores(("redis", "postgresql"), seconds=float(sys.argv[1])) as stores:
    print(stores.directory, stores.redis.pid, stores.postgresql.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    path = temporary_directory()
    yield path
    Stores(path).stop()
    shutil.rmtree(path)


def identity(pid: int | None) -> Identity:
    found = Identity.of(pid) if pid is not None else None
    assert found is not None
    return found


@pytest.mark.parametrize("way", ["killed", "out of time"])
def test_stores_end_with_their_owner(way: str) -> None:
    seconds = 5.0 if way == "out of time" else 600.0
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        path, redis, postgresql = owner.stdout.readline().split()
        processes = [*identity(int(redis)).family(), *identity(int(postgresql)).family()] if way == "killed" else []
        if way == "killed":
            assert len(processes) > 4
            owner.kill()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and (Path(path).exists() or any(process.alive for process in processes)):
            time.sleep(0.1)
        assert not any(process.alive for process in processes)
        assert not Path(path).exists()
        owner.kill()


def test_nothing_is_left_when_the_block_ends() -> None:
    with bounded_stores(("redis",), seconds=600) as stores:
        process, directory = identity(stores.redis.pid), stores.directory
        assert not stores.neo4j.running
    assert not process.alive
    assert not directory.exists()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stores", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_command_line_starts_tells_and_stops(directory: Path) -> None:
    only = ("--data", str(directory), "--only", "redis,postgresql")
    started = run("start", *only)
    assert started.returncode == 0, started.stderr
    assert re.search(r"^redis +7\.0 +127\.0\.0\.1:\d+ +pid \d+", started.stdout, re.MULTILINE)
    file = directory / "stores.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written.keys() == {"redis", "postgresql"}
    assert written["postgresql"]["url"] == Stores(directory).postgresql.address.url
    processes = [identity(entry["pid"]) for entry in written.values()]
    # Steps are told with their seconds, and a start of what runs has none.
    assert re.search(r"^stores: redis 7\.0: starting done in [\d.]+ s$", started.stderr, re.MULTILINE)
    again = run("start", *only)
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(file.read_text(encoding="utf-8")) == written
    assert run("status", *only).returncode == 0
    with bounded_stores(("redis",), seconds=600) as others:
        stopped = run("stop", "--data", str(directory))
        assert stopped.stdout == "stopped postgresql, redis\n"
        assert not any(process.alive for process in processes)
        assert others.redis.command("PING") == "PONG"
    assert not file.exists()
    assert run("status", *only).returncode == 1
    assert run("stop", "--data", str(directory)).stdout == "nothing was running\n"


def test_a_pid_given_to_another_program_is_left_alone(directory: Path) -> None:
    store = Redis(directory / "redis")
    store.start()
    store.kill()
    with subprocess.Popen(["sleep", "600"]) as bystander:
        record = json.loads((store.directory / "store.json").read_text(encoding="utf-8"))
        record["process"] = {"pid": bystander.pid, "started": 1, "boot": identity(bystander.pid).boot}
        (store.directory / "store.json").write_text(json.dumps(record), encoding="utf-8")
        assert not store.running
        assert run("stop", "--data", str(directory)).returncode == 0
        assert bystander.poll() is None
        bystander.kill()


def test_a_start_that_fails_stops_what_it_started(directory: Path) -> None:
    stores = Stores(directory)
    stores.redis.start()
    stores.redis.stop()
    stores.redis.settings = {"maxmemory": "plenty"}
    with pytest.raises(Exception, match="maxmemory"):
        stores.start(("postgresql", "redis"))
    assert not any(store.running for store in stores.each)
    assert not (directory / "stores.json").exists()


@pytest.mark.parametrize("arguments", [("start", "--only", "mongo"), ("explode",)])
def test_wrong_usage_is_told(arguments: tuple[str, ...]) -> None:
    refused = run(*arguments)
    assert refused.returncode == 2
    assert arguments[-1] in refused.stderr


def test_a_directory_the_servers_account_cannot_reach_is_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        # Then the server runs as we do, and reaches what we reach.
        assert run("start", "--data", str(tmp_path), "--only", "postgresql").returncode == 0
        assert run("stop", "--data", str(tmp_path)).returncode == 0
        return
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    refused = run("start", "--data", str(closed / "stores"), "--only", "postgresql")
    assert refused.returncode == 1
    assert "cannot reach" in refused.stderr
    assert "--data DIR" in refused.stderr


def test_a_damaged_jar_is_noticed_and_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = io.StringIO()
    store = Neo4j(tmp_path / "neo4j", progress=Progress(told))
    store.fetch()
    told.seek(0)
    told.truncate()
    whole = cache.cache_root() / f"neo4j-{Neo4j.version}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    copy = cache.cache_root() / whole.name
    shutil.copytree(whole, copy)
    store.fetch()
    assert told.getvalue() == ""
    jar = copy / f"neo4j-kernel-{Neo4j.version}.jar"
    damaged = bytearray(jar.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    jar.write_bytes(damaged)
    store.fetch()
    assert f"{jar.name} has other contents" in told.getvalue()
    assert "fetching its jars with Maven done in" in told.getvalue()
    assert cache.damage(copy) is None
    assert cache.hashes(copy) == pins()


def test_jars_other_than_the_pinned_ones_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = {**pins(), f"neo4j-{Neo4j.version}.jar": "0" * 64}
    monkeypatch.setattr("stores.neo4j.pins", lambda: other)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(StoreError, match=rf"not those of neo4j\.sha256: neo4j-{Neo4j.version}\.jar has other contents"):
        Neo4j(tmp_path / "neo4j", progress=Silent()).fetch()
    assert not (cache.cache_root() / f"neo4j-{Neo4j.version}").exists()


def test_ctrl_c_at_the_terminal_does_not_end_the_watch() -> None:
    with bounded_stores(("redis",), seconds=600) as stores:
        watchdog = stores.redis._watchdog
        assert watchdog is not None
        process = identity(stores.redis.pid)
        os.kill(watchdog.pid, signal.SIGINT)
        assert stores.redis.command("PING") == "PONG"
        assert identity(watchdog.pid).alive
    assert not process.alive


def test_what_does_not_answer_in_time_is_ended(tmp_path: Path) -> None:
    class Mute(Redis):
        start_seconds = 0.5

        def _answers(self, record: Record) -> bool:
            return False

    store = Mute(tmp_path)
    with pytest.raises(StoreError, match=r"redis does not answer after 0\.5 s"):
        store.start()
    assert not store.running


def test_what_does_not_stop_when_asked_is_killed(tmp_path: Path) -> None:
    class Deaf(Redis):
        stop_signal = signal.SIGWINCH
        stop_seconds = 0.3

    told = io.StringIO()
    store = Deaf(tmp_path, progress=Progress(told))
    store.start()
    process = identity(store.pid)
    store.stop()
    assert not process.alive
    assert "redis did not stop within 0.3 s and was killed" in told.getvalue()
