"""Opening the file, holding its directory, and naming what goes wrong with it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import apsw

from memoir_server.domain.errors import StoreUnavailable

FILE_NAME: Final = "ledger.db"
_LOCK_NAME: Final = "ledger.lock"
_BUSY_MS: Final = 5_000
_CACHE_KIB: Final = 32_768
_CHECKPOINT_PAGES: Final = 4_000
_JOURNAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
_STATEMENTS: Final = 200

_P = ParamSpec("_P")
_T = TypeVar("_T")

_REASONS: Final[tuple[tuple[type[apsw.Error], str], ...]] = (
    (apsw.BusyError, "the database file is locked by another process; end that process"),
    (apsw.LockedError, "the database file is locked; end other readers of it"),
    (apsw.FullError, "the disk is full; free space and try again"),
    (apsw.ReadOnlyError, "the database file is read-only; give the server write permission"),
    (apsw.CorruptError, "the database file is damaged; restore it from a backup"),
    (apsw.NotADBError, "the file is not an SQLite database; restore it from a backup"),
    (apsw.IOError, "reading or writing the database file failed; check the disk"),
    (apsw.CantOpenError, "the database file cannot be opened; check the directory and its permissions"),
    (apsw.PermissionsError, "access to the database file is denied; check its permissions"),
    (apsw.ProtocolError, "the database file cannot be locked; a local file system is needed"),
    (apsw.NoMemError, "memory is exhausted"),
    (apsw.ConnectionClosedError, "the ledger is closed"),
)


def explain(error: apsw.Error) -> StoreUnavailable | None:
    """The failure of the store behind an error of SQLite; None when the error is a defect of ours."""
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return StoreUnavailable("ledger", f"{reason} ({error})")
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Errors of SQLite that mean an unusable store become StoreUnavailable."""
    try:
        yield
    except apsw.Error as error:
        unavailable = explain(error)
        if unavailable is None:
            raise
        raise unavailable from error


def translating(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function, with errors as `translated` makes them. Cheaper than the context manager on hot paths."""

    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except apsw.Error as error:
            unavailable = explain(error)
            if unavailable is None:
                raise
            raise unavailable from error

    return call


def connect_writer(directory: Path) -> apsw.Connection:
    """The one connection that writes. A commit returns when the data is on disk; deleted content is overwritten."""
    connection = apsw.Connection(
        str(directory / FILE_NAME),
        flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
        statementcachesize=_STATEMENTS,
    )
    # Of a file that is refused, or that fails to open, the log may be all that can be saved.
    checkpoint_at_close(connection, False)
    connection.set_busy_timeout(_BUSY_MS)
    mode = connection.pragma("journal_mode", "wal")
    if mode != "wal":
        raise StoreUnavailable(
            "ledger", f"{directory} cannot hold a write-ahead log (journal mode {mode}); use a local disk"
        )
    connection.pragma("synchronous", "full")
    connection.pragma("secure_delete", "on")
    connection.pragma("cache_size", -_CACHE_KIB)
    # What a job's savepoint could be rolled back to would go to a temporary file beyond 64 KiB.
    connection.pragma("temp_store", "memory")
    connection.pragma("wal_autocheckpoint", _CHECKPOINT_PAGES)
    connection.pragma("journal_size_limit", _JOURNAL_LIMIT_BYTES)
    return connection


def checkpoint_at_close(connection: apsw.Connection, on: bool) -> None:
    """Whether closing the connection moves the write-ahead log into the file and deletes it. `connect_writer` turns it
    off."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(not on))


def connect_reader(directory: Path) -> apsw.Connection:
    """A connection that reads committed data and never waits for the writer."""
    connection = apsw.Connection(
        str(directory / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=_STATEMENTS
    )
    connection.set_busy_timeout(_BUSY_MS)
    connection.pragma("cache_size", -_CACHE_KIB)
    connection.pragma("query_only", True)
    return connection


class DirectoryLock:
    """Keeps a second server out of a data directory, for as long as this process lives or until `release`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(directory / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreUnavailable(
                "ledger",
                f"{directory} is in use by another server (process {holder}); end it or choose another directory",
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets another server in."""
        os.close(self._descriptor)
