"""The script of the double: which request gets which answer; and the record of what was asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

MESSAGES, CHAT, EMBEDDINGS = "messages", "chat", "embeddings"
"""The APIs."""


class Stop(Enum):
    """Why a model stopped."""

    DONE = "done"
    LENGTH = "length"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens an answer reports. `input` counts all that were read."""

    input: int
    output: int
    cached: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the model says: text, or the JSON text of its structured answer, which need not be JSON.

    Attributes:
        seconds: Before the answer begins; in a stream, between its events too.
        usage: None: counted from the texts.
        model: Name in the answer; empty: the one asked for.
    """

    output: str
    stop: Stop = Stop.DONE
    usage: Usage | None = None
    seconds: float = 0.0
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuses:
    """An error body of the API that was asked.

    Attributes:
        status: HTTP status.
        code: The provider's word; empty: the usual one of the status.
        message: Empty: a usual one of the status.
        retry_after: Value of the header; empty: none.
    """

    status: int
    code: str = ""
    message: str = ""
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Hangs:
    """No answer, for as long as the client waits."""


@dataclass(frozen=True, slots=True)
class Breaks:
    """The head of an answer and so many bytes of its body, then the connection breaks."""

    answer: Said
    after: int


@dataclass(frozen=True, slots=True)
class Page:
    """Not the API at all: a page of something in between."""

    text: str
    status: int = 200
    content_type: str = "text/html"


Answer: TypeAlias = Said | Refuses | Hangs | Breaks | Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that passed the API's checks.

    Attributes:
        form: Name of the tool or of the response format; empty for plain text.
        structure: "tool", "schema", "object" or "".
        text: All texts of the user's part, one after the other.
        images: Media types and bytes.
        inputs: Of embeddings.
    """

    api: str
    model: str
    form: str = ""
    structure: str = ""
    system: str = ""
    text: str = ""
    images: tuple[tuple[str, bytes], ...] = ()
    max_tokens: int = 0
    stream: bool = False
    inputs: tuple[str, ...] = ()


@dataclass(slots=True)
class Call:
    """One request as it came in, whatever came of it."""

    path: str
    headers: Mapping[str, str]
    body: Any
    at: float
    asked: Asked | None = None
    status: int = 0
    given_up: bool = False
    """The client closed the connection before it had an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which requests an exchange is for; what is left empty matches any."""

    api: str = ""
    model: str = ""
    form: str = ""
    contains: tuple[str, ...] = ()

    def fits(self, asked: Asked) -> bool:
        """Whether the request is one of them. `contains` looks into system text, user's text and inputs."""
        everything = "\n".join((asked.system, asked.text, *asked.inputs))
        return (
            (not self.api or self.api == asked.api)
            and (not self.model or self.model == asked.model)
            and (not self.form or self.form == asked.form)
            and all(part in everything for part in self.contains)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Answers for the requests that match, one after the other; the last one stays, unless `once`."""

    answers: Sequence[Answer]
    match: Match = field(default_factory=Match)
    once: bool = False


class Script:
    """Exchanges in order: the first that fits and has an answer left gives it. Safe to change while it is in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[tuple[Exchange, list[Answer]]] = []

    def add(self, *exchanges: Exchange) -> None:
        """Adds exchanges after those that are there."""
        with self._lock:
            self._left += [(exchange, list(exchange.answers)) for exchange in exchanges]

    def clear(self) -> None:
        """Forgets all exchanges."""
        with self._lock:
            self._left.clear()

    def take(self, asked: Asked) -> Answer | None:
        """The answer to a request; None where no exchange is for it."""
        with self._lock:
            for exchange, answers in self._left:
                if answers and exchange.match.fits(asked):
                    return answers.pop(0) if exchange.once or len(answers) > 1 else answers[0]
        return None
