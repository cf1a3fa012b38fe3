"""The one thread that writes, with group commit.

Jobs queue up; those that wait while the disk syncs are committed together by the next sync. One that fails leaves
nothing and disturbs no other: where it had written already, the group begins again, with a savepoint for each job. So a
job may run twice, and must do nothing but write through its transaction. A caller hears of its job only after the
commit that contains it has returned. Lazy jobs need no sync of their own: they ride along with the next group, or go
by themselves after a moment.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar, cast

import apsw

from memoir_server.adapters.ledger.forms.chain import origin_of
from memoir_server.adapters.ledger.sqlite.connection import explain
from memoir_server.domain.change import Head
from memoir_server.domain.errors import MemoirError, StoreUnavailable

logger = logging.getLogger(__name__)

LAZY_SECONDS: Final = 0.05
"""Longest that a lazy job waits for company."""
_GROUP_JOBS: Final = 256
_GROUP_SECONDS: Final = 0.02

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class NamespaceRow:
    """A namespace as the writer sees it, uncommitted jobs of the group included."""

    ns: int
    name: str
    head: Head
    chain: bytes


class Transaction:
    """What one job writes through. Effects on memory wait for the commit."""

    def __init__(self, connection: apsw.Connection, *layers: Mapping[str, NamespaceRow]) -> None:
        self.connection = connection
        self.effects: list[Callable[[], None]] = []
        self.changed: dict[str, NamespaceRow] = {}
        # What this job changed lies over what its group changed, and that over what is committed.
        self._namespaces = ChainMap(self.changed, *cast(tuple[dict[str, NamespaceRow], ...], layers))

    def namespace(self, name: str) -> NamespaceRow | None:
        """The namespace, None when it does not exist yet."""
        return self._namespaces.get(name)

    def make_namespace(self, name: str) -> NamespaceRow:
        """The namespace, created when it does not exist yet."""
        row = self.namespace(name)
        if row is None:
            chain = origin_of(name)
            self.connection.execute(
                "INSERT INTO namespaces (name, revision, commit_time, chain) VALUES (?, 0, 0, ?)", (name, chain)
            )
            row = NamespaceRow(self.connection.last_insert_rowid(), name, Head(), chain)
            self.changed[name] = row
        return row

    def advance(self, row: NamespaceRow) -> None:
        """Sets the namespace's head and chain; written once per group."""
        self.changed[row.name] = row

    def after_commit(self, effect: Callable[[], None]) -> None:
        """Runs on the event loop once the group is durable, in commit order, before the job's caller goes on."""
        self.effects.append(effect)


@dataclass(slots=True)
class _Job(Generic[_T]):
    run: Callable[[Transaction], _T]
    future: asyncio.Future[_T] | None
    alone: bool = False


_END: Final = _Job[Any](lambda transaction: None, None)


class _Spoiled(Exception):
    """A job failed after it had written: its group is undone, and run again with a savepoint for each job."""


@dataclass(slots=True)
class _Done:
    job: _Job[Any]
    value: Any
    error: BaseException | None
    effects: list[Callable[[], None]]


class Writer:
    """Owner of the writing connection. `on_heads` learns, on the event loop, which namespaces a commit has moved;
    `on_settled`, in the writer's thread, that a transaction was committed or rolled back."""

    def __init__(
        self,
        connection: apsw.Connection,
        loop: asyncio.AbstractEventLoop,
        on_heads: Callable[[dict[str, NamespaceRow]], None],
        on_settled: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._on_heads = on_heads
        self._on_settled = on_settled
        self._queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._namespaces: dict[str, NamespaceRow] = {}
        self._thread = threading.Thread(target=self._serve, name="ledger-writer", daemon=True)
        self._closed = False

    def start(self) -> dict[str, NamespaceRow]:
        """Reads the namespaces, starts the thread; returns them."""
        self._reload()
        self._thread.start()
        return dict(self._namespaces)

    async def run(self, job: Callable[[Transaction], _T]) -> _T:
        """Runs the job in a transaction; returns after it is durable. What the job raises, nothing of it is kept."""
        return await self._submit(_Job(job, self._loop.create_future()))

    async def run_alone(self, job: Callable[[apsw.Connection], _T]) -> _T:
        """Runs the job outside any transaction, with no other job beside it."""
        return await self._submit(
            _Job(lambda transaction: job(transaction.connection), self._loop.create_future(), alone=True)
        )

    def run_lazily(self, job: Callable[[Transaction], None]) -> None:
        """Runs the job with the next group, or after LAZY_SECONDS. A crash may lose it."""
        if self._closed:
            raise StoreUnavailable("ledger", "it is closed")
        self._queue.put(_Job(job, None))

    async def stop(self) -> None:
        """Finishes what is queued, lazy jobs included, and ends the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    async def _submit(self, job: _Job[_T]) -> _T:
        if self._closed:
            raise StoreUnavailable("ledger", "it is closed")
        assert job.future is not None
        self._queue.put(job)
        # Shielded: a caller that goes away does not undo its job, which may be durable already.
        return await asyncio.shield(job.future)

    def _serve(self) -> None:
        lazy: list[_Job[Any]] = []
        deadline = 0.0
        while True:
            try:
                job = self._queue.get(timeout=max(0.0, deadline - time.monotonic()) if lazy else None)
            except queue.Empty:
                self._commit_group(lazy)
                lazy = []
                continue
            if job is not None and job.future is None:
                deadline = deadline if lazy else time.monotonic() + LAZY_SECONDS
                lazy.append(job)
                continue
            group, last = self._gather(job)
            self._commit_group(lazy + group)
            lazy = []
            if last is None:
                continue
            if last.alone:
                self._run_alone(last)
            else:
                return

    def _gather(self, first: _Job[Any] | None) -> tuple[list[_Job[Any]], _Job[Any] | None]:
        """The jobs of one group from `first` on, and what ended it: a job that must run alone, or the end."""
        group: list[_Job[Any]] = []
        job = first
        while True:
            if job is None:
                return group, _END
            if job.alone:
                return group, job
            group.append(job)
            if len(group) >= _GROUP_JOBS:
                return group, None
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return group, None

    def _run_alone(self, job: _Job[Any]) -> None:
        try:
            value, error = job.run(Transaction(self._connection, self._namespaces)), None
        except Exception as failure:  # noqa: BLE001  # handed to the caller
            value, error = None, _translate(failure)
        self._tell([_Done(job, value, error, [])], {})

    def _commit_group(self, jobs: list[_Job[Any]]) -> None:
        waiting = jobs
        while waiting:
            waiting = self._commit_some(waiting)

    def _commit_some(self, jobs: list[_Job[Any]]) -> list[_Job[Any]]:
        """Commits the jobs from the first on, as many as fit in a group's time; returns the others."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                done, moved = self._run_some(jobs, self._run_bare)
            except _Spoiled:
                self._connection.execute("ROLLBACK")
                self._connection.execute("BEGIN IMMEDIATE")
                done, moved = self._run_some(jobs, self._run_guarded)
            for row in moved.values():
                self._connection.execute(
                    "UPDATE namespaces SET revision = ?, commit_time = ?, chain = ? WHERE ns = ?",
                    (row.head.revision, row.head.commit_time, row.chain, row.ns),
                )
            self._connection.execute("COMMIT")
        except Exception as failure:  # noqa: BLE001  # the whole group failed; every caller hears why
            self._undo()
            error = _translate(failure)
            self._tell([_Done(job, None, error, []) for job in jobs], {})
            return []
        self._on_settled()
        self._namespaces.update(moved)
        self._tell(done, moved)
        return jobs[len(done) :]

    def _run_some(
        self, jobs: list[_Job[Any]], run: Callable[[_Job[Any], dict[str, NamespaceRow]], _Done]
    ) -> tuple[list[_Done], dict[str, NamespaceRow]]:
        """Runs jobs from the first on, as many as fit in a group's time; also returns the namespaces they moved."""
        done: list[_Done] = []
        moved: dict[str, NamespaceRow] = {}
        until = time.monotonic() + _GROUP_SECONDS
        for job in jobs:
            if done and time.monotonic() >= until:
                break
            done.append(run(job, moved))
        return done, moved

    def _run_bare(self, job: _Job[Any], moved: dict[str, NamespaceRow]) -> _Done:
        """Without a savepoint, for which SQLite copies every page that the job changes. Jobs that fail do so before
        they have written anything, but for defects and full disks; raises _Spoiled where one has."""
        transaction = Transaction(self._connection, moved, self._namespaces)
        before = self._connection.total_changes()
        try:
            value = job.run(transaction)
        except MemoirError as refusal:
            if not self._connection.in_transaction:
                raise
            if self._connection.total_changes() != before:
                raise _Spoiled from refusal
            return _Done(job, None, refusal, [])
        except Exception as failure:
            if not self._connection.in_transaction:
                # SQLite gave up the transaction itself, as it does when the disk is full.
                raise
            raise _Spoiled from failure
        moved.update(transaction.changed)
        return _Done(job, value, None, transaction.effects)

    def _run_guarded(self, job: _Job[Any], moved: dict[str, NamespaceRow]) -> _Done:
        """In a savepoint: of a job that fails nothing is left, and the others go on."""
        transaction = Transaction(self._connection, moved, self._namespaces)
        self._connection.execute("SAVEPOINT job")
        try:
            value = job.run(transaction)
        except Exception as failure:  # handed to the caller
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO job")
            self._connection.execute("RELEASE job")
            return _Done(job, None, _translate(failure), [])
        self._connection.execute("RELEASE job")
        moved.update(transaction.changed)
        return _Done(job, value, None, transaction.effects)

    def _undo(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._on_settled()
            self._reload()
        except apsw.Error:
            # The store is unusable: the next job will fail as this group did, with its own reason.
            logger.exception("the ledger could not be rolled back")

    def _reload(self) -> None:
        rows = self._connection.execute("SELECT ns, name, revision, commit_time, chain FROM namespaces")
        self._namespaces = {name: NamespaceRow(ns, name, Head(r, t), chain) for ns, name, r, t, chain in rows}

    def _tell(self, done: list[_Done], moved: dict[str, NamespaceRow]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, done, moved)
        except RuntimeError:
            # The event loop is gone, and with it everybody who waited.
            logger.debug("results of %d jobs have no listener", len(done))

    def _deliver(self, done: list[_Done], moved: dict[str, NamespaceRow]) -> None:
        for item in done:
            for effect in item.effects:
                effect()
        if moved:
            self._on_heads(moved)
        for item in done:
            future = item.job.future
            if future is None:
                if item.error is not None:
                    logger.warning("lazy work of the ledger was lost and will be repeated: %s", item.error)
            elif not future.cancelled():
                if item.error is not None:
                    future.set_exception(item.error)
                else:
                    future.set_result(item.value)


def _translate(failure: Exception) -> Exception:
    if not isinstance(failure, apsw.Error):
        return failure
    unavailable = explain(failure)
    if unavailable is None:
        return failure
    unavailable.__cause__ = failure
    return unavailable


def moved_to(row: NamespaceRow, head: Head, chain: bytes) -> NamespaceRow:
    """The namespace, further on."""
    return replace(row, head=head, chain=chain)
