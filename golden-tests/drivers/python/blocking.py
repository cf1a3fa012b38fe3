"""The synchronous face, called as `AsyncMemoir` is: one set of calls drives both.

Every call of `Memoir`, and every step of its pages and streams, blocks a thread, as it blocks its users'.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self, cast

from memoir import AsyncMemoir, Memoir, Page, Pages, Stream

_END = object()


def blocking_client(target: str, api_key: str | None) -> AsyncMemoir:
    """A `Memoir` with the methods of the asynchronous client."""
    return cast(AsyncMemoir, _Client(Memoir(target, api_key=api_key)))


class _Client:
    def __init__(self, memoir: Memoir) -> None:
        self._memoir = memoir

    def in_namespace(self, namespace: str) -> Self:
        return type(self)(self._memoir.in_namespace(namespace))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._memoir, name)
        if inspect.iscoroutinefunction(getattr(AsyncMemoir, name)):

            async def call(*args: Any, **options: Any) -> Any:
                return await asyncio.to_thread(method, *args, **options)

            return call

        def open_(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            return _Pages(result) if isinstance(result, Pages) else _Stream(result)

        return open_


class _Pages:
    def __init__(self, pages: Pages[Any]) -> None:
        self._pages = pages

    async def __aiter__(self) -> AsyncGenerator[Any]:
        items = iter(self._pages)
        while (item := await asyncio.to_thread(next, items, _END)) is not _END:
            yield item

    async def pages(self) -> AsyncGenerator[Page[Any]]:
        pages = self._pages.pages()
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            yield page


class _Stream:
    def __init__(self, stream: Stream[Any]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self._stream, _END)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._stream.close)
