"""Actions in few steps: a statement costs a round trip, and most actions do not depend on their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from memoir_server.ports.graph import GraphAction, PutFacts
from memoir_server.ports.projection import Remove, Retire


@dataclass(slots=True)
class Change:
    """Versions to retire, then versions to put, by revision."""

    retired: dict[tuple[str, int], Retire] = field(default_factory=dict)
    put: dict[int, PutFacts] = field(default_factory=dict)

    def add(self, action: PutFacts | Retire) -> None:
        """Takes up an action that comes after all taken up so far."""
        if isinstance(action, PutFacts):
            # It replaces the version whole: that this one may be retired first makes no difference.
            self.put[action.facts.revision] = action
            return
        put = self.put.get(action.revision)
        if put is None:
            self.retired[action.memory_id, action.revision] = action
        elif put.facts.memory_id == action.memory_id and not put.source_removed:
            self.put[action.revision] = replace(put, retired=action.retired)


@dataclass(slots=True)
class Removal:
    """Removals that do not touch each other, by memory; all keep the relations or none does, and all spare those kept
    before or none does."""

    keep_relations: bool
    spare_kept: bool
    upto: dict[str, int] = field(default_factory=dict)


Step: TypeAlias = Change | Removal


def steps(actions: Sequence[GraphAction]) -> Iterator[Step]:
    """The actions as steps that, one after another, have the same effect."""
    current: Step = Change()
    for action in actions:
        if isinstance(action, Remove):
            if (
                not isinstance(current, Removal)
                or current.keep_relations != action.keep_relations
                or current.spare_kept != action.spare_kept
                or action.memory_id in current.upto
            ):
                yield current
                current = Removal(action.keep_relations, action.spare_kept)
            current.upto[action.memory_id] = action.upto
        else:
            if not isinstance(current, Change):
                yield current
                current = Change()
            current.add(action)
    yield current
