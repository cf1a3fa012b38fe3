"""Which batches the graph has to hear of."""

from __future__ import annotations

from collections.abc import Sequence

from memoir_server.ports.graph import GraphAction


class Telling:
    """Most memories state nothing, and a transaction of a graph costs more than all else that is done for one.

    A batch that says nothing is kept from the graph, but for the first after one that said something: it notes how far
    the graph has come, past everything that is in it, by which it is found out when a ledger is restored from an older
    copy. So the note may stay behind the ledger. A replay from there leaves out what says nothing, and costs no more
    than finding that out.
    """

    def __init__(self) -> None:
        self._owed: set[str] = set()
        """Namespaces whose last batch said something."""

    def needed(self, namespace: str, actions: Sequence[GraphAction]) -> bool:
        """Whether the graph is to apply these actions, be they none."""
        if actions:
            self._owed.add(namespace)
            return True
        if namespace in self._owed:
            self._owed.discard(namespace)
            return True
        return False
