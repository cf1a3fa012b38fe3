"""Processes by identity: a pid alone may have been given to another program."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Identity:
    """One run of a program. `started`: clock ticks since boot; `boot`: id of the boot; together never given twice."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The process that has this pid now; None when there is none, or only its exit status is left."""
        found = _stat(pid)
        return cls(pid, found[1], _boot()) if found is not None and found[0] not in "ZX" else None

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        _reap(self.pid)
        return Identity.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended, at most `seconds`. Returns whether it has."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def family(self) -> list[Identity]:
        """This process and all that descend from it, parents first."""
        parents: dict[int, list[int]] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and (found := _stat(int(folder.name))) is not None:
                parents.setdefault(found[2], []).append(int(folder.name))
        found_pids, waiting = [], [self.pid]
        while waiting:
            pid = waiting.pop(0)
            found_pids.append(pid)
            waiting.extend(parents.get(pid, ()))
        return [one for pid in found_pids if (one := Identity.of(pid)) is not None] if self.alive else []

    def kill(self, seconds: float = 10.0) -> bool:
        """Kill -9 the process and its descendants. Returns whether all have ended within `seconds`."""
        family = self.family()
        for member in family:
            member.send(signal.SIGKILL)
        return all(member.wait(seconds) for member in family)

    def end(self, number: signal.Signals, patience: float) -> bool:
        """Ask to end by a signal; after `patience` seconds, kill. Returns whether asking was enough."""
        family = self.family()
        self.send(signal.SIGCONT)
        self.send(number)
        if self.wait(patience) and all(member.wait(2.0) for member in family):
            return True
        for member in family:
            member.send(signal.SIGKILL)
            member.wait(10.0)
        return False


def _stat(pid: int) -> tuple[str, int, int] | None:
    """State, start time and parent."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name stands in parentheses and may hold anything.
    values = text.rpartition(")")[2].split()
    return values[0], int(values[19]), int(values[1])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _reap(pid: int) -> None:
    """Take the exit status when the process is a child of ours that has ended."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
