"""The state of shutting down, as the RPC layer sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar

from memoir_server.rpc.refusals import ServerDraining

T = TypeVar("T")


class Draining:
    """False until `begin`; then new calls are refused and streams end with a place to resume from."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def active(self) -> bool:
        """Whether the server is shutting down."""
        return self._event.is_set()

    def begin(self) -> None:
        """Starts refusing."""
        self._event.set()

    async def wait(self) -> None:
        """Returns once the server is shutting down."""
        await self._event.wait()

    async def until_drained(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """The items of an async generator, which is closed at the end. Raises ServerDraining when the server shuts
        down before they end."""
        drained: asyncio.Future[Any] = asyncio.ensure_future(self.wait())
        try:
            async with aclosing(items) as open_items:  # type: ignore[type-var]  # declared as its protocol
                while True:
                    step: asyncio.Future[Any] = asyncio.ensure_future(_next(open_items))
                    try:
                        await asyncio.wait({step, drained}, return_when=asyncio.FIRST_COMPLETED)
                        if not step.done():
                            raise ServerDraining
                        item = step.result()
                    finally:
                        step.cancel()
                        await asyncio.gather(step, return_exceptions=True)
                    if item is _END:
                        return
                    yield item
        finally:
            drained.cancel()
            await asyncio.gather(drained, return_exceptions=True)


_END = object()


async def _next(items: AsyncIterator[Any]) -> Any:
    return await anext(items, _END)
