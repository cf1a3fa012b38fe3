"""What was read from a database file, kept in memory and never older than the file.

One thread writes the file, any number read it. An entry is the last committed state of what its key names, at every
moment, because of three rules:

1. The writer touches a key before the transaction that changes it commits. From then on the entry is gone, and none
   comes back, until the writer settles, which is after the commit or the rollback.
2. Who wants to keep what the file says takes down the moment before the read, and hands it in with the entry. Every
   touch and every settling begins another moment, and nothing read in an earlier one is kept. So a read from before a
   commit cannot put back what the commit made old: the settling lies between the two.
3. A reader that answers partly from here and partly from the file looks at the moment before and after. The same
   moment means that no commit that lies between the two parts has changed anything it found here.

Nobody can be told of a commit before the entry has gone, since the commit itself comes later. A touch whose transaction
is rolled back, or whose process forgets to settle, costs a read of the file and nothing else.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ENTRY_OVERHEAD_BYTES: Final = 200
"""Charged per entry beside what the value is said to cost: a slot with its links, the key, the charge."""


class CoherentCache(Generic[K, V]):
    """Least recently used entries go first, bounded by what they are said to cost. Safe for calls from any thread.

    Args:
        capacity_bytes: Upper bound of all charges; 0 keeps nothing.

    Raises:
        ValueError: If the capacity is negative.
    """

    def __init__(self, capacity_bytes: int) -> None:
        if capacity_bytes < 0:
            raise ValueError(f"capacity_bytes={capacity_bytes}: give 0 (keep nothing) or more")
        self._capacity = capacity_bytes
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = 0
        self._changing: set[K] = set()
        self._moment = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What all entries are charged, in bytes; never above the capacity."""
        return self._size

    @property
    def moment(self) -> int:
        """Number of touches and settlings so far."""
        return self._moment

    def find(self, key: K) -> V | None:
        """The entry of the key, None when there is none."""
        with self._lock:
            held = self._entries.get(key)
            if held is None:
                return None
            self._entries.move_to_end(key)
            return held[0]

    def find_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The entries there are, all of one moment."""
        with self._lock:
            entries = self._entries
            found: dict[K, V] = {}
            for key in keys:
                held = entries.get(key)
                if held is not None:
                    entries.move_to_end(key)
                    found[key] = held[0]
            return found

    def keep(self, entries: Sequence[tuple[K, V, int]], moment: int) -> None:
        """Keeps (key, value, bytes) as read from the file, if `moment`, taken down before that read, still lasts."""
        with self._lock:
            if self._moment != moment:
                return
            for key, value, charge in entries:
                if key in self._changing:
                    continue
                self._drop(key)
                charge += ENTRY_OVERHEAD_BYTES
                if charge > self._capacity:
                    continue
                self._entries[key] = (value, charge)
                self._size += charge
                while self._size > self._capacity:
                    self._size -= self._entries.popitem(last=False)[1][1]

    def touch(self, key: K) -> None:
        """The writer changes what the key names, in a transaction that it has yet to commit."""
        with self._lock:
            self._moment += 1
            self._changing.add(key)
            self._drop(key)

    def settle(self) -> None:
        """The writer's transaction is committed or rolled back."""
        if self._changing:
            with self._lock:
                self._moment += 1
                self._changing.clear()

    def clear(self) -> None:
        """Lets go of everything."""
        with self._lock:
            self._moment += 1
            self._entries.clear()
            self._size = 0

    def _drop(self, key: K) -> None:
        held = self._entries.pop(key, None)
        if held is not None:
            self._size -= held[1]
