"""Starts real servers for the corpus: each on 127.0.0.1 with a free port, data of its own, and a bounded life."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from memoir_golden_pb.golden_pb2 import Suite

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
LIFE_SECONDS: Final = 900
# A start is all computing: more of them side by side only make each other late.
_STARTING: Final = threading.BoundedSemaphore(2)

# What the servers of a backend are told by environment. Both use the hash embedder, whose vectors are integer-valued,
# so that scores are the same on every machine; only DETERMINISTIC also fixes the clock and the ids.
ENVIRONMENT: Final[dict["Suite.Backend", dict[str, str]]] = {
    Suite.BACKEND_DETERMINISTIC: {"MEMOIR_TESTING": "1", "MEMOIR_EMBEDDER__MODEL": "hash"},
    Suite.BACKEND_EMBEDDED: {"MEMOIR_EMBEDDER__MODEL": "hash"},
}


class LaunchFailed(Exception):
    """The server did not become ready; the message ends with the last lines it wrote."""


class ServerProcess:
    """One `memoir serve` process; a context manager."""

    def __init__(self, backend: "Suite.Backend", settings: Mapping[str, str] | None = None) -> None:
        """Prepare one; `settings`: "section.key" to text, over those of the backend, the profile among them."""
        chosen = {"server.profile": "embedded", **(settings or {})}
        self._settings = {f"MEMOIR_{key.upper().replace('.', '__')}": text for key, text in chosen.items()}
        self.backend = Suite.BACKEND_DISTRIBUTED if chosen["server.profile"] == "distributed" else backend
        self._directory = tempfile.TemporaryDirectory(prefix="memoir-golden-")
        self._backend = backend
        self._process: subprocess.Popen[bytes] | None = None
        self.target = ""

    def __enter__(self) -> "ServerProcess":
        base = Path(self._directory.name)
        port_file, log = base / "port", base / "server.log"
        command = [
            *((found, str(LIFE_SECONDS)) if (found := shutil.which("timeout")) else ()),
            str(Path(sys.executable).with_name("memoir")),
            *(
                "serve",
                "--data",
                str(base / "data"),
                "--listen",
                "127.0.0.1:0",
                "--port-file",
                str(port_file),
            ),
        ]
        environment = {**os.environ, **ENVIRONMENT[self._backend], **self._settings}
        with _STARTING:
            with log.open("wb") as output:
                self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
            try:
                self.target = self._wait(port_file, log)
            except LaunchFailed:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)
        self._directory.cleanup()

    def drain(self) -> None:
        """Tell the server to end: it takes nothing new, and ends its watches with a place to resume from."""
        if self._process is not None:
            self._process.terminate()

    def _wait(self, port_file: Path, log: Path) -> str:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if port_file.exists() and (target := port_file.read_text(encoding="utf-8").strip()):
                return target
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.02)
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
        raise LaunchFailed(f"memoir serve was not ready after {START_SECONDS} s or ended:\n{tail}")
