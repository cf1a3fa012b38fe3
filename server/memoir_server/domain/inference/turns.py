"""The messages of one call, as inference reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memoir_server.domain.conversation import Message
from memoir_server.domain.memory import Provenance, Role
from memoir_server.domain.time import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message.

    Attributes:
        index: Its position in the request, from 0.
        role: Who spoke.
        text: What was said, with what the policy hides masked.
        said: When; never missing, since a message without a time was said now.
        actor_id: The speaker's id or name; may be empty.
        message_id: The caller's id of the message; may be empty.
        images: A text for each image of the message, made by a model that sees.
    """

    index: int
    role: Role
    text: str
    said: Instant
    actor_id: str = ""
    message_id: str = ""
    images: tuple[str, ...] = ()

    @property
    def passages(self) -> tuple[str, ...]:
        """The texts in which a quote may stand: the message, then each image."""
        return (self.text, *self.images)

    def provenance(self, quote: str, session_id: str) -> Provenance:
        """What a memory taken from it refers to; `quote` is cut to what the contract keeps."""
        return Provenance(
            session_id=session_id,
            message_id=self.message_id,
            role=self.role,
            actor_id=self.actor_id,
            quote=shortened(quote, MAX_KEPT_QUOTE),
            create_time=self.said,
        )


MAX_KEPT_QUOTE = 512
"""Characters of a quote that a memory keeps (contract)."""


def turns_of(messages: Sequence[Message], *, now: Instant) -> tuple[Turn, ...]:
    """The turns of a request; a message without a time was said at `now`."""
    return tuple(
        Turn(
            index=index,
            role=message.role,
            text=message.content,
            said=now if message.create_time is None else message.create_time,
            actor_id=message.actor_id,
            message_id=message.message_id,
        )
        for index, message in enumerate(messages)
    )


def shortened(text: str, most: int) -> str:
    """The text, or its beginning of at most `most` characters, the last of which is then "…"."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
