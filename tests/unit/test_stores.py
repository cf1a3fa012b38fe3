"""What running real stores rests on: the cache of programs, processes by identity, free ports, packages, progress."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stores import cache, commands, debian
from stores.errors import StoreError
from stores.neo4j import Neo4j, pins
from stores.ports import LOOPBACK, free_ports, require_free
from stores.process import Identity
from stores.progress import Progress, Silent
from stores.redis import Redis
from stores.settings import NEO4J_VERSION, WEAVIATE_VERSION, neo4j_variable
from stores.weaviate import Weaviate, require_pinned


class Builder:
    """Makes a program of two files and counts how often."""

    def __init__(self, *, fails: bool = False) -> None:
        self.builds = 0
        self.fails = fails

    def __call__(self, folder: Path) -> None:
        self.builds += 1
        assert list(folder.iterdir()) == []
        (folder / "lib").mkdir()
        (folder / "lib" / "code").write_text("code", encoding="utf-8")
        (folder / "program").write_text("program", encoding="utf-8")
        if self.fails:
            raise StoreError("no network")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_lies_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    assert cache.cache_root() == own_cache / "memoir" / "stores"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ana")
    assert cache.cache_root() == Path("/home/ana/.cache/memoir/stores")


def test_a_program_is_built_once() -> None:
    build = Builder()
    path = cache.entry("tool", "1.2", build, Silent())
    assert path.name == "tool-1.2"
    assert (path / "program").read_text(encoding="utf-8") == "program"
    assert cache.entry("tool", "1.2", build, Silent()) == path
    assert build.builds == 1
    cache.entry("tool", "1.3", build, Silent())
    assert build.builds == 2


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: (path / "program").write_text("progran"), "program has other contents"),
        (lambda path: (path / "lib" / "code").unlink(), "lib/code is missing"),
        (lambda path: (path / "lib" / "more").touch(), "lib/more does not belong there"),
        (lambda path: (path / cache.MANIFEST).write_text("{"), "manifest cannot be read"),
        (lambda path: (path / cache.MANIFEST).unlink(), "manifest cannot be read"),
    ],
)
def test_damage_is_noticed_and_the_program_built_again(harm: object, said: str) -> None:
    build, told = Builder(), io.StringIO()
    path = cache.entry("tool", "1.2", build, Silent())
    assert callable(harm)
    harm(path)
    cache.entry("tool", "1.2", build, Progress(told))
    assert build.builds == 2
    assert said in told.getvalue()
    assert cache.damage(path) is None


def test_a_build_that_fails_leaves_nothing() -> None:
    with pytest.raises(StoreError, match="no network"):
        cache.entry("tool", "1.2", Builder(fails=True), Silent())
    assert [path.name for path in cache.cache_root().iterdir() if path.is_dir()] == []
    build = Builder()
    cache.entry("tool", "1.2", build, Silent())
    assert build.builds == 1


def test_a_build_that_was_cut_off_is_begun_anew() -> None:
    partial = cache.cache_root() / "tool-1.2.partial"
    partial.mkdir(parents=True)
    (partial / "half").touch()
    cache.entry("tool", "1.2", Builder(), Silent())
    assert not partial.exists()


def test_two_who_want_the_same_program_build_it_once() -> None:
    build = Builder()
    threads = [threading.Thread(target=cache.entry, args=("tool", "1.2", build, Silent())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.builds == 1


def sleeper(code: str = "") -> tuple[subprocess.Popen[bytes], Identity]:
    script = f"import os, signal, subprocess, sys, time\n{code}\nprint(flush=True)\ntime.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    found = Identity.of(process.pid)
    assert found is not None
    return process, found


def test_a_process_ends_when_asked() -> None:
    process, found = sleeper()
    with process:
        assert found.end(signal.SIGTERM, 60.0)
        assert not found.alive
        assert Identity.of(process.pid) is None


def test_a_process_that_does_not_listen_is_killed_with_its_children() -> None:
    process, found = sleeper(
        "signal.signal(15, signal.SIG_IGN); subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    with process:
        members = found.family()
        assert len(members) == 2
        assert not found.end(signal.SIGTERM, 0.3)
        assert not any(member.alive for member in members)


def test_a_process_that_is_frozen_can_be_ended() -> None:
    process, found = sleeper()
    with process:
        found.send(signal.SIGSTOP)
        assert found.end(signal.SIGTERM, 60.0)


def test_another_process_with_the_same_pid_is_left_alone() -> None:
    process, found = sleeper()
    with process:
        earlier = Identity(found.pid, found.started - 1, found.boot)
        assert not earlier.alive
        assert earlier.family() == []
        earlier.send(signal.SIGKILL)
        assert earlier.kill()
        assert found.alive
        assert not Identity(found.pid, found.started, "another boot").alive
        found.kill()


def test_free_ports_are_free_and_not_those_of_outgoing_connections() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    for port in ports:
        require_free("tool", port, seconds=0)
        assert port < lowest


def test_a_port_in_use_is_refused_with_its_number() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StoreError, match=f"tool: port {port} .* end that program"):
            require_free("tool", port, seconds=0.2)


def test_a_port_that_becomes_free_is_waited_for() -> None:
    other = socket.socket()
    other.bind((LOOPBACK, 0))
    other.listen()
    port = other.getsockname()[1]
    threading.Timer(0.3, other.close).start()
    require_free("tool", port, seconds=60)
    assert other.fileno() == -1, "not before the other program let go of it"


def test_a_missing_package_is_named_to_those_who_may_not_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StoreError, match=r"no-such-program is missing; .* apt-get install .* no-such-package"):
        debian.program("no-such-program", "no-such-package", Silent())


def test_a_program_in_a_folder_of_its_own_is_found(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.touch(mode=0o755)
    assert debian.program("tool", "tools", Silent(), folder=str(tmp_path)) == str(program)


def test_a_command_that_fails_shows_the_end_of_what_it_said() -> None:
    with Silent().step("building") as step:
        with pytest.raises(StoreError, match=r"(?s)status 3; it said:.*no such module"):
            commands.run(["sh", "-c", "echo no such module; exit 3"], step)
        with pytest.raises(StoreError, match="no-such-command cannot be run"):
            commands.run(["no-such-command"], step)
    with pytest.raises(StoreError, match="status 4: broken"):
        commands.answer(["sh", "-c", "echo broken >&2; exit 4"])
    with pytest.raises(StoreError, match="no-such-command cannot be run"):
        commands.answer(["no-such-command"])
    with pytest.raises(StoreError, match="did not end within"):
        commands.answer(["sleep", "60"], seconds=0.2)


def test_steps_are_told_with_their_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stores.progress.INTERVAL_SECONDS", 0.0)
    told = io.StringIO()
    progress = Progress(told)
    with progress.step("building") as step:
        commands.run(["sh", "-c", "echo a; echo b"], step, counted="packages")
    with pytest.raises(StoreError), progress.step("fetching"):
        raise StoreError("no network")
    lines = told.getvalue().splitlines()
    assert lines[0] == "stores: building ..."
    assert any(line.startswith("stores: building: 2 packages, ") for line in lines)
    assert any(line.startswith("stores: building done in ") for line in lines)
    assert lines[-1].startswith("stores: fetching failed after ")


def test_a_store_never_started_has_no_address_and_no_process(tmp_path: Path) -> None:
    store = Redis(tmp_path / "redis")
    assert not store.running
    assert store.pid is None
    store.stop()
    store.kill()
    with pytest.raises(StoreError, match=r"nothing was started in .*; start it first"):
        _ = store.address


def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"store\.json cannot be read"):
        _ = Redis(tmp_path).address


def test_every_jar_of_neo4j_is_pinned() -> None:
    found = pins()
    assert f"neo4j-{NEO4J_VERSION}.jar" in found
    assert f"neo4j-kernel-{NEO4J_VERSION}.jar" in found
    assert all(len(digest) == 64 for digest in found.values())


def test_names_of_neo4j_settings_in_the_image() -> None:
    assert neo4j_variable("db.tx_log.preallocate") == "NEO4J_db_tx__log_preallocate"


def test_weaviate_must_be_built_from_the_pinned_module() -> None:
    line = "\tmod\tgithub.com/weaviate/weaviate\tv{}\th1:{}=\t\n"
    for about in (line.format(WEAVIATE_VERSION, "other"), line.format("1.35.1", "other"), "no module at all"):
        with pytest.raises(StoreError, match=f"not from v{WEAVIATE_VERSION}"):
            require_pinned(about)


def test_missing_go_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(StoreError, match=r"install Go 1\.\d+ or newer"):
        Weaviate(tmp_path, progress=Silent()).fetch()


def test_a_java_too_old_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho '    java.specification.version = 11' >&2\n", encoding="ascii")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("stores.neo4j._debian_javas", list)
    with pytest.raises(StoreError, match=r"is Java 11 .* needs Java 17 or 21"):
        Neo4j(tmp_path / "neo4j", progress=Silent()).fetch()
