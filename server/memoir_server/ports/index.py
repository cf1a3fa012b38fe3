"""The index: vectors and keywords. A projection of the ledger."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.entry import DenseCandidates, IndexEntry, KeywordCandidates
from memoir_server.domain.making import maker
from memoir_server.domain.memory import Scope
from memoir_server.domain.selection import Selection
from memoir_server.ports.projection import Projection, Remove, Retire

NO_REVISIONS: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Put:
    """Adds an entry, or replaces the one of the same version."""

    entry: IndexEntry


IndexAction = Put | Retire | Remove


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexQuery:
    """What candidates may be. The index applies of the selection: scope, revision interval and world time; `filter`,
    `created` and expiry are the ledger's, which resolves the first two to `allowed`, the ascending revisions a
    candidate may have (None: any).

    `vectors`: entries found by terms should bring their vectors, if the index has to fetch them anyway; one that has
    them at hand takes no notice, and is asked for cosines later (`dense`)."""

    selection: Selection
    allowed: NDArray[np.int64] | None
    depth: int
    vectors: bool = False


make_index_query = maker(IndexQuery)
"""`IndexQuery`, where many are made."""


class MemoryIndex(Projection):
    """Entries of versions, found by terms and by vectors.

    Candidates are exact while they are no more than the query's depth; beyond it the adapter keeps the best by its
    own measure. Equal input gives equal candidates, ordered by revision. A keyword query never waits for vectors.
    """

    @abstractmethod
    async def apply(self, namespace: str, actions: Sequence[IndexAction], *, applied: int) -> None:
        """Applies the actions in order, atomically, and remembers `applied` as the namespace's applied revision
        where it is larger. Idempotent. Raises StoreUnavailable("index", why)."""

    @abstractmethod
    async def keyword(self, namespace: str, terms: Sequence[str], query: IndexQuery) -> KeywordCandidates:
        """Entries that hold at least one of the distinct analysed terms; no terms, no candidates."""

    @abstractmethod
    async def dense(
        self,
        namespace: str,
        vector: NDArray[np.float32],
        query: IndexQuery,
        *,
        also: NDArray[np.int64] = NO_REVISIONS,
    ) -> DenseCandidates:
        """The nearest entries by cosine to the unit vector, shape (dimension,); and, whatever their rank, the entries
        of the revisions `also` names (ascending), as far as the query allows them."""

    def keyword_at_hand(self, namespace: str, terms: Sequence[str], query: IndexQuery) -> KeywordCandidates | None:
        """What `keyword` would answer, where all it needs lies in memory and takes less than a millisecond; else None:
        ask `keyword`. Never waits. A store that keeps nothing in memory has nothing at hand."""
        return None

    def dense_at_hand(
        self,
        namespace: str,
        vector: NDArray[np.float32],
        query: IndexQuery,
        *,
        also: NDArray[np.int64] = NO_REVISIONS,
    ) -> DenseCandidates | None:
        """The same of `dense`."""
        return None

    @abstractmethod
    async def model(self) -> EmbeddingModel | None:
        """Model of the stored vectors; None while the index is empty."""

    @abstractmethod
    async def set_model(self, model: EmbeddingModel) -> None:
        """Names the model of the vectors to come. Raises ValueError while vectors of another model are held: `adopt`
        drops them, and forgets the model."""

    @abstractmethod
    async def count(self, namespace: str, scope: Scope) -> int:
        """Entries of the scope, retired ones included."""
