"""Port: a cache of vectors by content key."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from memoir_server.domain.store import BreakerState


class CacheUnavailable(Exception):
    """The cache cannot answer now. Callers go on without it: it never decides an answer."""


class EmbeddingCache(ABC):
    """Keeps encoded vectors under the 32-byte keys of :func:`memoir_server.domain.embedding.embedding_key`.

    * An entry may vanish at any time; what is returned are bytes that were once put under that key. The caller checks
      them before use, so a cache that is down, empty or lying changes the time of an answer and nothing else.
    * Keys are content addresses: an entry is never out of date, there is no expiry.
    * Implementations translate every failure of theirs into :class:`CacheUnavailable`.
    * Safe for concurrent calls.
    """

    @abstractmethod
    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The entries of ``keys``, in that order, None where there is none.

        Raises:
            CacheUnavailable: If the cache cannot be asked.
        """

    def at_hand(self, key: bytes) -> bytes | None:
        """The entry of a key that lies in this process's memory; None when it does not or nobody knows. Never waits.
        A cache elsewhere has nothing at hand."""
        return None

    @property
    def breaker(self) -> BreakerState:
        """State of its circuit breaker; always closed where nothing can fail."""
        return BreakerState.CLOSED

    @abstractmethod
    async def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        """Keep ``entries``, replacing those of the same key; older entries may be dropped to make room.

        Raises:
            CacheUnavailable: If nothing or not everything could be kept.
        """

    @abstractmethod
    async def purge(self, keys: Sequence[bytes]) -> None:
        """Forget ``keys`` for good: after the return no ``get_many`` gives them. Unknown keys are fine. Used by
        erasure.

        Raises:
            CacheUnavailable: If they may still be there; the erasure tries again.
        """

    def forget(self) -> None:  # noqa: B027 - a cache elsewhere has nothing in this memory
        """Drop all entries that lie in this process's memory. Never waits."""

    @abstractmethod
    async def close(self) -> None:
        """Give up connections and memory; idempotent."""
