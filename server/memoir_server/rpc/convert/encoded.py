"""Memories that are shown again and again, kept as the contract's bytes."""

from __future__ import annotations

import weakref

from memoir.v1 import memory_pb2 as pb
from memoir_server.domain.memory import Memory
from memoir_server.rpc.convert.memory import write_memory


class EncodedMemories:
    """Memories as bytes, without entities and relations (view BASIC).

    What is kept goes with the Memory object it was made from, so that nothing outlives the ledger's own cache: neither
    what was changed, nor what was erased.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Memory], bytes]] = {}

    def write(self, target: pb.Memory, memory: Memory) -> None:
        """Sets a Memory message, which must be empty."""
        key = id(memory)
        kept = self._kept.get(key)
        # An id is given away again once its object is gone; the reference tells whose bytes these are.
        if kept is not None and kept[0]() is memory:
            target.ParseFromString(kept[1])
            return
        write_memory(target, memory, full=False)
        gone = weakref.ref(memory, lambda _: self._kept.pop(key, None))
        self._kept[key] = (gone, target.SerializeToString())
