"""What the SQLite ledger does to write quickly, seen through its port: groups, vectors that come along, twins by the
hundred."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from memoir_conformance.ledger_duplicates_suite import twin, twins
from memoir_conformance.ledger_model import (
    ALICE,
    NOW,
    NS,
    ORIGIN,
    SECOND,
    commit,
    create,
    creating,
    delete,
    erase_all,
    execute,
    fact,
    finish,
    ids,
    log,
    planned,
)
from memoir_server.adapters.ledger.sqlite import SqliteLedger
from memoir_server.domain.change import Draft, EventType
from memoir_server.domain.embedding import EmbeddingModel, Vector
from memoir_server.domain.errors import MemoryNotFound
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import Committed, Decision, Mutation, ReadyVectors
from memoir_server.domain.reset import ResetTarget
from memoir_server.ports.ledger import Ledger

MODEL = EmbeddingModel("model", "1", 4)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = SqliteLedger(tmp_path / "data")
    await opened.open()
    yield opened
    await opened.close()


async def test_a_job_that_fails_after_it_wrote_disturbs_no_other(ledger: Ledger) -> None:
    await create(ledger, fact("brief", expire_time=NOW + SECOND))

    def misled(found: Mapping[str, Memory]) -> Decision:
        # By then the expiry of `brief` is written.
        return Decision([Draft(type=EventType.CREATED, memory_id="other", after=fact("other"))])

    def refusing(found: Mapping[str, Memory]) -> Decision:
        raise MemoryNotFound(NS, "missing")

    later = NOW + 2 * SECOND
    answers = await asyncio.gather(
        create(ledger, fact("a", "one"), now=later),
        commit(ledger, misled, ["brief"], now=later),
        create(ledger, fact("b", "two"), now=later),
        commit(ledger, refusing, ["missing"], now=later),
        create(ledger, fact("c", "three"), now=later),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [Committed, ValueError, Committed, MemoryNotFound, Committed]
    assert [entry for entry in await log(ledger) if entry[1] is EventType.EXPIRED] == []
    assert await log(ledger) == [(n + 1, EventType.CREATED, name) for n, name in enumerate(["brief", "a", "b", "c"])]
    assert await ledger.verify_chain(NS)
    # The next change of the memory records what that one could not.
    await create(ledger, fact("brief", "again"), now=later)
    assert [entry[1] for entry in await log(ledger)][4:] == [EventType.EXPIRED, EventType.CREATED]


async def test_a_failed_job_makes_no_namespace(ledger: Ledger) -> None:
    broken = fact("m", metadata={"bad": object()})
    with pytest.raises(TypeError):
        await create(ledger, broken)
    assert list(await ledger.namespaces()) == []
    await create(ledger, fact("m"))
    assert await ids(ledger) == ["m"]


def _vector(place: int) -> Vector:
    vector = np.zeros(4, dtype=np.float32)
    vector[place] = 1
    return vector


async def _bring(ledger: Ledger, memories: Sequence[Memory], vectors: Mapping[bytes, Vector]) -> None:
    await ledger.commit(
        Mutation(
            namespace=NS,
            memory_ids=[memory.memory_id for memory in memories],
            decide=creating(*memories),
            now=NOW,
            origin=ORIGIN,
            vectors=ReadyVectors(MODEL, vectors),
        )
    )


async def test_vectors_that_came_along_are_the_same_from_memory_and_from_the_file(
    ledger: Ledger, tmp_path: Path
) -> None:
    memories = [fact(f"m{n}", f"text {n}") for n in range(4)]
    given = {memory.content_hash: _vector(n) for n, memory in enumerate(memories)}
    await _bring(ledger, memories, given)
    for _ in range(2):
        found = await ledger.vectors(NS, list(given), MODEL)
        assert {content: vector.tolist() for content, vector in found.items()} == {
            content: vector.tolist() for content, vector in given.items()
        }


async def test_what_the_file_has_is_not_replaced_in_memory_either(ledger: Ledger) -> None:
    await create(ledger, fact("old", "same"))
    known, new = fact("new", "same"), fact("other", "other")
    await ledger.keep_vectors(NS, MODEL, {known.content_hash: _vector(0)})
    await create(ledger, fact("fence", "fence"))
    await _bring(ledger, [known, new], {known.content_hash: _vector(1), new.content_hash: _vector(1)})
    found = await ledger.vectors(NS, [known.content_hash, new.content_hash], MODEL)
    assert found[known.content_hash].tolist() == _vector(0).tolist()
    assert found[new.content_hash].tolist() == _vector(1).tolist()


async def test_vectors_of_a_repeated_request_do_not_come_back(ledger: Ledger) -> None:
    memory = fact("m")
    await create(ledger, memory)
    await delete(ledger, "m")
    assert await ledger.vectors(NS, [memory.content_hash], MODEL) == {}
    await _bring(ledger, [fact("n", "another")], {memory.content_hash: _vector(0)})
    assert await ledger.vectors(NS, [memory.content_hash], MODEL) == {}


async def test_an_erasure_takes_vectors_from_memory(ledger: Ledger) -> None:
    memory = fact("m")
    await _bring(ledger, [memory], {memory.content_hash: _vector(0)})
    await planned(ledger, ResetTarget(scope=ALICE, include_history=True))
    await execute(ledger)
    await erase_all(ledger)
    assert await ledger.vectors(NS, [memory.content_hash], MODEL) == {}
    await finish(ledger)


async def test_many_that_say_the_same_hide_no_other(ledger: Ledger) -> None:
    same = [fact(f"m{n:03}") for n in range(70)]
    await create(ledger, *same, fact("z", "likes coffee"))
    found = await twins(ledger, twin(fact("x")), twin(fact("y", "likes coffee")))
    assert found == [*(memory.memory_id for memory in same[:64]), "z"]
    assert await twins(ledger, twin(fact("y", "likes coffee")), twin(fact("x"))) == [
        "z",
        *(memory.memory_id for memory in same[:64]),
    ]
