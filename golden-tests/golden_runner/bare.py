"""What is asked of a driver that is generated messages over bare gRPC, without an SDK.

It runs every wire vector, and the cases on the deterministic server that use nothing but its methods and no options of
a client. Its answers must be those of the SDKs, apart from what only an SDK has: views and exception classes.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from golden_runner.contract import message_class
from golden_runner.paths import is_map
from memoir_golden_pb.golden_pb2 import CallOptions, Case, Expectation, Suite, Vector

METHODS: Final = frozenset(
    {
        "memoir.v1.MemoryService/BatchCreateMemories",
        "memoir.v1.MemoryService/CreateMemory",
        "memoir.v1.MemoryService/DeleteMemory",
        "memoir.v1.MemoryService/GetMemory",
        "memoir.v1.MemoryService/ListMemories",
        "memoir.v1.SearchService/SearchMemories",
        "memoir.v1.SearchService/StreamSearchMemories",
    }
)
# Parts of a transcript's step that come from an SDK, not from the messages.
OF_AN_SDK: Final = ("views", "sdkError")
NANOS_PER_MICRO: Final = 1_000


def cases(suite: Suite) -> list[Case]:
    """The cases of a suite that need no SDK."""
    if suite.backend != Suite.BACKEND_DETERMINISTIC:
        return []
    return [
        case
        for case in suite.cases
        if all(step.method in METHODS and step.options == CallOptions() for step in case.steps)
    ]


def expectation(wanted: Expectation) -> Expectation:
    """An expectation without the exception class."""
    found = Expectation()
    found.CopyFrom(wanted)
    found.ClearField("sdk_error")
    return found


def transcript(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The record of a case as far as drivers with and without an SDK can be compared."""
    return [{key: value for key, value in step.items() if key not in OF_AN_SDK} for step in steps]


def vector(wanted: Vector) -> Vector:
    """A vector with its times and durations cut to microseconds: `datetime` and `timedelta` hold no more."""
    if wanted.direction in (Vector.DIRECTION_REJECT_BINARY, Vector.DIRECTION_REJECT_JSON):
        return wanted
    message = message_class(wanted.type_name)()
    message.ParseFromString(wanted.canonical or wanted.binary)
    finer = [moment for moment in _moments(message) if moment.nanos % NANOS_PER_MICRO]
    if not finer:
        return wanted
    for moment in finer:
        # Towards zero; only a duration can be negative.
        moment.nanos -= abs(moment.nanos) % NANOS_PER_MICRO * (1 if moment.nanos > 0 else -1)
    found = Vector()
    found.CopyFrom(wanted)
    found.canonical = message.SerializeToString(deterministic=True)
    found.json.Clear()
    found.json.update(json.loads(json.dumps(MessageToDict(message))))
    return found


def _moments(message: Message) -> Iterator[Timestamp | Duration]:
    if isinstance(message, Timestamp | Duration):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if is_map(field):
            value = value.values()
        elif not field.is_repeated:
            value = [value]
        for item in value:
            if isinstance(item, Message):
                yield from _moments(item)
