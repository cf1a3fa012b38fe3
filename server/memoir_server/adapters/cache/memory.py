"""Embedding cache in process memory: least recently used entries go first, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from memoir_server.ports.cache import EmbeddingCache

ENTRY_OVERHEAD_BYTES: Final = 200
"""Charged per entry beside key and value: two bytes objects and a dictionary slot with its links (CPython 3.11, 64
bit)."""

DEFAULT_CAPACITY_BYTES: Final = 64 * 1024 * 1024


class MemoryEmbeddingCache(EmbeddingCache):
    """An LRU bounded by what its entries cost in memory, so that its size does not depend on the model's dimension.

    A lock guards it: batch jobs may use it from other threads than the event loop's.

    Args:
        capacity_bytes: Upper bound of the charged size; 0 keeps nothing.

    Raises:
        ValueError: If the capacity is negative.
    """

    def __init__(self, capacity_bytes: int = DEFAULT_CAPACITY_BYTES) -> None:
        if capacity_bytes < 0:
            raise ValueError(f"capacity_bytes={capacity_bytes}: give 0 (keep nothing) or more")
        self._capacity = capacity_bytes
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Charged size of all entries in bytes, never above the capacity."""
        return self._size

    def at_hand(self, key: bytes) -> bytes | None:
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._lock:
            found: list[bytes | None] = []
            for key in keys:
                value = self._entries.get(key)
                if value is not None:
                    self._entries.move_to_end(key)
                found.append(value)
            return found

    async def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        with self._lock:
            for key, value in entries.items():
                self._drop(key)
                cost = _cost(key, value)
                if cost > self._capacity:
                    continue
                self._entries[key] = value
                self._size += cost
                while self._size > self._capacity:
                    oldest, old_value = self._entries.popitem(last=False)
                    self._size -= _cost(oldest, old_value)

    async def purge(self, keys: Sequence[bytes]) -> None:
        with self._lock:
            for key in keys:
                self._drop(key)

    def forget(self) -> None:
        with self._lock:
            self._entries.clear()
            self._size = 0

    async def close(self) -> None:
        self.forget()

    def _drop(self, key: bytes) -> None:
        value = self._entries.pop(key, None)
        if value is not None:
            self._size -= _cost(key, value)


def _cost(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OVERHEAD_BYTES
