from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from memoir.v1 import common_pb2, graph_pb2, memory_pb2, search_pb2
from tests.integration.harness import ANA, TIMEOUT, Client, refusal_of, refused


async def remember(client: Client) -> None:
    await client.create("Ana drinks green tea every morning", "tea")
    await client.create("Ana plays chess with Bruno", "chess", entities=[graph_pb2.EntityMention(name="Bruno")])
    await client.create("The boiler was repaired in March", "boiler")
    await client.create("Bob drinks green tea too", "bob", scope=common_pb2.Scope(user_id="ana-2"))


async def stream(client: Client, **spec: Any) -> list[search_pb2.StreamSearchMemoriesResponse]:
    request = search_pb2.StreamSearchMemoriesRequest(spec=search_pb2.SearchSpec(**{"scope": ANA, **spec}))
    return [event async for event in client.search.StreamSearchMemories(request, timeout=TIMEOUT)]


async def test_search_finds_what_fits_and_only_ones_own(client: Client) -> None:
    await remember(client)
    found = await client.find("green tea")
    assert found.hits[0].memory.memory_id == "tea"
    assert "bob" not in [h.memory.memory_id for h in found.hits]
    assert 0 < found.hits[0].score <= 1
    assert found.hits[0].rank_score == 0
    assert not found.hits[0].parts
    assert found.revision == 4
    assert found.search_id
    assert [p.phase for p in found.phases] == [1, 2, 3]


async def test_the_stream_follows_its_grammar_and_folds_to_the_unary_answer(client: Client) -> None:
    await remember(client)
    events = await stream(client, query="who plays chess with Bruno?", explain=True)
    assert [e.sequence for e in events] == list(range(1, len(events) + 1))
    kinds = [e.WhichOneof("event") for e in events]
    assert kinds == ["started", "phase_hits", "phase_hits", "phase_hits", "completed"]
    assert [e.phase_hits.report.phase for e in events[1:4]] == list(events[0].started.phases)
    hits: dict[str, search_pb2.SearchHit] = {}
    for event in events:
        for hit in event.phase_hits.new_hits:
            assert hit.memory.memory_id not in hits, "a body is sent once"
            hits[hit.memory.memory_id] = hit
        for update in event.phase_hits.updated_hits:
            kept = hits[update.memory_id].memory
            hits[update.memory_id] = search_pb2.SearchHit(
                memory=kept,
                score=update.score,
                rank_score=update.rank_score,
                parts=update.parts,
                relations=update.relations,
            )
    unary = await client.find("who plays chess with Bruno?", explain=True)
    assert [hits[memory_id] for memory_id in events[-1].completed.order] == list(unary.hits)
    assert unary.hits[0].memory.memory_id == "chess"
    assert unary.hits[0].parts
    assert unary.phases[2].outcome == search_pb2.PhaseReport.OUTCOME_DONE


async def test_view_filter_and_moment_reach_the_search(client: Client) -> None:
    await remember(client)
    full = await client.find("chess", view=memory_pb2.MEMORY_VIEW_FULL)
    assert full.hits[0].memory.entities[0].name == "Bruno"
    assert not (await client.find("chess")).hits[0].memory.entities
    only = common_pb2.Filter(
        compare=common_pb2.Filter.Comparison(
            field="memory_id",
            operator=common_pb2.Filter.OPERATOR_EQUAL,
            value=common_pb2.MetadataValue(string_value="boiler"),
        )
    )
    assert [h.memory.memory_id for h in (await client.find("tea", filter=only)).hits] == ["boiler"]
    past = await client.find("chess", as_of=common_pb2.AsOf(revision=1))
    assert [h.memory.memory_id for h in past.hits] == ["tea"]
    keyword = await client.find("tea", recipe=search_pb2.RECIPE_KEYWORD)
    assert [p.phase for p in keyword.phases] == [search_pb2.SEARCH_PHASE_KEYWORD]
    assert [h.memory.memory_id for h in keyword.hits] == ["tea"]


async def test_bad_searches_name_the_path_in_the_request(client: Client) -> None:
    await remember(client)
    unknown = common_pb2.Filter()
    comparison = getattr(unknown, "and").filters.add().compare
    comparison.field = "colour"
    comparison.operator = common_pb2.Filter.OPERATOR_EQUAL
    comparison.value.int_value = 1
    problem = await refused(client.find("tea", filter=unknown))
    assert problem.fields == ["spec.filter.and.filters[0].compare.field"]
    late = common_pb2.TimeRange(start_time=Timestamp(seconds=9), end_time=Timestamp(seconds=9))
    assert (await refused(client.find("tea", create_time_range=late))).fields == ["spec.create_time_range"]
    assert (await refused(client.find(""))).fields == ["spec.query"]
    assert (await refused(client.find("tea", as_of=common_pb2.AsOf(revision=99)))).fields == ["spec.as_of.revision"]


async def test_reranking_is_not_there(client: Client) -> None:
    problem = await refused(client.find("tea", rerank=True))
    assert (problem.code, problem.reason) == (grpc.StatusCode.UNIMPLEMENTED, "FEATURE_DISABLED")
    assert problem.metadata == {"feature": "rerank"}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream(client, query="tea", rerank=True)
    assert refusal_of(caught.value).metadata == {"feature": "rerank"}


async def test_a_revision_that_does_not_come_times_out(client: Client) -> None:
    spec = search_pb2.SearchSpec(query="tea", min_revision=7)
    problem = await refused(client.search.SearchMemories(search_pb2.SearchMemoriesRequest(spec=spec), timeout=0.6))
    assert (problem.code, problem.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "FRESHNESS_TIMEOUT")
    assert problem.metadata == {"store": "index", "min_revision": "7", "applied_revision": "0"}
