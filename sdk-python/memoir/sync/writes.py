"""Writing memories. Generated from `memoir/aio/writes.py`; do not edit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memoir.enums import AddMode, Durability, MemoryKind
from memoir.memory import WrittenMemory
from memoir.messages import UNSET, EntityInput, MessageInput, NewMemory, ProvenanceInput, RelationInput, Unset
from memoir.results import AddResult, CreateManyResult, DeleteResult
from memoir.sync.base import SyncService
from memoir.values import Instant, MetadataInput


class Writes(SyncService):
    """Methods that write. Each takes a `request_id`; without one the client makes it, so that retries are safe."""

    def add(
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
        return self._run(
            self._core.add(
                messages,
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                mode=mode,
                metadata=metadata,
                instruction=instruction,
                validate_only=validate_only,
                durability=durability,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def create(
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
        return self._run(
            self._core.create(
                text,
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
                durability=durability,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def create_many(
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
        return self._run(
            self._core.create_many(
                items, allow_partial=allow_partial, durability=durability, request_id=request_id, timeout=timeout
            )
        )

    def update(
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
        return self._run(
            self._core.update(
                memory_id,
                text=text,
                kind=kind,
                metadata=metadata,
                importance=importance,
                valid_from=valid_from,
                valid_until=valid_until,
                expire_time=expire_time,
                create_time=create_time,
                provenance=provenance,
                entities=entities,
                relations=relations,
                etag=etag,
                reason=reason,
                durability=durability,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def delete(
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
        return self._run(
            self._core.delete(
                memory_id,
                etag=etag,
                reason=reason,
                allow_missing=allow_missing,
                durability=durability,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def delete_many(
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
        return self._run(
            self._core.delete_many(
                memory_ids,
                reason=reason,
                allow_missing=allow_missing,
                durability=durability,
                request_id=request_id,
                timeout=timeout,
            )
        )
