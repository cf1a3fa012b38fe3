"""`memoir` with a recording wrapper around every port adapter, to be run as a module in place of the command.

Two variables of the environment steer it:

- MEMOIR_TESTING_STEPS: path of a file. While it exists, every port call is appended to it as one line, its step.
- MEMOIR_TESTING_KILL_AT: "STEP:before" or "STEP:after". While the file exists, the process sends itself SIGKILL when it
  comes to that step: before the call, or once the call is done and before its caller learns of it.

A step is `store.method#n`: the n-th such call since the file was made. Methods that serve both projections say which,
`ledger.pending(INDEX)#1`, so that a step is the same one in every run, however the tasks of the two interleave.

Not steps: probes of the stores' health, expiry, keeping accesses and waiting for news. They come with the clock, not with a mutation.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from memoir_server.app import composition
from memoir_server.app.status import Stores
from memoir_server.cli.main import main
from memoir_server.domain.store import StoreKind
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger
from memoir_server.service.accesses import Accesses
from memoir_server.service.expiry import Sweeper

STEPS_VARIABLE = "MEMOIR_TESTING_STEPS"
KILL_VARIABLE = "MEMOIR_TESTING_KILL_AT"

P = ParamSpec("P")
T = TypeVar("T")
Port = TypeVar("Port")

_PORTS: dict[str, tuple[str, type[Any]]] = {
    "SqliteLedger": ("ledger", Ledger),
    "SqliteIndex": ("index", MemoryIndex),
    "SqliteGraph": ("graph", EntityGraph),
    "CachedEmbedder": ("embedder", Embedder),
}
"""Name in the composition: name in a step, and the port."""

_WAITS = frozenset({"wait_beyond", "wait_for_work", "wait_reset", "history", "ping", "close"})
"""Waiting for news, what a watch reads, and the end of the process."""

_by_the_clock: ContextVar[bool] = ContextVar("by_the_clock", default=False)


class Recorder:
    """Writes down the steps, and ends the process at one of them."""

    def __init__(self, path: Path, kill_at: str) -> None:
        self._path = path
        self._step, _, self._moment = kill_at.rpartition(":")
        self._counts: Counter[str] = Counter()

    def enter(self, name: str) -> str:
        """Called before each call of a port; returns its step, empty while nothing is recorded."""
        if _by_the_clock.get() or not self._path.exists():
            return ""
        self._counts[name] += 1
        step = f"{name}#{self._counts[name]}"
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{step}\n")
        self._reached(step, "before")
        return step

    def leave(self, step: str) -> None:
        """Called once the call has done its work, whether it answered or raised."""
        self._reached(step, "after")

    def _reached(self, step: str, moment: str) -> None:
        if step and step == self._step and moment == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)


def recorded(port: type[Port], inner: Port, name: str, recorder: Recorder) -> Port:
    """The adapter behind a port, with each asynchronous method recorded."""

    def delegated(method: str) -> object:
        declared = getattr(port, method)
        if isinstance(declared, property):
            return property(lambda _: getattr(inner, method))
        if not inspect.iscoroutinefunction(declared) or method in _WAITS:
            return lambda _, *arguments, **named: getattr(inner, method)(*arguments, **named)

        async def call(_: object, *arguments: Any, **named: Any) -> Any:
            of = next((f"({argument.name})" for argument in arguments if isinstance(argument, StoreKind)), "")
            step = recorder.enter(f"{name}.{method}{of}")
            try:
                return await getattr(inner, method)(*arguments, **named)
            finally:
                recorder.leave(step)

        return call

    methods = {method: delegated(method) for method in dir(port) if not method.startswith("_")}
    return cast(Port, type(f"Recorded{port.__name__}", (port,), methods)())


def by_the_clock(work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """What `work` calls, in tasks of its own too, is no step."""

    @functools.wraps(work)
    async def quiet(*arguments: P.args, **named: P.kwargs) -> T:
        token = _by_the_clock.set(True)
        try:
            return await work(*arguments, **named)
        finally:
            _by_the_clock.reset(token)

    return quiet


def _build(
    adapter: Callable[..., Port], port: type[Port], name: str, recorder: Recorder, *arguments: Any, **named: Any
) -> Port:
    return recorded(port, adapter(*arguments, **named), name, recorder)


def install(recorder: Recorder) -> None:
    """Makes every server composed in this process a recorded one."""
    for adapter, (name, port) in _PORTS.items():
        setattr(composition, adapter, functools.partial(_build, getattr(composition, adapter), port, name, recorder))
    for owner, method in ((Stores, "probe"), (Sweeper, "sweep"), (Accesses, "flush")):
        setattr(owner, method, by_the_clock(getattr(owner, method)))


if __name__ == "__main__":
    install(Recorder(Path(os.environ[STEPS_VARIABLE]), os.environ.get(KILL_VARIABLE, "")))
    main()
