"""A memory as it stands in the log, and who said it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from memoir_server.domain.duplicate import said_code
from memoir_server.domain.memory import EntityMention, Memory, MemoryKind, Moment, Provenance, Scope

MEMORY = Memory(
    namespace="",
    memory_id="m",
    text="likes tea",
    kind=MemoryKind.EPISODE,
    scope=Scope("ana", "bot", "s"),
    metadata={"when": Moment(5), "tags": ("a", "b")},
    importance=0.5,
    valid_from=1,
    valid_until=9,
    expire_time=10,
    create_time=1,
    provenance=(Provenance(message_id="x", actor_id="ana"),),
    entities=(EntityMention(name="tea"),),
    supersedes=("old",),
    superseded_by="new",
)


def test_a_placed_memory_differs_in_its_place_only() -> None:
    placed = MEMORY.placed(namespace="n", revision=3, update_time=7, turn=2)
    assert placed == replace(MEMORY, namespace="n", revision=3, update_time=7, turn=2)
    assert type(placed) is Memory
    assert MEMORY.revision == 0
    with pytest.raises(FrozenInstanceError):
        placed.text = "changed"  # type: ignore[misc]


@pytest.mark.parametrize("asked", [(), ("hash",), ("code",), ("hash", "code")])
def test_what_was_computed_of_a_memory_holds_for_its_place(asked: tuple[str, ...]) -> None:
    memory = replace(MEMORY)
    if "hash" in asked:
        assert memory.content_hash == memory.content_hash
    if "code" in asked:
        assert said_code(memory) == said_code(memory)
    placed = memory.placed(namespace="n", revision=3, update_time=7, turn=2)
    other = replace(MEMORY, text="likes rain", create_time=2)
    assert placed.content_hash == replace(placed).content_hash != other.content_hash
    assert said_code(placed) == said_code(replace(placed)) != said_code(other)


@pytest.mark.parametrize(
    ("actors", "speaker"), [([], ""), (["ana"], "ana"), (["ana", "ana"], "ana"), (["ana", "bo"], ""), (["", "bo"], "")]
)
def test_the_speaker_is_the_only_actor(actors: list[str], speaker: str) -> None:
    memory = replace(MEMORY, provenance=tuple(Provenance(actor_id=actor) for actor in actors))
    assert memory.speaker == speaker
