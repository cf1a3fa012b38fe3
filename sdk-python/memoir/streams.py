"""What methods with many results return: pages to iterate over, and streams to read or close."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing.

    Attributes:
        items: the results, in the order of the listing.
        next_page_token: pass as `page_token` to go on from here; empty on the last page.
        revision: namespace revision the listing was read at, where the method says so, else 0.
        resume_token: of a history: `watch(resume_token=...)` misses nothing after this page. Else empty.
    """

    items: tuple[T, ...]
    next_page_token: str
    revision: int = 0
    resume_token: str = ""


class AsyncPages(Generic[T]):
    """A listing. `async for item in ...` fetches page after page; `pages()` gives the pages themselves.

    Nothing is fetched before the first step. Iterating again lists again.
    """

    __slots__ = ("_fetch", "_page_token")

    def __init__(self, fetch: Callable[[str], Awaitable[Page[T]]], page_token: str) -> None:
        self._fetch = fetch
        self._page_token = page_token

    async def pages(self) -> AsyncGenerator[Page[T]]:
        """Yield page after page."""
        token = self._page_token
        while True:
            page = await self._fetch(token)
            yield page
            token = page.next_page_token
            if not token:
                return

    async def __aiter__(self) -> AsyncGenerator[T]:
        async for page in self.pages():
            for item in page.items:
                yield item


class AsyncStream(AsyncIterator[T]):
    """A stream of results. Read it with `async for`; leave it early with `async with` or `aclose()`.

    The call begins with the first step and is cancelled when the stream is closed.
    """

    __slots__ = ("_generator",)

    def __init__(self, generator: AsyncGenerator[T]) -> None:
        self._generator = generator

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        return await anext(self._generator)

    async def aclose(self) -> None:
        """Cancel the call; harmless when it has ended."""
        await self._generator.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
