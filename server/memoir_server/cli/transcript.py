"""Reads the documented transcript format (examples/TRANSCRIPT.md), whole and checked, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from memoir_server.cli.transcript_lines import HEADER, MESSAGE, Line, TranscriptError, read_line

__all__ = ["MAX_MESSAGES_PER_ADD", "Transcript", "TranscriptError", "TranscriptMessage", "read_transcript"]

MAX_MESSAGES_PER_ADD: Final = 200
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class TranscriptMessage:
    """One turn. `create_time` is RFC 3339; `actor_id` is empty where the file names no speaker."""

    session_id: str
    message_id: str
    role: str
    content: str
    create_time: str
    actor_id: str

    def as_dict(self) -> dict[str, str]:
        """In the form that `Memoir.add` takes."""
        message = {
            "role": self.role,
            "content": self.content,
            "message_id": self.message_id,
            "create_time": self.create_time,
        }
        return message | ({"actor_id": self.actor_id} if self.actor_id else {})


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation of one user with one assistant, over sessions that are ordered by their first message."""

    title: str
    user_id: str
    agent_id: str | None
    messages: tuple[TranscriptMessage, ...]

    @property
    def sessions(self) -> int:
        """Number of sessions."""
        return len({message.session_id for message in self.messages})

    def batches(self) -> Iterator[tuple[str, list[TranscriptMessage]]]:
        """(session_id, messages) in order, at most MAX_MESSAGES_PER_ADD at a time."""
        for session_id, group in groupby(self.messages, key=lambda message: message.session_id):
            messages = list(group)
            for start in range(0, len(messages), MAX_MESSAGES_PER_ADD):
                yield session_id, messages[start : start + MAX_MESSAGES_PER_ADD]


def read_transcript(path: Path) -> Transcript:
    """Reads and checks a whole file.

    Raises:
        TranscriptError: The first fault in line order, with line, field, value and fix.
        OSError: The file cannot be read.
    """
    content = path.read_bytes()
    first, *rest = content.split(b"\n")
    head = Line(path.name, 1)
    if content.startswith(_BYTE_ORDER_MARK):
        raise head.fault("(line)", "begins with a byte order mark", "save the file as UTF-8 without a byte order mark")
    if not content.strip():
        raise head.fault("format", "the file is empty", "begin with a header line")
    header = read_line(head, first, HEADER)
    sequence = _Sequence()
    messages = []
    for number, raw in enumerate(rest, start=2):
        line = Line(path.name, number)
        fields = read_line(line, raw, MESSAGE) if raw.strip() else None
        if fields is None:
            continue
        text = fields.texts
        sequence.check(line, text["message_id"], text["session_id"], text["create_time"], fields.instant)
        messages.append(
            TranscriptMessage(
                session_id=text["session_id"],
                message_id=text["message_id"],
                role=text["role"],
                content=text["content"],
                # RFC 3339 allows lower case, the wire format does not.
                create_time=text["create_time"].upper(),
                actor_id=text.get("actor_id", ""),
            )
        )
    if not messages:
        raise head.fault("content", "no message follows the header", "add at least one message")
    return Transcript(
        title=header.texts.get("title", ""),
        user_id=header.texts["user_id"],
        agent_id=header.texts.get("agent_id"),
        messages=tuple(messages),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    line: int
    instant: int


class _Sequence:
    """The rules across lines: unique ids, sessions in one piece, time running forward."""

    def __init__(self) -> None:
        self._message_lines: dict[str, int] = {}
        self._session_starts: dict[str, _Place] = {}
        self._session: str | None = None
        self._last = _Place(0, 0)

    def check(self, line: Line, message_id: str, session_id: str, create_time: str, instant: int) -> None:
        """Takes the next message in. `instant` counts nanoseconds."""
        if message_id in self._message_lines:
            first = self._message_lines[message_id]
            raise line.fault_of("message_id", message_id, f"was used in line {first}", "choose another message_id")
        self._message_lines[message_id] = line.number
        here = _Place(line.number, instant)
        if session_id == self._session:
            if instant < self._last.instant:
                raise line.fault_of(
                    "create_time",
                    create_time,
                    f"is before line {self._last.line} of the same session",
                    "put the messages in order of time",
                )
        elif session_id in self._session_starts:
            raise line.fault_of(
                "session_id",
                session_id,
                f"began in line {self._session_starts[session_id].line} and another session began after it",
                "move the line up to its session, or use a new session_id",
            )
        else:
            above = self._session_starts[self._session] if self._session is not None else None
            if above is not None and instant < above.instant:
                raise line.fault_of(
                    "create_time",
                    create_time,
                    f"is before the session above it, which begins in line {above.line}",
                    "put the sessions in order of their first message",
                )
            self._session_starts[session_id] = here
            self._session = session_id
        self._last = here
