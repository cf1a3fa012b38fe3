"""Ends stores whose owner is gone.

A process of its own, told through a pipe which processes to guard. When the pipe closes, because its owner closed it or
died in whatever way, or when the time is over, it ends what it still guards.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from stores.process import Identity

_PATIENCE_SECONDS: Final = 5.0


class Watchdog:
    """The owner's side. Safe for threads."""

    def __init__(self, seconds: float, remove: Path | None = None) -> None:
        """Starts the watching process. `seconds`: longest life of what is guarded; `remove`: a directory to delete when
        the owner is gone."""
        arguments = [str(seconds), str(remove) if remove is not None else ""]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stores.watchdog", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, text=True,
            cwd=Path(__file__).resolve().parent.parent,
        )  # fmt: skip
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """The watching process."""
        return self._process.pid

    def guard(self, process: Identity, stop_signal: signal.Signals) -> None:
        """From now on, end this process with the owner: by its signal, then by force."""
        self._tell(f"guard {process.pid} {process.started} {process.boot} {int(stop_signal)}")

    def release(self, process: Identity) -> None:
        """Forget a process that has ended."""
        self._tell(f"release {process.pid} {process.started} {process.boot} 0")

    def close(self) -> None:
        """End the watching process, and with it whatever is still guarded."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with self._lock, suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def watch(seconds: float, remove: str) -> None:
    """The watching process: reads orders until the pipe ends or the time is over, then ends what is left."""
    # The terminal's Ctrl-C and a test runner's SIGTERM are for the owner; its end is seen by the pipe.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    deadline = time.monotonic() + seconds
    guarded: dict[Identity, signal.Signals] = {}
    text = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([0], [], [], min(left, 60.0))[0]:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, text = (text + chunk).split(b"\n")
        for line in lines:
            order, pid, started, boot, number = line.decode().split()
            process = Identity(int(pid), int(started), boot)
            if order == "guard":
                guarded[process] = signal.Signals(int(number))
            else:
                guarded.pop(process, None)
    for process, stop_signal in guarded.items():
        process.send(signal.SIGCONT)
        process.send(stop_signal)
    for process in guarded:
        process.wait(_PATIENCE_SECONDS)
        process.kill()
    if remove:
        shutil.rmtree(remove, ignore_errors=True)


if __name__ == "__main__":
    watch(float(sys.argv[1]), sys.argv[2])
