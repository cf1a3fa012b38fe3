"""The methods of MemoryService, one function each; see `drivers.python.calls`."""

from collections.abc import AsyncGenerator

from drivers.python import arguments as a
from drivers.python.answers import Answer, Call, one, pages, paging, timeout, write
from memoir import AsyncMemoir
from memoir.enums import DURABILITY
from memoir.v1 import memory_pb2
from memoir_golden_pb.golden_pb2 import CallOptions


def add(memoir: AsyncMemoir, q: memory_pb2.AddMemoriesRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """AddMemories."""
    return one(
        lambda value: value.message,
        memoir.add(
            [a.message(item) for item in q.messages],
            **a.scope(q.scope),
            mode=a.enum_name(q, "mode"),
            metadata=a.metadata(q.metadata),
            instruction=q.instruction,
            validate_only=q.validate_only,
            **write(q, options),
        ),
    )


def create(memoir: AsyncMemoir, q: memory_pb2.CreateMemoryRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """CreateMemory."""
    return one(
        lambda value: value.response,
        memoir.create(
            **a.new_memory(q.memory), memory_id=q.memory_id, supersedes=list(q.supersedes), **write(q, options)
        ),
    )


def create_many(
    memoir: AsyncMemoir, q: memory_pb2.BatchCreateMemoriesRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """BatchCreateMemories."""
    items = [
        {**a.new_memory(item.memory), "memory_id": item.memory_id, "supersedes": list(item.supersedes)}
        for item in q.items
    ]
    return one(
        lambda value: value.message, memoir.create_many(items, allow_partial=q.allow_partial, **write(q, options))
    )


def get(memoir: AsyncMemoir, q: memory_pb2.GetMemoryRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """GetMemory. The SDK returns the memory."""
    return one(
        lambda value: memory_pb2.GetMemoryResponse(memory=value.message),
        memoir.get(
            q.memory_id,
            view=a.enum_name(q, "view"),
            as_of=a.as_of(q),
            min_revision=q.min_revision,
            include_access=q.include_access,
            **timeout(options),
        ),
    )


def update(memoir: AsyncMemoir, q: memory_pb2.UpdateMemoryRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """UpdateMemory. The SDK builds the mask from the arguments that are given."""
    values = {"text": q.memory.text, **a.changeable(q.memory)}
    return one(
        lambda value: value.response,
        memoir.update(
            q.memory_id,
            **{name: values[name] for name in q.update_mask.paths},
            etag=q.etag,
            reason=q.reason,
            **write(q, options),
        ),
    )


def delete(memoir: AsyncMemoir, q: memory_pb2.DeleteMemoryRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """DeleteMemory."""
    return one(
        lambda value: memory_pb2.DeleteMemoryResponse(
            revision=value.revision,
            durability=DURABILITY.encode(value.durability, "durability"),
            derived=value.derived,
        ),
        memoir.delete(q.memory_id, etag=q.etag, reason=q.reason, allow_missing=q.allow_missing, **write(q, options)),
    )


def delete_many(
    memoir: AsyncMemoir, q: memory_pb2.BatchDeleteMemoriesRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """BatchDeleteMemories."""
    return one(
        lambda value: memory_pb2.BatchDeleteMemoriesResponse(
            deleted_count=value.deleted_count,
            revision=value.revision,
            durability=DURABILITY.encode(value.durability, "durability"),
        ),
        memoir.delete_many(list(q.memory_ids), reason=q.reason, allow_missing=q.allow_missing, **write(q, options)),
    )


def list_memories(
    memoir: AsyncMemoir, q: memory_pb2.ListMemoriesRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """ListMemories."""
    listing = memoir.list(
        **a.scope(q.scope),
        **a.created_range(q, "create_time_range", ("created_after", "created_before")),
        filter=a.filter_data(q.filter) if q.HasField("filter") else None,
        include_superseded=q.include_superseded,
        as_of=a.as_of(q),
        valid_at=a.optional(q, "valid_at"),
        view=a.enum_name(q, "view"),
        min_revision=q.min_revision,
        include_access=q.include_access,
        **paging(q, options),
    )
    return pages(listing, options, memory_pb2.ListMemoriesResponse, "memories", "revision")


def scopes(memoir: AsyncMemoir, q: memory_pb2.ListScopesRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """ListScopes."""
    listing = memoir.scopes(a.enum_name(q, "dimension") or "UNSPECIFIED", **a.scope(q.within), **paging(q, options))
    return pages(listing, options, memory_pb2.ListScopesResponse, "scopes")


def get_ingestion(
    memoir: AsyncMemoir, q: memory_pb2.GetIngestionRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """GetIngestion."""
    return one(
        lambda value: memory_pb2.GetIngestionResponse(ingestion=value.message),
        memoir.get_ingestion(q.ingestion_id, **timeout(options)),
    )


def ingestions(
    memoir: AsyncMemoir, q: memory_pb2.ListIngestionsRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """ListIngestions."""
    listing = memoir.ingestions(**a.scope(q.scope), states=a.enum_names(q, "states"), **paging(q, options))
    return pages(listing, options, memory_pb2.ListIngestionsResponse, "ingestions")


MEMORY_CALLS: dict[str, Call] = {
    "memoir.v1.MemoryService/AddMemories": add,
    "memoir.v1.MemoryService/CreateMemory": create,
    "memoir.v1.MemoryService/BatchCreateMemories": create_many,
    "memoir.v1.MemoryService/GetMemory": get,
    "memoir.v1.MemoryService/ListMemories": list_memories,
    "memoir.v1.MemoryService/UpdateMemory": update,
    "memoir.v1.MemoryService/DeleteMemory": delete,
    "memoir.v1.MemoryService/BatchDeleteMemories": delete_many,
    "memoir.v1.MemoryService/ListScopes": scopes,
    "memoir.v1.MemoryService/GetIngestion": get_ingestion,
    "memoir.v1.MemoryService/ListIngestions": ingestions,
}
