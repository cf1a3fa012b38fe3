"""Applying actions: folded first, so that an order of requests suffices and each version is written once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final
from uuid import UUID

from weaviate import WeaviateAsyncClient

from memoir_server.adapters.index.weaviate import filters
from memoir_server.adapters.index.weaviate.changes import Changes
from memoir_server.adapters.index.weaviate.connection import STORE, Connection, NothingThere, WeaviateRefused, refusal
from memoir_server.adapters.index.weaviate.filters import Condition
from memoir_server.adapters.index.weaviate.putting import put_objects
from memoir_server.adapters.index.weaviate.schema import (
    EVERYTHING,
    MOST_RESULTS,
    Found,
    entry_object,
    read_result,
    tenant_name,
)
from memoir_server.adapters.index.weaviate.whole import Inspector
from memoir_server.adapters.index.weaviate.wire import searching
from memoir_server.domain.entry import IndexEntry, entry_id
from memoir_server.domain.errors import StoreUnavailable
from memoir_server.domain.memory import NEVER
from memoir_server.ports.index import IndexAction, Put
from memoir_server.ports.projection import Remove, Retire

BATCH: Final = 500
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
    """Writes to one tenant of one collection, and takes down in `changes` what that changes for whom. `removing` is
    told before anything is removed whose it is: a replay would not find out any more."""

    connection: Connection
    collection: str
    namespace: str
    changes: Changes
    removing: Callable[[Changes], Awaitable[None]]

    async def write(self, folded: Folded) -> None:
        """Does all of it. Raises StoreUnavailable, WeaviateRefused for entries that are not taken, and NothingThere
        when the collection is gone."""
        await self._remove(list(folded.removals.items()))
        entries = iter(folded.entries.values())
        while batch := list(islice(entries, BATCH)):
            await self._put(batch)
        await self._retire(list(folded.retirements.items()))

    async def _remove(self, removals: Sequence[tuple[str, int]]) -> None:
        for start in range(0, len(removals), _REMOVALS):
            doomed = filters.either([filters.removed(*removal) for removal in removals[start : start + _REMOVALS]])
            while held := await self._held(doomed):
                for found in _readable(held):
                    self.changes.touch(found.scope)
                    if found.retired == NEVER:
                        self.changes.count(found.scope, found.words, -1)
                await self.removing(self.changes)
                if await self._delete(doomed) < MOST_RESULTS:
                    break

    async def _held(self, condition: Condition) -> list[Found | None]:
        """Entries that meet the condition, as many as one answer may hold. None stands for one that cannot be read, and
        leaves open whose it is."""
        tenant = tenant_name(self.namespace)
        request = searching(self.collection, tenant, condition=condition, limit=MOST_RESULTS, properties=EVERYTHING)
        try:
            answer = await self.connection.ask(lambda wire: wire.search(request))
        except NothingThere:
            return []
        found: list[Found | None] = []
        for result in answer.results:
            try:
                found.append(read_result(result))
            except ValueError:
                self.changes.lose_track()
                found.append(None)
        return found

    async def _delete(self, doomed: Condition) -> int:
        """Deletes what meets the condition, as much as one answer may hold; returns how much."""
        try:
            answer = await self._on_tenant(lambda tenant: tenant.data.delete_many(where=doomed))
        except NothingThere:
            return 0
        if answer.failed:
            raise StoreUnavailable(STORE, f"{answer.failed} of {answer.matches} entries were not deleted")
        return int(answer.successful)

    async def _put(self, batch: Sequence[IndexEntry]) -> None:
        """Puts entries in place of those of the same versions, but for those that are held whole.

        What is held otherwise is deleted first: Weaviate takes an object equal to the one it has as done, but one it
        was killed in the middle of may be stored and lack its place among the vectors.
        """
        for entry in batch:
            self.changes.touch(entry.scope)
        objects = [entry_object(self.namespace, entry) for entry in batch]
        ids = [UUID(str(each.uuid)) for each in objects]
        if held := await self._held(filters.objects(ids)):
            self.changes.repeated()
            whole = await Inspector(self.connection, self.collection, self.namespace).whole(objects)
            left = [place for place, name in enumerate(ids) if name not in whole]
            if len(whole) < len(held):
                await self._delete(filters.objects([ids[place] for place in left]))
            batch, objects = [batch[place] for place in left], [objects[place] for place in left]
            if not batch:
                return
        try:
            refused = await put_objects(self.connection, self.collection, self.namespace, objects)
        except WeaviateRefused as all_of_them:
            raise _refused(batch, range(len(batch)), str(all_of_them)) from all_of_them
        if refused:
            await self.connection.require_ready()
        # Errors of single objects are returned, not raised.
        errors = {index: refusal(said) for index, said in refused.items()}
        for outage in errors.values():
            if not isinstance(outage, WeaviateRefused):
                raise outage
        if errors:
            raise _refused(batch, list(errors), str(next(iter(errors.values()))))
        for entry in batch:
            if entry.retired == NEVER:
                self.changes.count(entry.scope, entry.terms, 1)

    async def _retire(self, retirements: Sequence[tuple[tuple[str, int], int]]) -> None:
        for start in range(0, len(retirements), BATCH):
            await self._retire_batch(dict(retirements[start : start + BATCH]))

    async def _retire_batch(self, retirements: Mapping[tuple[str, int], int]) -> None:
        ids = [entry_id(self.namespace, *version) for version in retirements]
        for found in _readable(await self._held(filters.objects(ids))):
            self.changes.touch(found.scope)
            if found.retired == NEVER and retirements[found.memory_id, found.revision] != NEVER:
                self.changes.count(found.scope, found.words, -1)
            else:
                self.changes.repeated()
        versions = list(retirements.items())
        for start in range(0, len(versions), _AT_ONCE):
            await asyncio.gather(*(self._retire_one(*one) for one in versions[start : start + _AT_ONCE]))

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


def _readable(held: Sequence[Found | None]) -> Iterator[Found]:
    return (found for found in held if found is not None)


def _refused(batch: Sequence[IndexEntry], which: Sequence[int], why: str) -> WeaviateRefused:
    """Names the versions that were not taken, the first few."""
    named = ", ".join(f"{batch[i].memory_id!r} at revision {batch[i].revision}" for i in which[:5])
    return WeaviateRefused(f"{len(which)} of {len(batch)} entries, among them of memory {named}: {why}")
