"""Records of exports and items of imports."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from memoir.v1 import transfer_pb2 as pb
from memoir_server.domain.change import Change
from memoir_server.domain.errors import FieldInvalid
from memoir_server.rpc.convert.history import write_history_event
from memoir_server.rpc.convert.memory import read_new_memory, write_memory
from memoir_server.service.exporting import ExportedMemory, ExportHeader, ExportRecord
from memoir_server.service.importing import GivenVector, ImportItem

_MEMORY = "item.memory.memory"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")


def write_record(target: pb.ExportMemoriesResponse, record: ExportRecord) -> None:
    """Sets the record of a response."""
    if isinstance(record, ExportedMemory):
        write_memory(target.memory.memory, record.memory, full=True)
        if record.vector is not None and record.model is not None:
            embedding = target.memory.embedding
            embedding.model = record.model.name
            embedding.version = record.model.version
            embedding.values.extend(record.vector.tolist())
    elif isinstance(record, Change):
        write_history_event(target.event, record)
    elif isinstance(record, ExportHeader):
        target.header.revision = record.revision
        target.header.estimated_memories = record.estimated_memories
    else:
        target.summary.memories = record.memories
        target.summary.events = record.events


def read_item(item: Any) -> ImportItem:
    """An item of an import. A memory that has a revision is the state of a stored one. Raises FieldInvalid."""
    memory = item.memory.memory
    _check_id(memory.memory_id, f"{_MEMORY}.memory_id")
    for position, other in enumerate(memory.supersedes):
        _check_id(other, f"{_MEMORY}.supersedes[{position}]")
    if memory.superseded_by:
        _check_id(memory.superseded_by, f"{_MEMORY}.superseded_by")
    vector = None
    if item.memory.HasField("embedding"):
        given = item.memory.embedding
        vector = GivenVector(given.model, given.version, np.array(given.values, dtype=np.float32))
    return ImportItem(
        memory=read_new_memory(memory, memory.memory_id, memory.supersedes, _MEMORY),
        superseded_by=memory.superseded_by,
        stored=memory.revision > 0,
        vector=vector,
    )


def _check_id(memory_id: str, path: str) -> None:
    if not _ID.fullmatch(memory_id):
        raise FieldInvalid(
            path,
            "must be the id of a memory: 1 to 128 letters, digits and ._:@/- that begin with a letter or digit; an "
            "import keeps ids, and knows by them what it has",
        )
