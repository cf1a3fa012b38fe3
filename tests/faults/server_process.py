"""A server in a process of its own, to be killed."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

START_SECONDS = 90.0
STOP_SECONDS = 60.0
PORTS = (10_000, 32_000)
LIFE_SECONDS = 900
COMMAND_MODULE = "memoir_server.cli.main"

_BOUNDED = """
import runpy, signal, sys
signal.alarm(int(sys.argv.pop(1)))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""
"""Runs a module as `python -m` does, and ends after so many seconds at the latest: also when nobody is left to end it."""


def free_address() -> str:
    """A loopback address nobody listens on now. Kept over restarts, so that clients reconnect by themselves.

    From below the ports that the system hands out: while the server is down, it would give such a one to others.
    """
    while True:
        port = random.SystemRandom().randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"


class ServerProcess:
    """`memoir serve` on one data directory and one address, with the hash embedder.

    `environment` adds variables to every start, `life` is the longest that one start lasts, in seconds.
    """

    def __init__(
        self, data: Path, address: str, *, environment: Mapping[str, str] | None = None, life: int = LIFE_SECONDS
    ) -> None:
        self.data = data
        self.address = address
        self._environment = environment or {}
        self._life = life
        self._log = data.with_suffix(".log")
        self._port_file = data.with_suffix(".port")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, module: str = COMMAND_MODULE, environment: Mapping[str, str] | None = None) -> None:
        """Starts it and waits until it is ready. Raises AssertionError with its log when it does not come up.

        `module` runs in place of the command, `environment` adds variables.
        """
        process = self._spawn(module, environment or {})
        deadline = time.monotonic() + START_SECONDS
        while not self._port_file.exists():
            running = process.poll() is None and time.monotonic() < deadline
            assert running, f"the server did not start:\n{self.log()[-4000:]}"
            time.sleep(0.01)

    def refuse(
        self, *, environment: Mapping[str, str] | None = None, prepare_child: Callable[[], None] | None = None
    ) -> str:
        """Starts it where it cannot run, and returns what it said. Raises AssertionError unless it ends with status 1.

        `environment` adds variables; `prepare_child` runs in the new process before the server.
        """
        self._log.unlink(missing_ok=True)
        process = self._spawn(COMMAND_MODULE, environment or {}, prepare_child)
        try:
            status = process.wait(timeout=START_SECONDS)
        finally:
            self.stop()
        assert status == 1, f"status {status}:\n{self.log()[-4000:]}"
        assert not self._port_file.exists()
        return self.log()

    def log(self) -> str:
        """What it wrote so far, over all starts."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def limit_file_size(self, size: int) -> None:
        """From now on no file of the process grows beyond `size` bytes; resource.RLIM_INFINITY lifts the limit."""
        assert self._process is not None
        _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, hard))

    def kill(self) -> None:
        """kill -9: no handler runs, nothing is flushed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=STOP_SECONDS)

    def stop(self) -> None:
        """SIGTERM, and waits for the drain; kills it when that takes too long."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def _spawn(
        self, module: str, environment: Mapping[str, str], prepare_child: Callable[[], None] | None = None
    ) -> subprocess.Popen[bytes]:
        self._port_file.unlink(missing_ok=True)
        command = [sys.executable, "-c", _BOUNDED, str(self._life), module, "serve", "--data", str(self.data)]
        command += ["--listen", self.address, "--port-file", str(self._port_file)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "MEMOIR_EMBEDDER__MODEL": "hash", **self._environment, **environment},
                stdout=log,
                stderr=log,
                preexec_fn=prepare_child,
            )
        return self._process
