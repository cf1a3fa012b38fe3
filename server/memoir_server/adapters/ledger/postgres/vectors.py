"""Kept vectors (semantics 12) and kept facts: what a rebuild needs beside the versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.ledger.forms.changing import content_of
from memoir_server.adapters.ledger.forms.encoding import decode_facts
from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, REMOVED, key_of
from memoir_server.adapters.ledger.postgres.adaptation import Bytes, Int8s
from memoir_server.adapters.ledger.postgres.transaction import NamespaceRow, Row, Statement, Transaction
from memoir_server.domain.embedding import EmbeddingModel, encode_vector, view_vector
from memoir_server.domain.graph import MemoryFacts
from memoir_server.domain.mutation import ReadyVectors

_FIND: Final = (
    "SELECT x.content_hash, x.data FROM models m JOIN vectors x ON x.model = m.id "
    "WHERE m.name = %s AND m.version = %s AND m.dimension = %s AND m.asymmetry = %s AND x.ns = %s "
    "AND x.content_hash = ANY(%s)"
)
_NAME: Final = (
    "INSERT INTO models (name, version, dimension, asymmetry) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (name, version, dimension, asymmetry) DO NOTHING"
)
_KEEP: Final = (
    # Only contents that still exist: an erasure that came first must not be undone by a slow embedder. In order of the
    # hashes: two that keep the same ones wait for each other and not for ever.
    "INSERT INTO vectors (ns, content_hash, model, data) SELECT %s, w.hash, m.id, w.data "
    "FROM unnest(%s, %s, %s) AS w (hash, content, data) JOIN models m ON m.name = %s AND m.version = %s "
    "AND m.dimension = %s AND m.asymmetry = %s WHERE EXISTS "
    f"(SELECT FROM versions v WHERE v.ns = %s AND v.content = w.content AND v.gone <> {REMOVED}) ORDER BY w.hash "
    "ON CONFLICT (ns, content_hash, model) DO "
)
_REPLACE: Final = "UPDATE SET data = excluded.data"
_LEAVE: Final = "NOTHING"


def finding(ns: int, content_hashes: Sequence[bytes], model: EmbeddingModel) -> Statement:
    """Kept vectors among those asked for, for `found`."""
    return _FIND, (*_identity(model), ns, Bytes(content_hashes))


def found(rows: Sequence[Row], model: EmbeddingModel) -> dict[bytes, NDArray[np.float32]]:
    """The answer to `finding`; damaged ones count as not kept."""
    decoded = {content_hash: view_vector(data, model.dimension) for content_hash, data in rows}
    return {content_hash: vector for content_hash, vector in decoded.items() if vector is not None}


async def keep(
    transaction: Transaction, ns: int, model: EmbeddingModel, vectors: Mapping[bytes, NDArray[np.float32]]
) -> None:
    """Keeps vectors that were computed here."""
    # An erasure holds the namespace: either it is seen, or it sees what is kept.
    await transaction.fetch("SELECT FROM namespaces WHERE ns = %s FOR KEY SHARE", (ns,))
    _write(transaction, ns, model, vectors, _REPLACE)


async def keep_ready(transaction: Transaction, row: NamespaceRow, ready: ReadyVectors) -> None:
    """Keeps vectors that came with a mutation. What was computed here is not replaced by what a caller sent."""
    if ready.by_content:
        _write(transaction, row.ns, ready.model, ready.by_content, _LEAVE)


def _write(
    transaction: Transaction,
    ns: int,
    model: EmbeddingModel,
    vectors: Mapping[bytes, NDArray[np.float32]],
    otherwise: str,
) -> None:
    transaction.put(_NAME, _identity(model))
    transaction.put(
        _KEEP + otherwise,
        (
            ns,
            Bytes(vectors),
            Int8s(content_of(content_hash) for content_hash in vectors),
            Bytes(encode_vector(vector) for vector in vectors.values()),
            *_identity(model),
            ns,
        ),
    )


def _identity(model: EmbeddingModel) -> tuple[str, str, int, bool]:
    return model.name, model.version, model.dimension, model.asymmetric


def drop_unused(transaction: Transaction, ns: int, content_hashes: Sequence[bytes]) -> None:
    """Drops vectors that no version needs any more."""
    transaction.put(
        "DELETE FROM vectors x USING unnest(%s, %s) AS w (hash, content) WHERE x.ns = %s AND x.content_hash = w.hash "
        "AND NOT EXISTS (SELECT FROM versions v WHERE v.ns = %s AND v.content = w.content)",
        (Bytes(content_hashes), Int8s(content_of(content_hash) for content_hash in content_hashes), ns, ns),
    )


def finding_kept_facts(ns: int) -> Statement:
    """Facts that stayed without their memories, in the order of their versions, for `kept_facts`."""
    return "SELECT facts FROM kept_facts WHERE key BETWEEN %s AND %s ORDER BY key", (
        key_of(ns, 0),
        key_of(ns, MAX_REVISION),
    )


def kept_facts(rows: Sequence[Row]) -> list[MemoryFacts]:
    """The answer to `finding_kept_facts`."""
    return [decode_facts(facts) for (facts,) in rows]
