"""A batch costs one embedding run per micro-batch of the embedder (32 texts), not one per text."""

from __future__ import annotations

from memoir_server.domain.conversation import Message, NewMemory
from memoir_server.domain.memory import Role
from memoir_server.service.importing import Importing, ImportItem, OnConflict
from tests.service.harness import ANA, NS, Memoir, World, calling


def statements(count: int) -> list[NewMemory]:
    # Words that differ: for the cosine guard numbers alone would be near.
    return [NewMemory(text=f"word{i * 7919} other{i * 104729}", scope=ANA) for i in range(count)]


async def test_a_batch_of_memories(memoir: Memoir) -> None:
    await memoir.remembering.create_many(NS, statements(100), calling())
    assert memoir.embedder_faults.calls["embed"] == 4
    assert len(memoir.model.texts) == 100


async def test_a_conversation(memoir: Memoir) -> None:
    turns = [Message(role=Role.USER, content=f"turn {i}") for i in range(64)]
    await memoir.remembering.add(NS, ANA, turns, calling())
    assert memoir.embedder_faults.calls["embed"] == 2


async def test_an_import(memoir: Memoir) -> None:
    importing = Importing(memoir.ledger, memoir.embedder, memoir.clock)
    items = [
        ImportItem(memory=NewMemory(memory_id=f"m{i}", text=new.text, scope=ANA))
        for i, new in enumerate(statements(100))
    ]
    await importing.take(NS, items, OnConflict.SKIP, calling())
    await memoir.settle()
    assert memoir.embedder_faults.calls["embed"] == 4
    assert len(memoir.model.texts) == 100


async def test_a_batch_that_the_cosine_guard_looked_at(world: World) -> None:
    async with world.running(cosine=0.95) as memoir:
        written = await memoir.remembering.create_many(NS, statements(64), calling())
        assert len(written.changes) == 64
        await memoir.settle()
        assert memoir.embedder_faults.calls["embed"] == 2, "the projector takes the guard's vectors"
        assert len(memoir.model.texts) == 64


async def test_a_batch_whose_vectors_lie_in_memory(memoir: Memoir) -> None:
    await memoir.remembering.create_many(NS, statements(64), calling())
    await memoir.settle()
    assert memoir.embedder_faults.calls["embed"] == 2
    written = await memoir.remembering.create_many("elsewhere", statements(64), calling())
    await memoir.settle()
    assert memoir.embedder_faults.calls["embed"] == 2, "the commit took them along"
    contents = [change.after.content_hash for change in written.changes if change.after is not None]
    kept = await memoir.ledger.vectors("elsewhere", contents, memoir.embedder.model)
    first = await memoir.ledger.vectors(NS, contents, memoir.embedder.model)
    assert {content: vector.tolist() for content, vector in kept.items()} == {
        content: vector.tolist() for content, vector in first.items()
    }
    assert len(kept) == 64
