"""Stores that fail on request: every port, wrapped around its real adapter."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.embedder import Embedder, EmbedderUnavailable

P = TypeVar("P")
Hook = Callable[..., Awaitable[None]]

_LIFE = frozenset({"open", "close"})


class Held:
    """Calls that were stopped on their way in. `reached` is set when one got there; `release` lets all go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    async def __call__(self, *arguments: object) -> None:
        self.reached.set()
        await self._released.wait()


class Faults:
    """What goes wrong with one store. A hook runs before the real method and may raise or wait.

    `calls` counts the calls that reached the real store, by method.
    """

    def __init__(self, name: str, outage: Callable[[], Exception] | None = None) -> None:
        self.name = name
        self.calls: Counter[str] = Counter()
        self._outage = outage or (lambda: StoreUnavailable(name, "switched off by the test"))
        self._hooks: dict[str, Hook] = {}
        self._down = False

    def down(self) -> None:
        """Every method fails until `up`."""
        self._down = True

    def up(self) -> None:
        """The store works again; hooks on single methods are gone too."""
        self._down = False
        self._hooks.clear()

    def fail(self, method: str, *, times: int, error: Callable[[], Exception] | None = None) -> None:
        """The next calls of one method fail; then it works."""
        left = times

        async def hook(*arguments: object) -> None:
            nonlocal left
            if left:
                left -= 1
                raise (error or self._outage)()

        self._hooks[method] = hook

    def refuse(self, method: str, bad: Callable[..., bool]) -> None:
        """The method raises ValueError for arguments that are `bad`: the store is well, the item is not."""

        async def hook(*arguments: object) -> None:
            if bad(*arguments):
                raise ValueError(f"{self.name} refuses this item")

        self._hooks[method] = hook

    def delay(self, method: str, seconds: float) -> None:
        """Each call of the method takes that much longer."""

        async def hook(*arguments: object) -> None:
            await asyncio.sleep(seconds)

        self._hooks[method] = hook

    def hold(self, method: str) -> Held:
        """Calls of the method wait until they are released."""
        held = Held()
        self._hooks[method] = held
        return held

    def on(self, method: str, hook: Hook) -> None:
        """Runs `hook` with the arguments before each call of the method."""
        self._hooks[method] = hook

    @property
    def well(self) -> bool:
        """Nothing goes wrong, and nobody waits for a call."""
        return not (self._down or self._hooks)

    async def before(self, method: str, arguments: tuple[object, ...]) -> None:
        if self._down and method not in _LIFE:
            raise self._outage()
        if (hook := self._hooks.get(method)) is not None:
            await hook(*arguments)
        self.calls[method] += 1


def embedder_faults(embedder: Embedder) -> Faults:
    """Faults of an embedder, which has an outage of its own kind."""
    return Faults("embedder", lambda: EmbedderUnavailable(str(embedder.model), "it is switched off", "switch it on"))


def faulty(port: type[P], inner: P, faults: Faults) -> P:
    """The adapter behind a port, with the faults in front of each asynchronous method. While something is wrong nothing
    is at hand: the caller has to ask the asynchronous method."""

    def delegated(name: str) -> object:
        if isinstance(getattr(port, name), property) or not callable(getattr(port, name)):
            return property(lambda _: getattr(inner, name))
        if not inspect.iscoroutinefunction(getattr(port, name)):

            def at_hand(self: object, *arguments: Any, **named: Any) -> Any:
                return (
                    getattr(inner, name)(*arguments, **named)
                    if faults.well
                    else getattr(port, name)(self, *arguments, **named)
                )

            return at_hand

        async def method(_: object, *arguments: Any, **named: Any) -> Any:
            await faults.before(name, arguments)
            return await getattr(inner, name)(*arguments, **named)

        return method

    names = [name for name in dir(port) if not name.startswith("_")]
    return cast(P, type(f"Faulty{port.__name__}", (port,), {name: delegated(name) for name in names})())
