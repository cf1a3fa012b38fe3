"""Writing memories."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memoir import methods
from memoir.aio.base import AsyncService, request_id_or_new
from memoir.enums import ADD_MODE, DURABILITY, AddMode, Durability, MemoryKind
from memoir.memory import WrittenMemory, written_from_proto
from memoir.messages import (
    UNSET,
    EntityInput,
    MessageInput,
    NewMemory,
    ProvenanceInput,
    RelationInput,
    Unset,
    changes_to_proto,
    messages_to_proto,
    new_memory_to_proto,
)
from memoir.results import (
    AddResult,
    CreateManyResult,
    DeleteResult,
    add_result_from_proto,
    create_many_result_from_proto,
)
from memoir.v1 import memory_pb2
from memoir.values import Instant, MetadataInput, metadata_to_proto, scope_to_proto


class AsyncWrites(AsyncService):
    """Methods that write. Each takes a `request_id`; without one the client makes it, so that retries are safe."""

    async def add(
        self,
        messages: str | MessageInput | Iterable[MessageInput],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        mode: AddMode | str | None = None,
        metadata: Mapping[str, MetadataInput] | None = None,
        instruction: str = "",
        validate_only: bool = False,
        durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AddResult:
        """Remember a conversation. In mode VERBATIM a message that was sent before (same message_id, or same given
        create_time, and same words) comes back as UNCHANGED.

        Args:
            messages: turns, oldest first, as dicts (`role`, `content`, `actor_id`, `message_id`, `create_time`) or
                `Message`; a plain string is one turn of the user.
            user_id, agent_id, session_id: whose memories; user_id or agent_id is required.
            mode: "INFER" extracts facts, "VERBATIM" keeps each turn; None lets the server choose.
            metadata: copied onto every memory produced.
            instruction: extra instruction for the extraction.
            validate_only: compute the changes, store nothing.
            durability: "INDEXED" (default) returns when searchable, "ACCEPTED" when committed.
            request_id: the same id returns the first answer again, for 24 hours.
            timeout: seconds, retries included.

        Raises:
            InvalidArgument, FeatureDisabled, RequestIdReused, and the errors of any call.
        """
        request = memory_pb2.AddMemoriesRequest(
            namespace=self._namespace,
            scope=scope_to_proto(user_id, agent_id, session_id),
            messages=messages_to_proto(messages),
            mode=ADD_MODE.encode(mode, "mode"),
            metadata=metadata_to_proto(metadata),
            instruction=instruction,
            durability=DURABILITY.encode(durability, "durability"),
            validate_only=validate_only,
            request_id=request_id_or_new(request_id),
        )
        return add_result_from_proto(await self._transport.unary(methods.ADD_MEMORIES, request, timeout))

    async def create(
        self,
        text: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        kind: MemoryKind | str | None = None,
        metadata: Mapping[str, MetadataInput] | None = None,
        entities: Iterable[EntityInput] = (),
        relations: Iterable[RelationInput] = (),
        memory_id: str = "",
        importance: float | None = None,
        valid_from: Instant | None = None,
        valid_until: Instant | None = None,
        expire_time: Instant | None = None,
        create_time: Instant | None = None,
        provenance: Iterable[ProvenanceInput] = (),
        supersedes: Iterable[str] = (),
        durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WrittenMemory:
        """Store one memory as given, and return it as stored. Where a memory says the same already, nothing is stored
        and that memory is returned, with `duplicate` set; a memory_id or `supersedes` has it stored in any case.

        Args:
            text: the statement.
            user_id, agent_id, session_id: whose memory; user_id or agent_id is required.
            kind: "FACT" when None.
            entities: mentions, as `EntityMention`, dict or name.
            relations: statements, as `RelationStatement`, dict or (subject, predicate, object).
            memory_id: the id wanted; empty for one made by the server.
            importance: weight in ranking, 0..1.
            valid_from, valid_until: when the statement is true in the world.
            expire_time: moment from which the memory is gone.
            create_time: when it was said; None means now.
            supersedes: ids of memories this one contradicts; they are closed at its valid_from.
            durability, request_id, timeout: as in `add`.

        Raises:
            InvalidArgument, MemoryAlreadyExists, MemoryNotFound (supersedes), RequestIdReused.
        """
        new, memory = new_memory_to_proto(
            NewMemory(
                text=text,
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                kind=kind,
                metadata=metadata,
                entities=entities,
                relations=relations,
                memory_id=memory_id,
                importance=importance,
                valid_from=valid_from,
                valid_until=valid_until,
                expire_time=expire_time,
                create_time=create_time,
                provenance=provenance,
                supersedes=supersedes,
            )
        )
        request = memory_pb2.CreateMemoryRequest(
            namespace=self._namespace,
            memory_id=new.memory_id,
            memory=memory,
            supersedes=new.supersedes,
            durability=DURABILITY.encode(durability, "durability"),
            request_id=request_id_or_new(request_id),
        )
        response = await self._transport.unary(methods.CREATE_MEMORY, request, timeout)
        return written_from_proto(response, response.changes)

    async def create_many(
        self,
        items: Iterable[NewMemory | Mapping[str, Any]],
        *,
        allow_partial: bool = False,
        durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> CreateManyResult:
        """Store up to 500 memories as given: all or nothing, or with allow_partial each for itself. What `create` says
        of memories that say the same holds for each item, earlier items included.

        Args:
            items: `NewMemory` or dicts with the arguments of `create`; `supersedes` may name earlier items.
            allow_partial: store the good items, report the bad ones in `.results`.
            durability, request_id, timeout: as in `add`.

        Raises:
            As `create`, for the first bad item, unless allow_partial.
        """
        request = memory_pb2.BatchCreateMemoriesRequest(
            namespace=self._namespace,
            allow_partial=allow_partial,
            durability=DURABILITY.encode(durability, "durability"),
            request_id=request_id_or_new(request_id),
        )
        for index, item in enumerate(items):
            new, memory = new_memory_to_proto(item, f"items[{index}]")
            request.items.add(memory_id=new.memory_id, memory=memory, supersedes=new.supersedes)
        return create_many_result_from_proto(
            await self._transport.unary(methods.BATCH_CREATE_MEMORIES, request, timeout)
        )

    async def update(
        self,
        memory_id: str,
        *,
        text: str | Unset = UNSET,
        kind: MemoryKind | str | Unset = UNSET,
        metadata: Mapping[str, MetadataInput] | Unset | None = UNSET,
        importance: float | Unset | None = UNSET,
        valid_from: Instant | Unset | None = UNSET,
        valid_until: Instant | Unset | None = UNSET,
        expire_time: Instant | Unset | None = UNSET,
        create_time: Instant | Unset | None = UNSET,
        provenance: Iterable[ProvenanceInput] | Unset | None = UNSET,
        entities: Iterable[EntityInput] | Unset | None = UNSET,
        relations: Iterable[RelationInput] | Unset | None = UNSET,
        etag: str = "",
        reason: str = "",
        durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WrittenMemory:
        """Change the given fields of a memory, and return it. Fields not given stay; None clears a field.

        Args:
            memory_id: the memory.
            metadata: replaces all metadata.
            etag: the memory's etag as read; the update fails when the memory changed since.
            reason: why, for the history.
            durability, request_id, timeout: as in `add`.

        Raises:
            MemoryNotFound, EtagMismatch, InvalidArgument, RequestIdReused.
        """
        memory, mask = changes_to_proto(
            {
                "text": text,
                "kind": kind,
                "metadata": metadata,
                "importance": importance,
                "valid_from": valid_from,
                "valid_until": valid_until,
                "expire_time": expire_time,
                "create_time": create_time,
                "provenance": provenance,
                "entities": entities,
                "relations": relations,
            }
        )
        request = memory_pb2.UpdateMemoryRequest(
            namespace=self._namespace,
            memory_id=memory_id,
            memory=memory,
            update_mask=mask,
            etag=etag,
            reason=reason,
            durability=DURABILITY.encode(durability, "durability"),
            request_id=request_id_or_new(request_id),
        )
        response = await self._transport.unary(methods.UPDATE_MEMORY, request, timeout)
        return written_from_proto(response)

    async def delete(
        self,
        memory_id: str,
        *,
        etag: str = "",
        reason: str = "",
        allow_missing: bool = False,
        durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteResult:
        """Delete a memory, with the entities and relations it stated. Its history stays. Of an EPISODE, `derived` names
        the memories that were taken from its message and stay.

        Raises:
            MemoryNotFound (unless allow_missing), EtagMismatch, RequestIdReused.
        """
        request = memory_pb2.DeleteMemoryRequest(
            namespace=self._namespace,
            memory_id=memory_id,
            etag=etag,
            reason=reason,
            allow_missing=allow_missing,
            durability=DURABILITY.encode(durability, "durability"),
            request_id=request_id_or_new(request_id),
        )
        response = await self._transport.unary(methods.DELETE_MEMORY, request, timeout)
        return DeleteResult(
            int(response.revision > 0),
            response.revision,
            DURABILITY.decode(response.durability),
            tuple(response.derived),
        )

    async def delete_many(
        self,
        memory_ids: Sequence[str],
        *,
        reason: str = "",
        allow_missing: bool = False,
        durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> DeleteResult:
        """Delete up to 500 memories by id, all or nothing; with allow_missing, ids that do not exist are passed over.

        Raises:
            MemoryNotFound (unless allow_missing), RequestIdReused.
        """
        request = memory_pb2.BatchDeleteMemoriesRequest(
            namespace=self._namespace,
            memory_ids=memory_ids,
            reason=reason,
            allow_missing=allow_missing,
            durability=DURABILITY.encode(durability, "durability"),
            request_id=request_id_or_new(request_id),
        )
        response = await self._transport.unary(methods.BATCH_DELETE_MEMORIES, request, timeout)
        return DeleteResult(response.deleted_count, response.revision, DURABILITY.decode(response.durability), ())
