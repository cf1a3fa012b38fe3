"""The index in Weaviate behind its port."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from memoir_server.adapters.index.weaviate.batches import Batch
from memoir_server.adapters.index.weaviate.connection import (
    STORE,
    Connection,
    Moved,
    NothingThere,
    WeaviateAddress,
    WeaviateRefused,
)
from memoir_server.adapters.index.weaviate.notes import Notes, State
from memoir_server.adapters.index.weaviate.reader import DEEPEST, Reader
from memoir_server.adapters.index.weaviate.schema import tenant_name
from memoir_server.adapters.index.weaviate.stamps import SLOTS, new_stamp
from memoir_server.adapters.index.weaviate.statistics import KnownStatistics
from memoir_server.adapters.index.weaviate.strays import delete_strays
from memoir_server.adapters.index.weaviate.writer import Folded, Writer, fold
from memoir_server.domain.columns import SessionCodes
from memoir_server.domain.consistency import Portion
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.entry import DenseCandidates, KeywordCandidates
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import Scope
from memoir_server.ports.index import NO_REVISIONS, IndexAction, IndexQuery, MemoryIndex, Put
from memoir_server.ports.projection import Held

T = TypeVar("T")

_PREFIX: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,39}")


class WeaviateIndex(MemoryIndex):
    """Vectors and terms in Weaviate, one tenant per namespace, one collection per ledger and model.

    Weaviate has no transactions. Entries are written before the applied revision is, so what a crash cuts short is
    replayed from there, and replaying changes nothing that is done. An `apply` that fails may have been done in part,
    with the applied revision as it was. Of two servers that note applied revisions of one namespace at once the lower
    may stay: then more is replayed.

    Cosines are computed here. Statistics of an owner are counted by the store, and remembered here for as long as a
    stamp in the store says that they hold. Candidates are exact up to the depth as long as a query allows no more than
    40,000 entries, beyond which Weaviate walks its graph of neighbours.

    The server must run with AUTOSCHEMA_ENABLED=false: else a write to a collection that another server has just dropped
    makes one without tenants (semantics 17).

    Args:
        address: Where Weaviate is.
        prefix: Beginning of the names of its collections, a capital followed by letters and digits, at most 40: several
            Memoirs can share a Weaviate.
        seconds: The longest one call to the store may take.

    Raises:
        ValueError: For another prefix or a time not above 0.
    """

    may_return = True

    def __init__(self, address: WeaviateAddress, *, prefix: str = "Memoir", seconds: float = 30.0) -> None:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"prefix={prefix!r}: give a capital followed by letters and digits, at most 40 in all")
        self._statistics = KnownStatistics()
        # A store that was away may have lost the latest of what it had acknowledged.
        self._connection = Connection(address, seconds=seconds, doubted=self._statistics.forget_all)
        self._notes = Notes(self._connection, prefix)
        self._known: State | None = None
        self._sessions: defaultdict[str, SessionCodes] = defaultdict(SessionCodes)
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """Connects and creates what is missing. Raises StoreUnavailable; calls then connect by themselves as soon as
        the store is there."""
        await self._connection.open()
        await self._notes.create()
        await self._refreshed()

    async def close(self) -> None:
        await self._connection.close()

    async def ping(self) -> str:
        meta = await self._connection.call(lambda client: client.get_meta())
        return f"Weaviate {meta['version']}"

    def forget(self) -> None:
        self._statistics.forget_all()

    async def ledger_id(self) -> str:
        return (await self._refreshed()).ledger_id

    async def adopt(self, ledger_id: str) -> None:
        async with self._changing:
            await self._notes.create()
            state = self._notes.adopted(ledger_id)
            await self._note(state)
            await self._notes.drop_other_generations(state)

    async def applied(self, namespace: str) -> int:
        return await self._notes.applied(await self._refreshed(), namespace)

    async def apply(self, namespace: str, actions: Sequence[IndexAction], *, applied: int) -> None:
        """Applies the actions. Raises StoreUnavailable("index", why); ValueError for a vector of another dimension;
        WeaviateRefused for entries the store does not take, the others of the batch being applied."""
        folded = fold(actions)
        async with self._writing[namespace]:
            state = await self._writable(actions)
            try:
                batch = await self._write(state, namespace, folded)
            except NothingThere:
                # Another server has cut over to another collection, or the collection was deleted.
                self._known = None
                state = await self._writable(actions)
                if state.collection:
                    await self._notes.for_entries(state, state.model, state.dimension)
                try:
                    batch = await self._write(state, namespace, folded)
                except NothingThere as gone:
                    raise StoreUnavailable(STORE, f"collection {state.collection!r}: {gone}") from gone
            await batch.written(applied=applied)

    async def keyword(self, namespace: str, terms: Sequence[str], query: IndexQuery) -> KeywordCandidates:
        """Candidates by terms. Raises ValueError for a depth above 9,968, more than the store answers at once."""
        _check_depth(query)
        return await self._read(namespace, lambda reader: reader.keyword(terms, query))

    async def dense(
        self,
        namespace: str,
        vector: NDArray[np.float32],
        query: IndexQuery,
        *,
        also: NDArray[np.int64] = NO_REVISIONS,
    ) -> DenseCandidates:
        """Candidates by vector. Raises ValueError for a vector of another dimension, and for a depth above 9,968."""
        _check_depth(query)
        state = await self._state()
        if state.dimension and vector.shape != (state.dimension,):
            raise ValueError(
                f"query vector has shape {vector.shape}, the index holds vectors of {state.dimension} components"
                f" ({state.model or 'no model named'}); embed the query with the index's model"
            )
        return await self._read(namespace, lambda reader: reader.dense(vector, query, also))

    async def model(self) -> EmbeddingModel | None:
        return (await self._refreshed()).model

    async def set_model(self, model: EmbeddingModel) -> None:
        async with self._changing:
            state = await self._refreshed()
            if state.model == model and state.collection:
                return
            if state.collection and await self._holds_entries(state):
                if state.model is not None:
                    raise ValueError(
                        f"model={model}: the index holds vectors of {state.model}; adopt a ledger first, then re-embed"
                    )
                if state.dimension != model.dimension:
                    raise ValueError(
                        f"model={model} has {model.dimension} components, the index holds vectors of"
                        f" {state.dimension}; adopt a ledger first, then re-embed"
                    )
                await self._note(replace(state, model=model))
                return
            await self._note(await self._notes.for_entries(state, model, model.dimension))
            if state.collection and self._known != state:
                await self._notes.drop_collection(state.collection)

    async def count(self, namespace: str, scope: Scope) -> int:
        return await self._read(namespace, lambda reader: reader.count(scope))

    async def find(self, namespace: str, memory_ids: Sequence[str]) -> Sequence[tuple[str, int]]:
        return await self._read(namespace, lambda reader: reader.find(memory_ids))

    async def scan(self, namespace: str, portion: Portion, *, after: int, limit: int) -> Sequence[Held]:
        return await self._read(namespace, lambda reader: reader.scan(portion, after, limit))

    async def settle(self, namespace: str) -> None:
        """Deletes objects that are no entry, and has all that servers remember of the entries counted again."""
        state = await self._refreshed()
        if state.collection:
            async with self._writing[namespace]:
                await delete_strays(self._connection, state.collection, namespace)
                stamps = {slot: new_stamp() for slot in range(SLOTS + 1)}
                await self._notes.put_stamps(state, namespace, stamps)

    async def drop(self, namespace: str) -> None:
        async with self._writing[namespace]:
            state = await self._refreshed()
            # The note first: entries without it are replaced, a note without entries would hide that they are gone.
            await self._notes.forget(state, namespace)
            if not state.collection:
                return
            try:
                await self._connection.call(
                    lambda client: client.collections.get(state.collection).tenants.remove([tenant_name(namespace)])
                )
                await self._notes.forget_stamps(state, namespace)
            except NothingThere:
                return

    async def _state(self) -> State:
        return self._known or await self._refreshed()

    async def _refreshed(self) -> State:
        """The state as it is noted; another server may have changed it."""
        self._known = await self._notes.state()
        return self._known

    async def _note(self, state: State) -> None:
        # Whether a note that failed was taken is not known: the next call looks.
        self._known = None
        await self._notes.put_state(state)
        self._known = state

    async def _read(self, namespace: str, read: Callable[[Reader], Awaitable[T]]) -> T:
        """Reads from the index's collection, and once more if that turns out to be another one by now."""
        try:
            return await read(await self._reader(namespace))
        except Moved:
            pass
        try:
            return await read(await self._reader(namespace))
        except Moved as again:
            raise StoreUnavailable(STORE, "its collection changes while it is read") from again

    async def _reader(self, namespace: str) -> Reader:
        state = await self._state()

        async def noted() -> str:
            return (await self._refreshed()).collection

        async def stamp(slot: int) -> str:
            return (await self._notes.stamps(state.collection, namespace, [slot])).get(slot, "")

        return Reader(
            connection=self._connection,
            collection=state.collection,
            namespace=namespace,
            sessions=self._sessions[namespace],
            noted=noted,
            stamp=stamp,
            known=self._statistics,
        )

    async def _writable(self, actions: Sequence[IndexAction]) -> State:
        """The state with a collection for the actions' vectors. Raises ValueError where they do not fit."""
        state = await self._state()
        if not state.collection:
            state = await self._refreshed()
        dimension = state.dimension
        for action in actions:
            if not isinstance(action, Put):
                continue
            shape = action.entry.vector.shape
            dimension = dimension or (shape[0] if shape else 0)
            if shape != (dimension,):
                raise ValueError(
                    f"entry of memory {action.entry.memory_id!r} at revision {action.entry.revision}: its vector has"
                    f" shape {shape}, the index holds vectors of {dimension} components"
                    f" ({state.model or 'no model named'}); embed it with the index's model"
                )
        if state.collection or not dimension:
            return state
        async with self._changing:
            state = await self._refreshed()
            if not state.collection:
                await self._note(await self._notes.for_entries(state, state.model, dimension))
        return await self._state()

    async def _write(self, state: State, namespace: str, folded: Folded) -> Batch:
        batch = Batch(self._notes, self._statistics, state, namespace)
        if state.collection:
            writer = Writer(self._connection, state.collection, namespace, batch.changes, batch.removing)
            try:
                await writer.write(folded)
            except WeaviateRefused:
                await batch.refused()
                raise
        return batch

    async def _holds_entries(self, state: State) -> bool:
        try:
            tenants = await self._connection.call(lambda client: client.collections.get(state.collection).tenants.get())
            for name in tenants:
                answer = await self._connection.call(
                    lambda client, name=name: (
                        client.collections.get(state.collection)  # type: ignore[misc]
                        .with_tenant(name)
                        .aggregate.over_all(total_count=True)
                    )
                )
                if answer.total_count:
                    return True
        except NothingThere:
            pass
        return False


def _check_depth(query: IndexQuery) -> None:
    if query.depth > DEEPEST:
        raise ValueError(f"depth={query.depth}: the store answers with fewer; give at most {DEEPEST}")
