"""What a server answers to reads of every kind, as bytes."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from memoir.v1 import common_pb2, graph_pb2, history_pb2, memory_pb2, reset_pb2, search_pb2
from memoir.v1 import transfer_pb2 as pb
from tests.integration.harness import ANA, TIMEOUT, Client
from tests.moving.life import BEN, NAMESPACES, SESSION, Held, told

_QUERIES = ("what about tea", "who keeps bees", "Topic 4", "Bo said a turn", "rain rain chess", "Ana lives where")


async def answers(client: Client, held: Held) -> dict[str, bytes]:
    """Every answer by what was asked. Counts accesses."""
    found: dict[str, bytes] = {}
    for namespace in NAMESPACES:
        for asked, message in (await _lists(client, namespace)).items():
            found[f"{namespace}: {asked}"] = told(message)
        for asked, message in (await _searches(client, namespace)).items():
            found[f"{namespace}: {asked}"] = told(message)
        for asked, message in (await _graph(client, namespace)).items():
            found[f"{namespace}: {asked}"] = told(message)
        export = pb.ExportMemoriesRequest(namespace=namespace, include_history=True, include_embeddings=True)
        found[f"{namespace}: export"] = await _stream(client.transfer.ExportMemories(export, timeout=TIMEOUT))
    found["export resumed"] = await _stream(client.transfer.ExportMemories(held.export, timeout=TIMEOUT))
    for reset_id in held.resets:
        request = reset_pb2.GetResetRequest(reset_id=reset_id)
        found[f"reset {reset_id}"] = told(await client.reset.GetReset(request, timeout=TIMEOUT))
    for name, call in held.calls(client).items():
        found[name] = told(await call)
    found["watch"] = await _watched(client, held.watch)
    return found


async def accesses(client: Client) -> dict[str, tuple[int, str]]:
    """What is counted of each memory. Counts nothing itself."""
    request = memory_pb2.ListMemoriesRequest(page_size=1000, include_access=True, include_superseded=True)
    listed = await client.memory.ListMemories(request, timeout=TIMEOUT)
    return {m.memory_id: (m.access_count, m.last_access_time.ToJsonString()) for m in listed.memories}


async def _lists(client: Client, namespace: str) -> dict[str, Message]:
    found: dict[str, Message] = {}
    asked: dict[str, dict[str, Any]] = {
        "all": {},
        "superseded too": {"include_superseded": True},
        "ben's": {"scope": BEN},
        "a session's": {"scope": SESSION},
    }
    if namespace == "default":
        # Of metadata that were never stored nothing may be asked.
        asked |= {
            "numbers": {"filter": _compare("metadata.n", common_pb2.Filter.OPERATOR_GREATER_OR_EQUAL, int_value=30)},
            "ratios": {"filter": _compare("metadata.ratio", common_pb2.Filter.OPERATOR_EQUAL, double_value=0.25)},
            "tags": {"filter": _compare("metadata.tags", common_pb2.Filter.OPERATOR_CONTAINS, string_value="a")},
        }
    for name, fields in asked.items():
        request = memory_pb2.ListMemoriesRequest(namespace=namespace, page_size=1000, **fields)
        found[f"list {name}"] = await client.memory.ListMemories(request, timeout=TIMEOUT)
    events = await client.history.ListHistory(
        history_pb2.ListHistoryRequest(namespace=namespace, page_size=1000), timeout=TIMEOUT
    )
    found["history"] = events
    head = events.events[-1].revision
    for revision in range(1, head + 1, max(1, head // 8)):
        request = memory_pb2.ListMemoriesRequest(
            namespace=namespace, page_size=1000, as_of=common_pb2.AsOf(revision=revision)
        )
        found[f"list as of {revision}"] = await client.memory.ListMemories(request, timeout=TIMEOUT)
    for dimension in (memory_pb2.SCOPE_DIMENSION_USER, memory_pb2.SCOPE_DIMENSION_SESSION):
        scopes = memory_pb2.ListScopesRequest(namespace=namespace, dimension=dimension)
        found[f"scopes {dimension}"] = await client.memory.ListScopes(scopes, timeout=TIMEOUT)
    return found


def _compare(field: str, operator: Any, **value: Any) -> common_pb2.Filter:
    return common_pb2.Filter(
        compare=common_pb2.Filter.Comparison(field=field, operator=operator, value=common_pb2.MetadataValue(**value))
    )


async def _searches(client: Client, namespace: str) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for query in _QUERIES:
        for recipe in (search_pb2.RECIPE_BALANCED, search_pb2.RECIPE_GRAPH, search_pb2.RECIPE_SEMANTIC):
            spec = search_pb2.SearchSpec(query=query, scope=ANA, recipe=recipe, explain=True, limit=20)
            request = search_pb2.SearchMemoriesRequest(namespace=namespace, spec=spec)
            answer = await client.search.SearchMemories(request, timeout=TIMEOUT)
            # Another id and another time each time.
            answer.ClearField("search_id")
            for phase in answer.phases:
                phase.ClearField("elapsed")
            found[f"search {query!r} {recipe}"] = answer
    return found


async def _graph(client: Client, namespace: str) -> dict[str, Message]:
    found: dict[str, Message] = {}
    listed = await client.graph.ListEntities(
        graph_pb2.ListEntitiesRequest(namespace=namespace, page_size=1000), timeout=TIMEOUT
    )
    found["entities"] = listed
    for entity in listed.entities:
        request = graph_pb2.ListRelationsRequest(namespace=namespace, entity_id=entity.entity_id)
        found[f"relations of {entity.name}"] = await client.graph.ListRelations(request, timeout=TIMEOUT)
        walk = graph_pb2.TraverseGraphRequest(namespace=namespace, start_entity_ids=[entity.entity_id], depth=2)
        found[f"walk from {entity.name}"] = await client.graph.TraverseGraph(walk, timeout=TIMEOUT)
    return found


async def _stream(call: Any) -> bytes:
    return b"|".join([told(item) async for item in call])


async def _watched(client: Client, token: str) -> bytes:
    """The events after a token, up to the newest."""
    call = client.history.WatchHistory(history_pb2.WatchHistoryRequest(resume_token=token), timeout=TIMEOUT)
    told_: list[bytes] = []
    async for item in call:
        if item.WhichOneof("item") == "bookmark":
            if item.bookmark.caught_up:
                break
            continue
        told_.append(told(item))
    call.cancel()
    return b"|".join(told_)
