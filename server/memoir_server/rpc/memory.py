"""MemoryService."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from memoir.v1 import common_pb2
from memoir.v1 import memory_pb2 as pb
from memoir_server.domain.access import Access
from memoir_server.domain.change import Change, EventType
from memoir_server.domain.conversation import AddMode, NewMemory
from memoir_server.domain.errors import FeatureDisabled, FieldInvalid, MemoirError, MemoryNotFound
from memoir_server.domain.memory import Memory, Scope
from memoir_server.domain.scopes import ScopeDimension
from memoir_server.domain.search import AsOf
from memoir_server.ports.ledger import ListPosition
from memoir_server.rpc.convert.filter import read_as_of, read_optional_filter
from memoir_server.rpc.convert.memory import (
    read_message,
    read_metadata,
    read_new_memory,
    read_patch,
    read_scope,
    wants_full,
    write_change,
    write_duplicate,
    write_known,
    write_memory,
    write_scope,
    write_unchanged,
)
from memoir_server.rpc.convert.time import read_optional_time, read_range, write_time
from memoir_server.rpc.errors import status_of
from memoir_server.rpc.incoming import Incoming
from memoir_server.rpc.inference import InferenceMethods
from memoir_server.rpc.paging import page_size, parameters_of
from memoir_server.rpc.tokens import ListToken, ScopesToken, Tokens
from memoir_server.service.accesses import Accesses
from memoir_server.service.recalling import ListSpec, Recalling
from memoir_server.service.remembering import Remembering, Written
from memoir_server.service.scopes import Scopes

_NO_IMAGES = "are taken in mode INFER only, where a model describes them: leave them out, or set a reasoner"
_ITEM_PATH = re.compile(r"(?:items\[(\d+)\]\.)?(.*)")


class MemoryService:
    """The write path and the point reads. `page_bytes` bounds the size of a listing's page; `inference` is None where
    the server has no language model."""

    def __init__(
        self,
        remembering: Remembering,
        recalling: Recalling,
        scopes: Scopes,
        accesses: Accesses,
        tokens: Tokens,
        *,
        page_bytes: int,
        inference: InferenceMethods | None = None,
    ) -> None:
        self._inference = inference
        self._remembering = remembering
        self._recalling = recalling
        self._scopes = scopes
        self._accesses = accesses
        self._tokens = tokens
        self._page_bytes = page_bytes

    async def AddMemories(self, request: pb.AddMemoriesRequest, incoming: Incoming) -> pb.AddMemoriesResponse:
        if self._inference is not None and request.mode != pb.ADD_MODE_VERBATIM:
            return await self._inference.add(request, incoming)
        for i, message in enumerate(request.messages):
            if message.images and request.mode != pb.ADD_MODE_INFER:
                raise FieldInvalid(f"messages[{i}].images", _NO_IMAGES)
        written = await self._remembering.add(
            incoming.namespace,
            read_scope(request.scope),
            [read_message(m, f"messages[{i}]") for i, m in enumerate(request.messages)],
            incoming.mutating(request, request.durability),
            mode=AddMode(request.mode) if request.mode else None,
            metadata=read_metadata(request.metadata, "metadata"),
            validate_only=request.validate_only,
        )
        response = pb.AddMemoriesResponse(
            revision=written.revision, durability=_durability(written), mode=pb.ADD_MODE_VERBATIM
        )
        _write_creations(response.changes, incoming.namespace, written, full=False)
        return response

    async def CreateMemory(self, request: pb.CreateMemoryRequest, incoming: Incoming) -> pb.CreateMemoryResponse:
        new = read_new_memory(request.memory, request.memory_id, request.supersedes, "memory")
        written = await self._remembering.create(
            incoming.namespace, new, incoming.mutating(request, request.durability)
        )
        response = pb.CreateMemoryResponse(
            revision=written.revision, durability=_durability(written), duplicate_guard_skipped=written.guard_skipped
        )
        _write_creations(response.changes, incoming.namespace, written, full=True)
        if response.changes:
            response.memory.CopyFrom(response.changes[0].memory)
        for change in _of_types(written, EventType.SUPERSEDED):
            write_change(response.changes.add(), change, full=True)
        return response

    async def BatchCreateMemories(
        self, request: pb.BatchCreateMemoriesRequest, incoming: Incoming
    ) -> pb.BatchCreateMemoriesResponse:
        call = incoming.mutating(request, request.durability)
        refused: dict[int, MemoirError] = dict(incoming.refused_items)
        items: list[NewMemory] = []
        positions: list[int] = []
        for position, item in enumerate(request.items):
            if position in refused:
                continue
            try:
                items.append(read_new_memory(item.memory, item.memory_id, item.supersedes, f"items[{position}].memory"))
                positions.append(position)
            except FieldInvalid as problem:
                if not request.allow_partial:
                    raise
                refused[position] = problem
        try:
            written = await self._remembering.create_many(
                incoming.namespace, items, call, allow_partial=request.allow_partial
            )
        except FieldInvalid as problem:
            raise _in_request(problem, positions, 0) from None
        for index, refusal in written.refused.items():
            invalid = isinstance(refusal, FieldInvalid)
            refused[positions[index]] = _in_request(refusal, positions, index) if invalid else refusal  # type: ignore[arg-type]
        local = {position: index for index, position in enumerate(positions) if written.ids}
        created = {c.memory_id: c.after for c in _of_types(written, EventType.CREATED) if c.after is not None}
        response = pb.BatchCreateMemoriesResponse(
            revision=written.revision, durability=_durability(written), duplicate_guard_skipped=written.guard_skipped
        )
        for position in range(len(request.items)):
            result = response.results.add()
            if position in refused:
                result.error.CopyFrom(status_of(refused[position]))
            elif position in local:
                _write_item(result, incoming.namespace, written, local[position], created)
        return response

    async def GetMemory(self, request: pb.GetMemoryRequest, incoming: Incoming) -> pb.GetMemoryResponse:
        # Before this call counts itself.
        access = await self._access_of(incoming, [request.memory_id]) if request.include_access else {}
        memory = await self._recalling.get(incoming.namespace, request.memory_id, as_of=read_as_of(request))
        response = pb.GetMemoryResponse()
        full = wants_full(request.view, default=True)
        write_memory(response.memory, memory, full=full, access=access.get(request.memory_id))
        return response

    async def ListMemories(self, request: pb.ListMemoriesRequest, incoming: Incoming) -> pb.ListMemoriesResponse:
        size = page_size(request.page_size)
        text, parameters = parameters_of(request, incoming)
        place = self._tokens.decode(text, ListToken, parameters, field="page_token") if text else None
        page = await self._recalling.list(
            incoming.namespace,
            ListSpec(
                scope=read_scope(request.scope),
                filter=read_optional_filter(request, "filter", "filter"),
                created=read_range(request, "create_time_range"),
                include_superseded=request.include_superseded,
                as_of=read_as_of(request),
                valid_at=read_optional_time(request, "valid_at", ""),
            ),
            after=ListPosition(place.create_time, place.memory_id) if place else None,
            revision=place.revision if place else None,
            limit=size + 1,
        )
        full = wants_full(request.view, default=False)
        listed = [memory.memory_id for memory in page.memories[:size]]
        access = await self._access_of(incoming, listed) if request.include_access else {}
        response = pb.ListMemoriesResponse(revision=page.revision)
        room = self._page_bytes
        shown = 0
        for memory in page.memories[:size]:
            message = response.memories.add()
            write_memory(message, memory, full=full, access=access.get(memory.memory_id))
            room -= message.ByteSize()
            if room < 0 and shown:
                del response.memories[-1]
                break
            shown += 1
        if shown < len(page.memories):
            last = page.memories[shown - 1]
            response.next_page_token = self._tokens.encode(
                ListToken(parameters, page.revision, last.create_time, last.memory_id)
            )
        return response

    async def UpdateMemory(self, request: pb.UpdateMemoryRequest, incoming: Incoming) -> pb.UpdateMemoryResponse:
        written = await self._remembering.update(
            incoming.namespace,
            request.memory_id,
            read_patch(request),
            incoming.mutating(request, request.durability),
            etag=request.etag,
            reason=request.reason,
        )
        after = next((c.after for c in _of_types(written, EventType.UPDATED) if c.after is not None), None)
        response = pb.UpdateMemoryResponse(
            revision=written.revision,
            durability=_durability(written),
            memory=pb.Memory(namespace=incoming.namespace, memory_id=request.memory_id),
        )
        if after is None:
            # Nothing was changed: the memory as it was then. A repeat of the request may find it removed since: only
            # its id is left to tell.
            then = AsOf(revision=written.revision)
            with suppress(MemoryNotFound):
                after = await self._recalling.get(incoming.namespace, request.memory_id, as_of=then, counted=False)
        if after is not None:
            write_memory(response.memory, after, full=True)
        return response

    async def DeleteMemory(self, request: pb.DeleteMemoryRequest, incoming: Incoming) -> pb.DeleteMemoryResponse:
        written = await self._remembering.delete(
            incoming.namespace,
            [request.memory_id],
            incoming.mutating(request, request.durability),
            etag=request.etag,
            reason=request.reason,
            allow_missing=request.allow_missing,
        )
        deleted = _of_types(written, EventType.DELETED)
        response = pb.DeleteMemoryResponse(revision=written.revision if deleted else 0, durability=_durability(written))
        for change in deleted:
            response.derived.extend(await self._remembering.derived_from(incoming.namespace, change))
        return response

    async def BatchDeleteMemories(
        self, request: pb.BatchDeleteMemoriesRequest, incoming: Incoming
    ) -> pb.BatchDeleteMemoriesResponse:
        written = await self._remembering.delete(
            incoming.namespace,
            list(request.memory_ids),
            incoming.mutating(request, request.durability),
            reason=request.reason,
            allow_missing=request.allow_missing,
        )
        return pb.BatchDeleteMemoriesResponse(
            deleted_count=len(_of_types(written, EventType.DELETED)),
            revision=written.revision,
            durability=_durability(written),
        )

    async def ListScopes(self, request: pb.ListScopesRequest, incoming: Incoming) -> pb.ListScopesResponse:
        size = page_size(request.page_size)
        text, parameters = parameters_of(request, incoming)
        after = self._tokens.decode(text, ScopesToken, parameters, field="page_token").after if text else ""
        dimension = ScopeDimension(request.dimension)
        within = read_scope(request.within)
        counts = await self._scopes.page(incoming.namespace, dimension, within, after=after, limit=size + 1)
        response = pb.ListScopesResponse()
        for count in counts[:size]:
            summary = response.scopes.add(memory_count=count.memories)
            write_scope(summary.scope, count.scope)
            write_time(summary.last_create_time, count.newest)
        if len(counts) > size:
            last = _listed_id(counts[size - 1].scope, dimension)
            response.next_page_token = self._tokens.encode(ScopesToken(parameters, last))
        return response

    async def _access_of(self, incoming: Incoming, memory_ids: Sequence[str]) -> Mapping[str, Access]:
        return await self._accesses.of(incoming.namespace, memory_ids)

    async def GetIngestion(self, request: pb.GetIngestionRequest, incoming: Incoming) -> pb.GetIngestionResponse:
        if self._inference is None:
            raise FeatureDisabled("infer")
        return await self._inference.get_ingestion(request, incoming)

    async def ListIngestions(self, request: pb.ListIngestionsRequest, incoming: Incoming) -> pb.ListIngestionsResponse:
        if self._inference is None:
            raise FeatureDisabled("infer")
        return await self._inference.list_ingestions(request, incoming)


def _listed_id(scope: Scope, dimension: ScopeDimension) -> str:
    listed = {
        ScopeDimension.USER: scope.user_id,
        ScopeDimension.AGENT: scope.agent_id,
        ScopeDimension.SESSION: scope.session_id,
    }[dimension]
    assert listed is not None
    return listed


def _durability(written: Written) -> common_pb2.Durability:
    return cast("common_pb2.Durability", int(written.durability))


def _of_types(written: Written, *types: EventType) -> list[Change]:
    """The changes of these types, grouped in the order of the types. Others, such as the expiry of a memory that the
    mutation came across, are no answer to the caller."""
    return [change for kind in types for change in written.changes if change.type is kind]


def _in_request(problem: FieldInvalid, positions: list[int], local: int) -> FieldInvalid:
    """The same violation with its path in the batch request: the service counts only the items it was given."""
    match = _ITEM_PATH.fullmatch(problem.field)
    assert match is not None
    position = positions[int(match[1]) if match[1] else local]
    return FieldInvalid(f"items[{position}].{match[2]}", problem.problem)


def _write_creations(changes: Any, namespace: str, written: Written, *, full: bool) -> None:
    """What became of each item, in their order: ADDED or UNCHANGED. What was erased since is left out."""
    created = {c.memory_id: c for c in _of_types(written, EventType.CREATED)}
    for position, memory_id in enumerate(written.ids or created):
        duplicate = written.duplicates.get(position)
        if duplicate is not None and not duplicate.stored:
            write_unchanged(changes.add(), namespace, duplicate, written.known.get(memory_id), full=full)
        elif memory_id in created:
            change = changes.add()
            write_change(change, created[memory_id], full=full)
            if duplicate is not None:
                write_duplicate(change.duplicate, duplicate)


def _write_item(
    result: pb.BatchCreateMemoriesResponse.Result,
    namespace: str,
    written: Written,
    position: int,
    created: Mapping[str, Memory],
) -> None:
    """The result of an item that was not refused; empty when it was erased since."""
    memory_id, duplicate = written.ids[position], written.duplicates.get(position)
    if duplicate is not None:
        write_duplicate(result.duplicate, duplicate)
    if duplicate is not None and not duplicate.stored:
        write_known(result.memory, namespace, duplicate, written.known.get(memory_id), full=True)
    elif memory_id in created:
        write_memory(result.memory, created[memory_id], full=True)
