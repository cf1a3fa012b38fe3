"""Export and import, through the Python SDK where it can say it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from memoir import AsyncMemoir, MemoirError, PermissionDenied
from memoir.filters import filter_to_proto
from memoir.transfer import ExportedMemory, ExportHeader, ExportSummary, ImportResult
from memoir.v1 import common_pb2, graph_pb2, memory_pb2, search_pb2
from memoir.v1 import transfer_pb2 as pb
from memoir_server.adapters.embedder.cached import CachedEmbedder
from tests.integration.harness import ANA, TIMEOUT, Client, Refusal, refusal_of, serving
from tests.integration.test_access import KEYS
from tests.integration.test_memory_rpcs import everything

Response = pb.ExportMemoriesResponse


@pytest.fixture
async def memoir(client: Client) -> AsyncIterator[AsyncMemoir]:
    async with AsyncMemoir(client.server.address) as memoir:
        yield memoir


async def some_life(client: Client) -> None:
    """Memories of every form, some changed, closed, deleted."""
    messages = [memory_pb2.Message(role=memory_pb2.ROLE_USER, content=f"turn {i}", actor_id="Ana") for i in range(4)]
    scope = common_pb2.Scope(user_id="ana", session_id="s1")
    added = await client.memory.AddMemories(
        memory_pb2.AddMemoriesRequest(scope=scope, messages=messages, mode=memory_pb2.ADD_MODE_VERBATIM),
        timeout=TIMEOUT,
    )
    await client.create("Ana lives in Lisbon", "lisbon", valid_from=Timestamp(seconds=1000))
    await client.create("Ana lives in Porto", "porto", valid_from=Timestamp(seconds=2000), supersedes=["lisbon"])
    await client.create("Wärme hilft", "rich", **everything())
    await client.create("Ben cycles", "bens", scope=common_pb2.Scope(user_id="ben", agent_id="bot"))
    await client.create("soon forgotten", "gone")
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="gone"), timeout=TIMEOUT)
    # The first turn is now the newest version, and without a valid_from.
    changed = memory_pb2.UpdateMemoryRequest(
        memory_id=added.changes[0].memory.memory_id,
        memory=memory_pb2.Memory(text="turn 0, corrected"),
        update_mask=FieldMask(paths=["text", "valid_from"]),
    )
    await client.memory.UpdateMemory(changed, timeout=TIMEOUT)


async def export(client: Client, **fields: Any) -> list[Response]:
    call = client.transfer.ExportMemories(pb.ExportMemoriesRequest(**fields), timeout=TIMEOUT)
    return [response async for response in call]


def content(memory: memory_pb2.Memory) -> memory_pb2.Memory:
    """What an import keeps of a memory."""
    kept = memory_pb2.Memory()
    kept.CopyFrom(memory)
    for field in ("namespace", "revision", "etag", "update_time"):
        kept.ClearField(field)
    return kept


def memories_of(responses: Iterable[Response]) -> list[memory_pb2.Memory]:
    return [r.memory.memory for r in responses if r.WhichOneof("record") == "memory"]


def item(sequence: int, text: str, memory_id: str, **fields: Any) -> pb.ImportMemoriesRequest:
    memory = memory_pb2.Memory(**{"memory_id": memory_id, "text": text, "scope": ANA, **fields})
    exported = pb.ExportedMemory(memory=memory)
    return pb.ImportMemoriesRequest(item=pb.ImportMemoriesRequest.Item(sequence=sequence, memory=exported))


def header(namespace: str = "", on_conflict: int = 0) -> pb.ImportMemoriesRequest:
    parts = pb.ImportMemoriesRequest.Header(namespace=namespace, on_conflict=on_conflict)  # type: ignore[arg-type]
    return pb.ImportMemoriesRequest(header=parts)


async def bring(client: Client, *requests: pb.ImportMemoriesRequest) -> list[pb.ImportMemoriesResponse]:
    call = client.transfer.ImportMemories(iter(requests), timeout=TIMEOUT)
    return [response async for response in call]


def outcome(response: pb.ImportMemoriesResponse) -> str:
    if response.WhichOneof("outcome") == "error":
        return str(response.error.message).partition(":")[0]
    return memory_pb2.MemoryChange.Action.Name(response.action).removeprefix("ACTION_")


async def until_it_breaks(call: Any) -> tuple[list[Any], grpc.aio.AioRpcError]:
    """The responses of a call that must fail, and its error."""
    responses: list[Any] = []
    try:
        while (response := await call.read()) != grpc.aio.EOF:
            responses.append(response)
    except grpc.aio.AioRpcError as error:
        return responses, error
    raise AssertionError(f"the call ended well after {len(responses)} responses")


async def faulty_import(
    client: Client, *requests: bytes | pb.ImportMemoriesRequest, key: str = ""
) -> tuple[list[str], Refusal]:
    """The outcomes before an import that must fail does, and how it fails.

    By gRPC's other Python API: asyncio's loses the status of a call that ends while a message is being sent.
    """

    def run() -> tuple[list[str], Any]:
        data = [r if isinstance(r, bytes) else r.SerializeToString() for r in requests]
        outcomes: list[str] = []
        with grpc.insecure_channel(client.server.address) as channel:
            method: Any = channel.stream_stream(
                "/memoir.v1.TransferService/ImportMemories", response_deserializer=pb.ImportMemoriesResponse.FromString
            )
            try:
                for response in method(iter(data), timeout=TIMEOUT, metadata=[("authorization", f"Bearer {key}")]):
                    outcomes.append(outcome(response))  # noqa: PERF401  # kept when the stream breaks
            except grpc.RpcError as error:
                return outcomes, error
        raise AssertionError(f"the import ended well: {outcomes}")

    outcomes, error = await asyncio.to_thread(run)
    return outcomes, refusal_of(error)


async def test_what_is_exported_is_imported_as_it_was(client: Client, memoir: AsyncMemoir) -> None:
    await some_life(client)
    records = [record async for record in memoir.export(include_embeddings=True)]
    assert isinstance(records[0], ExportHeader)
    assert records[0].estimated_memories == 8
    assert isinstance(records[-1], ExportSummary)
    assert (records[-1].memories, records[-1].events) == (8, 0)
    exported = [record for record in records if isinstance(record, ExportedMemory)]
    texts = [record.memory.text for record in exported]
    assert texts[:4] == ["turn 0, corrected", "turn 1", "turn 2", "turn 3"]
    assert all(record.embedding is not None for record in exported)

    embedder = client.server.composition.embedder
    assert isinstance(embedder, CachedEmbedder)
    asked = embedder.hits + embedder.misses
    copy = memoir.in_namespace("copy")
    results = [result async for result in copy.import_(records)]
    assert [(r.sequence, r.action, r.revision) for r in results] == [(i, "ADDED", i) for i in range(1, 9)]
    find = search_pb2.SearchMemoriesRequest(
        namespace="copy", spec=search_pb2.SearchSpec(query="Porto", scope=ANA, min_revision=results[-1].revision)
    )
    found = await client.search.SearchMemories(find, timeout=TIMEOUT)
    assert found.hits[0].memory.memory_id == "porto"
    assert embedder.hits + embedder.misses == asked + 1, "only the query was embedded"

    once, again = await export(client), await export(client, namespace="copy")
    assert [content(m) for m in memories_of(again)] == [content(m) for m in memories_of(once)]
    assert {m.namespace for m in memories_of(again)} == {"copy"}
    lisbon = next(m for m in memories_of(again) if m.memory_id == "lisbon")
    assert (lisbon.superseded_by, lisbon.valid_until.seconds) == ("porto", 2000)

    repeated = [result async for result in copy.import_(records)]
    assert [(r.action, r.revision) for r in repeated] == [("UNCHANGED", r.revision) for r in results]
    history = [event async for event in copy.history()]
    assert [(event.type, event.reason) for event in history] == [("CREATED", "imported")] * 8


async def test_neighbours_of_imported_turns_are_those_of_the_conversation(client: Client, memoir: AsyncMemoir) -> None:
    await some_life(client)
    copy = memoir.in_namespace("copy")
    await drain(copy.import_(memoir.export()))
    ledger = client.server.composition.ledger
    head = await ledger.head("copy")
    third = next(m.memory_id for m in memories_of(await export(client, namespace="copy")) if m.text == "turn 2")
    found = await ledger.get("copy", [third], revision=head.revision, now=head.commit_time)
    around = await ledger.neighbours("copy", found[third], before=2, after=1, now=head.commit_time)
    assert [memory.text for memory in around] == ["turn 0, corrected", "turn 1", "turn 3"]


async def drain(results: AsyncIterator[ImportResult]) -> list[ImportResult]:
    return [result async for result in results]


async def test_an_export_resumes_anywhere_while_writes_go_on(client: Client) -> None:
    await some_life(client)
    whole = await export(client, include_history=True, include_embeddings=True)
    kinds = [r.WhichOneof("record") for r in whole]
    assert [kind for kind, _ in itertools.groupby(kinds)] == ["header", "memory", "event", "summary"]
    for broken_at in range(1, len(whole)):
        await client.create(f"meanwhile {broken_at}", f"late-{broken_at}")
        await client.memory.UpdateMemory(
            memory_pb2.UpdateMemoryRequest(memory_id="porto", memory=memory_pb2.Memory(text=f"moved {broken_at}")),
            timeout=TIMEOUT,
        )
        token = whole[broken_at - 1].resume_token
        rest = await export(client, include_history=True, include_embeddings=True, resume_token=token)
        assert rest == whole[broken_at:]
    # The summary ends every stream, even one that is resumed after it.
    assert await export(client, include_history=True, include_embeddings=True, resume_token=whole[-1].resume_token) == [
        whole[-1]
    ]
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="porto"), timeout=TIMEOUT)
    rest = await export(client, include_history=True, include_embeddings=True, resume_token=whole[0].resume_token)
    gone = {"porto"}
    assert [m.memory_id for m in memories_of(rest)] == [
        m.memory_id for m in memories_of(whole) if m.memory_id not in gone
    ]
    assert {r.event.memory_id for r in rest if r.WhichOneof("record") == "event"}.isdisjoint(gone)


async def test_an_export_is_of_what_was_asked(client: Client, memoir: AsyncMemoir) -> None:
    await some_life(client)
    assert [m.memory_id for m in memories_of(await export(client, scope=common_pb2.Scope(user_id="ben")))] == ["bens"]
    named = [r async for r in memoir.export(filter={"memory_id": {"in": ["porto", "lisbon"]}}, include_history=True)]
    assert [r.memory.id for r in named if isinstance(r, ExportedMemory)] == ["lisbon", "porto"]
    events = [r.event for r in await export(client, include_history=True) if r.WhichOneof("record") == "event"]
    by_memory = {event.memory_id: [e.type for e in events if e.memory_id == event.memory_id] for event in events}
    assert by_memory["lisbon"] == [1, 3]
    assert "gone" not in by_memory
    assert len(events) == 8 + 2
    early = await export(client, as_of=common_pb2.AsOf(revision=5))
    assert (early[0].header.revision, early[0].header.estimated_memories) == (5, 5)
    lisbon = memories_of(early)[-1]
    assert (lisbon.memory_id, lisbon.superseded_by) == ("lisbon", "")
    nothing = await export(client, namespace="nowhere", include_history=True)
    assert [r.WhichOneof("record") for r in nothing] == ["header", "summary"]


async def test_bad_exports_are_refused(client: Client) -> None:
    await client.create("x", "x")
    token = (await export(client))[0].resume_token

    async def refusal(**fields: Any) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await export(client, **fields)
        problem = refusal_of(caught.value)
        return problem.reason, problem.metadata["field"]

    assert await refusal(resume_token="nonsense") == ("TOKEN_INVALID", "resume_token")
    assert await refusal(resume_token=token, include_history=True) == ("TOKEN_INVALID", "resume_token")
    assert await refusal(resume_token=token, namespace="other") == ("TOKEN_INVALID", "resume_token")
    assert await refusal(as_of=common_pb2.AsOf(revision=99)) == ("FIELD_INVALID", "as_of.revision")
    noon = filter_to_proto({"importance": {"gt": "noon"}})
    reason, field = await refusal(filter=noon)
    assert (reason, field) == ("FIELD_INVALID", "filter.compare.value")


async def test_a_broken_import_is_resumed_without_doubles(client: Client, memoir: AsyncMemoir) -> None:
    sent = [item(i, f"fact {i}", f"m-{i:03}") for i in range(250)]
    call: Any = client.transfer.ImportMemories(timeout=TIMEOUT)
    await call.write(header())
    answered: set[int] = set()
    for request in sent[:120]:
        await call.write(request)
    while len(answered) < 70:
        answered.add((await call.read()).sequence)
    call.cancel()
    rest = [request for request in sent if request.item.sequence not in answered]
    results = await bring(client, header(), *rest)
    assert answered | {r.sequence for r in results} == set(range(250))
    assert {outcome(r) for r in results} <= {"ADDED", "UNCHANGED"}
    # Everything once: an item that was durable before its result could be sent is only recognised.
    assert sorted(m.memory_id for m in memories_of(await export(client))) == [f"m-{i:03}" for i in range(250)]
    created = [event.memory_id async for event in memoir.history()]
    assert sorted(created) == sorted(set(created))


async def test_two_thousand_memories_go_out_and_in(client: Client, memoir: AsyncMemoir) -> None:
    begin = time.monotonic()
    source, copy = memoir.in_namespace("source"), memoir.in_namespace("copy")
    made = [item(i, f"Fact number {i} is about topic {i % 17}", f"m-{i:04}").item.memory for i in range(2000)]
    results = await bring(
        client,
        header("source"),
        *(
            pb.ImportMemoriesRequest(item=pb.ImportMemoriesRequest.Item(sequence=i, memory=memory))
            for i, memory in enumerate(made)
        ),
    )
    assert [r.sequence for r in results] == list(range(2000))
    assert {outcome(r) for r in results} == {"ADDED"}
    # A stream to a stream, nothing held in between.
    again = await drain(copy.import_(source.export(include_embeddings=True)))
    assert [(r.sequence, r.action) for r in again] == [(i + 1, "ADDED") for i in range(2000)]
    one, other = await export(client, namespace="source"), await export(client, namespace="copy")
    assert [content(m) for m in memories_of(other)] == [content(m) for m in memories_of(one)]
    assert time.monotonic() - begin < 60


async def test_conflicts_end_as_the_header_says(client: Client) -> None:
    await client.create("as stored", "m", metadata={"n": common_pb2.MetadataValue(int_value=1)})
    stored = content(await client.get("m"))
    revision = (await client.get("m")).revision

    def changed(**fields: Any) -> pb.ImportMemoriesRequest:
        memory = memory_pb2.Memory()
        memory.CopyFrom(stored)
        memory.MergeFrom(memory_pb2.Memory(**fields))
        exported = pb.ExportedMemory(memory=memory)
        return pb.ImportMemoriesRequest(item=pb.ImportMemoriesRequest.Item(sequence=1, memory=exported))

    conflict = pb.ImportMemoriesRequest
    for on_conflict in (0, conflict.ON_CONFLICT_SKIP, conflict.ON_CONFLICT_REPLACE, conflict.ON_CONFLICT_FAIL):
        (same,) = await bring(client, header(on_conflict=on_conflict), changed())
        assert (outcome(same), same.revision) == ("UNCHANGED", revision)
    for on_conflict in (0, conflict.ON_CONFLICT_SKIP):
        (kept,) = await bring(client, header(on_conflict=on_conflict), changed(text="other"))
        assert (outcome(kept), kept.revision) == ("UNCHANGED", revision)
    (failed,) = await bring(client, header(on_conflict=conflict.ON_CONFLICT_FAIL), changed(text="other"))
    assert failed.error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert (failed.memory_id, failed.sequence, failed.revision) == ("m", 1, 0)
    assert content(await client.get("m")) == stored

    # A value of another type is other content, even where it is equal.
    typed = changed(metadata={"n": common_pb2.MetadataValue(double_value=1.0)})
    for text in ("other", "as stored"):
        (replaced,) = await bring(client, header(on_conflict=conflict.ON_CONFLICT_REPLACE), changed(text=text))
        assert (outcome(replaced), replaced.revision) == ("UPDATED", (await client.get("m")).revision)
    (replaced,) = await bring(client, header(on_conflict=conflict.ON_CONFLICT_REPLACE), typed)
    assert outcome(replaced) == "UPDATED"
    assert (await client.get("m")).metadata["n"].double_value == 1.0
    moved = changed(scope=common_pb2.Scope(user_id="ben"))
    (refused,) = await bring(client, header(on_conflict=conflict.ON_CONFLICT_REPLACE), moved)
    assert outcome(refused) == "item.memory.memory.scope"


async def test_a_bad_item_is_reported_and_the_rest_goes_on(client: Client) -> None:
    model = client.server.composition.embedder.model

    def with_vector(sequence: int, model_name: str, values: Sequence[float]) -> pb.ImportMemoriesRequest:
        request = item(sequence, f"vector {sequence}", f"v{sequence}")
        embedding = request.item.memory.embedding
        embedding.model, embedding.version = model_name, model.version
        embedding.values.extend(values)
        return request

    unit = [1.0] + [0.0] * (model.dimension - 1)
    requests = [
        (item(1, "good", "a"), "ADDED"),
        (item(2, "", "b"), "item.memory.memory.text"),
        (item(3, "no id", ""), "item.memory.memory.memory_id"),
        (item(4, "bad id", "no spaces"), "item.memory.memory.memory_id"),
        (item(5, "no owner", "c", scope=common_pb2.Scope(session_id="s")), "item.memory.memory.scope"),
        (item(6, "bad", "d", scope=common_pb2.Scope(user_id="")), "item.memory.memory.scope.user_id"),
        (item(7, "bad", "e", supersedes=["ok", "not ok"]), "item.memory.memory.supersedes[1]"),
        (item(8, "bad", "f", superseded_by="-"), "item.memory.memory.superseded_by"),
        (item(9, "over", "g", expire_time=Timestamp(seconds=5)), "item.memory.memory.expire_time"),
        (
            item(10, "ends first", "h", valid_from=Timestamp(seconds=9), valid_until=Timestamp(seconds=8)),
            "item.memory.memory.valid_until",
        ),
        (item(11, "never true", "i", valid_from=Timestamp(seconds=9), valid_until=Timestamp(seconds=9)), "ADDED"),
        (item(12, "bad time", "j", create_time=Timestamp(seconds=-(2**60))), "item.memory.memory.create_time"),
        (with_vector(13, model.name, unit[1:]), "item.memory.embedding.values"),
        (with_vector(14, model.name, [2 * v for v in unit]), "item.memory.embedding.values"),
        (with_vector(15, model.name, [float("nan"), *unit[1:]]), "item.memory.embedding.values"),
        (with_vector(16, "of-another-model", [2.0, 3.0]), "ADDED"),
        (with_vector(17, model.name, unit), "ADDED"),
        (item(18, "good", "a"), "UNCHANGED"),
        (item(19, "good again", "a"), "UNCHANGED"),
        (pb.ImportMemoriesRequest(item=pb.ImportMemoriesRequest.Item(sequence=20)), "item.memory"),
        (item(21, "good too", "z"), "ADDED"),
    ]
    results = await bring(client, header(), *(request for request, _ in requests))
    assert [(r.sequence, outcome(r)) for r in results] == [
        (sequence, wanted) for sequence, (_, wanted) in enumerate(requests, start=1)
    ]
    refused = [r for r in results if r.HasField("error")]
    assert {r.error.code for r in refused} == {grpc.StatusCode.INVALID_ARGUMENT.value[0]}
    assert [m.memory_id for m in memories_of(await export(client))] == ["a", "i", "v16", "v17", "z"]


async def test_absent_fields_mean_what_they_mean_on_creation(client: Client) -> None:
    """A memory with a revision is a stored state: what is absent there was absent."""
    requests = [item(1, "made for the import", "made"), item(2, "was stored", "stored", revision=7)]
    said = item(3, "said long ago", "said", create_time=Timestamp(seconds=77))
    await bring(client, header(), *requests, said)
    made, stored, dated = await client.get("made"), await client.get("stored"), await client.get("said")
    assert made.valid_from == made.create_time
    assert (made.kind, made.create_time) == (memory_pb2.MEMORY_KIND_FACT, made.update_time)
    assert not stored.HasField("valid_from")
    assert dated.valid_from == Timestamp(seconds=77)
    repeated = await bring(client, header(on_conflict=pb.ImportMemoriesRequest.ON_CONFLICT_FAIL), *requests, said)
    assert [outcome(r) for r in repeated] == ["UNCHANGED"] * 3


async def test_a_faulty_stream_ends_after_what_came_before(client: Client) -> None:
    async def fault(*requests: bytes | pb.ImportMemoriesRequest) -> tuple[list[str], str]:
        outcomes, problem = await faulty_import(client, *requests)
        assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        return outcomes, problem.metadata["field"]

    assert await fault() == ([], "header")
    assert await fault(item(1, "too early", "a")) == ([], "header")
    assert await fault(header("Not A Namespace")) == ([], "header.namespace")
    assert await fault(header(on_conflict=9)) == ([], "header.on_conflict")
    assert await fault(header(), item(1, "one", "a"), header(), item(2, "two", "b")) == (["ADDED"], "header")
    assert await fault(header(), item(1, "one", "a"), pb.ImportMemoriesRequest()) == (["UNCHANGED"], "part")
    assert [m.memory_id for m in memories_of(await export(client))] == ["a"]

    assert await fault(header(), b"\xff\xff") == ([], "request")
    assert await bring(client, header()) == []


async def test_results_come_before_the_stream_ends(client: Client) -> None:
    call: Any = client.transfer.ImportMemories(timeout=TIMEOUT)
    await call.write(header())
    for sequence in range(3):
        await call.write(item(sequence, f"fact {sequence}", f"m{sequence}"))
        result = await call.read()
        assert (result.sequence, outcome(result), result.revision) == (sequence, "ADDED", sequence + 1)
        assert (await client.get(f"m{sequence}")).text == f"fact {sequence}"
    await call.done_writing()
    assert await call.read() == grpc.aio.EOF


async def test_an_import_needs_the_permission_of_its_namespace(tmp_path: Path) -> None:
    async with serving(tmp_path, auth__api_keys=KEYS) as client:
        for key, namespace, wanted in (("bot-writes", "", "ADDED"), ("bot-writes", "team-a", "UNCHANGED")):
            call = client.transfer.ImportMemories(
                iter([header(namespace), item(1, "x", "x")]),
                timeout=TIMEOUT,
                metadata=[("authorization", f"Bearer {key}")],
            )
            assert [outcome(response) async for response in call] == [wanted]
        for key, namespace, place in (
            ("bot-writes", "team-b", "team-b"),
            ("alice-reads", "team-a", "team-a"),
            ("alice-reads", "team-b", "team-a"),
        ):
            outcomes, problem = await faulty_import(client, header(namespace), item(1, "x", "x"), key=key)
            assert outcomes == []
            assert (problem.code, problem.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
            assert problem.metadata == {"permission": "write", "namespace": place}


async def test_draining_ends_transfers_with_a_place_to_go_on(client: Client) -> None:
    for i in range(30):
        await client.create("x" * 60_000, f"m{i:02}", durability=common_pb2.DURABILITY_ACCEPTED)
    exporting: Any = client.transfer.ExportMemories(pb.ExportMemoriesRequest(), timeout=TIMEOUT)
    importing: Any = client.transfer.ImportMemories(timeout=TIMEOUT)
    await importing.write(header("other"))
    await importing.write(item(1, "one", "a"))
    assert outcome(await importing.read()) == "ADDED"
    first = await exporting.read()
    assert first.header.estimated_memories == 30
    client.server.composition.draining.begin()
    results, error = await until_it_breaks(importing)
    assert (results, refusal_of(error).reason) == ([], "SERVER_DRAINING")
    rest, error = await until_it_breaks(exporting)
    problem = refusal_of(error)
    last = [first, *rest][-1]
    assert (problem.reason, problem.metadata["resume_token"]) == ("SERVER_DRAINING", last.resume_token)


async def test_the_sdk_names_what_went_wrong(memoir: AsyncMemoir) -> None:
    with pytest.raises(MemoirError, match=r"as_of\.revision"):
        await anext(memoir.export(as_of=4))
    memory = await memoir.create("keep me", user_id="ana")
    other = memory_pb2.Memory()
    other.CopyFrom(memory.message)
    other.text = "someone else's"
    exported = ExportedMemory(memory, None, "", pb.ExportedMemory(memory=other))
    (result,) = await drain(memoir.import_([exported], on_conflict="FAIL"))
    assert result.action is None
    assert result.error is not None
    assert result.error.reason == "MEMORY_ALREADY_EXISTS"


async def test_the_sdk_tells_why_an_import_ended_while_it_was_sending(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, auth__api_keys=KEYS) as client,
        AsyncMemoir(client.server.address, "team-a", "bot-writes") as memoir,
    ):
        await memoir.create("x", user_id="ana")
        records = [record async for record in memoir.export()] * 300
        for attempt in range(20):
            elsewhere = memoir.in_namespace(f"team-x{attempt}")
            with pytest.raises(PermissionDenied) as caught:
                await drain(elsewhere.import_(records))
            assert caught.value.metadata == {"permission": "write", "namespace": f"team-x{attempt}"}


async def test_relations_come_along(client: Client, memoir: AsyncMemoir) -> None:
    entities = [graph_pb2.EntityMention(name="Ana", type="person"), graph_pb2.EntityMention(name="Ghent")]
    relations = [graph_pb2.RelationStatement(subject="Ana", predicate="LIVES_IN", object="Ghent")]
    await client.create("Ana lives in Ghent", "ghent", entities=entities, relations=relations)
    copy = memoir.in_namespace("copy")
    (result,) = await drain(copy.import_(memoir.export()))
    request = memory_pb2.GetMemoryRequest(namespace="copy", memory_id="ghent")
    memory = (await client.memory.GetMemory(request, timeout=TIMEOUT)).memory
    assert [(r.subject, r.predicate, r.object) for r in memory.relations] == [("Ana", "LIVES_IN", "Ghent")]
    assert result.revision == memory.revision
