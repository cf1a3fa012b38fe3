"""Applying actions: folded first, so that an order of requests suffices and each version is written once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final
from uuid import UUID

from weaviate import WeaviateAsyncClient
from weaviate.collections import CollectionAsync

from memoir_server.adapters.index.weaviate import filters
from memoir_server.adapters.index.weaviate.connection import STORE, Connection, NothingThere, WeaviateRefused, refusal
from memoir_server.adapters.index.weaviate.filters import Condition
from memoir_server.adapters.index.weaviate.schema import MOST_RESULTS, entry_object, read_object, tenant_name
from memoir_server.domain.entry import IndexEntry, entry_id
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.ports.index import IndexAction, Put
from memoir_server.ports.projection import Remove, Retire

BATCH: Final = 200
"""Entries per request."""
_REMOVALS: Final = 100
"""Memories one deletion names."""
_AT_ONCE: Final = 8
"""Retirements under way."""


@dataclass(slots=True)
class Folded:
    """Actions as what is left to do, in this order: removals, then entries, then retirements of entries held."""

    removals: dict[str, int] = field(default_factory=dict)
    entries: dict[tuple[str, int], IndexEntry] = field(default_factory=dict)
    retirements: dict[tuple[str, int], int] = field(default_factory=dict)


def fold(actions: Sequence[IndexAction]) -> Folded:
    """What the actions amount to, applied in their order."""
    folded = Folded()
    for action in actions:
        if isinstance(action, Put):
            key = action.entry.memory_id, action.entry.revision
            folded.entries[key] = action.entry
            folded.retirements.pop(key, None)
        elif isinstance(action, Retire):
            key = action.memory_id, action.revision
            if key in folded.entries:
                folded.entries[key] = replace(folded.entries[key], retired=action.retired)
            else:
                folded.retirements[key] = action.retired
        elif isinstance(action, Remove):
            _remove(folded, action)
    return folded


def _remove(folded: Folded, action: Remove) -> None:
    folded.removals[action.memory_id] = max(action.upto, folded.removals.get(action.memory_id, 0))
    for gone in [k for k in folded.entries if k[0] == action.memory_id and k[1] <= action.upto]:
        del folded.entries[gone]
    for gone in [k for k in folded.retirements if k[0] == action.memory_id and k[1] <= action.upto]:
        del folded.retirements[gone]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes to one tenant of one collection."""

    connection: Connection
    collection: str
    namespace: str

    async def write(self, folded: Folded) -> None:
        """Does all of it. Raises StoreUnavailable, WeaviateRefused for entries that are not taken, and NothingThere
        when the collection is gone."""
        await self._remove(list(folded.removals.items()))
        entries = iter(folded.entries.values())
        while batch := list(islice(entries, BATCH)):
            await self._put(batch)
        await self._retire(list(folded.retirements.items()))

    async def delete_strays(self) -> None:
        """Deletes objects that are no entry of this namespace: their id is not that of the version they speak of."""
        after: UUID | None = None
        while True:

            def page(tenant: CollectionAsync[Any, Any], after: UUID | None = after) -> Any:
                return tenant.query.fetch_objects(limit=1_000, after=after)

            try:
                items = (await self._on_tenant(page)).objects
            except NothingThere:
                return
            for item in items:
                if self._stray(item):
                    await self._on_tenant(lambda tenant, stray=item.uuid: tenant.data.delete_by_id(stray))
            if not items:
                return
            after = items[-1].uuid

    def _stray(self, item: Any) -> bool:
        try:
            found = read_object(item)
        except ValueError:
            return True
        return found.object_id != entry_id(self.namespace, found.memory_id, found.revision)

    async def _remove(self, removals: Sequence[tuple[str, int]]) -> None:
        for start in range(0, len(removals), _REMOVALS):
            doomed = filters.either([filters.removed(*removal) for removal in removals[start : start + _REMOVALS]])
            await self._delete(doomed)

    async def _delete(self, doomed: Condition) -> None:
        """Deletes what meets the condition; one request deletes no more than one answer may hold."""
        while True:
            try:
                answer = await self._on_tenant(lambda tenant: tenant.data.delete_many(where=doomed))
            except NothingThere:
                return
            if answer.failed:
                raise StoreUnavailable(STORE, f"{answer.failed} of {answer.matches} entries were not deleted")
            if answer.successful < MOST_RESULTS:
                return

    async def _put(self, batch: Sequence[IndexEntry]) -> None:
        """Puts entries in place of those of the same versions.

        What is held is deleted first: Weaviate takes an object equal to the one it has as done, but one it was killed
        in the middle of may be stored and lack its place among the vectors.
        """
        objects = [entry_object(self.namespace, entry) for entry in batch]
        ids = [entry_id(self.namespace, entry.memory_id, entry.revision) for entry in batch]
        await self._delete(filters.objects(ids))
        try:
            answer = await self._on_tenant(lambda tenant: tenant.data.insert_many(objects))
        except WeaviateRefused as all_of_them:
            raise _refused(batch, range(len(batch)), str(all_of_them)) from all_of_them
        if answer.errors:
            await self.connection.require_ready()
        # Errors of single objects are returned, not raised.
        errors = {index: refusal(error.message) for index, error in answer.errors.items()}
        for outage in errors.values():
            if not isinstance(outage, WeaviateRefused):
                raise outage
        if errors:
            raise _refused(batch, list(errors), str(next(iter(errors.values()))))

    async def _retire(self, retirements: Sequence[tuple[tuple[str, int], int]]) -> None:
        for start in range(0, len(retirements), _AT_ONCE):
            await asyncio.gather(*(self._retire_one(*one) for one in retirements[start : start + _AT_ONCE]))

    async def _retire_one(self, version: tuple[str, int], retired: int) -> None:
        name = entry_id(self.namespace, *version)
        try:
            await self._on_tenant(lambda tenant: tenant.data.update(uuid=name, properties={"retired": retired}))
        except NothingThere:
            return

    async def _on_tenant(self, work: Any) -> Any:
        def on_tenant(client: WeaviateAsyncClient) -> Any:
            return work(client.collections.get(self.collection).with_tenant(tenant_name(self.namespace)))

        return await self.connection.call(on_tenant)


def _refused(batch: Sequence[IndexEntry], which: Sequence[int], why: str) -> WeaviateRefused:
    """Names the versions that were not taken, the first few."""
    named = ", ".join(f"{batch[i].memory_id!r} at revision {batch[i].revision}" for i in which[:5])
    return WeaviateRefused(f"{len(which)} of {len(batch)} entries, among them of memory {named}: {why}")
