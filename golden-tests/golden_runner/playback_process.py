"""The playback server in a process of its own.

gRPC's asyncio is not stable on several event loops of one process, and the process that runs the tests has others.
"""

import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

from golden_runner.contract import METHODS, message_class
from golden_runner.playback import Attempt, PlaybackServer
from memoir_golden_pb.golden_pb2 import ScriptedAttempt, Suite

ANSWER_SECONDS: Final = 30.0

CANCEL_SECONDS: Final = 5.0

# One attempt on the pipe: method, its request and items as bytes, and the fields of Attempt that are no messages.
_Record = tuple[str, list[bytes], dict[str, Any]]
_PLAIN: Final = ("deadline", "metadata", "arrived", "connection", "cancelled", "trailers_only")


class PlaybackProcess:
    """Starts the server, gives it scripts, asks for its record; a context manager. It ends when this process does."""

    backend: Final = Suite.BACKEND_PLAYBACK

    def __init__(self) -> None:
        context = get_context("spawn")
        self._pipe, self._far_end = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(self._far_end,), daemon=True)
        self.target = ""

    def __enter__(self) -> "PlaybackProcess":
        self._process.start()
        self._far_end.close()
        self.target = str(self._receive())
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(ANSWER_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(ANSWER_SECONDS)

    def load(self, script: Sequence[ScriptedAttempt]) -> None:
        """Set the script of the next call and forget what was recorded."""
        self._pipe.send([attempt.SerializeToString() for attempt in script])
        self._receive()

    def attempts(self) -> list[Attempt]:
        """What the server has seen since `load`."""
        self._pipe.send(None)
        records: list[_Record] = self._receive()  # type: ignore[assignment]
        return [_attempt(*record) for record in records]

    def attempts_once_cancelled(self) -> list[Attempt]:
        """As `attempts`, but waits up to `CANCEL_SECONDS` until the last one is seen to be cancelled."""
        end = time.monotonic() + CANCEL_SECONDS
        while not (found := self.attempts()) or not found[-1].cancelled:
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        return found

    def _receive(self) -> object:
        if not self._pipe.poll(ANSWER_SECONDS):
            raise TimeoutError(f"the playback server did not answer within {ANSWER_SECONDS} s")
        found: object = self._pipe.recv()
        return found


def _serve(pipe: Connection) -> None:
    """Serve until the other end of the pipe is closed: a list is a script to load, None asks for the record."""
    with PlaybackServer() as server:
        pipe.send(server.target)
        while True:
            try:
                script = pipe.recv()
            except EOFError:
                return
            if script is None:
                pipe.send([_record(attempt) for attempt in server.attempts()])
            else:
                server.load([ScriptedAttempt.FromString(body) for body in script])
                pipe.send(None)


def _record(attempt: Attempt) -> _Record:
    bodies = [message.SerializeToString() for message in (attempt.request, *attempt.items)]
    return attempt.method, bodies, {name: getattr(attempt, name) for name in _PLAIN}


def _attempt(method: str, bodies: list[bytes], plain: dict[str, Any]) -> Attempt:
    request, *items = map(message_class(METHODS[method].request.full_name).FromString, bodies)
    return Attempt(method=method, request=request, items=tuple(items), **plain)
