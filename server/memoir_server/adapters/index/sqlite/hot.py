"""Which segments are in memory: least recently used ones go first, bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from memoir_server.adapters.index.sqlite.reader import Part
from memoir_server.adapters.index.sqlite.segment import Segment
from memoir_server.adapters.index.sqlite.writer import Added, Effect, Retired
from memoir_server.adapters.sqlite_projection import id_key


class HotSegments:
    """Segments in use, and those being loaded. Used on the event loop only.

    A segment is read from the file in a thread while writes go on. So what is written from the beginning of a load on
    is kept, and applied again on top of what was read: effects name the entry they are about, so that applying one
    twice changes nothing.

    Args:
        capacity_bytes: Upper bound of what they take, as estimated by the segments themselves.
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._segments: OrderedDict[Part, Segment] = OrderedDict()
        self._loading: dict[Part, list[Effect]] = {}
        self.loads: dict[tuple[Part, bool], asyncio.Task[Segment | None]] = {}
        """Loads under way by part and whether with vectors, so that two readers share one."""

    @property
    def nbytes(self) -> int:
        """Memory of all segments, estimated, in bytes."""
        return sum(segment.nbytes for segment in self._segments.values())

    def get(self, part: Part) -> Segment | None:
        """The part's segment, now the most recently used; None when it is not in memory."""
        segment = self._segments.get(part)
        if segment is not None:
            self._segments.move_to_end(part)
        return segment

    def begin(self, part: Part) -> None:
        """A load of the part begins."""
        self._loading[part] = []

    def abandon(self, part: Part) -> None:
        """The load of the part failed, or what it reads is dropped."""
        self._loading.pop(part, None)

    def install(self, part: Part, segment: Segment) -> bool:
        """Takes a loaded segment. Returns False when the part was dropped meanwhile."""
        effects = self._loading.pop(part, None)
        if effects is None:
            return False
        for effect in effects:
            _apply(segment, effect)
        self._segments[part] = segment
        self.make_room()
        return True

    def apply(self, namespace: str, effects: Sequence[Effect]) -> None:
        """Brings what is in memory up to what was written."""
        if not effects:
            return
        concerned = {part.user for part in (*self._segments, *self._loading) if part.namespace == namespace}
        if not concerned:
            return
        whole = Part(namespace, None)
        for effect in effects:
            user = id_key(effect.entry.scope.user_id) if isinstance(effect, Added) else effect.user
            if user not in concerned and None not in concerned:
                continue
            for part in (whole, Part(namespace, user)):
                if (segment := self._segments.get(part)) is not None:
                    _apply(segment, effect)
                if (kept := self._loading.get(part)) is not None:
                    kept.append(effect)
        for part in [p for p, s in self._segments.items() if p.namespace == namespace and s.worn]:
            del self._segments[part]
        self.make_room()

    def drop(self, namespace: str | None = None) -> None:
        """Forgets a namespace, or everything; loads under way will not be taken."""
        for part in [p for p in self._segments if namespace is None or p.namespace == namespace]:
            del self._segments[part]
        for part in [p for p in self._loading if namespace is None or p.namespace == namespace]:
            del self._loading[part]

    def make_room(self) -> None:
        """Lets go of the least recently used segments until the rest fits."""
        total = self.nbytes
        while total > self.capacity_bytes and self._segments:
            _, segment = self._segments.popitem(last=False)
            total -= segment.nbytes


def _apply(segment: Segment, effect: Effect) -> None:
    if isinstance(effect, Added):
        segment.put(effect.entry, effect.entry_id, effect.entry.vector)
    elif isinstance(effect, Retired):
        segment.retire(effect.revision, effect.retired)
    else:
        segment.delete(effect.revision)
