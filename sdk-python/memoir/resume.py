"""Streams that survive a broken connection: opened again after the last response that arrived."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from memoir.errors import IncompleteStream, MemoirError
from memoir.retry import POLICY

R = TypeVar("R")


async def resumed(
    open_stream: Callable[[float | None, int], AsyncGenerator[R]],
    *,
    timeout: float | None,
    reconnect_timeout: float | None,
    is_last: Callable[[R], bool],
    on_error: Callable[[MemoirError], None] = lambda _: None,
) -> AsyncGenerator[R]:
    """Yield the responses of a stream that is opened again whenever it breaks.

    Args:
        open_stream: opens the stream where it broke, given the seconds left (None: no limit) and the number of failed
            attempts since the last response.
        timeout: seconds for the whole; None means no limit.
        reconnect_timeout: seconds without any response after which the last error is raised; None means never.
        is_last: says whether a response ends the stream; an end without one counts as a break.
        on_error: sees each error that leads to another attempt.

    Raises:
        MemoirError: an error that does not pass, or one that lasted longer than reconnect_timeout.
    """
    begin = alive = time.monotonic()
    failures, complete = 0, False
    while True:
        error: MemoirError
        try:
            left = None if timeout is None else max(timeout - (time.monotonic() - begin), 0.001)
            async with aclosing(open_stream(left, failures)) as responses:
                async for response in responses:
                    failures, alive = 0, time.monotonic()
                    complete = is_last(response)
                    yield response
                    # The consumer's own time between two steps is not silence of the server.
                    alive = time.monotonic()
            if complete:
                return
            error = IncompleteStream("the stream ended before its last message")
        except MemoirError as broken:
            if complete:
                return
            if not POLICY.transient(broken):
                raise
            error = broken
        on_error(error)
        failures += 1
        delay, now = POLICY.delay(error, failures), time.monotonic()
        if reconnect_timeout is not None and now + delay - alive > reconnect_timeout:
            raise error
        if timeout is not None and now + delay - begin >= timeout:
            raise error
        await asyncio.sleep(delay)
