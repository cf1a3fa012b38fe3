from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from memoir.v1 import common_pb2, graph_pb2, memory_pb2, reset_pb2
from memoir_server.domain.graph import entity_id
from memoir_server.domain.memory import Scope
from tests.integration.harness import ANA, TIMEOUT, Client, refused
from tests.integration.test_reset_rpcs import execute, finished, plan

BOB = common_pb2.Scope(user_id="bob")
Mention = graph_pb2.EntityMention
Statement = graph_pb2.RelationStatement


def identity(name: str, type_: str = "thing", user: str = "ana") -> str:
    return entity_id("default", Scope(user), type_, name)


def says(subject: str, predicate: str, object_: str, **fields: Any) -> graph_pb2.RelationStatement:
    return Statement(subject=subject, predicate=predicate, object=object_, **fields)


async def entity(client: Client, entity_id: str, **fields: Any) -> graph_pb2.Entity:
    request = graph_pb2.GetEntityRequest(entity_id=entity_id, **fields)
    return (await client.graph.GetEntity(request, timeout=TIMEOUT)).entity


async def entities(client: Client, **fields: Any) -> list[str]:
    response = await client.graph.ListEntities(graph_pb2.ListEntitiesRequest(**fields), timeout=TIMEOUT)
    assert not response.next_page_token
    return [e.name for e in response.entities]


async def relations(client: Client, **fields: Any) -> list[graph_pb2.Relation]:
    response = await client.graph.ListRelations(graph_pb2.ListRelationsRequest(**fields), timeout=TIMEOUT)
    assert not response.next_page_token
    return list(response.relations)


async def walk(client: Client, *start: str, **fields: Any) -> graph_pb2.TraverseGraphResponse:
    request = graph_pb2.TraverseGraphRequest(start_entity_ids=start, **fields)
    return await client.graph.TraverseGraph(request, timeout=TIMEOUT)


async def delete(client: Client, memory_id: str) -> None:
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id=memory_id), timeout=TIMEOUT)


async def test_an_entity_of_several_memories(client: Client) -> None:
    await client.create("a", "m-1", entities=[Mention(name="Ana Sousa", type="person", aliases=["Aninha"])])
    await client.create("b", "m-2", entities=[Mention(name="ana  sousa", type="person", aliases=["Ana"])])
    await client.create("c", "m-3", scope=BOB, entities=[Mention(name="Ana Sousa", type="person")])
    found = await entity(client, identity("Ana Sousa", "person"), min_revision=3)
    assert found == graph_pb2.Entity(
        entity_id=identity("Ana Sousa", "person"),
        name="Ana Sousa",
        type="person",
        aliases=["Ana", "Aninha"],
        mention_count=2,
        owner=ANA,
    )
    await delete(client, "m-1")
    found = await entity(client, found.entity_id)
    assert (found.name, list(found.aliases), found.mention_count) == ("ana  sousa", ["Ana"], 1)
    await delete(client, "m-2")
    gone = await refused(entity(client, found.entity_id))
    assert (gone.code, gone.reason) == (grpc.StatusCode.NOT_FOUND, "ENTITY_NOT_FOUND")
    assert gone.metadata == {"namespace": "default", "entity_id": found.entity_id}
    assert gone.details["ResourceInfo"].resource_type == "memoir.v1.Entity"
    assert (await entity(client, identity("Ana Sousa", "person", "bob"))).owner == BOB


async def test_an_update_moves_the_mentions(client: Client) -> None:
    await client.create("a", "m-1", entities=[Mention(name="Rome"), Mention(name="Oslo")])
    await client.memory.UpdateMemory(
        memory_pb2.UpdateMemoryRequest(
            memory_id="m-1",
            memory=memory_pb2.Memory(entities=[Mention(name="Oslo")]),
            update_mask=FieldMask(paths=["entities"]),
        ),
        timeout=TIMEOUT,
    )
    assert await entities(client) == ["Oslo"]
    assert (await entity(client, identity("Oslo"))).mention_count == 1
    assert (await refused(entity(client, identity("Rome")))).reason == "ENTITY_NOT_FOUND"


async def test_entities_by_scope_type_and_prefix(client: Client) -> None:
    session = common_pb2.Scope(user_id="ana", session_id="s1")
    await client.create("a", "m-1", entities=[Mention(name="Zoe", type="person", aliases=["Ancient"])])
    await client.create("b", "m-2", scope=session, entities=[Mention(name="ant"), Mention(name="Bee")])
    await client.create("c", "m-3", scope=BOB, entities=[Mention(name="Antwerp", type="place")])
    assert await entities(client) == ["ant", "Antwerp", "Bee", "Zoe"]
    assert await entities(client, scope=ANA) == ["ant", "Bee", "Zoe"]
    assert await entities(client, scope=session) == ["ant", "Bee"]
    assert await entities(client, type="person") == ["Zoe"]
    assert await entities(client, name_prefix="AN") == ["ant", "Antwerp", "Zoe"]
    assert await entities(client, scope=ANA, name_prefix=" an", type="thing") == ["ant"]
    assert await entities(client, scope=common_pb2.Scope(user_id="nobody")) == []
    assert await entities(client, namespace="elsewhere") == []


async def test_pages_of_entities(client: Client) -> None:
    await client.create("a", "m-1", entities=[Mention(name=f"E{n}") for n in range(5)])
    request = graph_pb2.ListEntitiesRequest(page_size=2, scope=ANA)
    seen: list[str] = []
    for size in (2, 2, 1):
        page = await client.graph.ListEntities(request, timeout=TIMEOUT)
        assert len(page.entities) == size
        seen += [e.name for e in page.entities]
        # What is written between the pages belongs to the next listing.
        await client.create("b", f"late-{len(seen)}", entities=[Mention(name=f"E3{len(seen)}")])
        request.page_token = page.next_page_token
    assert not request.page_token
    assert seen == [f"E{n}" for n in range(5)]
    first = await client.graph.ListEntities(graph_pb2.ListEntitiesRequest(page_size=2), timeout=TIMEOUT)
    foreign = graph_pb2.ListEntitiesRequest(page_size=2, type="thing", page_token=first.next_page_token)
    refusal = await refused(client.graph.ListEntities(foreign, timeout=TIMEOUT))
    assert (refusal.reason, refusal.metadata) == ("TOKEN_INVALID", {"field": "page_token"})


async def test_relations_oldest_first_in_pages(client: Client) -> None:
    for n in (3, 1, 2, 4):
        told = says("Ana", "VISITED", f"City {n}", valid_from=Timestamp(seconds=n))
        await client.create(f"{n}", f"m-{n}", entities=[Mention(name="Ana", type="person")], relations=[told])
    request = graph_pb2.ListRelationsRequest(page_size=3, entity_id=identity("Ana", "person"))
    first = await client.graph.ListRelations(request, timeout=TIMEOUT)
    request.page_token = first.next_page_token
    second = await client.graph.ListRelations(request, timeout=TIMEOUT)
    assert not second.next_page_token
    assert [r.object.name for r in [*first.relations, *second.relations]] == [f"City {n}" for n in (1, 2, 3, 4)]
    [relation] = await relations(client, memory_id="m-2")
    assert relation == first.relations[1]
    assert relation.subject == graph_pb2.EntityRef(entity_id=identity("Ana", "person"), name="Ana", type="person")
    assert list(relation.memory_ids) == ["m-2"]
    entity_page = await client.graph.ListEntities(graph_pb2.ListEntitiesRequest(page_size=1), timeout=TIMEOUT)
    request.page_token = entity_page.next_page_token
    assert (await refused(client.graph.ListRelations(request, timeout=TIMEOUT))).reason == "TOKEN_INVALID"


async def test_relations_are_dated(client: Client) -> None:
    await client.create(
        "Ana lives in Rome", "old", create_time=Timestamp(seconds=100), relations=[says("Ana", "LIVES_IN", "Rome")]
    )
    moved = await client.create(
        "Ana lives in Oslo",
        "new",
        create_time=Timestamp(seconds=200),
        supersedes=["old"],
        relations=[says("Ana", "LIVES_IN", "Oslo")],
    )
    await client.create("b", "later", relations=[says("Ana", "WILL_SEE", "Mars", valid_from=Timestamp(seconds=2**33))])
    ana = identity("Ana")

    async def homes(**fields: Any) -> list[str]:
        return [r.object.name for r in await relations(client, entity_id=ana, **fields)]

    assert await homes() == ["Oslo"]
    assert await homes(valid_at=Timestamp(seconds=150)) == ["Rome"]
    assert await homes(valid_at=Timestamp(seconds=150), include_superseded=True) == ["Rome"]
    assert await homes(valid_at=Timestamp(seconds=2**33)) == ["Oslo", "Mars"]
    assert await homes(include_superseded=True) == ["Rome", "Oslo", "Mars"]
    assert await homes(as_of=common_pb2.AsOf(revision=1)) == ["Rome"]
    assert await homes(as_of=common_pb2.AsOf(revision=moved.revision)) == ["Oslo"]
    assert [r.object.name for r in (await walk(client, ana)).relations] == ["Oslo"]
    assert [e.name for e in (await walk(client, ana, valid_at=Timestamp(seconds=150))).entities] == ["Ana", "Rome"]
    beyond = await refused(relations(client, entity_id=ana, as_of=common_pb2.AsOf(revision=99)))
    assert beyond.fields == ["as_of.revision"]


async def test_nothing_to_list_is_told_from_nothing_to_list_it_of(client: Client) -> None:
    await client.create("a", "m-1", entities=[Mention(name="Rome")])
    assert await relations(client, entity_id=identity("Rome")) == []
    assert await relations(client, memory_id="m-1") == []
    assert (await refused(relations(client, entity_id="nobody"))).reason == "ENTITY_NOT_FOUND"
    assert (await refused(relations(client, memory_id="nothing"))).reason == "MEMORY_NOT_FOUND"
    missing = await refused(walk(client, identity("Rome"), "nobody"))
    assert (missing.reason, missing.metadata["entity_id"]) == ("ENTITY_NOT_FOUND", "nobody")


async def test_a_walk_is_bounded(client: Client) -> None:
    chain = [says(f"P{n}", "KNOWS", f"P{n + 1}") for n in range(4)]
    await client.create("a", "m-1", relations=[*chain, says("P0", "LIKES", "Tea")])
    await client.create("b", "m-2", scope=BOB, relations=[says("P0", "KNOWS", "Stranger")])
    start = identity("P0")

    def names(found: graph_pb2.TraverseGraphResponse) -> list[str]:
        return [e.name for e in found.entities]

    assert names(await walk(client, start)) == ["P0", "P1", "Tea"]
    deep = await walk(client, start, depth=3)
    assert (names(deep), len(deep.relations), deep.truncated) == (["P0", "P1", "Tea", "P2", "P3"], 4, False)
    assert names(await walk(client, start, depth=3, predicates=["LIKES"])) == ["P0", "Tea"]
    cut = await walk(client, start, depth=3, max_entities=2)
    assert (names(cut), [r.predicate for r in cut.relations], cut.truncated) == (["P0", "P1"], ["KNOWS"], True)
    assert (await walk(client, start, depth=3, max_entities=100_000)) == deep
    assert (await refused(walk(client, start, depth=4))).fields == ["depth"]
    assert (await refused(walk(client))).fields == ["start_entity_ids"]


@pytest.mark.parametrize("keep", [False, True])
async def test_a_reset_that_keeps_the_graph_keeps_the_relations(client: Client, keep: bool) -> None:
    await client.create("a", "m-1", entities=[Mention(name="Lone")], relations=[says("Ana", "LIVES_IN", "Rome")])
    planned = await plan(client, reset_pb2.ResetTarget(scope=ANA, keep_graph=keep))
    await execute(client, planned)
    await finished(client, planned.reset.reset_id)
    assert await entities(client) == (["Ana", "Rome"] if keep else [])
    if keep:
        [relation] = await relations(client, entity_id=identity("Rome"))
        assert (relation.source_removed, list(relation.memory_ids)) == (True, [])
        assert (await entity(client, identity("Rome"))).mention_count == 0
    assert (await refused(relations(client, memory_id="m-1"))).reason == "MEMORY_NOT_FOUND"


async def test_a_revision_that_has_not_been_is_waited_for_in_vain(client: Client) -> None:
    created = await client.create("a", "m-1", entities=[Mention(name="Rome")])
    request = graph_pb2.ListEntitiesRequest(min_revision=created.revision + 1)
    late = await refused(client.graph.ListEntities(request, timeout=0.6))
    assert (late.reason, late.metadata["store"]) == ("FRESHNESS_TIMEOUT", "graph")
