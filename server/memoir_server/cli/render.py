"""How results look: a table or a line for people, one JSON object per line for programs."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from typing import Any, Final

from google.protobuf.message import Message
from rich.console import Console
from rich.text import Text

from memoir import (
    HistoryEvent,
    MemoirError,
    Memory,
    MemoryKind,
    PhaseFailed,
    PhaseHits,
    SearchCompleted,
    SearchEvent,
    SearchHit,
    SearchStarted,
)

console: Final = Console(highlight=False, soft_wrap=True)
"""Results, on standard output."""
messages: Final = Console(stderr=True, highlight=False, soft_wrap=True)
"""Progress and remarks, on standard error, so that results can be piped."""

_EVENT_NAMES: Final[dict[type, str]] = {
    SearchStarted: "started",
    PhaseHits: "phase_hits",
    PhaseFailed: "phase_failed",
    SearchCompleted: "completed",
}


def print_json(result: object) -> None:
    """One line of JSON: the result's public fields, times in RFC 3339, durations in seconds, no raw messages."""
    print(json.dumps(_plain(result), ensure_ascii=False, separators=(",", ":")), flush=True)


def print_event_json(event: SearchEvent) -> None:
    """As `print_json`, with the kind of the event in `event`, named as in the contract."""
    print_json({"event": _EVENT_NAMES[type(event)], **_plain(event)})


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(found)
            for field in dataclasses.fields(value)
            if not isinstance(found := getattr(value, field.name), Message)
        }
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, MemoirError):
        return {"code": value.code.name, "reason": value.reason, "message": value.message}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def day(moment: datetime | None) -> str:
    """The date, or nothing."""
    return f"{moment:%Y-%m-%d}" if moment else ""


def memory_line(memory: Memory) -> Text:
    """One line: date, kind, who, text, id. Text, so that brackets in it are not taken for markup."""
    line = Text()
    line.append(f"{day(memory.create_time)} ", style="dim")
    line.append(f"{memory.kind.lower():<10} ", style="cyan")
    # Of a message this is who said it; the sources of a fact are not its speakers.
    speaker = memory.provenance[0].actor_id if memory.kind == MemoryKind.EPISODE and memory.provenance else ""
    if speaker:
        line.append(f"{speaker}: ", style="bold")
    line.append(" ".join(memory.text.split()))
    if memory.valid_until:
        line.append(f"  (until {day(memory.valid_until)})", style="yellow")
    line.append(f"  {memory.id}", style="dim")
    return line


def show_memory(memory: Memory) -> None:
    """One memory, a line per field that it has."""
    scope = memory.scope
    rows: list[tuple[str, object]] = [
        ("id", memory.id),
        ("text", memory.text),
        ("kind", memory.kind.lower()),
        ("user", scope.user_id),
        ("agent", scope.agent_id),
        ("session", scope.session_id),
        *((f"metadata.{key}", json.dumps(_plain(value), ensure_ascii=False)) for key, value in memory.metadata.items()),
        ("importance", memory.importance),
        ("created", memory.create_time),
        ("updated", memory.update_time),
        ("valid from", memory.valid_from),
        ("valid until", memory.valid_until),
        ("expires", memory.expire_time),
        *(
            ("source", " ".join(part for part in (item.session_id, item.message_id, item.actor_id, item.quote) if part))
            for item in memory.provenance
        ),
        *(("entity", f"{item.name} ({item.type or 'thing'})") for item in memory.entities),
        *(("relation", f"{item.subject} {item.predicate} {item.object}") for item in memory.relations),
        ("supersedes", " ".join(memory.supersedes)),
        ("superseded by", memory.superseded_by),
        ("revision", memory.revision),
        ("etag", memory.etag),
        ("accesses", memory.access_count),
        ("last access", memory.last_access_time),
    ]
    for name, value in rows:
        if value is None or value == "":
            continue
        shown = value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else str(value)
        console.print(Text(f"{name:<14} ", style="cyan").append(shown, style="default"))


def hit_line(hit: SearchHit) -> Text:
    """One line: score, then the memory."""
    line = Text(f"{hit.score:.2f} ", style="green")
    line.append(memory_line(hit.memory))
    return line


def event_line(event: HistoryEvent) -> Text:
    """One line: revision, time, what happened to what."""
    line = Text(f"{event.revision:>6} ", style="dim")
    line.append(f"{event.commit_time:%Y-%m-%d %H:%M:%S} " if event.commit_time else "", style="dim")
    line.append(f"{event.type.lower():<10} ", style="cyan")
    line.append(event.memory_id, style="bold")
    memory = event.after or event.before
    if memory is not None:
        text = " ".join(memory.text.split())
        line.append(f" {text if len(text) <= 120 else text[:119] + '…'}")
    if event.reason:
        line.append(f"  ({event.reason})", style="dim")
    return line
