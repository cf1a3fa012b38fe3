"""One item of a file to import, as a memory: plain JSON lines and mem0's shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

from memoir import InvalidArgument, NewMemory
from memoir.messages import new_memory_to_proto
from memoir.v1 import memory_pb2
from memoir_server.cli.import_error import ImportFileError

_SHOWN_CHARACTERS: Final = 80
# What a memory supersedes is closed when it is created, not when it is imported.
PLAIN_FIELDS: Final = tuple([field.name for field in fields(NewMemory) if field.name != "supersedes"])
"""What a plain line may hold: the arguments of the SDK's `create`."""
_STRINGS: Final = ("text", "user_id", "agent_id", "session_id", "kind", "memory_id")
_LISTS: Final = ("entities", "relations", "provenance")
_DROPPED: Final = object()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose the memories are that name neither user nor agent."""

    user_id: str | None = None
    agent_id: str | None = None


def from_plain(place: str, found: dict[str, Any], owner: Owner) -> memory_pb2.Memory:
    """A line such as {"text": "...", "user_id": "ana"}; `place` names it in errors.

    Raises:
        ImportFileError: An unknown field, a wrong type, no text or no owner.
    """
    given = {name: value for name, value in found.items() if value is not None}
    for name, value in given.items():
        if name not in PLAIN_FIELDS:
            raise _fault(place, name, value, "is in an unknown field", f"use {', '.join(PLAIN_FIELDS)}")
        if name in _STRINGS and not isinstance(value, str):
            raise _fault(place, name, value, "is not a string", "write a string")
        if name in _LISTS and not isinstance(value, list):
            raise _fault(place, name, value, "is not a list", "write a list")
    if not isinstance(given.get("metadata", {}), dict):
        raise _fault(place, "metadata", given["metadata"], "is not an object", "write an object")
    # JSON has no tuples.
    if "relations" in given:
        given["relations"] = [tuple(item) if isinstance(item, list) else item for item in given["relations"]]
    return _memory(place, given, owner, lambda name: name)


_MEM0_NAMES: Final = {
    "text": "memory",
    "memory_id": "id",
    "session_id": "run_id",
    "create_time": "created_at",
    "expire_time": "expiration_date",
}


def from_mem0(place: str, found: Any, owner: Owner) -> memory_pb2.Memory:
    """An item of mem0: id, memory, user_id, agent_id, run_id (a session here), metadata, categories, created_at,
    expiration_date; `actor_id` and `role` become provenance. What else it holds has no place here and is left out.

    Raises:
        ImportFileError: No object, a wrong type, no text or no owner.
    """
    if not isinstance(found, dict):
        raise ImportFileError(f"{place}: {shown(found)} is not an object; write an object with id and memory")
    given: dict[str, Any] = {}
    for name in ("text", "user_id", "agent_id", "session_id", "memory_id"):
        theirs = _MEM0_NAMES.get(name, name)
        value = found.get(theirs)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise _fault(place, theirs, value, "is not a string", "write a string")
        given[name] = value
    for name in ("create_time", "expire_time"):
        theirs = _MEM0_NAMES[name]
        if found.get(theirs) is not None:
            given[name] = _mem0_time(place, theirs, found[theirs])
    metadata = found.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise _fault(place, "metadata", metadata, "is not an object", "write an object")
    if found.get("categories") and "categories" not in metadata:
        metadata = metadata | {"categories": found["categories"]}
    kept = {key: _metadata_value(value) for key, value in metadata.items()}
    given["metadata"] = {key: value for key, value in kept.items() if value is not _DROPPED}
    speaker = {name: found[name] for name in ("actor_id", "role") if isinstance(found.get(name), str) and found[name]}
    if speaker:
        if "role" in speaker:
            speaker["role"] = speaker["role"].upper()
        given["provenance"] = [speaker]
    return _memory(place, given, owner, lambda name: _MEM0_NAMES.get(name, name))


def _memory(place: str, given: dict[str, Any], owner: Owner, theirs: Callable[[str], str]) -> memory_pb2.Memory:
    text = given.get("text")
    if text is None or not text.strip():
        raise _fault(place, theirs("text"), text, "is no text", "write what is to be remembered")
    if "user_id" not in given and "agent_id" not in given:
        given |= {"user_id": owner.user_id, "agent_id": owner.agent_id}
        if owner == Owner():
            raise ImportFileError(
                f"{place}: user_id: missing; write user_id or agent_id, or give --user or --agent for all such items"
            )
    try:
        new, memory = new_memory_to_proto(given)
    except InvalidArgument as fault:
        raise ImportFileError(f"{place}: {fault.message}") from fault
    except (TypeError, ValueError, AttributeError) as fault:
        raise ImportFileError(f"{place}: {fault}; give each field the type that the SDK's `create` takes") from fault
    memory.memory_id = new.memory_id
    return memory


def _mem0_time(place: str, name: str, value: object) -> datetime:
    """ISO 8601; a time without an offset is UTC, as mem0's server writes it."""
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError as fault:
        raise _fault(place, name, value, "is not a time", "write a time such as 2026-01-11T19:45:37+00:00") from fault
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _metadata_value(value: Any) -> Any:
    """What metadata can hold stays as it is, null is left out, and the rest is kept as JSON text."""
    if value is None:
        return _DROPPED
    if isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _fault(place: str, name: str, value: object, problem: str, fix: str) -> ImportFileError:
    return ImportFileError(f"{place}: {name}: {shown(value)} {problem}; {fix}")


def shown(value: object) -> str:
    """The value as JSON in ASCII, which is safe to print whatever it holds, cut at 80 characters."""
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
