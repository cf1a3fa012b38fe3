"""What an embedding is: the model that made it, the vector's form, its key and its bytes.

A vector is meaningless without the model and version that made it, so the two travel together everywhere: in the
ledger, in the cache key and in every index.
"""

from __future__ import annotations

import enum
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Vector: TypeAlias = npt.NDArray[np.float32]
"""One embedding: float32, shape ``(dimension,)``, unit L2 norm."""

Vectors: TypeAlias = npt.NDArray[np.float32]
"""A batch of embeddings: float32, shape ``(n, dimension)``, C-contiguous, each row of unit L2 norm."""

UNIT_NORM_TOLERANCE: Final = 1e-3
"""How far the L2 norm of a stored vector may be from 1 before it is taken for damaged."""

_BYTES_PER_COMPONENT: Final = 4
_WIRE_TYPE: Final = np.dtype("<f4")


class EmbedKind(enum.Enum):
    """What a text is embedded for. Some models prefix queries and documents differently."""

    QUERY = "query"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """Identity of an embedding model: two vectors may be compared only when these are equal.

    Attributes:
        name: The model's public name, e.g. ``all-MiniLM-L6-v2``.
        version: What tells two sets of weights of that name apart.
        dimension: Components per vector, at least 1.
        asymmetric: True when a text's query vector differs from its document vector.

    Raises:
        ValueError: If a name or version is empty or the dimension is below 1.
    """

    name: str
    version: str
    dimension: int
    asymmetric: bool = False

    def __post_init__(self) -> None:
        if not self.name or not self.version:
            raise ValueError(
                f"embedding model: name={self.name!r}, version={self.version!r}: give the empty one a value"
            )
        if self.dimension < 1:
            raise ValueError(f"embedding model {self.name}: dimension={self.dimension}: give a number of at least 1")

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def embedding_key(model: EmbeddingModel, text: str, *, kind: EmbedKind = EmbedKind.DOCUMENT) -> bytes:
    """Cache key of a text's vector: SHA-256 over model name, version, (for asymmetric models) kind, and text.

    Each field is preceded by its length, so no two different tuples share their bytes.

    Returns:
        32 bytes. The text cannot be read back from them, but a guess can be confirmed: erasure purges keys too.
    """
    digest = _key_beginning(model, kind).copy()
    digest.update(_framed(text))
    return digest.digest()


def keys_of_texts(model: EmbeddingModel, texts: Sequence[str], *, kind: EmbedKind = EmbedKind.DOCUMENT) -> list[bytes]:
    """`embedding_key` of each text."""
    beginning = _key_beginning(model, kind)
    keys = []
    for text in texts:
        digest = beginning.copy()
        digest.update(_framed(text))
        keys.append(digest.digest())
    return keys


@functools.lru_cache(maxsize=64)
def _key_beginning(model: EmbeddingModel, kind: EmbedKind) -> hashlib._Hash:
    """What all keys of a model and a kind have in common. Copied, never updated."""
    digest = hashlib.sha256(b"memoir-embedding\x00")
    for field in (model.name, model.version, kind.value if model.asymmetric else ""):
        digest.update(_framed(field))
    return digest


def _framed(field: str) -> bytes:
    data = field.encode("utf-8", "surrogatepass")
    return len(data).to_bytes(8, "big") + data


def embedding_keys(model: EmbeddingModel, text: str) -> tuple[bytes, ...]:
    """Every key under which a text's vectors may be cached: one, or one per kind for asymmetric models. Used by
    erasure."""
    if not model.asymmetric:
        return (embedding_key(model, text),)
    return tuple(embedding_key(model, text, kind=kind) for kind in EmbedKind)


def encode_vector(vector: Vector) -> bytes:
    """A vector as little-endian float32, four bytes per component: the form of the ledger, the indexes and the
    cache."""
    return vector.astype(_WIRE_TYPE, copy=False).tobytes()


def decode_vector(data: bytes, dimension: int) -> Vector | None:
    """The vector in ``data``, or None when these bytes cannot be a unit vector of ``dimension`` components.

    The check covers length, finite values and norm, so bytes that were cut, zeroed or made by another model of a
    different size never enter a ranking.
    """
    vector = view_vector(data, dimension)
    return None if vector is None else vector.copy()


def view_vector(data: bytes, dimension: int) -> Vector | None:
    """Like `decode_vector`, without a copy: read-only, and `data` lives as long as the vector does."""
    if len(data) != dimension * _BYTES_PER_COMPONENT:
        return None
    vector = np.frombuffer(data, dtype=_WIRE_TYPE).astype(np.float32, copy=False)
    # Damaged bytes may be huge, and their squares infinite: no unit vector either. vdot does not warn of it.
    squared = float(np.vdot(vector, vector))
    # A comparison with NaN is false, so damaged values fail here as well.
    if not abs(squared - 1.0) <= 2 * UNIT_NORM_TOLERANCE:
        return None
    return vector


def view_vectors(entries: Sequence[bytes | None], dimension: int) -> list[Vector | None]:
    """`view_vector` of each entry, all checked at once and copied together; None stays None."""
    size = dimension * _BYTES_PER_COMPONENT
    whole = [(position, entry) for position, entry in enumerate(entries) if entry is not None and len(entry) == size]
    views: list[Vector | None] = [None] * len(entries)
    if whole:
        data = np.frombuffer(b"".join([entry for _, entry in whole]), dtype=_WIRE_TYPE)
        rows = data.astype(np.float32, copy=False).reshape(len(whole), dimension)
        with np.errstate(over="ignore", invalid="ignore"):
            sound = np.abs(np.einsum("ij,ij->i", rows, rows) - 1.0) <= 2 * UNIT_NORM_TOLERANCE
        for (position, _), row, unit in zip(whole, rows, sound.tolist(), strict=True):
            if unit:
                views[position] = row
    return views


def stack_vectors(rows: Sequence[Vector], dimension: int) -> Vectors:
    """Rows as one C-contiguous batch of shape ``(len(rows), dimension)``; no rows give shape ``(0, dimension)``."""
    if not rows:
        return np.empty((0, dimension), dtype=np.float32)
    return np.ascontiguousarray(np.stack(rows), dtype=np.float32)
