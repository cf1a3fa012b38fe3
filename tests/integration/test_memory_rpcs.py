from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from memoir.v1 import common_pb2, graph_pb2, memory_pb2
from tests.integration.harness import ANA, TIMEOUT, Client, refused

FULL, BASIC = memory_pb2.MEMORY_VIEW_FULL, memory_pb2.MEMORY_VIEW_BASIC


def everything() -> dict[str, Any]:
    return {
        "kind": memory_pb2.MEMORY_KIND_PREFERENCE,
        "metadata": {
            "text": common_pb2.MetadataValue(string_value="Wärme"),
            "count": common_pb2.MetadataValue(int_value=2**53 + 1),
            "ratio": common_pb2.MetadataValue(double_value=0.25),
            "flag": common_pb2.MetadataValue(bool_value=False),
            "at": common_pb2.MetadataValue(timestamp_value=Timestamp(seconds=0, nanos=1000)),
            "tags": common_pb2.MetadataValue(string_list=common_pb2.StringList(values=["b", "a"])),
            "none": common_pb2.MetadataValue(string_list=common_pb2.StringList()),
        },
        "importance": 0.0,
        "valid_from": Timestamp(seconds=-1, nanos=5000),
        "valid_until": Timestamp(seconds=4_000_000_000),
        "expire_time": Timestamp(seconds=5_000_000_000),
        "create_time": Timestamp(seconds=0, nanos=0),
        "provenance": [
            memory_pb2.Provenance(
                session_id="s1",
                message_id="m1",
                role=memory_pb2.ROLE_USER,
                actor_id="Ana",
                quote="tea",
                create_time=Timestamp(seconds=7),
            )
        ],
        "entities": [graph_pb2.EntityMention(name="Ana", type="person", aliases=["Anna"])],
        "relations": [
            graph_pb2.RelationStatement(
                subject="Ana", predicate="LIKES", object="tea", confidence=0.5, valid_from=Timestamp(seconds=9)
            )
        ],
    }


async def test_a_created_memory_is_read_back_whole(client: Client) -> None:
    created = await client.create("Ana likes tea", "m-1", **everything())
    assert created.revision == 1
    assert created.durability == common_pb2.DURABILITY_INDEXED
    read = await client.get("m-1")
    assert read == created.memory
    expected = memory_pb2.Memory(
        namespace="default", memory_id="m-1", text="Ana likes tea", scope=ANA, revision=1, etag='"1"', **everything()
    )
    expected.update_time.CopyFrom(read.update_time)
    assert read == expected
    assert read.HasField("importance")
    assert read.HasField("create_time")
    assert [(c.action, c.memory.memory_id) for c in created.changes] == [(memory_pb2.MemoryChange.ACTION_ADDED, "m-1")]


async def test_nanoseconds_below_a_microsecond_are_cut_off(client: Client) -> None:
    created = await client.create("x", create_time=Timestamp(seconds=-2, nanos=999_999_999))
    assert created.memory.create_time == Timestamp(seconds=-2, nanos=999_999_000)


async def test_basic_view_leaves_out_entities_and_relations(client: Client) -> None:
    await client.create("Ana likes tea", "m-1", **everything())
    basic = await client.get("m-1", view=BASIC)
    assert not basic.entities
    assert not basic.relations
    assert basic.metadata["count"].int_value == 2**53 + 1
    listed = await client.memory.ListMemories(memory_pb2.ListMemoriesRequest(scope=ANA), timeout=TIMEOUT)
    assert list(listed.memories) == [basic]
    listed = await client.memory.ListMemories(memory_pb2.ListMemoriesRequest(scope=ANA, view=FULL), timeout=TIMEOUT)
    assert listed.memories[0].entities[0].name == "Ana"


async def test_defaults_of_a_new_memory(client: Client) -> None:
    memory = (await client.create("Ana likes tea")).memory
    assert memory.kind == memory_pb2.MEMORY_KIND_FACT
    assert memory.memory_id[14] == "7", "a UUID of version 7"
    assert memory.valid_from == memory.create_time
    assert not memory.HasField("importance")
    assert not memory.HasField("valid_until")


async def test_superseding_closes_the_older_and_reports_added_first(client: Client) -> None:
    await client.create("Ana lives in Rome", "old", create_time=Timestamp(seconds=100))
    created = await client.create("Ana lives in Oslo", "new", create_time=Timestamp(seconds=200), supersedes=["old"])
    assert [(c.action, c.memory.memory_id, c.previous_text) for c in created.changes] == [
        (memory_pb2.MemoryChange.ACTION_ADDED, "new", ""),
        (memory_pb2.MemoryChange.ACTION_SUPERSEDED, "old", "Ana lives in Rome"),
    ]
    assert created.memory.supersedes == ["old"]
    old = await client.get("old")
    assert old.superseded_by == "new"
    assert old.valid_until == Timestamp(seconds=200)
    assert created.revision == created.memory.revision == 3


async def test_a_repeated_create_answers_as_the_first_did(client: Client) -> None:
    first = await client.create("Ana likes tea", request_id="r-1")
    await client.memory.UpdateMemory(
        memory_pb2.UpdateMemoryRequest(memory_id=first.memory.memory_id, memory=memory_pb2.Memory(text="coffee")),
        timeout=TIMEOUT,
    )
    again = await client.create("Ana likes tea", request_id="r-1")
    assert again == first
    other = await refused(client.create("Ana likes milk", request_id="r-1"))
    assert (other.code, other.reason) == (grpc.StatusCode.ABORTED, "REQUEST_ID_REUSED")
    assert other.metadata == {"request_id": "r-1"}


async def test_a_default_namespace_spelled_out_is_the_same_request(client: Client) -> None:
    request = memory_pb2.CreateMemoryRequest(memory=memory_pb2.Memory(text="x", scope=ANA), request_id="r-1")
    first = await client.memory.CreateMemory(request, timeout=TIMEOUT)
    request.namespace = "default"
    assert await client.memory.CreateMemory(request, timeout=TIMEOUT) == first
    request.namespace = "other"
    assert (await client.memory.CreateMemory(request, timeout=TIMEOUT)).memory.namespace == "other"


async def test_adding_a_conversation_keeps_each_message_verbatim(client: Client) -> None:
    request = memory_pb2.AddMemoriesRequest(
        scope=common_pb2.Scope(user_id="ana", session_id="s1"),
        messages=[
            memory_pb2.Message(role=memory_pb2.ROLE_USER, content="I moved", actor_id="Ana", message_id="1"),
            memory_pb2.Message(
                role=memory_pb2.ROLE_ASSISTANT, content="Where to?", create_time=Timestamp(seconds=1_000)
            ),
        ],
        metadata={"topic": common_pb2.MetadataValue(string_value="home")},
    )
    added = await client.memory.AddMemories(request, timeout=TIMEOUT)
    assert added.mode == memory_pb2.ADD_MODE_VERBATIM
    assert [c.action for c in added.changes] == [memory_pb2.MemoryChange.ACTION_ADDED] * 2
    first, second = (c.memory for c in added.changes)
    assert first.kind == memory_pb2.MEMORY_KIND_EPISODE
    assert first.provenance[0].message_id == "1"
    assert first.provenance[0].session_id == "s1"
    assert second.create_time == Timestamp(seconds=1_000)
    assert second.metadata["topic"].string_value == "home"
    assert added.revision == second.revision == 2
    assert not added.HasField("usage")


async def test_a_message_with_an_id_is_the_same_whatever_time_it_is_given(client: Client) -> None:
    message = memory_pb2.Message(role=memory_pb2.ROLE_USER, content="yes", message_id="m1")
    request = memory_pb2.AddMemoriesRequest(scope=ANA, mode=memory_pb2.ADD_MODE_VERBATIM, messages=[message])
    first = await client.memory.AddMemories(request, timeout=TIMEOUT)
    for seconds in (1, 4_000_000_000):
        request.messages[0].create_time.seconds = seconds
        again = await client.memory.AddMemories(request, timeout=TIMEOUT)
        assert [c.action for c in again.changes] == [memory_pb2.MemoryChange.ACTION_UNCHANGED]
        assert again.changes[0].memory == first.changes[0].memory
        assert again.revision == 1


async def test_validate_only_stores_nothing(client: Client) -> None:
    request = memory_pb2.AddMemoriesRequest(
        scope=ANA, messages=[memory_pb2.Message(role=memory_pb2.ROLE_USER, content="I moved")], validate_only=True
    )
    added = await client.memory.AddMemories(request, timeout=TIMEOUT)
    assert [c.memory.text for c in added.changes] == ["I moved"]
    listed = await client.memory.ListMemories(memory_pb2.ListMemoriesRequest(), timeout=TIMEOUT)
    assert not listed.memories


async def test_batches_report_each_item(client: Client) -> None:
    await client.create("taken", "taken")
    item = memory_pb2.BatchCreateMemoriesRequest.Item
    request = memory_pb2.BatchCreateMemoriesRequest(
        items=[
            item(memory_id="a", memory=memory_pb2.Memory(text="A", scope=ANA)),
            item(memory_id="no text", memory=memory_pb2.Memory(text="", scope=ANA)),
            item(memory_id="nobody", memory=memory_pb2.Memory(text="N")),
            item(memory_id="taken", memory=memory_pb2.Memory(text="T", scope=ANA)),
            item(
                memory_id="backwards",
                memory=memory_pb2.Memory(
                    text="B", scope=ANA, valid_from=Timestamp(seconds=9), valid_until=Timestamp(seconds=3)
                ),
            ),
            item(memory_id="c", memory=memory_pb2.Memory(text="C", scope=ANA), supersedes=["a"]),
        ],
        allow_partial=True,
    )
    done = await client.memory.BatchCreateMemories(request, timeout=TIMEOUT)
    assert [r.WhichOneof("outcome") for r in done.results] == ["memory", "error", "error", "error", "error", "memory"]
    assert done.results[0].memory.superseded_by == "c"
    assert done.results[5].memory.supersedes == ["a"]
    assert [r.error.code for r in done.results[1:5]] == [3, 3, 6, 3]
    assert "items[1].memory_id" in done.results[1].error.message
    assert "items[2].memory.scope" in done.results[2].error.message
    assert "items[4].memory.valid_until" in done.results[4].error.message
    request.allow_partial = False
    whole = await refused(client.memory.BatchCreateMemories(request, timeout=TIMEOUT))
    assert whole.fields == ["items[1].memory_id"]
    assert whole.metadata == {"field": "items[1].memory_id"}


async def test_a_whole_batch_fails_with_its_one_bad_item(client: Client) -> None:
    item = memory_pb2.BatchCreateMemoriesRequest.Item
    backwards = memory_pb2.Memory(
        text="B", scope=ANA, valid_from=Timestamp(seconds=9), valid_until=Timestamp(seconds=3)
    )
    for items in (
        [item(memory=backwards)],
        [item(memory=memory_pb2.Memory(text="A", scope=ANA)), item(memory=backwards)],
    ):
        request = memory_pb2.BatchCreateMemoriesRequest(items=items)
        whole = await refused(client.memory.BatchCreateMemories(request, timeout=TIMEOUT))
        assert whole.fields == [f"items[{len(items) - 1}].memory.valid_until"]
    listed = await client.memory.ListMemories(memory_pb2.ListMemoriesRequest(), timeout=TIMEOUT)
    assert not listed.memories


async def test_pages_stay_at_the_revision_of_the_first(client: Client) -> None:
    for i in range(5):
        await client.create(f"memory {i}", f"m{i}", create_time=Timestamp(seconds=100 + i))
    request = memory_pb2.ListMemoriesRequest(scope=ANA, page_size=2)
    seen: list[str] = []
    revisions = set()
    while True:
        page = await client.memory.ListMemories(request, timeout=TIMEOUT)
        seen += [m.memory_id for m in page.memories]
        revisions.add(page.revision)
        if not page.next_page_token:
            break
        assert len(page.memories) == 2
        await client.create("written meanwhile", create_time=Timestamp(seconds=1))
        request.page_token = page.next_page_token
        request.page_size = 3 if len(seen) > 2 else 2
    assert seen == ["m4", "m3", "m2", "m1", "m0"]
    assert revisions == {5}


async def test_a_page_never_outgrows_a_message(client: Client) -> None:
    for i in range(60):
        await client.create("x" * 65_000, f"m{i:02}")
    request = memory_pb2.ListMemoriesRequest(page_size=1000)
    seen: list[str] = []
    while True:
        page = await client.memory.ListMemories(request, timeout=TIMEOUT)
        assert page.ByteSize() < 4 * 1024 * 1024
        seen += [m.memory_id for m in page.memories]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sorted(seen) == [f"m{i:02}" for i in range(60)]
    assert len(set(seen)) == 60


async def test_page_tokens_belong_to_their_parameters(client: Client) -> None:
    for i in range(3):
        await client.create(f"memory {i}")
    page = await client.memory.ListMemories(memory_pb2.ListMemoriesRequest(page_size=1), timeout=TIMEOUT)
    token = page.next_page_token
    for request in (
        memory_pb2.ListMemoriesRequest(page_token=token, scope=ANA),
        memory_pb2.ListMemoriesRequest(page_token=token, namespace="other"),
        memory_pb2.ListMemoriesRequest(page_token=token[:-2] + ("AA" if token[-2:] != "AA" else "BB")),
        memory_pb2.ListMemoriesRequest(page_token="not a token"),
        memory_pb2.ListMemoriesRequest(page_token="A"),
    ):
        problem = await refused(client.memory.ListMemories(request, timeout=TIMEOUT))
        assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "TOKEN_INVALID")
        assert problem.metadata == {"field": "page_token"}


async def test_update_changes_what_the_mask_names(client: Client) -> None:
    await client.create("Ana likes tea", "m-1", **everything())
    updated = await client.memory.UpdateMemory(
        memory_pb2.UpdateMemoryRequest(
            memory_id="m-1",
            memory=memory_pb2.Memory(text="Ana likes coffee", importance=0.9),
            update_mask=FieldMask(paths=["text", "valid_until"]),
            etag='"1"',
            reason="she said so",
        ),
        timeout=TIMEOUT,
    )
    assert updated.memory.text == "Ana likes coffee"
    assert updated.memory.importance == 0.0
    assert not updated.memory.HasField("valid_until")
    assert updated.revision == updated.memory.revision == 2
    stale = await refused(
        client.memory.UpdateMemory(
            memory_pb2.UpdateMemoryRequest(memory_id="m-1", memory=memory_pb2.Memory(text="x"), etag='"1"'),
            timeout=TIMEOUT,
        )
    )
    assert (stale.code, stale.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert stale.metadata == {"memory_id": "m-1", "current_etag": '"2"'}


async def test_update_without_a_mask_changes_what_is_populated(client: Client) -> None:
    await client.create("Ana likes tea", "m-1", **everything())
    updated = await client.memory.UpdateMemory(
        memory_pb2.UpdateMemoryRequest(memory_id="m-1", memory=memory_pb2.Memory(importance=0.75)), timeout=TIMEOUT
    )
    assert updated.memory.importance == 0.75
    assert updated.memory.text == "Ana likes tea"
    assert updated.memory.kind == memory_pb2.MEMORY_KIND_PREFERENCE
    replaced = await client.memory.UpdateMemory(
        memory_pb2.UpdateMemoryRequest(
            memory_id="m-1", memory=memory_pb2.Memory(text="only text"), update_mask=FieldMask(paths=["*"])
        ),
        timeout=TIMEOUT,
    )
    assert not replaced.memory.metadata
    assert not replaced.memory.HasField("importance")
    assert replaced.memory.create_time == Timestamp(seconds=0)
    assert replaced.memory.scope == ANA


async def test_update_that_changes_nothing_returns_the_memory(client: Client) -> None:
    created = await client.create("Ana likes tea", "m-1")
    same = await client.memory.UpdateMemory(
        memory_pb2.UpdateMemoryRequest(memory_id="m-1", memory=memory_pb2.Memory(text="Ana likes tea")),
        timeout=TIMEOUT,
    )
    assert same.memory == created.memory
    assert same.revision == 1


async def test_a_repeated_update_that_changed_nothing_answers_as_the_first_did(client: Client) -> None:
    created = (await client.create("Ana likes tea", "m-1")).memory
    request = memory_pb2.UpdateMemoryRequest(
        memory_id="m-1", memory=memory_pb2.Memory(text="Ana likes tea"), request_id="r-1"
    )
    first = await client.memory.UpdateMemory(request, timeout=TIMEOUT)
    assert (first.memory, first.revision) == (created, 1)
    newer = memory_pb2.UpdateMemoryRequest(memory_id="m-1", memory=memory_pb2.Memory(text="Ana likes milk"))
    await client.memory.UpdateMemory(newer, timeout=TIMEOUT)
    assert await client.memory.UpdateMemory(request, timeout=TIMEOUT) == first
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="m-1"), timeout=TIMEOUT)
    repeated = await client.memory.UpdateMemory(request, timeout=TIMEOUT)
    assert repeated.memory == memory_pb2.Memory(namespace="default", memory_id="m-1")
    assert repeated.revision == 1


@pytest.mark.parametrize(
    ("memory", "paths", "field"),
    [
        (memory_pb2.Memory(), ["text"], "memory.text"),
        (memory_pb2.Memory(text="x"), ["*", "text"], "update_mask"),
        (memory_pb2.Memory(text="x"), ["scope"], "update_mask"),
        (memory_pb2.Memory(valid_from=Timestamp(seconds=10**15)), ["valid_from"], "memory.valid_from"),
        (memory_pb2.Memory(importance=1.5), ["importance"], "memory.importance"),
    ],
)
async def test_bad_updates_name_the_field(
    client: Client, memory: memory_pb2.Memory, paths: list[str], field: str
) -> None:
    await client.create("Ana likes tea", "m-1")
    problem = await refused(
        client.memory.UpdateMemory(
            memory_pb2.UpdateMemoryRequest(memory_id="m-1", memory=memory, update_mask=FieldMask(paths=paths)),
            timeout=TIMEOUT,
        )
    )
    assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert problem.fields == [field]
    assert problem.metadata == {"field": field}


async def test_delete_and_what_is_missing(client: Client) -> None:
    await client.create("Ana likes tea", "m-1")
    await client.create("Ana likes milk", "m-2")
    gone = await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="m-1"), timeout=TIMEOUT)
    assert gone.revision == 3
    missing = await refused(client.get("m-1"))
    assert (missing.code, missing.reason) == (grpc.StatusCode.NOT_FOUND, "MEMORY_NOT_FOUND")
    assert missing.metadata == {"namespace": "default", "memory_id": "m-1"}
    assert missing.details["ResourceInfo"].resource_name == "m-1"
    request = memory_pb2.DeleteMemoryRequest(memory_id="m-1")
    assert (await refused(client.memory.DeleteMemory(request, timeout=TIMEOUT))).reason == "MEMORY_NOT_FOUND"
    request.allow_missing = True
    assert (await client.memory.DeleteMemory(request, timeout=TIMEOUT)).revision == 0
    batch = memory_pb2.BatchDeleteMemoriesRequest(memory_ids=["m-1", "m-2"])
    assert (await refused(client.memory.BatchDeleteMemories(batch, timeout=TIMEOUT))).reason == "MEMORY_NOT_FOUND"
    batch.allow_missing = True
    done = await client.memory.BatchDeleteMemories(batch, timeout=TIMEOUT)
    assert (done.deleted_count, done.revision) == (1, 4)


async def test_reading_the_past(client: Client) -> None:
    await client.create("Ana likes tea", "m-1")
    before = (await client.get("m-1")).update_time
    await client.memory.UpdateMemory(
        memory_pb2.UpdateMemoryRequest(memory_id="m-1", memory=memory_pb2.Memory(text="Ana likes coffee")),
        timeout=TIMEOUT,
    )
    assert (await client.get("m-1", as_of=common_pb2.AsOf(revision=1))).text == "Ana likes tea"
    assert (await client.get("m-1", as_of=common_pb2.AsOf(time=before))).text == "Ana likes tea"
    future = await refused(client.get("m-1", as_of=common_pb2.AsOf(revision=3)))
    assert future.fields == ["as_of.revision"]
    listed = await client.memory.ListMemories(
        memory_pb2.ListMemoriesRequest(as_of=common_pb2.AsOf(revision=1)), timeout=TIMEOUT
    )
    assert [m.text for m in listed.memories] == ["Ana likes tea"]
    assert listed.revision == 1


async def test_a_taken_id_is_refused_and_free_after_a_delete(client: Client) -> None:
    await client.create("first", "m-1")
    taken = await refused(client.create("second", "m-1"))
    assert (taken.code, taken.reason) == (grpc.StatusCode.ALREADY_EXISTS, "MEMORY_ALREADY_EXISTS")
    assert taken.metadata == {"namespace": "default", "memory_id": "m-1"}
    await client.memory.DeleteMemory(memory_pb2.DeleteMemoryRequest(memory_id="m-1"), timeout=TIMEOUT)
    assert (await client.create("second", "m-1")).memory.text == "second"


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (memory_pb2.CreateMemoryRequest(), ["memory"]),
        (memory_pb2.CreateMemoryRequest(memory=memory_pb2.Memory(scope=ANA)), ["memory.text"]),
        (memory_pb2.CreateMemoryRequest(memory=memory_pb2.Memory(text="x")), ["memory.scope"]),
        (
            memory_pb2.CreateMemoryRequest(
                memory=memory_pb2.Memory(text="x", scope=common_pb2.Scope(session_id="only"))
            ),
            ["memory.scope"],
        ),
        (
            memory_pb2.CreateMemoryRequest(
                namespace="NO",
                memory_id="/",
                memory=memory_pb2.Memory(text="x", scope=ANA, metadata={"a b": common_pb2.MetadataValue(int_value=1)}),
            ),
            ["namespace", "memory_id", 'memory.metadata["a b"]'],
        ),
        (
            memory_pb2.CreateMemoryRequest(
                memory=memory_pb2.Memory(
                    text="x",
                    scope=ANA,
                    metadata={"at": common_pb2.MetadataValue(timestamp_value=Timestamp(nanos=-1))},
                )
            ),
            ['memory.metadata["at"].timestamp_value'],
        ),
        (
            memory_pb2.CreateMemoryRequest(
                memory_id="x", memory=memory_pb2.Memory(text="x", scope=ANA), supersedes=["x"]
            ),
            ["supersedes"],
        ),
    ],
)
async def test_bad_creations_list_every_violation(
    client: Client, request_: memory_pb2.CreateMemoryRequest, fields: list[str]
) -> None:
    problem = await refused(client.memory.CreateMemory(request_, timeout=TIMEOUT))
    assert (problem.code, problem.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert sorted(problem.fields) == sorted(fields)
    assert problem.metadata == {"field": problem.fields[0]}
