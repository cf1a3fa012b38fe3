"""Messages and memories as a prompt shows them: as data.

Each is one line of JSON between two tags. Within JSON a line break is written `\\n`, a quotation mark `\\"`, and here
also `</` is written `<\\/`, so nothing said in a conversation can end its line or the block, or pass for another
speaker. What a reader of JSON gets back is the text, character for character, which quotes rely on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.memory import Memory, MemoryKind, Role
from memoir_server.domain.time import Instant, to_datetime

ROLE_NAMES: Final = {
    Role.UNSPECIFIED: "unknown",
    Role.USER: "user",
    Role.ASSISTANT: "assistant",
    Role.SYSTEM: "system",
    Role.TOOL: "tool",
}
KIND_NAMES: Final = {kind: kind.name.lower() for kind in MemoryKind}

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# JSON leaves these as they are, some readers take them for the end of a line; a lone surrogate is no text to send.
_BREAKS: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def data_line(**fields: object) -> str:
    """One line of JSON; values are texts, numbers, None or lists of them, in the order given."""
    return _escaped(json.dumps(fields, ensure_ascii=False, separators=(",", ":")))


def inner(text: str) -> str:
    """A text as it stands within a line, without its quotation marks."""
    return _escaped(json.dumps(text, ensure_ascii=False))[1:-1]


def _escaped(line: str) -> str:
    return _BREAKS.sub(lambda match: f"\\u{ord(match[0]):04x}", line).replace("</", "<\\/")


def block(tag: str, lines: Iterable[str]) -> str:
    """Lines between an opening and a closing tag, each on a line of its own."""
    return "\n".join((f"<{tag}>", *lines, f"</{tag}>"))


def clock(instant: Instant) -> str:
    """A moment for a reader who has to reckon with dates: `2025-03-01T09:00Z Sat`. Years 1 to 9999; a moment outside of
    them reads as unknown."""
    try:
        moment = to_datetime(instant)
    except OverflowError:
        return "unknown"
    return f"{moment:%Y-%m-%dT%H:%MZ} {_WEEKDAYS[moment.weekday()]}".rjust(21, "0")


def message_line(turn: Turn, text: str, *, part: int = 0, images: tuple[str, ...] = ()) -> str:
    """A message to take facts from. `part` counts from 1 where a long message is cut."""
    fields: dict[str, object] = {"n": turn.index, "role": ROLE_NAMES[turn.role]}
    if turn.actor_id:
        fields["speaker"] = turn.actor_id
    fields["time"] = clock(turn.said)
    if part:
        fields["part"] = part
    fields["text"] = text
    if images:
        fields["images"] = list(images)
    return data_line(**fields)


def earlier_line(turn: Turn, text: str) -> str:
    """A message shown to understand the others: it has no number, so no fact can name it."""
    speaker = {"speaker": turn.actor_id} if turn.actor_id else {}
    return data_line(role=ROLE_NAMES[turn.role], **speaker, time=clock(turn.said), text=text)


def memory_line(number: int, memory: Memory) -> str:
    """A memory on offer, under its short number."""
    fields: dict[str, object] = {"memory": number, "kind": KIND_NAMES[memory.kind]}
    if memory.valid_from is not None:
        fields["from"] = clock(memory.valid_from)
    if memory.valid_until is not None:
        fields["until"] = clock(memory.valid_until)
    fields["text"] = memory.text
    return data_line(**fields)
