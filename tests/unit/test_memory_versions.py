"""A memory as it stands in the log, and who said it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

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


@pytest.mark.parametrize(
    ("actors", "speaker"), [([], ""), (["ana"], "ana"), (["ana", "ana"], "ana"), (["ana", "bo"], ""), (["", "bo"], "")]
)
def test_the_speaker_is_the_only_actor(actors: list[str], speaker: str) -> None:
    memory = replace(MEMORY, provenance=tuple(Provenance(actor_id=actor) for actor in actors))
    assert memory.speaker == speaker
