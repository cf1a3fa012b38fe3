"""What every part of the synchronous client has, and its pages and streams."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from typing import Any, Generic, Self, TypeVar, cast

from memoir.background import BackgroundLoop
from memoir.client_async import AsyncMemoir
from memoir.streams import AsyncPages, AsyncStream, Page

T = TypeVar("T")

_END: Any = object()


class SyncService:
    """Part of the client that calls one service."""

    _core: AsyncMemoir
    _background: BackgroundLoop
    _pid: int

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if os.getpid() != self._pid:
            coroutine.close()
            raise RuntimeError("this client was made before a fork; create one in the child process")
        return self._background.run(coroutine)

    def _pages(self, pages: AsyncPages[T]) -> "Pages[T]":
        return Pages(self, pages)

    def _stream(self, stream: AsyncStream[T]) -> "Stream[T]":
        return Stream(self, stream)


class Pages(Generic[T]):
    """A listing. `for item in ...` fetches page after page; `pages()` gives the pages themselves.

    Nothing is fetched before the first step. Iterating again lists again.
    """

    __slots__ = ("_client", "_pages")

    def __init__(self, client: SyncService, pages: AsyncPages[T]) -> None:
        self._client = client
        self._pages = pages

    def pages(self) -> Iterator[Page[T]]:
        """Yield page after page."""
        source = self._pages.pages()

        async def step() -> Page[T]:
            page: Page[T] = await anext(source, _END)
            return page

        while (page := self._client._run(step())) is not _END:
            yield page

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.items


class Stream(Iterator[T]):
    """A stream of results. Read it with `for`; leave it early with `with` or `close()`.

    The call begins with the first step and is cancelled when the stream is closed or dropped. It may be closed from
    another thread than the one that reads it, for which it then ends.
    """

    __slots__ = ("_client", "_closed", "_reading", "_stream")

    def __init__(self, client: SyncService, stream: AsyncStream[T]) -> None:
        self._client = client
        self._stream = stream
        self._reading: asyncio.Task[object] | None = None
        self._closed = False

    def __iter__(self) -> Self:
        return self

    async def _step(self) -> T:
        self._reading = asyncio.current_task()
        try:
            item: T = await anext(self._stream, _END)
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return cast(T, _END)
        finally:
            self._reading = None
        return item

    async def _end(self) -> None:
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
        await self._stream.aclose()

    def __next__(self) -> T:
        item = self._client._run(self._step())
        if item is _END:
            raise StopIteration
        return item

    def close(self) -> None:
        """Cancel the call; harmless when it has ended."""
        self._client._run(self._end())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
