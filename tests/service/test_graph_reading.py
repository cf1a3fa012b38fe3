"""Reads of the graph while the graph is late: the ledger decides what they show."""

from __future__ import annotations

import pytest

from memoir_server.domain.errors import EntityNotFound, FreshnessTimeout, StoreUnavailable
from memoir_server.domain.graph import Entity, Relation, entity_id
from memoir_server.domain.memory import Scope
from memoir_server.domain.store import Durability, StoreKind
from memoir_server.ports.graph import OfEntity
from memoir_server.service.graph_reading import EntitySpec, RelationSpec
from tests.service.harness import ANA, BO, NS, SECOND, Memoir, calling, knows


def identity(name: str, owner: Scope = ANA) -> str:
    return entity_id(NS, owner, "person", name)


async def entity(memoir: Memoir, name: str) -> Entity:
    return await memoir.graph_reading.entity(NS, identity(name), min_revision=0, call=calling())


async def names(memoir: Memoir, scope: Scope = ANA, limit: int = 100) -> list[str]:
    page = await memoir.graph_reading.entities(
        NS, EntitySpec(scope=scope), None, limit=limit, min_revision=0, call=calling()
    )
    return [found.name for found in page.entities]


async def relations(memoir: Memoir, name: str) -> list[Relation]:
    spec = RelationSpec(anchor=OfEntity(identity(name)))
    page = await memoir.graph_reading.relations(NS, spec, None, limit=100, min_revision=0, call=calling())
    return list(page.relations)


async def walked(memoir: Memoir, name: str) -> list[str]:
    found = await memoir.graph_reading.traverse(
        NS,
        [identity(name)],
        depth=3,
        predicates=frozenset(),
        max_entities=0,
        valid_at=None,
        min_revision=0,
        call=calling(),
    )
    assert all(relation.memory_ids for relation in found.relations)
    return [entity.name for entity in found.entities]


async def test_a_late_graph_shows_nothing_of_a_deleted_memory(memoir: Memoir) -> None:
    await memoir.create("one", memory_id="m1", **knows("Ana", "Bo"))
    await memoir.create("two", memory_id="m2", **knows("Bo", "Cy"))
    await memoir.create("theirs", BO, memory_id="m3", **knows("Ana", "Bo"))
    await memoir.settle()
    assert await walked(memoir, "Ana") == ["Ana", "Bo", "Cy"]
    held = memoir.graph_faults.hold("apply")
    try:
        await memoir.remembering.delete(NS, ["m1"], calling(durability=Durability.ACCEPTED))
        assert await memoir.graph.find(NS, ["m1"])
        assert await names(memoir) == ["Bo", "Cy"]
        assert await names(memoir, limit=1) == ["Bo"]
        assert (await entity(memoir, "Bo")).mention_count == 1
        assert [r.memory_ids for r in await relations(memoir, "Bo")] == [("m2",)]
        assert await walked(memoir, "Cy") == ["Cy", "Bo"]
        for read in (entity, relations, walked):
            with pytest.raises(EntityNotFound):
                await read(memoir, "Ana")
        assert await names(memoir, BO) == ["Ana", "Bo"]
    finally:
        held.release()
    await memoir.settle()
    assert await names(memoir) == ["Bo", "Cy"]


async def test_an_expired_memory_mentions_nothing_from_that_moment(memoir: Memoir) -> None:
    await memoir.create("one", expire_time=memoir.clock.now() + 10 * SECOND, **knows("Ana", "Bo"))
    await memoir.create("two", **knows("Bo", "Cy"))
    await memoir.settle()
    assert await names(memoir) == ["Ana", "Bo", "Cy"]
    memoir.clock.advance(10)
    assert await names(memoir) == ["Bo", "Cy"]
    assert (await entity(memoir, "Bo")).mention_count == 1
    assert [r.object.name for r in await relations(memoir, "Bo")] == ["Cy"]


async def test_a_read_waits_for_the_graph_only_when_asked(memoir: Memoir) -> None:
    held = memoir.graph_faults.hold("apply")
    try:
        await memoir.create("one", call=calling(durability=Durability.ACCEPTED), **knows("Ana", "Bo"))
        with pytest.raises(EntityNotFound):
            await entity(memoir, "Ana")
        with pytest.raises(FreshnessTimeout):
            await memoir.graph_reading.entity(NS, identity("Ana"), min_revision=1, call=calling(0.3))
    finally:
        held.release()
    found = await memoir.graph_reading.entity(NS, identity("Ana"), min_revision=1, call=calling())
    assert found.mention_count == 1


async def test_a_graph_that_is_down_is_said_so(memoir: Memoir) -> None:
    memoir.graph_faults.down()
    with pytest.raises(StoreUnavailable) as caught:
        await names(memoir)
    assert caught.value.store == StoreKind.GRAPH.name.lower()
