"""What every projection of the ledger has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.consistency import Portion
from memoir_server.domain.memory import Scope


@dataclass(frozen=True, slots=True)
class Retire:
    """The version of that revision was replaced at revision `retired`."""

    memory_id: str
    revision: int
    retired: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Every version of the memory up to a revision is gone. Later ones, of a new memory with the same id, stay.

    `keep_relations`: the graph keeps the relations, without their source; the index takes no notice. `spare_kept`: it
    leaves those alone that it has kept already, of an earlier memory with the same id; keeping spares them, too.
    """

    memory_id: str
    upto: int
    keep_relations: bool = False
    spare_kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a projection holds of one version, read back from where it is kept and not from memory.

    `vector` is the index's: float32, as many components as are stored, None where there is none. `resources` is the
    graph's: ids of the entities the version mentions and of the relations it states. `source_removed` is the graph's
    too. `searchable` is false when what finds the entry by its words is missing.
    """

    memory_id: str
    revision: int
    retired: int
    scope: Scope
    vector: NDArray[np.float32] | None = None
    searchable: bool = True
    resources: frozenset[str] = frozenset()
    source_removed: bool = False


class Projection(ABC):
    """A store that follows the ledger and can be lost at any time.

    It remembers whose projection it is and how far it has come, in the same transaction as the entries themselves, so
    that after a crash or a restore from an old copy its own word says from where to replay.
    """

    may_return: ClassVar[bool] = False
    """Whether the store is a server of its own, which can be down when this one starts and be back later."""

    @abstractmethod
    async def open(self) -> None:
        """Opens or creates the store. A damaged one is set aside and created anew, empty, with a warning in the log:
        it is rebuilt from the ledger. Raises StoreUnavailable; one that `may_return` is open all the same, and its
        calls find the store again as soon as it is there."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of everything."""

    @abstractmethod
    async def ping(self) -> str:
        """Answers with the store's version. Raises StoreUnavailable."""

    def forget(self) -> None:  # noqa: B027 - a projection may remember nothing
        """Drops what lies in this process's memory of owners and their words, beyond what the next call needs: an
        erasure asks every server for it. Never waits."""

    @abstractmethod
    async def ledger_id(self) -> str:
        """Ledger it follows; empty while it follows none."""

    @abstractmethod
    async def adopt(self, ledger_id: str) -> None:
        """Drops everything and follows that ledger from revision 0."""

    @abstractmethod
    async def applied(self, namespace: str) -> int:
        """The applied revision it remembers; 0 when it knows nothing of the namespace."""

    @abstractmethod
    async def find(self, namespace: str, memory_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        """(memory_id, revision) of everything it holds of these memories, retired versions included, sorted. For
        probes after a removal."""

    @abstractmethod
    async def scan(self, namespace: str, portion: Portion, *, after: int, limit: int) -> Sequence[Held]:
        """What it holds of the portion, by revision after one, at most `limit`, relations without their source
        included. For the doctor. Raises StoreUnavailable."""

    @abstractmethod
    async def settle(self, namespace: str) -> None:
        """Puts right what is derived from the entries of the namespace (counters, what memory holds of them), and drops
        pieces that belong to no entry. Opens a repair, since what was damaged may have been counted. Raises
        StoreUnavailable."""

    @abstractmethod
    async def drop(self, namespace: str) -> None:
        """Drops one namespace, as if it had never been."""
