"""`memoir` with a recording wrapper around every port adapter, to be run as a module in place of the command.

MEMOIR_TESTING_STEPS names a file of orders, see :class:`Orders`. While it exists, every port call is appended to the journal
that it names, as one line, its step. When the process comes to the step it names, it sends itself SIGKILL: before the
call, or once the call is done and before its caller learns of it.

A step is `store.method#n`: the n-th such call since those orders were given. Methods that serve both projections say which,
`ledger.claim(INDEX)#1`, so that a step is the same one in every run, however the tasks of the two interleave.

Not steps: probes of the stores' health, expiry, keeping accesses, renewing leases, measuring and waiting for news. They
come with the clock, not with a mutation.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from memoir_server.adapters.embedder.cached import CachedEmbedder
from memoir_server.app import composition, inference
from memoir_server.app.adapters import Adapters, build_adapters
from memoir_server.app.providers import build_reasoner
from memoir_server.app.settings import Settings
from memoir_server.app.settings_models import ReasonerSettings
from memoir_server.app.status import Stores
from memoir_server.cli.main import main
from memoir_server.domain.store import StoreKind
from memoir_server.ports.cache import EmbeddingCache
from memoir_server.ports.embedder import Embedder
from memoir_server.ports.graph import EntityGraph
from memoir_server.ports.index import MemoryIndex
from memoir_server.ports.ledger import Ledger
from memoir_server.ports.reasoner import Reasoner
from memoir_server.service.accesses import Accesses
from memoir_server.service.expiry import Sweeper
from memoir_server.service.following import Following
from memoir_server.service.projector import Projector

STEPS_VARIABLE = "MEMOIR_TESTING_STEPS"

P = ParamSpec("P")
T = TypeVar("T")
Port = TypeVar("Port")

_WAITS = frozenset(
    {
        *("wait_beyond", "wait_for_work", "wait_reset", "history", "ping", "close"),
        *("renew", "resign", "others_with_another_model", "behind", "unfinished_resets"),
        *("claim_ingestion", "wait_for_ingestions"),
    }
)
"""Waiting for news, what a watch reads, the end of the process, and what comes with the clock."""

_BY_THE_CLOCK: tuple[tuple[type[Any], str], ...] = (
    (Stores, "probe"),
    (Stores, "head"),
    (Sweeper, "sweep"),
    (Accesses, "flush"),
    (Following, "_ask"),
    (Projector, "_measure"),
)
"""What does its work again and again, whatever is asked of the server."""

_by_the_clock: ContextVar[bool] = ContextVar("by_the_clock", default=False)


@dataclass(frozen=True, slots=True)
class Orders:
    """What to record and where to end: `kill_at` is "STEP:before" or "STEP:after", empty for nowhere."""

    journal: Path
    kill_at: str = ""

    def give(self, file: Path) -> None:
        """Puts the orders where the server looks, all at once."""
        partial = file.with_name(file.name + ".partial")
        partial.write_text(f"{self.journal}\n{self.kill_at}\n", encoding="utf-8")
        partial.rename(file)

    @classmethod
    def read(cls, file: Path) -> Orders | None:
        """The orders there now, if any."""
        try:
            journal, kill_at, _ = file.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return None
        return cls(Path(journal), kill_at)


class Recorder:
    """Writes down the steps, and ends the process at one of them. `file`: where orders are given."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._orders: Orders | None = None
        self._counts: Counter[str] = Counter()

    def enter(self, name: str) -> str:
        """Called before each call of a port; returns its step, empty while nothing is recorded."""
        if _by_the_clock.get():
            return ""
        orders = Orders.read(self._file)
        if orders != self._orders:
            self._orders = orders
            self._counts.clear()
        if orders is None:
            return ""
        self._counts[name] += 1
        step = f"{name}#{self._counts[name]}"
        with orders.journal.open("a", encoding="utf-8") as journal:
            journal.write(f"{step}\n")
        self._reached(step, "before")
        return step

    def leave(self, step: str) -> None:
        """Called once the call has done its work, whether it answered or raised."""
        self._reached(step, "after")

    def _reached(self, step: str, moment: str) -> None:
        if step and self._orders is not None and self._orders.kill_at == f"{step}:{moment}":
            os.kill(os.getpid(), signal.SIGKILL)


def recorded(port: type[Any], inner: Port, name: str, recorder: Recorder) -> Port:
    """The adapter behind a port, with each asynchronous method recorded. `port`: the abstract class."""

    def delegated(method: str) -> object:
        declared = getattr(port, method)
        if isinstance(declared, property) or not callable(declared):
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


def install(recorder: Recorder) -> None:
    """Makes every server composed in this process a recorded one, whatever its stores are."""

    def build(settings: Settings, entropy: Callable[[int], bytes]) -> Adapters:
        made = build_adapters(settings, entropy)
        return replace(
            made,
            ledger=recorded(Ledger, made.ledger, "ledger", recorder),
            index=recorded(MemoryIndex, made.index, "index", recorder),
            graph=recorded(EntityGraph, made.graph, "graph", recorder),
            cache=recorded(EmbeddingCache, made.cache, "cache", recorder),
        )

    def embedding(*arguments: Any) -> Embedder:
        return recorded(Embedder, CachedEmbedder(*arguments), "embedder", recorder)

    def reasoning(settings: ReasonerSettings) -> Reasoner | None:
        made = build_reasoner(settings)
        return None if made is None else recorded(Reasoner, made, "reasoner", recorder)

    vars(composition).update(build_adapters=build, CachedEmbedder=embedding)
    vars(inference).update(build_reasoner=reasoning)
    for owner, method in _BY_THE_CLOCK:
        setattr(owner, method, by_the_clock(getattr(owner, method)))


if __name__ == "__main__":
    install(Recorder(Path(os.environ[STEPS_VARIABLE])))
    main()
