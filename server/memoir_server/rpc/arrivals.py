"""Messages of a client's stream, in batches of what has arrived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator


class Arrivals:
    """Reads ahead of whoever takes the batches, so that the messages that come while one batch is at work are together
    in the next.

    Reading ahead is bounded: with `max_messages` or `max_bytes` waiting nothing is read, and flow control stops the
    sender.
    """

    def __init__(self, messages: AsyncIterator[bytes], *, max_messages: int, max_bytes: int) -> None:
        self._messages = messages
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = False

    async def batches(self, stop: asyncio.Future[None]) -> AsyncGenerator[list[bytes]]:
        """Batches, none empty, until the stream ends or `stop` is done. Raises what reading the stream raises, after
        the batches before it."""
        reading = asyncio.create_task(self._read())
        stop.add_done_callback(lambda _: reading.cancel())
        try:
            while batch := await self._take():
                yield batch
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for message in self._messages:
                while not self._has_room():
                    self._taken.clear()
                    await self._taken.wait()
                self._waiting.append(message)
                self._bytes += len(message)
                self._arrived.set()
        finally:
            self._ended = True
            self._arrived.set()

    def _has_room(self) -> bool:
        return len(self._waiting) < self._max_messages and self._bytes < self._max_bytes

    async def _take(self) -> list[bytes]:
        """What has arrived, at least one message; empty at the end."""
        while not self._waiting and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        batch, self._waiting, self._bytes = self._waiting, [], 0
        self._taken.set()
        return batch
