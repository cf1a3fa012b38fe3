"""One function per method of the contract: calls the SDK and gives back what the SDK gave, as the method's responses.

Where the SDK returns the message it received, that message is handed on untouched; else the response is put together
from what the SDK returned.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from google.protobuf.message import Message

from drivers.python import arguments as a
from drivers.python.answers import Answer, Call, one, pages, paging, timeout, write
from drivers.python.memory_calls import MEMORY_CALLS
from memoir import AsyncMemoir
from memoir.enums import CHANGE_ACTION
from memoir.resets import ResetPlan, reset_from_proto
from memoir.transfer import export_record_from_proto
from memoir.v1 import admin_pb2, graph_pb2, history_pb2, reset_pb2, search_pb2, transfer_pb2
from memoir_golden_pb.golden_pb2 import CallOptions


def search(memoir: AsyncMemoir, q: search_pb2.SearchMemoriesRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """SearchMemories."""
    return one(lambda value: value.message, memoir.search(**a.search(q.spec), **timeout(options)))


def context(memoir: AsyncMemoir, q: search_pb2.BuildContextRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """BuildContext."""
    return one(
        lambda value: value.message,
        memoir.context(
            **a.search(q.spec),
            max_tokens=q.max_tokens,
            neighbours=a.optional(q, "neighbours"),
            **timeout(options),
        ),
    )


async def search_stream(
    memoir: AsyncMemoir, q: search_pb2.StreamSearchMemoriesRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """StreamSearchMemories."""
    async with memoir.search_stream(**a.search(q.spec), **timeout(options)) as events:
        async for event in events:
            yield event.message, event


def _history_filter(q: Any) -> dict[str, Any]:
    return {
        "memory_id": q.filter.memory_id,
        **a.scope(q.filter.scope),
        "types": a.enum_names(q.filter, "types"),
    }


def history(memoir: AsyncMemoir, q: history_pb2.ListHistoryRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """ListHistory."""
    listing = memoir.history(
        **_history_filter(q),
        **a.created_range(q, "commit_time_range", ("committed_after", "committed_before")),
        **paging(q, options),
    )
    return pages(listing, options, history_pb2.ListHistoryResponse, "events", "resume_token")


async def watch(
    memoir: AsyncMemoir, q: history_pb2.WatchHistoryRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """WatchHistory, bookmarks included."""
    interval = q.progress_interval.ToTimedelta().total_seconds() if q.HasField("progress_interval") else None
    given = options.HasField("reconnect_timeout")
    patience: dict[str, Any] = (
        {"reconnect_timeout": options.reconnect_timeout.ToTimedelta().total_seconds()} if given else {}
    )
    stream = memoir.watch(
        **_history_filter(q),
        resume_token=a.optional(q, "resume_token"),
        start_revision=a.optional(q, "start_revision"),
        start_time=a.optional(q, "start_time"),
        bookmarks=True,
        progress_interval=interval,
        **patience,
        **timeout(options),
    )
    async with stream as items:
        async for item in items:
            response = history_pb2.WatchHistoryResponse(resume_token=item.resume_token)
            if hasattr(item, "message"):
                response.event.CopyFrom(item.message)
            else:
                response.bookmark.revision, response.bookmark.caught_up = item.revision, item.caught_up
            yield response, item


def plan_reset(memoir: AsyncMemoir, q: reset_pb2.PlanResetRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """PlanReset."""
    target = q.target
    return one(
        lambda value: reset_pb2.PlanResetResponse(reset=value.reset.message, confirm_token=value.confirm_token),
        memoir.plan_reset(
            **a.scope(target.scope),
            entire_namespace=a.optional(target, "entire_namespace"),
            preserve=a.filter_data(target.preserve) if target.HasField("preserve") else None,
            include_history=target.include_history,
            keep_vector=target.keep_vector,
            keep_graph=target.keep_graph,
            keep_history=target.keep_history,
            **write(q, options),
        ),
    )


def execute_reset(
    memoir: AsyncMemoir, q: reset_pb2.ExecuteResetRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """ExecuteReset, of a plan made from id and token."""
    plan = ResetPlan(reset_from_proto(reset_pb2.Reset(reset_id=q.reset_id)), q.confirm_token)
    return one(
        lambda value: value.response,
        memoir.execute_reset(plan, allow_drift=q.allow_drift, **write(q, options)),
    )


def get_reset(memoir: AsyncMemoir, q: reset_pb2.GetResetRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """GetReset."""
    return one(
        lambda value: reset_pb2.GetResetResponse(reset=value.message),
        memoir.get_reset(q.reset_id, **timeout(options)),
    )


def cancel_reset(memoir: AsyncMemoir, q: reset_pb2.CancelResetRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """CancelReset."""
    return one(
        lambda value: reset_pb2.CancelResetResponse(reset=value.message),
        memoir.cancel_reset(q.reset_id, **write(q, options)),
    )


async def watch_reset(
    memoir: AsyncMemoir, q: reset_pb2.WatchResetRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """WatchReset."""
    async with memoir.watch_reset(q.reset_id, after_sequence=q.after_sequence, **timeout(options)) as states:
        async for state in states:
            yield reset_pb2.WatchResetResponse(sequence=state.sequence, reset=state.message), state


def get_entity(memoir: AsyncMemoir, q: graph_pb2.GetEntityRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """GetEntity."""
    return one(
        lambda value: graph_pb2.GetEntityResponse(entity=value.message),
        memoir.get_entity(q.entity_id, min_revision=q.min_revision, **timeout(options)),
    )


def entities(memoir: AsyncMemoir, q: graph_pb2.ListEntitiesRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """ListEntities."""
    listing = memoir.entities(
        **a.scope(q.scope),
        type=q.type,
        name_prefix=q.name_prefix,
        min_revision=q.min_revision,
        **paging(q, options),
    )
    return pages(listing, options, graph_pb2.ListEntitiesResponse, "entities")


def relations(memoir: AsyncMemoir, q: graph_pb2.ListRelationsRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """ListRelations."""
    listing = memoir.relations(
        entity_id=a.optional(q, "entity_id"),
        memory_id=a.optional(q, "memory_id"),
        valid_at=a.optional(q, "valid_at"),
        include_superseded=q.include_superseded,
        as_of=a.as_of(q),
        min_revision=q.min_revision,
        **paging(q, options),
    )
    return pages(listing, options, graph_pb2.ListRelationsResponse, "relations")


def traverse(memoir: AsyncMemoir, q: graph_pb2.TraverseGraphRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """TraverseGraph."""
    return one(
        lambda value: value.message,
        memoir.traverse(
            list(q.start_entity_ids),
            depth=q.depth,
            predicates=list(q.predicates),
            max_entities=q.max_entities,
            valid_at=a.optional(q, "valid_at"),
            min_revision=q.min_revision,
            **timeout(options),
        ),
    )


async def export(
    memoir: AsyncMemoir, q: transfer_pb2.ExportMemoriesRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """ExportMemories."""
    stream = memoir.export(
        **a.scope(q.scope),
        filter=a.filter_data(q.filter) if q.HasField("filter") else None,
        as_of=a.as_of(q),
        include_history=q.include_history,
        include_embeddings=q.include_embeddings,
        resume_token=q.resume_token,
        **timeout(options),
    )
    async with stream as records:
        async for record in records:
            yield _export_response(record), record


def _export_response(record: Any) -> Message:
    response = transfer_pb2.ExportMemoriesResponse(resume_token=record.resume_token)
    message = getattr(record, "message", None)
    if isinstance(message, transfer_pb2.ExportedMemory):
        response.memory.CopyFrom(message)
    elif isinstance(message, history_pb2.HistoryEvent):
        response.event.CopyFrom(message)
    elif hasattr(record, "estimated_memories"):
        response.header.revision = record.revision
        response.header.estimated_memories = record.estimated_memories
    else:
        response.summary.memories, response.summary.events = record.memories, record.events
    return response


async def import_(
    memoir: AsyncMemoir, q: Sequence[transfer_pb2.ImportMemoriesRequest], options: CallOptions
) -> AsyncGenerator[Answer]:
    """ImportMemories: the header, then the items, as the records an export would have given."""
    first, *items = q
    conflict = a.enum_name(first.header, "on_conflict")
    exported = [transfer_pb2.ExportMemoriesResponse(memory=item.item.memory) for item in items]
    records = [record for record in map(export_record_from_proto, exported) if record is not None]
    async with memoir.import_(records, on_conflict=conflict, **timeout(options)) as results:
        async for result in results:
            response = transfer_pb2.ImportMemoriesResponse(
                sequence=result.sequence, memory_id=result.memory_id, revision=result.revision
            )
            if result.error is not None:
                response.error.CopyFrom(result.error.status)
            else:
                response.action = CHANGE_ACTION.encode(result.action, "action")
            yield response, result


def server_info(memoir: AsyncMemoir, q: admin_pb2.GetServerInfoRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """GetServerInfo."""
    return one(lambda value: value.message, memoir.server_info(**timeout(options)))


async def check_consistency(
    memoir: AsyncMemoir, q: admin_pb2.CheckConsistencyRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """CheckConsistency. The SDK gives a report instead of a stream: its findings, then its summary."""
    report = await memoir.check_consistency(
        **a.scope(q.scope), max_findings=q.max_findings, sample=q.sample, **timeout(options)
    )
    for finding in report.findings:
        yield admin_pb2.CheckConsistencyResponse(finding=finding.message), finding
    summary = admin_pb2.CheckConsistencyResponse.Summary(
        examined=report.examined, findings=len(report.findings), revision=report.revision
    )
    yield admin_pb2.CheckConsistencyResponse(summary=summary), report


def repair(memoir: AsyncMemoir, q: admin_pb2.RepairConsistencyRequest, options: CallOptions) -> AsyncGenerator[Answer]:
    """RepairConsistency."""
    return one(
        lambda value: admin_pb2.RepairConsistencyResponse(
            repaired_finding_ids=value.repaired, resolved_finding_ids=value.resolved
        ),
        memoir.repair(list(q.finding_ids), validate_only=q.validate_only, **write(q, options)),
    )


async def rebuild(
    memoir: AsyncMemoir, q: admin_pb2.RebuildProjectionRequest, options: CallOptions
) -> AsyncGenerator[Answer]:
    """RebuildProjection."""
    async with memoir.rebuild(a.enum_name(q, "store") or "UNSPECIFIED", **write(q, options)) as steps:
        async for step in steps:
            yield admin_pb2.RebuildProjectionResponse(applied=step.applied, total=step.total), step


CALLS: dict[str, Call] = {
    **MEMORY_CALLS,
    "memoir.v1.SearchService/SearchMemories": search,
    "memoir.v1.SearchService/StreamSearchMemories": search_stream,
    "memoir.v1.SearchService/BuildContext": context,
    "memoir.v1.GraphService/GetEntity": get_entity,
    "memoir.v1.GraphService/ListEntities": entities,
    "memoir.v1.GraphService/ListRelations": relations,
    "memoir.v1.GraphService/TraverseGraph": traverse,
    "memoir.v1.HistoryService/ListHistory": history,
    "memoir.v1.HistoryService/WatchHistory": watch,
    "memoir.v1.ResetService/PlanReset": plan_reset,
    "memoir.v1.ResetService/ExecuteReset": execute_reset,
    "memoir.v1.ResetService/GetReset": get_reset,
    "memoir.v1.ResetService/WatchReset": watch_reset,
    "memoir.v1.ResetService/CancelReset": cancel_reset,
    "memoir.v1.TransferService/ExportMemories": export,
    "memoir.v1.TransferService/ImportMemories": import_,
    "memoir.v1.AdminService/GetServerInfo": server_info,
    "memoir.v1.AdminService/CheckConsistency": check_consistency,
    "memoir.v1.AdminService/RepairConsistency": repair,
    "memoir.v1.AdminService/RebuildProjection": rebuild,
}
