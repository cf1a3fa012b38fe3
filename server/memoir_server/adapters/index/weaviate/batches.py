"""What surrounds the writing of one batch: stamps before and after, and how far the namespace has come."""

from __future__ import annotations

import asyncio

from memoir_server.adapters.index.weaviate.changes import Changes
from memoir_server.adapters.index.weaviate.notes import Notes, State
from memoir_server.adapters.index.weaviate.stamps import new_stamp, open_stamp, slot_of, slots_of
from memoir_server.adapters.index.weaviate.statistics import KnownStatistics, Owner


class Batch:
    """One batch of changes to a namespace. While it lasts nobody else may write there: that is what leases are for.

    Attributes:
        changes: What the batch changes; to be filled in by who writes it.
    """

    def __init__(self, notes: Notes, known: KnownStatistics, state: State, namespace: str) -> None:
        self.changes = Changes()
        self._notes = notes
        self._known = known
        self._state = state
        self._namespace = namespace
        self._before: dict[int, str] = {}
        """Stamps that were there before this batch changed them."""

    async def removing(self, changes: Changes) -> None:
        """Before entries are removed: their users' stamps vouch for nothing until the end, however it comes. A batch
        that is repeated does not find out whose they were."""
        slots = slots_of(changes) - self._before.keys()
        if slots:
            held = await self._notes.stamps(self._state.collection, self._namespace, slots)
            self._before.update({slot: held.get(slot, "") for slot in slots})
            await self._notes.put_stamps(self._state, self._namespace, {slot: open_stamp() for slot in slots})

    async def written(self, *, applied: int) -> None:
        """All of it is written: changes the stamps and notes the applied revision where it is larger."""
        stamps = {slot: new_stamp() for slot in slots_of(self.changes)}
        movable = self._movable()
        asked = {slot_of(owner.scope) for owner in movable} - self._before.keys()
        held, noted = await asyncio.gather(
            self._notes.stamps(self._state.collection, self._namespace, asked),
            self._notes.applied(self._state, self._namespace),
        )
        if applied > noted:
            await self._notes.put_applied(self._state, self._namespace, applied, stamps)
        else:
            await self._notes.put_stamps(self._state, self._namespace, stamps)
        before = {**held, **self._before}
        for owner in movable:
            slot = slot_of(owner.scope)
            self._known.move(owner, before.get(slot, ""), stamps[slot], self.changes.of(owner.scope))

    async def refused(self) -> None:
        """Some of it is written, and the rest will not be."""
        self.changes.repeated()
        stamps = {slot: new_stamp() for slot in slots_of(self.changes)}
        await self._notes.put_stamps(self._state, self._namespace, stamps)

    def _movable(self) -> list[Owner]:
        """Of whom something is remembered that only needs to be brought up to date."""
        if not self.changes.exact:
            return []
        collection, namespace = self._state.collection, self._namespace
        owners = (Owner(collection, namespace, scope) for scope in self.changes.owners())
        return [owner for owner in owners if self._known.knows(owner)]
