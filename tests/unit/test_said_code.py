"""The code by which memories that say the same are found: ledgers hold it, so it must never change."""

from __future__ import annotations

import pytest

from memoir_server.domain.duplicate import said_code
from memoir_server.domain.memory import (
    EntityMention,
    Memory,
    MemoryKind,
    Moment,
    Provenance,
    RelationStatement,
    Role,
    Scope,
)

PLAIN = Memory(namespace="n", memory_id="m", text=" cafe\u0301 \n", scope=Scope("ana", None, "s"), create_time=7)
WHOLE = Memory(
    namespace="n",
    memory_id="m",
    text="Ana likes tea",
    kind=MemoryKind.PREFERENCE,
    scope=Scope("ana", "guide"),
    metadata={"b": (), "a": Moment(-1), "c": 1.0, "d": True, "e": 2**63 - 1},
    importance=1,
    valid_until=9,
    expire_time=-9,
    provenance=(
        Provenance(session_id="s", message_id="m", role=Role.USER, actor_id="Ana", quote="tea", create_time=1),
    ),
    entities=(EntityMention(name="Ana", type="person", aliases=("A",)),),
    relations=(RelationStatement(subject="Ana", predicate="LIKES", object="tea", valid_from=3),),
)
TURN = Memory(
    namespace="n",
    memory_id="m",
    text="yes",
    kind=MemoryKind.EPISODE,
    scope=Scope("ana"),
    create_time=7,
    metadata={"k": 1},
    provenance=(Provenance(role=Role.USER, actor_id="Ana"),),
)


@pytest.mark.parametrize(
    ("memory", "code"), [(PLAIN, -7932746642918389018), (WHOLE, -1836681663369584089), (TURN, 2333345889636190086)]
)
def test_the_code_is_what_it_always_was(memory: Memory, code: int) -> None:
    assert said_code(memory) == code
