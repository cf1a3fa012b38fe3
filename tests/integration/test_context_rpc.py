from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from memoir.v1 import common_pb2, graph_pb2, memory_pb2, search_pb2
from memoir_server.domain.tokens import count_tokens
from tests.integration.harness import ANA, TIMEOUT, Client, refused

MARCH = 1_740_819_600
"""2025-03-01T09:00:00Z."""
DAY = 86_400

TALK = (
    ("Ana", "Where did we put the ladder?"),
    ("Bo", "Behind the shed, I think."),
    ("Ana", "Tomorrow I paint the balcony green."),
    ("Bo", "Buy the paint at Kofler's, they are cheaper."),
    ("Ana", "Good idea, thank you."),
)


async def talk(client: Client, session: str = "s1", *, day: int = 0, user: str = "ana") -> list[str]:
    """Remembers TALK; the ids of its turns."""
    request = memory_pb2.AddMemoriesRequest(
        scope=common_pb2.Scope(user_id=user, session_id=session),
        messages=[
            memory_pb2.Message(
                role=memory_pb2.ROLE_USER,
                actor_id=speaker,
                content=text,
                create_time=Timestamp(seconds=MARCH + day * DAY + 60 * number),
            )
            for number, (speaker, text) in enumerate(TALK)
        ],
        mode=memory_pb2.ADD_MODE_VERBATIM,
    )
    added = await client.memory.AddMemories(request, timeout=TIMEOUT)
    return [change.memory.memory_id for change in added.changes]


def request_of(query: str, *, neighbours: int | None = None, max_tokens: int = 0, **spec: Any) -> Any:
    return search_pb2.BuildContextRequest(
        spec=search_pb2.SearchSpec(query=query, **{"scope": ANA, **spec}),
        max_tokens=max_tokens,
        neighbours=neighbours,
    )


async def build(client: Client, query: str, **fields: Any) -> search_pb2.BuildContextResponse:
    built: search_pb2.BuildContextResponse = await client.search.BuildContext(
        request_of(query, **fields), timeout=TIMEOUT
    )
    assert built.text == "\n\n".join(part.text for part in built.parts)
    assert built.token_count == count_tokens(built.text)
    assert built.tokenizer == "memoir-words-1"
    for number, part in enumerate(built.parts, start=1):
        assert (part.citation, part.token_count) == (number, count_tokens(part.text))
        assert part.text.endswith(f" [{number}]")
    return built


def ids(built: search_pb2.BuildContextResponse) -> list[list[str]]:
    return [list(part.memory_ids) for part in built.parts]


async def test_the_turn_found_comes_with_its_neighbours_and_a_mark(client: Client) -> None:
    turns = await talk(client)
    built = await build(client, "paint the balcony green", limit=1)
    assert built.text == (
        "Sat 1 Mar 2025:\n"
        "Bo: Behind the shed, I think.\n"
        "Ana: Tomorrow I paint the balcony green.\n"
        "Bo: Buy the paint at Kofler's, they are cheaper. [1]"
    )
    assert ids(built) == [turns[1:4]]
    assert built.parts[0].create_time.seconds == MARCH + 60
    assert [hit.memory.memory_id for hit in built.hits] == [turns[2]]
    assert built.hits[0].score > 0
    assert [report.phase for report in built.phases] == [1, 2, 3]
    assert built.revision == 5


async def test_the_number_of_neighbours_is_the_callers(client: Client) -> None:
    turns = await talk(client)
    assert ids(await build(client, "balcony green", limit=1, neighbours=0)) == [[turns[2]]]
    assert ids(await build(client, "balcony green", limit=1, neighbours=5)) == [turns]
    problem = await refused(client.search.BuildContext(request_of("x", neighbours=6), timeout=TIMEOUT))
    assert (problem.code, problem.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["neighbours"])


async def test_the_hits_are_those_of_the_search(client: Client) -> None:
    await talk(client)
    await talk(client, "s2", day=3)
    await client.create("Ana owns a green ladder", "ladder", entities=[graph_pb2.EntityMention(name="Ana")])
    searched = await client.find("green ladder")
    built = await build(client, "green ladder", max_tokens=32_000)
    assert list(built.hits) == list(searched.hits)
    assert [h.memory.memory_id for h in built.hits] == [h.memory.memory_id for h in searched.hits]
    explained = await build(client, "green ladder", explain=True, view=memory_pb2.MEMORY_VIEW_FULL)
    [ladder] = [hit for hit in explained.hits if hit.memory.memory_id == "ladder"]
    assert ladder.rank_score
    assert ladder.memory.entities


async def test_sessions_stand_together_in_order_of_time(client: Client) -> None:
    later = await talk(client, "late", day=5)
    earlier = await talk(client, "early")
    built = await build(client, "Where did we put the ladder? Good idea, thank you.", neighbours=0, limit=4)
    flat = [memory_id for part in ids(built) for memory_id in part]
    assert flat == [earlier[0], earlier[4], later[0], later[4]]


async def test_relations_of_the_entities_asked_about_are_told(client: Client) -> None:
    await client.create(
        "Ana moved in with Bruno",
        "moved",
        create_time=Timestamp(seconds=MARCH),
        relations=[graph_pb2.RelationStatement(subject="Ana", predicate="LIVES_WITH", object="Bruno")],
    )
    built = await build(client, "Who lives with Bruno?")
    assert built.text == "Sat 1 Mar 2025:\nAna moved in with Bruno\nRelation: Ana lives with Bruno [1]"


async def test_a_budget_is_never_exceeded_and_what_matters_most_stays(client: Client) -> None:
    for number in range(12):
        await talk(client, f"s{number}", day=number)
    whole = await build(client, "paint the balcony green", limit=12, max_tokens=32_000)
    assert len(whole.hits) == 12
    previous: Sequence[str] = ()
    for max_tokens in (1, 20, 60, 120, 400, 0):
        built = await build(client, "paint the balcony green", limit=12, max_tokens=max_tokens)
        assert built.token_count <= (max_tokens or 1000)
        best = [hit.memory.memory_id for hit in built.hits]
        assert best == [hit.memory.memory_id for hit in whole.hits][: len(best)]
        assert len(best) >= len(previous)
        previous = best
    assert previous
    assert (await build(client, "balcony", max_tokens=2**31 - 1)).token_count <= 32_000
    problem = await refused(client.search.BuildContext(request_of("x", max_tokens=-1), timeout=TIMEOUT))
    assert problem.fields == ["max_tokens"]


async def test_neighbours_obey_the_search_too(client: Client) -> None:
    turns = await talk(client)
    await talk(client, user="bo")
    ranged = common_pb2.TimeRange(start_time=Timestamp(seconds=MARCH + 120))
    assert ids(await build(client, "balcony green", limit=1, create_time_range=ranged)) == [turns[2:4]]
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id=turns[1]), timeout=TIMEOUT)
    assert ids(await build(client, "balcony green", limit=1)) == [turns[2:4]]


async def test_the_past_is_shown_as_it_was(client: Client) -> None:
    turns = await talk(client)
    edited = memory_pb2.UpdateMemoryRequest(
        memory_id=turns[3], memory=memory_pb2.Memory(text="Buy it at Lang's, they are open.")
    )
    await client.memory.UpdateMemory(edited, timeout=TIMEOUT)
    now = await build(client, "balcony green", limit=1)
    assert "Lang's" in now.text
    then = await build(client, "balcony green", limit=1, as_of=common_pb2.AsOf(revision=5))
    assert "Kofler's" in then.text
    assert ids(then) == ids(now) == [turns[1:4]]
    cut = await build(client, "balcony green", limit=1, as_of=common_pb2.AsOf(revision=3))
    assert ids(cut) == [turns[1:3]]
    assert cut.revision == 3


async def test_a_search_of_everyone_says_whose_memories_they_are(client: Client) -> None:
    await client.create("Ana drinks green tea", "a", create_time=Timestamp(seconds=MARCH))
    bob = common_pb2.Scope(user_id="bob")
    await client.create("Bob drinks green tea", "b", scope=bob, create_time=Timestamp(seconds=MARCH + DAY))
    built = await build(client, "green tea", scope=None)
    assert built.text == (
        "Sat 1 Mar 2025, user ana:\nAna drinks green tea [1]\n\nSun 2 Mar 2025, user bob:\nBob drinks green tea [2]"
    )
    assert ids(await build(client, "green tea")) == [["a"]]


async def test_long_memories_are_laid_out_too(client: Client) -> None:
    for number in range(3):
        await client.create(f"balcony {number} " + "green paint " * 4000, f"long-{number}")
    built = await build(client, "balcony", max_tokens=2000)
    assert [len(part.memory_ids) for part in built.parts] == [1]
    assert built.text.endswith("… [1]")


async def test_nothing_found_is_an_empty_context(client: Client) -> None:
    built = await build(client, "anything")
    assert (built.text, built.token_count, len(built.parts), len(built.hits)) == ("", 0, 0, 0)
    assert len(built.phases) == 3


async def test_bad_requests_name_the_path(client: Client) -> None:
    request = search_pb2.BuildContextRequest()
    assert (await refused(client.search.BuildContext(request, timeout=TIMEOUT))).fields == ["spec"]
    request = request_of("tea", as_of=common_pb2.AsOf(revision=99))
    assert (await refused(client.search.BuildContext(request, timeout=TIMEOUT))).fields == ["spec.as_of.revision"]
    problem = await refused(client.search.BuildContext(request_of("tea", rerank=True), timeout=TIMEOUT))
    assert problem.metadata == {"feature": "rerank"}
