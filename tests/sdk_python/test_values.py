"""Values on their way through the client: metadata, times, unknown fields, inputs."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from memoir import (
    AsyncMemoir,
    Duplicate,
    EntityMention,
    InvalidArgument,
    MemoryKind,
    MemoryNotFound,
    Message,
    NewMemory,
    RelationStatement,
    Role,
)
from memoir.v1 import common_pb2, graph_pb2, memory_pb2
from memoir.values import datetime_from_proto, metadata_from_proto, metadata_to_proto, timestamp_to_proto
from tests.sdk_python.fake_server import FakeServer, rich_status

METADATA: dict[str, Any] = {
    "text": "ção",
    "large": 2**53 + 1,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "ratio": 0.1,
    "whole": 2.0,
    "yes": True,
    "no": False,
    "when": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "tags": ["b", "a"],
    "none": [],
}


def echo(request: memory_pb2.CreateMemoryRequest) -> memory_pb2.CreateMemoryResponse:
    return memory_pb2.CreateMemoryResponse(memory=request.memory)


async def test_metadata_keeps_values_and_types(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["CreateMemory"] = echo
    memory = await client.create("text", user_id="ana", metadata=METADATA)
    assert memory.metadata == METADATA
    assert {key: type(value) for key, value in memory.metadata.items()} == {
        key: type(value) for key, value in METADATA.items()
    }
    assert fake.calls[0].request.memory.metadata["whole"].WhichOneof("kind") == "double_value"
    assert fake.calls[0].request.memory.metadata["yes"].WhichOneof("kind") == "bool_value"


@pytest.mark.parametrize("value", [None, 2**63, -(2**63) - 1, object(), [1], {"a": 1}, b"x"])
def test_metadata_of_other_types_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        metadata_to_proto({"key": value})
    assert caught.value.field_violations[0].field == "metadata.key"


def test_metadata_of_a_later_contract_is_left_out() -> None:
    assert metadata_from_proto({"later": common_pb2.MetadataValue()}) == {}


@pytest.mark.parametrize(
    ("instant", "seconds", "nanos"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0, 0),
        (datetime(1969, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC), -1, 250_000_000),
        (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 1_767_225_600, 0),
        ("2026-01-01T00:00:00.123456789Z", 1_767_225_600, 123_456_789),
        ("2026-01-01T02:00:00+02:00", 1_767_225_600, 0),
        (Timestamp(seconds=1, nanos=1), 1, 1),
        (datetime(1, 1, 1, tzinfo=UTC), -62_135_596_800, 0),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 253_402_300_799, 999_999_000),
    ],
)
def test_instants(instant: Any, seconds: int, nanos: int) -> None:
    assert timestamp_to_proto(instant, "t") == Timestamp(seconds=seconds, nanos=nanos)
    if isinstance(instant, datetime):
        back = datetime_from_proto(Timestamp(seconds=seconds, nanos=nanos))
        assert back == instant
        assert back.tzinfo is UTC


@pytest.mark.parametrize("instant", [datetime(2026, 1, 1), "2026-01-01", "soon", 5])  # noqa: DTZ001 - refused on purpose
def test_times_that_name_no_instant_are_refused(instant: Any) -> None:
    with pytest.raises(InvalidArgument, match="valid_from"):
        timestamp_to_proto(instant, "valid_from")


async def test_nanoseconds_unknown_fields_and_numbers_survive(fake: FakeServer, client: AsyncMemoir) -> None:
    sent = memory_pb2.Memory(
        memory_id="m1",
        create_time=Timestamp(seconds=1, nanos=123_456_789),
        provenance=[memory_pb2.Provenance(role=9)],  # type: ignore[arg-type]
    )
    # Field 900 (varint 7) and kind 17 come from a server newer than this package.
    wire = sent.SerializeToString() + b"\xa0\x38\x07" + b"\x20\x11"
    fake.answers["GetMemory"] = lambda _: b"\x0a" + bytes([len(wire)]) + wire
    memory = await client.get("m1")
    assert memory.create_time == datetime(1970, 1, 1, 0, 0, 1, 123_456, tzinfo=UTC)
    assert memory.message.create_time.nanos == 123_456_789
    assert (memory.kind, str(memory.kind), isinstance(memory.kind, MemoryKind)) == ("17", "17", True)
    assert memory.provenance[0].role == "9"
    assert b"\xa0\x38\x07" in memory.message.SerializeToString()
    fake.answers["CreateMemory"] = echo
    assert (await client.create("text", user_id="ana", kind=memory.kind)).message.kind == 17


async def test_create_sends_everything(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["CreateMemory"] = echo
    memory = await client.create(
        "Ana lives in Lisbon.",
        user_id="ana",
        session_id="s1",
        kind="preference",
        entities=["Ana", {"name": "Lisbon", "type": "place", "aliases": ["Lisboa"]}],
        relations=[("Ana", "LIVES_IN", "Lisbon"), RelationStatement("Ana", "LIKES", "Lisbon", confidence=0.5)],
        memory_id="m1",
        importance=0.0,
        valid_from="2026-01-01T00:00:00Z",
        provenance=[{"message_id": "t1", "role": "user"}],
        supersedes=["m0"],
        durability="ACCEPTED",
        request_id="r1",
    )
    request = fake.calls[0].request
    assert (request.memory_id, request.request_id, request.durability) == ("m1", "r1", common_pb2.DURABILITY_ACCEPTED)
    assert list(request.supersedes) == ["m0"]
    assert memory.scope.user_id == "ana"
    assert memory.scope.agent_id is None
    assert memory.kind is MemoryKind.PREFERENCE
    assert memory.importance == 0.0
    assert memory.entities == (EntityMention("Ana"), EntityMention("Lisbon", "place", ("Lisboa",)))
    assert memory.relations == (
        RelationStatement("Ana", "LIVES_IN", "Lisbon"),
        RelationStatement("Ana", "LIKES", "Lisbon", 0.5),
    )
    assert memory.valid_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert memory.valid_until is None
    assert (memory.provenance[0].message_id, memory.provenance[0].role) == ("t1", Role.USER)


async def test_add_takes_dicts_and_dataclasses(fake: FakeServer, client: AsyncMemoir) -> None:
    stored = memory_pb2.Memory(memory_id="m1", text="hi")
    change = memory_pb2.MemoryChange(action=memory_pb2.MemoryChange.ACTION_ADDED, memory=stored)
    fake.answers["AddMemories"] = lambda _: memory_pb2.AddMemoriesResponse(
        changes=[change], mode=memory_pb2.ADD_MODE_VERBATIM, revision=7, durability=common_pb2.DURABILITY_INDEXED
    )
    turns = [
        {"role": "user", "content": "hi", "actor_id": "Ana", "message_id": "t1", "create_time": "2026-01-01T00:00:00Z"},
        Message("ASSISTANT", "hello", create_time=datetime(2026, 1, 1, tzinfo=UTC), images=[b"one", bytearray(b"two")]),
    ]
    result = await client.add(turns, user_id="ana", mode="VERBATIM")  # type: ignore[arg-type]
    assert (result.mode, result.revision, result.durability, result.usage) == ("VERBATIM", 7, "INDEXED", None)
    assert [(item.action, item.memory.id) for item in result.changes] == [("ADDED", "m1")]
    first, second = fake.calls[0].request.messages
    assert (first.role, first.actor_id, first.create_time) == (
        memory_pb2.ROLE_USER,
        "Ana",
        Timestamp(seconds=1_767_225_600),
    )
    assert (second.role, second.create_time) == (memory_pb2.ROLE_ASSISTANT, first.create_time)
    assert [image.data for image in second.images] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("turn", "place"),
    [
        ({"role": "user", "content": "x", "name": "Ana"}, "messages[0].name"),
        ({"role": "narrator", "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": "x", "images": [b"", "a path"]}, "messages[0].images[1]"),
        ({"role": "user"}, "messages[0]"),
        (5, "messages[0]"),
    ],
)
async def test_bad_turns_are_named(client: AsyncMemoir, turn: Any, place: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await client.add([turn], user_id="ana")
    assert caught.value.field_violations[0].field == place


async def test_create_tells_what_was_known_already(fake: FakeServer, client: AsyncMemoir) -> None:
    change = memory_pb2.MemoryChange(
        action=memory_pb2.MemoryChange.ACTION_UNCHANGED,
        memory=memory_pb2.Memory(memory_id="m1"),
        duplicate=memory_pb2.Duplicate(memory_id="m1", cosine=0.97),
    )
    fake.answers["CreateMemory"] = lambda _: memory_pb2.CreateMemoryResponse(memory=change.memory, changes=[change])
    created = await client.create("Ana likes tea", user_id="ana")
    assert (created.id, created.changes[0].action) == ("m1", "UNCHANGED")
    assert created.duplicate == created.changes[0].duplicate == Duplicate("m1", False, 0.97, False)
    fake.answers["BatchCreateMemories"] = lambda _: memory_pb2.BatchCreateMemoriesResponse(
        results=[
            memory_pb2.BatchCreateMemoriesResponse.Result(
                memory=memory_pb2.Memory(memory_id="m2"),
                duplicate=memory_pb2.Duplicate(memory_id="m1", exact=True, stored=True),
            )
        ],
        duplicate_guard_skipped=True,
    )
    many = await client.create_many([{"text": "Ana likes tea", "user_id": "ana", "memory_id": "m2"}])
    assert many.results[0].duplicate == Duplicate("m1", True, None, True)
    assert (many.memories[0].id, many.duplicate_guard_skipped) == ("m2", True)


async def test_accesses_are_shown_where_they_are_asked_for(fake: FakeServer, client: AsyncMemoir) -> None:
    plain = memory_pb2.Memory(memory_id="m1")
    counted = memory_pb2.Memory(memory_id="m1", access_count=0)
    used = memory_pb2.Memory(memory_id="m1", access_count=2, last_access_time=Timestamp(seconds=7))
    answers = iter([plain, counted, used])
    fake.answers["GetMemory"] = lambda _: memory_pb2.GetMemoryResponse(memory=next(answers))
    found = [await client.get("m1", include_access=asked) for asked in (False, True, True)]
    assert [call.request.include_access for call in fake.calls] == [False, True, True]
    assert [memory.access_count for memory in found] == [None, 0, 2]
    assert [memory.last_access_time for memory in found] == [None, None, datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)]
    assert found[0] == found[2], "how often it was read is no part of what a memory is"


async def test_update_changes_only_what_is_given(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["UpdateMemory"] = lambda _: memory_pb2.UpdateMemoryResponse(memory=memory_pb2.Memory(memory_id="m1"))
    await client.update("m1", text="new", valid_until=None, metadata={"a": 1}, etag='"4"', request_id="r")
    await client.update("m1", metadata=None, importance=None, entities=None, kind="EVENT", request_id="r")
    first, second = (call.request for call in fake.calls)
    assert first.update_mask == FieldMask(paths=["text", "metadata", "valid_until"])
    assert first.memory == memory_pb2.Memory(text="new", metadata={"a": common_pb2.MetadataValue(int_value=1)})
    assert (first.etag, first.memory_id) == ('"4"', "m1")
    assert second.update_mask == FieldMask(paths=["kind", "metadata", "importance", "entities"])
    assert second.memory == memory_pb2.Memory(kind=memory_pb2.MEMORY_KIND_EVENT)
    with pytest.raises(InvalidArgument, match="nothing to change"):
        await client.update("m1")


async def test_create_many_reports_each_item(fake: FakeServer, client: AsyncMemoir) -> None:
    failed = memory_pb2.BatchCreateMemoriesResponse.Result()
    status = rich_status(5, "MEMORY_NOT_FOUND", memory_id="m0")
    failed.error.ParseFromString(status.SerializeToString())
    fake.answers["BatchCreateMemories"] = lambda _: memory_pb2.BatchCreateMemoriesResponse(
        results=[memory_pb2.BatchCreateMemoriesResponse.Result(memory=memory_pb2.Memory(memory_id="m1")), failed],
        revision=2,
    )
    result = await client.create_many(
        [NewMemory(text="a", user_id="ana"), {"text": "b", "user_id": "ana", "supersedes": ["m0"]}], allow_partial=True
    )
    assert [memory.id for memory in result.memories] == ["m1"]
    assert isinstance(result.results[1].error, MemoryNotFound)
    assert [item.memory.text for item in fake.calls[0].request.items] == ["a", "b"]
    with pytest.raises(InvalidArgument, match=r"items\[0\]\.metadata\.k"):
        await client.create_many([{"text": "a", "user_id": "ana", "metadata": {"k": None}}])


async def test_as_of_takes_a_time_or_a_revision(fake: FakeServer, client: AsyncMemoir) -> None:
    fake.answers["GetMemory"] = lambda _: memory_pb2.GetMemoryResponse()
    await client.get("m1", as_of=0)
    await client.get("m1", as_of=datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC))
    assert [call.request.as_of for call in fake.calls] == [
        common_pb2.AsOf(revision=0),
        common_pb2.AsOf(time=Timestamp(seconds=5)),
    ]


async def test_relations_take_one_anchor(fake: FakeServer, client: AsyncMemoir) -> None:
    relation = graph_pb2.Relation(relation_id="r1", subject=graph_pb2.EntityRef(name="Ana"), confidence=1)
    fake.answers["ListRelations"] = lambda _: graph_pb2.ListRelationsResponse(relations=[relation])
    [found] = [item async for item in client.relations(entity_id="e1")]
    assert (found.id, found.subject.name) == ("r1", "Ana")
    with pytest.raises(InvalidArgument, match="give one"):
        client.relations(entity_id="e1", memory_id="m1")
