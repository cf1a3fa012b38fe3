"""Messages kept as they are: each becomes one EPISODE, unless it is one that was kept before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from memoir_server.domain.change import Draft
from memoir_server.domain.conversation import Message
from memoir_server.domain.duplicate import Duplicate, Twin, twin_of_message
from memoir_server.domain.memory import Memory, MemoryKind, MetadataValue, Provenance, Scope
from memoir_server.domain.time import Instant
from memoir_server.ports.clock import IdSource
from memoir_server.service.creating import Creations


class Episodes:
    """The EPISODEs of one call. `settle` decides within the ledger's transaction which of them are new."""

    def __init__(
        self,
        namespace: str,
        scope: Scope,
        messages: Sequence[Message],
        metadata: Mapping[str, MetadataValue],
        ids: IdSource,
        now: Instant,
    ) -> None:
        self._namespace = namespace
        self.memories = [_episode(namespace, scope, message, metadata, ids.new_id(), now) for message in messages]
        self._twins = [
            twin_of_message(episode, create_time_given=message.create_time is not None)
            for episode, message in zip(self.memories, messages, strict=True)
        ]
        self.known: dict[str, Memory] = {}
        """The memories that stand for messages which are not kept again; filled by `settle`."""

    @property
    def memory_ids(self) -> list[str]:
        """Ids of the EPISODEs, kept or not."""
        return [episode.memory_id for episode in self.memories]

    @property
    def twins(self) -> list[Twin]:
        """What may say the same already."""
        return [twin for twin in self._twins if twin is not None]

    def settle(self, found: Mapping[str, Memory], *, reason: str = "") -> Settlement:
        """Decides, given the memories found (see Decide). `reason` is recorded with each EPISODE that is made."""
        creations = Creations(self._namespace, found)
        ids: list[str] = []
        duplicates: list[Duplicate | None] = []
        for position, (episode, twin) in enumerate(zip(self.memories, self._twins, strict=True)):
            same = creations.twin(twin)
            if same is None:
                creations.create(episode, (), f"messages[{position}]", position=position, twin=twin)
                ids.append(episode.memory_id)
                duplicates.append(None)
            else:
                self.known[same.memory_id] = same
                ids.append(same.memory_id)
                duplicates.append(Duplicate(memory_id=same.memory_id, exact=True))
        drafts = creations.drafts()
        if reason:
            drafts = [replace(draft, reason=reason) for draft in drafts]
        mentions = creations.mentions([duplicate for duplicate in duplicates if duplicate is not None])
        return Settlement(drafts, ids, duplicates, mentions)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The drafts; for each message the memory that holds it, and what said it already; the memories named that are not
    made here."""

    drafts: Sequence[Draft]
    ids: Sequence[str]
    duplicates: Sequence[Duplicate | None]
    mentions: Sequence[str]


def _episode(
    namespace: str,
    scope: Scope,
    message: Message,
    metadata: Mapping[str, MetadataValue],
    memory_id: str,
    now: Instant,
) -> Memory:
    said = now if message.create_time is None else message.create_time
    return Memory(
        namespace=namespace,
        memory_id=memory_id,
        text=message.content,
        kind=MemoryKind.EPISODE,
        scope=scope,
        metadata=metadata,
        create_time=said,
        valid_from=said,
        provenance=(
            Provenance(
                session_id=scope.session_id or "",
                message_id=message.message_id,
                role=message.role,
                actor_id=message.actor_id,
                create_time=said,
            ),
        ),
    )
