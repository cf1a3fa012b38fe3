"""One store: a directory, ports it keeps, and at most one running process."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

from stores import loopback
from stores.addresses import Address
from stores.cache import exclusive
from stores.errors import StoreError, last_lines
from stores.loopback import Keeper
from stores.ports import LOOPBACK, free_ports, require_free
from stores.process import Identity
from stores.progress import Progress
from stores.watchdog import Watchdog

AddressT = TypeVar("AddressT", bound=Address)

_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Launch:
    """The command that runs a store.

    `user`: uid and gid it runs as; None means ours. `confined`: it would listen on every address, and is kept on
    loopback from outside.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: tuple[int, int] | None = None
    confined: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What a directory remembers of its store, in `store.json`, readable by its owner only."""

    version: str
    ports: Mapping[str, int]
    password: str = field(repr=False)
    process: Identity | None = None


class Store(ABC, Generic[AddressT]):
    """A store that can be started, killed, started again on the same data and ports, and stopped.

    Everything blocks. One object per directory in one process; the directory itself may be used from one process after
    the other, as `make stores` and `make stores-stop` do.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    """The version or series it must have."""
    ports: ClassVar[tuple[str, ...]]
    """What its ports are called."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    start_seconds: ClassVar[float] = 300.0
    stop_seconds: ClassVar[float] = 60.0
    """How long a start and a stop may take before they count as failed."""

    def __init__(
        self,
        directory: Path,
        *,
        progress: Progress | None = None,
        watchdog: Watchdog | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`directory`: everything of this store, made at the first start. `watchdog`: ends it with its owner; None: it
        outlives us. `settings`: over those of stores.settings, by the store's own names."""
        self.directory = directory.absolute()
        self.progress = progress if progress is not None else Progress()
        self.settings: Mapping[str, str] = dict(settings or {})
        self._watchdog = watchdog

    @property
    def pid(self) -> int | None:
        """The running process; None when there is none."""
        process = self._running()
        return process.pid if process is not None else None

    @property
    def running(self) -> bool:
        """Whether the process is there. It may still be starting, or be suspended."""
        return self._running() is not None

    @property
    def address(self) -> AddressT:
        """Where it listens once it runs; the same over all starts. Raises StoreError before the first start."""
        return self._address(self._record())

    @property
    def log(self) -> Path:
        """What the process writes."""
        return self.directory / "log.txt"

    def start(self) -> AddressT:
        """Start, and return when it answers. Does nothing more when it runs already.

        The program is fetched or built if need be. Raises StoreError when that fails, a port is taken, it does not
        come up, or what comes up has another version; nothing is left running then.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        # Servers that drop root must be able to reach what lies below; each part has its own protection.
        self.directory.chmod(0o711)
        with exclusive(self.directory / "lock"):
            if (process := self._running()) is not None:
                self._await_answer(process, self._record())
                return self.address
            self.fetch()
            record = self._own_record()
            for port in record.ports.values():
                require_free(self.name, port)
            launch = self._prepare(record)
            with self.progress.step(f"{self.name} {self.version}: starting"):
                process, keeper = self._spawn(launch)
                try:
                    self._write(Record(record.version, record.ports, record.password, process))
                    self._await_answer(process, record)
                    self._check_version(record)
                except BaseException:
                    process.kill()
                    self._forget(process)
                    raise
                finally:
                    if keeper is not None:
                        keeper.close()
        return self.address

    def stop(self) -> None:
        """End it in good order; by force when that takes longer than `stop_seconds`. Does nothing when it is not
        running. Raises StoreError when the process cannot be ended."""
        process = self._running()
        if process is not None:
            asked = process.end(self.stop_signal, self.stop_seconds)
            if process.alive:
                raise StoreError(f"{self.name}: process {process.pid} cannot be ended; do you have the right to?")
            if not asked:
                self.progress.line(f"{self.name} did not stop within {self.stop_seconds:g} s and was killed")
            self._forget(process)

    def kill(self) -> None:
        """Kill -9 it and its child processes; returns when they are gone. Does nothing when it is not running."""
        process = self._running()
        if process is not None:
            if not process.kill():
                raise StoreError(f"{self.name}: process {process.pid} cannot be killed; do you have the right to?")
            self._forget(process)

    def restart(self) -> AddressT:
        """Stop and start, on the same data and ports."""
        self.stop()
        return self.start()

    def suspend(self) -> None:
        """Freeze it: connections stay open and nothing answers. `resume` ends that."""
        for process in self._family():
            process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        for process in self._family():
            process.send(signal.SIGCONT)

    def memory(self) -> int:
        """Bytes of memory it holds now: the private and its part of the shared memory of all its processes."""
        return sum(_held(process.pid) for process in self._family())

    @abstractmethod
    def fetch(self) -> None:
        """Make sure the program is there in the right version and undamaged. Raises StoreError."""

    @abstractmethod
    def reported_version(self) -> str:
        """The version the running server says it has."""

    @abstractmethod
    def _prepare(self, record: Record) -> Launch:
        """Lay out the data if this is the first start, write the configuration, and say what to run."""

    @abstractmethod
    def _answers(self, record: Record) -> bool:
        """Whether the server takes requests with our credentials."""

    @abstractmethod
    def _address(self, record: Record) -> AddressT:
        """The public form of ports and password."""

    def _spawn(self, launch: Launch) -> tuple[Identity, Keeper | None]:
        if not launch.confined or not loopback.possible():
            return self._run(launch, launch.argv, ()), None
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = self._run(launch, loopback.command(launch.argv, theirs.fileno()), (theirs.fileno(),))
            theirs.close()
            try:
                return process, Keeper(ours, process.pid)
            except OSError as error:
                process.kill()
                self._forget(process)
                self.progress.line(
                    f"{self.name} cannot be kept on loopback here ({error}): some ports listen everywhere"
                )
                return self._run(launch, launch.argv, ()), None

    def _run(self, launch: Launch, argv: Sequence[str], descriptors: tuple[int, ...]) -> Identity:
        user = {"user": launch.user[0], "group": launch.user[1], "extra_groups": []} if launch.user else {}
        with self.log.open("ab") as log:
            self.log.chmod(0o600)
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env={**_clean_environment(), **launch.environment}, start_new_session=True, pass_fds=descriptors,
                **user,  # type: ignore[call-overload]
            )  # fmt: skip
        process = Identity.of(child.pid)
        # Looked after by identity from here on, possibly by another process than this one.
        child.returncode = 0
        if process is None:
            raise StoreError(f"{self.name} ended at once; the end of {self.log}:\n{last_lines(self.log)}")
        if self._watchdog is not None:
            self._watchdog.guard(process, self.stop_signal)
        return process

    def _await_answer(self, process: Identity, record: Record) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not self._answers(record):
            if not process.alive:
                raise StoreError(f"{self.name} ended while starting; the end of {self.log}:\n{last_lines(self.log)}")
            if time.monotonic() > deadline:
                raise StoreError(
                    f"{self.name} does not answer after {self.start_seconds:g} s; the end of {self.log}:\n"
                    + last_lines(self.log)
                )
            time.sleep(_POLL_SECONDS)

    def _check_version(self, record: Record) -> None:
        found = self.reported_version()
        if found != self.version and not found.startswith(f"{self.version}."):
            raise StoreError(
                f"{self.name} on port {next(iter(record.ports.values()))} says it is {found}, not {self.version}"
            )

    def _running(self) -> Identity | None:
        try:
            process = self._record().process
        except StoreError:
            return None
        return process if process is not None and process.alive else None

    def _family(self) -> list[Identity]:
        process = self._running()
        return process.family() if process is not None else []

    def _own_record(self) -> Record:
        if self._file.exists():
            record = self._record()
            if record.version != self.version:
                raise StoreError(
                    f"{self.name}: {self.directory} was made by version {record.version} and this is {self.version}; "
                    "remove the directory to start afresh"
                )
            return record
        ports = dict(zip(self.ports, free_ports(len(self.ports)), strict=True))
        record = Record(self.version, ports, secrets.token_hex(24))
        self._write(record)
        return record

    def _record(self) -> Record:
        try:
            raw = json.loads(self._file.read_text(encoding="utf-8"))
            process = Identity(**raw["process"]) if raw["process"] else None
            return Record(raw["version"], raw["ports"], raw["password"], process)
        except FileNotFoundError:
            raise StoreError(f"{self.name}: nothing was started in {self.directory}; start it first") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.name}: {self._file} cannot be read ({error}); remove {self.directory}") from None

    def _forget(self, process: Identity) -> None:
        if self._watchdog is not None:
            self._watchdog.release(process)
        record = self._record()
        self._write(Record(record.version, record.ports, record.password))

    def _write(self, record: Record) -> None:
        write_private(self._file, json.dumps(asdict(record), indent=1))

    @property
    def _file(self) -> Path:
        return self.directory / "store.json"


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner may read; whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


def listening(ports: Mapping[str, int], name: str) -> str:
    """LOOPBACK:PORT of one port."""
    return f"{LOOPBACK}:{ports[name]}"


def _clean_environment() -> dict[str, str]:
    """What a server inherits: enough to run, nothing that would configure it."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "JAVA_HOME", "HOME")
    inherited = {name: os.environ[name] for name in kept if name in os.environ}
    return {**inherited, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


def _held(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
