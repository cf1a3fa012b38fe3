"""Vectors that new memories need and that lie in memory already, to be kept in the transaction that stores them."""

from __future__ import annotations

from collections.abc import Sequence

from memoir_server.domain.embedding import EmbedKind
from memoir_server.domain.memory import Memory
from memoir_server.domain.mutation import ReadyVectors
from memoir_server.ports.embedder import Embedder


def vectors_at_hand(embedder: Embedder, memories: Sequence[Memory]) -> ReadyVectors | None:
    """The vectors that need no computing; None where there are none. Never waits: what is not at hand is the
    projector's to embed, after the commit."""
    found = embedder.all_at_hand([memory.indexed_text for memory in memories], kind=EmbedKind.DOCUMENT)
    by_content = {
        memory.content_hash: vector for memory, vector in zip(memories, found, strict=True) if vector is not None
    }
    return ReadyVectors(embedder.model, by_content) if by_content else None
