"""The requests that the corpus makes of real servers, as messages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from golden_runner.contract import METHODS, message_class
from golden_runner.variables import Variables
from memoir_golden_pb.golden_pb2 import Step, Suite

REAL: Final = (Suite.BACKEND_DETERMINISTIC, Suite.BACKEND_EMBEDDED, Suite.BACKEND_DISTRIBUTED)


class Anything(Variables):
    """Stands in for bound variables where only the shape of a message matters."""

    def __getitem__(self, name: str) -> str:
        try:
            return super().__getitem__(name)
        except KeyError:
            return "2026-01-01T00:00:00Z" if name.startswith("t") else "1"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a case, and whether the case wants it refused."""

    message: Message
    is_refused: bool


def asked(suites: Iterable[Suite]) -> Iterator[Asked]:
    """Every request of every case on a real server, the items of a stream included."""
    for suite in suites:
        if suite.backend in REAL:
            for case in suite.cases:
                for step in case.steps:
                    yield from (Asked(message, step.expect.HasField("error")) for message in requests(step))


def requests(step: Step) -> Iterator[Message]:
    """The request of a step and its items, with something in the place of each variable."""
    variables = Anything("completeness")
    kind = message_class(METHODS[step.method].request.full_name)
    for part in (step.request, *step.items):
        yield ParseDict(variables.substitute(MessageToDict(part)), kind())
