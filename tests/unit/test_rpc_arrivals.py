from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from memoir_server.rpc.arrivals import Arrivals


class Stream:
    """A stream of numbered messages of `size` bytes; counts those that were read."""

    def __init__(self, count: int, *, size: int = 4, error: Exception | None = None) -> None:
        self.read = 0
        self._count = count
        self._size = size
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number in range(self._count):
            self.read += 1
            yield number.to_bytes(self._size, "big")
        if self._error is not None:
            raise self._error


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


def never() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def numbers(batch: list[bytes]) -> list[int]:
    return [int.from_bytes(message, "big") for message in batch]


async def test_what_arrives_together_is_one_batch_and_nothing_is_lost() -> None:
    arrivals = Arrivals(Stream(25).__aiter__(), max_messages=10, max_bytes=10_000)
    sizes, seen = [], []
    async for batch in arrivals.batches(never()):
        sizes.append(len(batch))
        seen += numbers(batch)
        await settle()
    assert seen == list(range(25))
    assert max(sizes) == 10
    assert 0 not in sizes


@pytest.mark.parametrize(("max_messages", "max_bytes", "waiting"), [(10, 10_000, 10), (100, 50, 5)])
async def test_reading_ahead_is_bounded(max_messages: int, max_bytes: int, waiting: int) -> None:
    stream = Stream(1000, size=10)
    arrivals = Arrivals(stream.__aiter__(), max_messages=max_messages, max_bytes=max_bytes)
    async with aclosing(arrivals.batches(never())) as batches:
        await anext(batches)
        await settle()
        # One more is in the reader's hand.
        first = stream.read
        assert first <= 1 + 2 * waiting + 1
        await settle()
        assert stream.read == first
        assert len(await anext(batches)) == waiting
    await settle()
    assert stream.read <= first + waiting + 1


async def test_an_empty_stream_has_no_batch() -> None:
    assert [b async for b in Arrivals(Stream(0).__aiter__(), max_messages=9, max_bytes=9).batches(never())] == []


async def test_what_breaks_the_stream_comes_after_what_arrived() -> None:
    arrivals = Arrivals(Stream(3, error=ValueError("torn")).__aiter__(), max_messages=9, max_bytes=99)
    batches = arrivals.batches(never())
    assert numbers(await anext(batches)) == [0, 1, 2]
    with pytest.raises(ValueError, match="torn"):
        await anext(batches)


async def test_a_stop_ends_the_wait_and_keeps_what_arrived() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await never()

    stop = never()
    batches = Arrivals(slow(), max_messages=9, max_bytes=99).batches(stop)
    assert await anext(batches) == [b"one"]
    waiting = asyncio.ensure_future(anext(batches, None))
    await settle()
    assert not waiting.done()
    stop.set_result(None)
    assert await asyncio.wait_for(waiting, 1.0) is None
