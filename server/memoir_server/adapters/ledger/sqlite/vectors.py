"""Kept vectors (semantics 12) and kept facts: what a rebuild needs beside the versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import apsw
import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.inserting import in_chunks, insert_rows
from memoir_server.adapters.ledger.forms.changing import content_of
from memoir_server.adapters.ledger.forms.encoding import decode_facts
from memoir_server.adapters.ledger.forms.layout import MAX_REVISION, REMOVED, key_of
from memoir_server.adapters.ledger.sqlite.writer import NamespaceRow, Transaction, Writer
from memoir_server.domain.embedding import EmbeddingModel, encode_vector, view_vector, view_vectors
from memoir_server.domain.graph import MemoryFacts
from memoir_server.domain.mutation import ReadyVectors

Vectors: TypeAlias = Mapping[bytes, NDArray[np.float32]]

_AT_ONCE: Final = 200
_HANDED_BYTES: Final = 16_777_216
"""Most that vectors take which the projector has yet to ask for."""


class VectorStore:
    """Vectors by content hash and model. Those not yet written are answered from memory."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._unwritten: dict[tuple[int, EmbeddingModel, bytes], bytes] = {}
        self._handed: dict[tuple[int, EmbeddingModel, bytes], bytes] = {}
        self._handed_bytes = 0

    def keep_ready(self, transaction: Transaction, namespace: str, ready: ReadyVectors, made: Sequence[bytes]) -> None:
        """Keeps vectors that came with a mutation, which made versions with the contents `made`. What was computed here
        is not replaced by what a caller sent."""
        row = transaction.namespace(namespace)
        if row is None:
            return
        data = {content_hash: encode_vector(vector) for content_hash, vector in ready.by_content.items()}
        new = {content_hash: data.pop(content_hash) for content_hash in dict.fromkeys(made) if content_hash in data}
        if new:
            number = _model_number(transaction.connection, ready.model)
            before = transaction.connection.total_changes()
            insert_rows(
                transaction.connection,
                "INSERT OR IGNORE INTO vectors (ns, content_hash, model, data)",
                [(row.ns, content_hash, number, vector) for content_hash, vector in new.items()],
            )
            # All of them are what the file has, or none is handed over.
            if transaction.connection.total_changes() - before == len(new):
                transaction.after_commit(lambda: self._hand_over(row.ns, ready.model, new))
        if data:
            _write(transaction.connection, row.ns, ready.model, data, "INSERT OR IGNORE")

    def _hand_over(self, ns: int, model: EmbeddingModel, data: Mapping[bytes, bytes]) -> None:
        """Holds what the projector will ask for in a moment; the oldest go first when there is no room."""
        for content_hash, vector in data.items():
            self._let_go((ns, model, content_hash))
            self._handed[ns, model, content_hash] = vector
            self._handed_bytes += len(vector)
        while self._handed_bytes > _HANDED_BYTES:
            self._let_go(next(iter(self._handed)))

    def _let_go(self, key: tuple[int, EmbeddingModel, bytes]) -> bytes | None:
        vector = self._handed.pop(key, None)
        if vector is not None:
            self._handed_bytes -= len(vector)
        return vector

    def take(
        self, row: NamespaceRow, content_hashes: Sequence[bytes], model: EmbeddingModel
    ) -> dict[bytes, NDArray[np.float32]]:
        """What was handed over with a commit, once; the file has it from then on. On the event loop."""
        if not self._handed:
            return {}
        data = [self._let_go((row.ns, model, content_hash)) for content_hash in content_hashes]
        vectors = view_vectors(data, model.dimension)
        return {
            content_hash: vector
            for content_hash, vector in zip(content_hashes, vectors, strict=True)
            if vector is not None
        }

    def forget(self) -> None:
        """Something was erased: nothing of it may stay here."""
        self._handed.clear()
        self._handed_bytes = 0

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


def _write(
    connection: apsw.Connection, ns: int, model: EmbeddingModel, vectors: Mapping[bytes, bytes], insert: str
) -> None:
    number = _model_number(connection, model)
    # Only contents that still exist: an erasure that came first must not be undone by a slow embedder.
    rows = [(content_hash, data, content_of(content_hash)) for content_hash, data in vectors.items()]
    for places, values in in_chunks(rows):
        connection.execute(
            f"{insert} INTO vectors (ns, content_hash, model, data) SELECT ?, column1, ?, column2 "
            f"FROM (VALUES {places}) WHERE EXISTS "
            f"(SELECT 1 FROM versions WHERE ns = ? AND content = column3 AND gone <> {REMOVED})",
            (ns, number, *values, ns),
        )


def _model_number(connection: apsw.Connection, model: EmbeddingModel) -> int:
    identity = (model.name, model.version, model.dimension, model.asymmetric)
    query = "SELECT id FROM models WHERE name = ? AND version = ? AND dimension = ? AND asymmetric = ?"
    found = connection.execute(query, identity).get
    if found is None:
        connection.execute("INSERT INTO models (name, version, dimension, asymmetric) VALUES (?, ?, ?, ?)", identity)
        found = connection.last_insert_rowid()
    return int(found)


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
