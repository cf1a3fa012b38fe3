"""A `memoir serve` process of one's own: free port, bounded life, ended by its own process id."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0


class ServerFailed(Exception):
    """The server did not become ready; the message ends with the last lines it wrote."""


class ServerProcess:
    """Starts on entering and ends on leaving, unless `keep` was called.

    Args:
        directory: holds data, log and port file; it belongs to the caller.
        environment: settings, over those of this process.
        life_seconds: the server is ended after this time even when this process was killed; None means never.
    """

    def __init__(
        self, directory: Path, *, environment: Mapping[str, str] | None = None, life_seconds: int | None = 3600
    ) -> None:
        self._port_file, self.log = directory / "port", directory / "server.log"
        self._environment = {**os.environ, **(environment or {})}
        # `timeout` is not there on every system; where it is, it passes signals on.
        bound = shutil.which("timeout") if life_seconds is not None else None
        self._command = [*((bound, str(life_seconds)) if bound else ()), str(Path(sys.executable).with_name("memoir"))]
        self._command += ["serve", "--data", str(directory / "data"), "--listen", "127.0.0.1:0"]
        self._command += ["--port-file", str(self._port_file)]
        self._process: subprocess.Popen[bytes] | None = None
        self._kept = False
        self.target = ""

    @property
    def pid(self) -> int:
        """Process id; send it SIGTERM to end the server."""
        if self._process is None:
            raise ServerFailed("the server was not started")
        return self._process.pid

    def keep(self) -> None:
        """Leave the server running."""
        self._kept = True

    def __enter__(self) -> Self:
        with self.log.open("wb") as output:
            # A session of its own: Ctrl-C in the terminal reaches this process only, which then ends the server.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        try:
            self.target = self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._kept:
            self.stop()

    def stop(self) -> int | None:
        """SIGTERM, then wait for the drain. The exit status; None when it was not running."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(STOP_SECONDS)

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> str:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            if self._port_file.exists() and (target := self._port_file.read_text(encoding="utf-8").strip()):
                return target
            time.sleep(0.02)
        tail = "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        ended = f"ended with status {process.returncode}" if process.poll() is not None else "is not ready"
        raise ServerFailed(f"memoir serve {ended}; it wrote:\n{tail}")
