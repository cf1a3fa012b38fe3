"""Driver processes: one per SDK and run, spoken to in frames over stdin and stdout."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from google.protobuf.message import DecodeError, Message

from golden_runner.framing import read_frame, write_frame
from memoir_golden_pb.golden_pb2 import CallOptions, DriverRequest, DriverResponse

GOLDEN: Final = Path(__file__).resolve().parent.parent
ROOT: Final = GOLDEN.parent
ANSWER_SECONDS: Final = 40.0
BUILD_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class DriverKind:
    """How to build and start one driver.

    `title`: how the parity matrix calls it. `build` may be empty; `is_sdk` is false for messages alone, see `bare`.
    """

    name: str
    title: str
    command: tuple[str, ...]
    build: tuple[tuple[str, ...], ...] = ()
    is_sdk: bool = True


KINDS: Final[dict[str, DriverKind]] = {
    "python": DriverKind("python", "python (async)", (sys.executable, "-m", "drivers.python")),
    "python-sync": DriverKind("python-sync", "python (sync)", (sys.executable, "-m", "drivers.python", "--sync")),
    "node": DriverKind(
        "node",
        "node",
        ("node", str(ROOT / "sdk-node" / "build" / "golden-driver" / "driver.js")),
        (("npm", "--prefix", str(ROOT / "sdk-node"), "run", "--silent", "build:golden"),),
    ),
    "dataclasses": DriverKind(
        "dataclasses", "dataclasses", (sys.executable, "-m", "drivers.dataclasses"), is_sdk=False
    ),
}


class DriverFailed(Exception):
    """The driver itself broke: it died, hung or answered something else than it was asked. Never a test expectation."""


class Driver:
    """A running driver process; a context manager. Not safe for use by several threads."""

    def __init__(self, kind: DriverKind) -> None:
        for command in kind.build:
            subprocess.run(command, check=True, timeout=BUILD_SECONDS)
        self.name = kind.name
        self.is_sdk = kind.is_sdk
        path = os.pathsep.join((str(GOLDEN), str(ROOT / "sdk-python")))
        # stderr stays the runner's own: what a driver prints there is for the person who looks at the run.
        self._process = subprocess.Popen(
            kind.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
        )
        self._answers: queue.Queue[DriverResponse | Exception | None] = queue.Queue()
        threading.Thread(target=self._read, name=f"driver-{kind.name}", daemon=True).start()

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        cast(BinaryIO, self._process.stdin).close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        cast(BinaryIO, self._process.stdout).close()

    def call(
        self,
        call_id: str,
        target: str,
        method: str,
        request: Message,
        options: CallOptions,
        items: Sequence[Message] = (),
    ) -> DriverResponse:
        """Make one call; `items`: the further requests of a stream. Raises `DriverFailed` when the driver breaks."""
        wanted = DriverRequest(id=call_id, call=DriverRequest.Call(target=target, method=method, options=options))
        wanted.call.request.Pack(request)
        for item in items:
            wanted.call.items.add().Pack(item)
        return self._ask(wanted)

    def round_trip(self, call_id: str, type_name: str, source: bytes | str) -> DriverResponse:
        """Decode and encode one message, from wire bytes or ProtoJSON. Raises `DriverFailed` when the driver breaks."""
        trip = DriverRequest.RoundTrip(type_name=type_name)
        if isinstance(source, bytes):
            trip.binary = source
        else:
            trip.json = source
        return self._ask(DriverRequest(id=call_id, round_trip=trip))

    def _ask(self, request: DriverRequest) -> DriverResponse:
        try:
            write_frame(cast(BinaryIO, self._process.stdin), request)
            answer = self._answers.get(timeout=ANSWER_SECONDS)
        except (OSError, queue.Empty) as error:
            raise DriverFailed(f"{self.name} driver: no answer to {request.id} ({type(error).__name__})") from error
        if answer is None:
            raise DriverFailed(f"{self.name} driver ended with status {self._process.wait(5)} at {request.id}")
        if isinstance(answer, Exception):
            raise DriverFailed(f"{self.name} driver at {request.id}: {answer}") from answer
        if answer.id != request.id:
            raise DriverFailed(f"{self.name} driver answered {answer.id!r} to {request.id!r}")
        if answer.WhichOneof("outcome") in (None, "driver_error"):
            raise DriverFailed(f"{self.name} driver at {request.id}: {answer.driver_error or 'empty answer'}")
        return answer

    def _read(self) -> None:
        stream = cast(BinaryIO, self._process.stdout)
        try:
            while (answer := read_frame(stream, DriverResponse)) is not None:
                self._answers.put(answer)
        except (EOFError, ValueError, OSError, DecodeError) as error:
            self._answers.put(error)
        else:
            self._answers.put(None)
