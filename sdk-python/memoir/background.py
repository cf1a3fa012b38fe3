"""One event loop in a thread of its own, shared by all synchronous clients of the process."""

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_STOP_SECONDS: Final = 2.0


class BackgroundLoop:
    """An event loop that runs in a daemon thread; any other thread may run coroutines in it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_on_loop_error)
        self._thread = threading.Thread(target=self._serve, name="memoir-client", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result; an interrupt of the waiting thread cancels it."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("Memoir cannot be called from inside its own event loop; use AsyncMemoir there")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel what still runs and end the thread, so that the interpreter shuts down in order."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop)
            self._thread.join(_STOP_SECONDS)


async def _cancel_all() -> None:
    loop = asyncio.get_running_loop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    loop.call_soon(loop.stop)


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # gRPC shares one poller between all event loops of a process. When two of them run in two threads, both may be
    # woken for the same byte, and the slower one finds nothing to read. It is harmless and would fill the log.
    if isinstance(context.get("exception"), BlockingIOError) and "PollerCompletionQueue" in str(context.get("handle")):
        return
    loop.default_exception_handler(context)


_lock = threading.Lock()
_current: BackgroundLoop | None = None


def background_loop() -> BackgroundLoop:
    """Return the process's loop, started on first use."""
    global _current  # noqa: PLW0603 - one thread per process is the point
    with _lock:
        if _current is None:
            _current = BackgroundLoop()
            atexit.register(_current.stop)
        return _current


def _forget_after_fork() -> None:
    # The thread does not exist in the child, and the lock may have been held by another thread of the parent.
    global _current, _lock  # noqa: PLW0603 - reset of the module's own state
    _lock = threading.Lock()
    if _current is not None:
        atexit.unregister(_current.stop)
    _current = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
