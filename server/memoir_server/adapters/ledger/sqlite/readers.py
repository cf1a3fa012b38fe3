"""Connections that read: one for short reads on the event loop, a few threads for long ones.

A reader sees the newest commit and waits for nobody. Reading a row by its key takes microseconds, a hop to a thread
many times that; so what is bounded and short runs where it is asked for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw

from memoir_server.adapters.ledger.sqlite.connection import connect_reader, translating
from memoir_server.domain.errors import StoreUnavailable

_THREADS: Final = 3

_T = TypeVar("_T")


class Readers:
    """All reading connections of one ledger."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[apsw.Connection] = []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="ledger-reader")
        self._inline = self._connect()
        self._closed = False

    @property
    def inline(self) -> apsw.Connection:
        """For short reads on the event loop; one statement sees one snapshot."""
        if self._closed:
            raise StoreUnavailable("ledger", "it is closed")
        return self._inline

    async def run(self, read: Callable[[apsw.Connection], _T]) -> _T:
        """Runs a read of any length in a thread; all its statements see one snapshot."""
        if self._closed:
            raise StoreUnavailable("ledger", "it is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, read)

    def close(self) -> None:
        """Waits for the reads under way and closes everything."""
        self._closed = True
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def _connect(self) -> apsw.Connection:
        connection = connect_reader(self._directory)
        with self._lock:
            self._connections.append(connection)
        return connection

    @translating
    def _run(self, read: Callable[[apsw.Connection], _T]) -> _T:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        connection.execute("BEGIN")
        try:
            return read(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
