"""What a batch of actions changes in the statistics of owners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from memoir_server.adapters.index.weaviate.statistics import Statistics
from memoir_server.domain.memory import Scope


@dataclass(slots=True)
class _Difference:
    documents: int = 0
    length: int = 0
    frequency: Counter[str] = field(default_factory=Counter)


class Changes:
    """Entries that became current or ceased to be, added up by the owner they are of.

    Attributes:
        users: Whose entries were touched, even if nothing was counted.
        anybody: Whether entries were touched without it being known whose.
        exact: Whether what was counted is the whole difference to the statistics of before. Something that was done
            already, by an attempt that did not get to its end, is part of no statistics or of all; nobody knows.
    """

    def __init__(self) -> None:
        self.users: set[str | None] = set()
        self.anybody = False
        self.exact = True
        self._owners: dict[Scope, _Difference] = {}

    def touch(self, scope: Scope) -> None:
        """An entry of the scope is about to be written or removed."""
        self.users.add(scope.user_id)

    def count(self, scope: Scope, terms: Sequence[str], by: int) -> None:
        """An entry with these terms becomes current (`by` 1) or ceases to be (-1)."""
        owner = self._owners.setdefault(scope.owner, _Difference())
        owner.documents += by
        owner.length += by * len(terms)
        for term in set(terms):
            owner.frequency[term] += by

    def repeated(self) -> None:
        """Something was found done."""
        self.exact = False

    def lose_track(self) -> None:
        """An entry was touched that does not say whose it is."""
        self.anybody, self.exact = True, False

    def owners(self) -> Iterator[Scope]:
        """The owner scopes whose statistics the changes are part of, each once."""
        seen: set[Scope] = set()
        for owner in self._owners:
            for scope in (owner, Scope(owner.user_id), Scope(agent_id=owner.agent_id), Scope()):
                if scope not in seen:
                    seen.add(scope)
                    yield scope

    def of(self, scope: Scope) -> Statistics:
        """The differences in the statistics of an owner scope."""
        total = _Difference()
        for owner, difference in self._owners.items():
            if scope.covers(owner):
                total.documents += difference.documents
                total.length += difference.length
                total.frequency.update(difference.frequency)
        return Statistics(total.documents, total.length, total.frequency)
