"""Kept vectors (semantics 12) and kept facts: what a rebuild needs beside the versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import apsw
import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.inserting import in_chunks
from memoir_server.adapters.ledger.sqlite.encoding import decode_facts
from memoir_server.adapters.ledger.sqlite.layout import MAX_REVISION, REMOVED, key_of
from memoir_server.adapters.ledger.sqlite.mutations import content_of
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow, Transaction, Writer
from memoir_server.domain.embedding import EmbeddingModel, encode_vector, view_vector
from memoir_server.domain.graph import MemoryFacts
from memoir_server.domain.mutation import ReadyVectors

Vectors: TypeAlias = Mapping[bytes, NDArray[np.float32]]

_AT_ONCE: Final = 200


class VectorStore:
    """Vectors by content hash and model. Those not yet written are answered from memory."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._unwritten: dict[tuple[int, EmbeddingModel, bytes], bytes] = {}

    def read(
        self, connection: apsw.Connection, row: NamespaceRow, content_hashes: Sequence[bytes], model: EmbeddingModel
    ) -> dict[bytes, NDArray[np.float32]]:
        """Kept vectors among those asked for; damaged ones count as not kept."""
        data: dict[bytes, bytes] = {}
        for start in range(0, len(content_hashes), _AT_ONCE):
            chunk = content_hashes[start : start + _AT_ONCE]
            rows = connection.execute(
                "SELECT x.content_hash, x.data FROM vectors x JOIN models m ON m.id = x.model "
                "WHERE x.ns = ? AND m.name = ? AND m.version = ? AND m.dimension = ? AND m.asymmetric = ? "
                f"AND x.content_hash IN ({', '.join('?' * len(chunk))})",
                (row.ns, model.name, model.version, model.dimension, model.asymmetric, *chunk),
            )
            data.update({bytes(content_hash): vector for content_hash, vector in rows})
        for content_hash in content_hashes:
            unwritten = self._unwritten.get((row.ns, model, content_hash))
            if unwritten is not None:
                data[content_hash] = unwritten
        decoded = {content_hash: view_vector(vector, model.dimension) for content_hash, vector in data.items()}
        return {content_hash: vector for content_hash, vector in decoded.items() if vector is not None}

    def keep(self, row: NamespaceRow, model: EmbeddingModel, vectors: Vectors) -> None:
        """Keeps vectors, written behind."""
        data = {content_hash: encode_vector(vector) for content_hash, vector in vectors.items()}
        for content_hash, vector in data.items():
            self._unwritten[row.ns, model, content_hash] = vector

        def written() -> None:
            for content_hash in data:
                self._unwritten.pop((row.ns, model, content_hash), None)

        def write(transaction: Transaction) -> None:
            transaction.after_commit(written)
            _write(transaction.connection, row.ns, model, data, "INSERT OR REPLACE")

        self._writer.run_lazily(write)


def keep_ready(transaction: Transaction, namespace: str, ready: ReadyVectors) -> None:
    """Keeps vectors that came with a mutation. What was computed here is not replaced by what a caller sent."""
    row = transaction.namespace(namespace)
    if row is not None and ready.by_content:
        data = {content_hash: encode_vector(vector) for content_hash, vector in ready.by_content.items()}
        _write(transaction.connection, row.ns, ready.model, data, "INSERT OR IGNORE")


def _write(
    connection: apsw.Connection, ns: int, model: EmbeddingModel, vectors: Mapping[bytes, bytes], insert: str
) -> None:
    identity = (model.name, model.version, model.dimension, model.asymmetric)
    connection.execute(
        "INSERT OR IGNORE INTO models (name, version, dimension, asymmetric) VALUES (?, ?, ?, ?)", identity
    )
    number = connection.execute(
        "SELECT id FROM models WHERE name = ? AND version = ? AND dimension = ? AND asymmetric = ?", identity
    ).get
    # Only contents that still exist: an erasure that came first must not be undone by a slow embedder.
    rows = [(content_hash, data, content_of(content_hash)) for content_hash, data in vectors.items()]
    for places, values in in_chunks(rows):
        connection.execute(
            f"{insert} INTO vectors (ns, content_hash, model, data) SELECT ?, column1, ?, column2 "
            f"FROM (VALUES {places}) WHERE EXISTS "
            f"(SELECT 1 FROM versions WHERE ns = ? AND content = column3 AND gone <> {REMOVED})",
            (ns, number, *values, ns),
        )


def drop_unused(connection: apsw.Connection, ns: int, content_hashes: Sequence[bytes]) -> None:
    """Drops vectors that no version needs any more."""
    connection.executemany(
        "DELETE FROM vectors WHERE ns = ?1 AND content_hash = ?2 "
        "AND NOT EXISTS (SELECT 1 FROM versions WHERE ns = ?1 AND content = ?3)",
        [(ns, content_hash, content_of(content_hash)) for content_hash in content_hashes],
    )


def kept_facts(connection: apsw.Connection, ns: int) -> list[MemoryFacts]:
    """Facts that stayed without their memories, in the order of their versions."""
    rows = connection.execute(
        "SELECT facts FROM kept_facts WHERE key BETWEEN ? AND ? ORDER BY key", (key_of(ns, 0), key_of(ns, MAX_REVISION))
    )
    return [decode_facts(facts) for (facts,) in rows]
