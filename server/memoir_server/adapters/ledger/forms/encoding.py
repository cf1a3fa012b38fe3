"""Bodies of rows: domain objects as MessagePack, each after one byte that says which version of the form it has.

What the database filters or orders by stands in columns besides. The text of a version is a column only.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from memoir_server.domain.change import Actor, ActorKind, Origin
from memoir_server.domain.graph import MemoryFacts
from memoir_server.domain.memory import (
    EntityMention,
    Memory,
    MemoryKind,
    Provenance,
    RelationStatement,
    Role,
    Scope,
)
from memoir_server.domain.metadata import decode_metadata, encode_metadata

_FORM: Final = b"\x01"


class _Body(msgspec.Struct, array_like=True, frozen=True, gc=False):
    memory_id: str
    kind: int
    user_id: str | None
    agent_id: str | None
    session_id: str | None
    create_time: int
    update_time: int
    valid_from: int | None
    valid_until: int | None
    expire_time: int | None
    importance: float | int | None
    turn: int
    metadata: dict[str, Any]
    provenance: list[tuple[str, str, int, str, str, int | None]]
    entities: list[tuple[str, str, tuple[str, ...]]]
    relations: list[tuple[str, str, str, float | int, int | None, int | None]]
    supersedes: tuple[str, ...]
    superseded_by: str


class _Detail(msgspec.Struct, array_like=True, frozen=True, gc=False):
    reason: str
    principal: str
    actor_kind: int
    request_id: str
    traceparent: str
    reset_id: str
    keep_facts: bool


_encode = msgspec.msgpack.Encoder().encode
_decode_body = msgspec.msgpack.Decoder(_Body).decode
_decode_detail = msgspec.msgpack.Decoder(_Detail).decode
_decode_facts = msgspec.msgpack.Decoder(MemoryFacts).decode
_KINDS: Final = {int(kind): kind for kind in MemoryKind}
_ROLES: Final = {int(role): role for role in Role}


_Draft: Any = type("_Draft", Memory.__bases__, {"__slots__": Memory.__slots__})
"""A memory while its fields are being set. The initialiser of a frozen dataclass sets each through a call of
`object.__setattr__`, which took two thirds of the time to read a row (2.8 us); plain slots take a tenth of that."""


class UnknownForm(ValueError):
    """A row has a form that this server does not know, although the schema version is one it knows."""


def _payload(data: bytes) -> bytes:
    if data[:1] != _FORM:
        raise UnknownForm(f"row of form {data[:1]!r}; this server knows {_FORM!r}")
    return data[1:]


def encode_memory(memory: Memory) -> bytes:
    """A version without its namespace, revision and text, which the row knows."""
    scope = memory.scope
    return _FORM + _encode(
        (
            memory.memory_id,
            memory.kind,
            scope.user_id,
            scope.agent_id,
            scope.session_id,
            memory.create_time,
            memory.update_time,
            memory.valid_from,
            memory.valid_until,
            memory.expire_time,
            memory.importance,
            memory.turn,
            encode_metadata(memory.metadata),
            [(p.session_id, p.message_id, p.role, p.actor_id, p.quote, p.create_time) for p in memory.provenance],
            [(e.name, e.type, e.aliases) for e in memory.entities],
            [(r.subject, r.predicate, r.object, r.confidence, r.valid_from, r.valid_until) for r in memory.relations],
            memory.supersedes,
            memory.superseded_by,
        )
    )


def decode_memory(namespace: str, revision: int, text: str, data: bytes) -> Memory:
    """The version of a row."""
    body = _decode_body(_payload(data))
    draft = _Draft()
    draft.namespace = namespace
    draft.memory_id = body.memory_id
    draft.text = text
    draft.kind = _KINDS[body.kind]
    draft.scope = Scope(body.user_id, body.agent_id, body.session_id)
    draft.metadata = decode_metadata(body.metadata)
    draft.importance = body.importance
    draft.valid_from = body.valid_from
    draft.valid_until = body.valid_until
    draft.expire_time = body.expire_time
    draft.create_time = body.create_time
    draft.update_time = body.update_time
    draft.provenance = tuple(
        [
            Provenance(session_id=s, message_id=m, role=_ROLES[r], actor_id=a, quote=q, create_time=t)
            for s, m, r, a, q, t in body.provenance
        ]
    )
    draft.entities = tuple([EntityMention(name=n, type=t, aliases=a) for n, t, a in body.entities])
    draft.relations = tuple(
        [
            RelationStatement(subject=s, predicate=p, object=o, confidence=c, valid_from=f, valid_until=u)
            for s, p, o, c, f, u in body.relations
        ]
    )
    draft.revision = revision
    draft.supersedes = body.supersedes
    draft.superseded_by = body.superseded_by
    draft.turn = body.turn
    draft.__class__ = Memory
    memory: Memory = draft
    return memory


def encode_detail(reason: str, origin: Origin, keep_facts: bool) -> bytes:
    """What an event says besides its columns."""
    actor = origin.actor
    return _FORM + _encode(
        (reason, actor.principal, actor.kind, origin.request_id, origin.traceparent, origin.reset_id, keep_facts)
    )


def decode_detail(data: bytes) -> tuple[str, Origin, bool]:
    """Reason, origin and keep_facts of an event."""
    detail = _decode_detail(_payload(data))
    origin = Origin(
        actor=Actor(detail.principal, ActorKind(detail.actor_kind)),
        request_id=detail.request_id,
        traceparent=detail.traceparent,
        reset_id=detail.reset_id,
    )
    return detail.reason, origin, detail.keep_facts


def encode_facts(facts: MemoryFacts) -> bytes:
    """Facts that stay in the graph without their memory."""
    return _FORM + _encode(facts)


def decode_facts(data: bytes) -> MemoryFacts:
    """The inverse of `encode_facts`."""
    return _decode_facts(_payload(data))


def encode_strings(values: tuple[str, ...]) -> bytes:
    """A list of strings as one comparable value: equal lists, equal bytes."""
    return _encode(values)
