"""Memories that are shown again and again, kept as the contract's bytes."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from memoir.v1 import search_pb2 as pb
from memoir_server.domain.memory import Memory
from memoir_server.rpc.convert.memory import write_memory


@dataclass(frozen=True, slots=True)
class Encoded:
    """A response that consists of its bytes already. Stands in the place of the message."""

    data: bytes

    def SerializeToString(self) -> bytes:
        return self.data


class EncodedMemories:
    """Memories as bytes, without entities and relations (view BASIC).

    What is kept goes with the Memory object it was made from, so that nothing outlives the ledger's own cache: neither
    what was changed, nor what was erased.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[weakref.ref[Memory], bytes]] = {}

    def hit(self, memory: Memory) -> bytes:
        """A SearchHit message that has the memory and nothing else."""
        key = id(memory)
        kept = self._kept.get(key)
        # An id is given away again once its object is gone; the reference tells whose bytes these are.
        if kept is not None and kept[0]() is memory:
            return kept[1]
        hit = pb.SearchHit()
        write_memory(hit.memory, memory, full=False)
        data = hit.SerializeToString()
        gone = weakref.ref(memory, lambda _: self._kept.pop(key, None))
        self._kept[key] = (gone, data)
        return data
