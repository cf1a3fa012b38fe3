"""What inference is asked to remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memoir_server.domain.conversation import Message
from memoir_server.domain.memory import MetadataValue, Scope
from memoir_server.domain.time import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A conversation to be remembered by inference.

    Attributes:
        messages: Turns, oldest first.
        metadata: Copied onto every memory that comes of it.
        instruction: The caller's own, for the extraction.
        accepted: When the call came: the time of messages that have none of their own.
    """

    namespace: str
    scope: Scope
    messages: Sequence[Message]
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    instruction: str = ""
    accepted: Instant
