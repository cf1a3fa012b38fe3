"""What `memoir import` reads: which format a file has, and the memories in it.

A file is read twice, once to check and count, once to send, so that nothing is sent of a file with a fault and a file
of any length can be imported.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from google.protobuf.json_format import ParseDict, ParseError

from memoir import Embedding, ExportedMemory
from memoir.memory import memory_from_proto
from memoir.v1 import memory_pb2, transfer_pb2
from memoir_server.cli.import_error import ImportFileError
from memoir_server.cli.import_items import Owner, from_mem0, from_plain, shown

Format = Literal["export", "lines", "transcript", "mem0"]
"""A file of `memoir export`; plain JSON lines; the format of examples/TRANSCRIPT.md; an export of mem0."""
ItemFormat = Literal["export", "lines", "mem0"]

EXPORT_FORMAT: Final = "memoir-export"
EXPORT_VERSION: Final = 1
_TRANSCRIPT_FORMAT: Final = "memoir-transcript"
_KNOWN: Final = (
    "a file of `memoir export`, JSON lines with a text each, a transcript, or mem0's JSON list of memories; "
    "force a format with --format"
)
_MADE_IDS: Final = uuid.UUID("5b1d2a5e-6c0f-4d57-9d2c-0b8a4a4f4f1e")
"""Name space of the ids of memories that came without one."""


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A checked file of memories. `places` names each for error messages ("notes.jsonl:3"), by its index."""

    format: ItemFormat
    places: tuple[str, ...]
    remark: str
    read: Callable[[], Iterator[tuple[str, ExportedMemory]]]


def detect(path: Path) -> Format:
    """The format of a file, by its content.

    Raises:
        ImportFileError: It has none of the known formats.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"")
    if not first:
        raise ImportFileError(f"{path.name}: the file is empty; give {_KNOWN}")
    if first.lstrip().startswith(b"["):
        return "mem0"
    try:
        found = json.loads(first)
    except (ValueError, RecursionError):
        # An object over several lines is no JSON lines.
        return "mem0" if first.strip().startswith(b"{") and "results" in _whole(path) else _unknown(path, first)
    if isinstance(found, dict):
        if found.get("format") == EXPORT_FORMAT:
            return "export"
        if found.get("format") == _TRANSCRIPT_FORMAT:
            return "transcript"
        if isinstance(found.get("results"), list):
            return "mem0"
        if "text" in found:
            return "lines"
    return _unknown(path, first)


def read_import(path: Path, form: ItemFormat, owner: Owner) -> ImportFile:
    """Checks a whole file, and returns what it holds.

    Args:
        path: the file.
        form: its format; a transcript is read by `read_transcript`.
        owner: whose the memories are that name neither user nor agent.

    Raises:
        ImportFileError: The first fault, with its place, field, value and fix.
        OSError: The file cannot be read.
    """
    remark = ""
    if form == "mem0":
        whole = _whole(path)
        items = _mem0_list(path, whole)
        if isinstance(whole, dict) and whole.get("relations"):
            remark = "the relations in the file belong to no memory there, and are not imported"

        def read() -> Iterator[tuple[str, ExportedMemory]]:
            for number, item in enumerate(items, start=1):
                place = f"{path.name}: item {number}"
                yield place, _with_id(from_mem0(place, item, owner), repeated)

    elif form == "lines":

        def read() -> Iterator[tuple[str, ExportedMemory]]:
            for place, found in _lines(path):
                yield place, _with_id(from_plain(place, found, owner), repeated)

    else:

        def read() -> Iterator[tuple[str, ExportedMemory]]:
            return _exported(path)

    repeated: Counter[bytes] = Counter()

    def from_the_start() -> Iterator[tuple[str, ExportedMemory]]:
        repeated.clear()
        return read()

    places = tuple([place for place, _ in from_the_start()])
    if not places and form != "export":
        raise ImportFileError(f"{path.name}: no memory in it; add at least one")
    return ImportFile(form, places, remark, from_the_start)


def _with_id(memory: memory_pb2.Memory, repeated: Counter[bytes]) -> ExportedMemory:
    """Gives a memory that has no id one made from its content, so that the same file means the same memories again;
    `repeated` counts equal ones, which stay several."""
    if not memory.memory_id:
        content = memory.SerializeToString(deterministic=True)
        repeated[content] += 1
        memory.memory_id = str(uuid.uuid5(_MADE_IDS, f"{repeated[content]}:{content.hex()}"))
    return _exported_memory(transfer_pb2.ExportedMemory(memory=memory))


def _exported_memory(message: transfer_pb2.ExportedMemory) -> ExportedMemory:
    vector = message.embedding
    given = Embedding(vector.model, vector.version, tuple(vector.values)) if message.HasField("embedding") else None
    return ExportedMemory(memory_from_proto(message.memory), given, "", message)


def _exported(path: Path) -> Iterator[tuple[str, ExportedMemory]]:
    lines = _lines(path)
    place, header = next(lines, (f"{path.name}:1", {}))
    if header.get("format") != EXPORT_FORMAT:
        given = shown(header.get("format"))
        raise ImportFileError(
            f'{place}: format: {given} is another format; write "format": "{EXPORT_FORMAT}" on line 1'
        )
    if header.get("version") != EXPORT_VERSION:
        raise ImportFileError(
            f"{place}: version: {shown(header.get('version'))} is unknown; this is a reader of version "
            f"{EXPORT_VERSION}, use a newer Memoir"
        )
    count, complete = 0, False
    for place, found in lines:
        if "memory" in found:
            try:
                message = ParseDict(found, transfer_pb2.ExportedMemory())
            except ParseError as fault:
                raise ImportFileError(f"{place}: memory: {fault}; export it again") from fault
            count += 1
            yield place, _exported_memory(message)
        elif "summary" in found:
            complete = True
        elif "event" not in found:
            raise ImportFileError(f"{place}: {shown(found)} is no memory, event or summary; export it again")
    if not complete:
        raise ImportFileError(f"{path.name}: cut after {count} memories, before its summary; export it again")


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            place = f"{path.name}:{number}"
            try:
                found = json.loads(raw.decode("utf-8"))
            except (ValueError, RecursionError) as fault:
                raise ImportFileError(f"{place}: not JSON: {fault}; write one JSON object per line") from fault
            if not isinstance(found, dict):
                raise ImportFileError(f"{place}: {shown(found)} is not an object; write one JSON object per line")
            yield place, found


def _mem0_list(path: Path, found: Any) -> list[Any]:
    items = found.get("results") if isinstance(found, dict) else found
    if not isinstance(items, list):
        raise ImportFileError(
            f'{path.name}: {shown(items)} is not a list; give a list of memories, or an object with "results"'
        )
    return items


def _whole(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as fault:
        raise ImportFileError(f"{path.name}: not JSON: {fault}; give {_KNOWN}") from fault


def _unknown(path: Path, first: bytes) -> Format:
    text = shown(first.strip().decode("utf-8", "replace"))
    raise ImportFileError(f"{path.name}: begins with {text}, which is no known format; give {_KNOWN}")
