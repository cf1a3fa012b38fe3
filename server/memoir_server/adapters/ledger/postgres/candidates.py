"""Which namespaces a claim looks at: those that have moved, and now and then all of them.

A look at all of them costs the more the more there are, and there is a claim after every write. A server does the work
of its own commits at once; that of others it finds when they leave it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

from memoir_server.adapters.ledger.postgres.database import Database
from memoir_server.adapters.ledger.postgres.leases import (
    NAMESPACES_AT_ONCE,
    Claimed,
    claimed,
    claiming,
    finding_behind,
)
from memoir_server.adapters.ledger.postgres.watching import Watch
from memoir_server.domain.store import StoreKind
from memoir_server.ports.ledger import Lease, Work

AGAIN_SECONDS: Final = 0.1
"""How often work of this server's commits is asked for that another server has leased."""
_LOOK_SECONDS: Final = 1.0
"""How often all namespaces are looked at: postponed work is due without a word, and so is that of a dead server."""
_SHARE: Final = 0.02
"""Part of the time that such looks take at most."""


class Candidates:
    """Claims of one opening of the ledger for one projection. Lives on the event loop; one claim at a time."""

    def __init__(self, database: Database, watch: Watch, owner: str, store: StoreKind) -> None:
        self._database = database
        self._owner = owner
        self._store = store
        self._moves = watch.follow()
        self._look_at = 0.0
        self._elsewhere: set[str] = set()
        self._left: dict[Lease, set[int] | None] = {}
        """What is left of each lease of the last claim; None where that is not all there is."""

    def of(self, owner: str) -> bool:
        """Whether it belongs to that opening."""
        return self._owner == owner

    @property
    def elsewhere(self) -> bool:
        """Whether another server has what this one has asked for."""
        return bool(self._elsewhere)

    async def claim(self, limit: int) -> list[Claimed]:
        """Leases of namespaces with work, for `limit` changes. Those of the last claim that are not among them are
        given back."""
        loop, moves = asyncio.get_running_loop(), self._moves
        began = loop.time()
        whole = moves.everything or began >= self._look_at
        names, most = moves.names | self._elsewhere | moves.minded, min(limit, NAMESPACES_AT_ONCE)
        if not whole and not names:
            return []
        # What is heard from here on is looked at by the next claim.
        moves.names, moves.everything = set(), False
        try:
            found, behind = await self._ask(most, None if whole else names)
        except BaseException:
            moves.everything = True
            raise
        if whole:
            ended = loop.time()
            self._look_at = ended + max(_LOOK_SECONDS, (ended - began) / _SHARE)
        if len(found) == most:
            # There may be more.
            moves.everything = moves.everything or whole
            moves.names |= names
        moves.minded = {str(each.lease.namespace) for each in found}
        self._elsewhere = behind - moves.minded
        self._left = dict.fromkeys((each.lease for each in found), None)
        return found

    async def _ask(self, most: int, names: Collection[str] | None) -> tuple[list[Claimed], set[str]]:
        """What was claimed, and which of the names have work that was not."""
        rows = await self._database.fetch(*claiming(self._owner, self._store, most, names))
        found = claimed(self._store, rows)
        missing = set(names or ()).difference(str(each.lease.namespace) for each in found)
        if not missing:
            return found, set()
        return found, {name for (name,) in await self._database.fetch(*finding_behind(self._store, missing))}

    def got(self, lease: Lease, work: Sequence[Work]) -> None:
        """That the work is all there was of the lease's namespace."""
        self._left[lease] = {item.change.revision for item in work}

    def ends(self, lease: Lease, revisions: Collection[int]) -> bool:
        """Whether with these revisions all is done that the lease was for, and nothing came since."""
        left = self._left.get(lease)
        if left is None:
            return False
        left.difference_update(revisions)
        return not left and lease.namespace not in self._moves.names and not self._moves.everything

    def ended(self, lease: Lease) -> None:
        """The lease was given back."""
        self._left.pop(lease, None)
        self._moves.minded.discard(str(lease.namespace))
