"""Conversations as callers send them, and the memories asked for directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from memoir_server.domain.making import maker
from memoir_server.domain.memory import (
    EntityMention,
    MemoryKind,
    MetadataValue,
    Provenance,
    RelationStatement,
    Role,
    Scope,
)
from memoir_server.domain.reasoning import ImagePart
from memoir_server.domain.time import Instant


class AddMode(IntEnum):
    """How a conversation is remembered; the numbers are those of the contract."""

    INFER = 1
    VERBATIM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. `create_time` None means now."""

    role: Role
    content: str
    actor_id: str = ""
    message_id: str = ""
    create_time: Instant | None = None
    images: tuple[ImagePart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMemory:
    """A memory to store as given. `memory_id` empty: the server makes one. `create_time` None: now. `valid_from`
    None: create_time."""

    memory_id: str = ""
    text: str
    scope: Scope
    kind: MemoryKind = MemoryKind.FACT
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    importance: float | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None
    expire_time: Instant | None = None
    create_time: Instant | None = None
    provenance: tuple[Provenance, ...] = ()
    entities: tuple[EntityMention, ...] = ()
    relations: tuple[RelationStatement, ...] = ()
    supersedes: tuple[str, ...] = ()


make_new_memory = maker(NewMemory)
"""`NewMemory`, where many are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPatch:
    """New values for the named fields of a memory; fields not named stay. Fields are those of Memory."""

    fields: frozenset[str]
    values: NewMemory
