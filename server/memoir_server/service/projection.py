"""From changes of the ledger to actions on the projections. Pure; the projector carries them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.analysis import analyse
from memoir_server.domain.change import EventType
from memoir_server.domain.entry import describe
from memoir_server.domain.graph import facts_of
from memoir_server.domain.making import maker
from memoir_server.domain.memory import Memory
from memoir_server.ports.graph import GraphAction, PutFacts
from memoir_server.ports.index import IndexAction, Put
from memoir_server.ports.ledger import Work
from memoir_server.ports.projection import Remove, Retire

_make_put = maker(Put)
_REPLACES = (EventType.UPDATED, EventType.SUPERSEDED)


def versions_to_embed(work: Sequence[Work]) -> list[Memory]:
    """Versions that will get an index entry."""
    return [item.change.after for item in work if item.live and item.change.after is not None]


def index_actions(work: Sequence[Work], vectors: Mapping[bytes, NDArray[np.float32]]) -> list[IndexAction]:
    """Actions for the index, in order. `vectors` holds one for each content hash of `versions_to_embed`."""
    actions: list[IndexAction] = []
    for item in work:
        after = item.change.after
        if item.live and after is not None:
            actions.append(
                _make_put(
                    describe(
                        after,
                        terms=analyse(after.indexed_text),
                        vector=vectors[after.content_hash],
                        retired=item.retired,
                    )
                )
            )
        if item.change.type is not EventType.CREATED:
            actions.extend(_endings(item))
    return actions


def graph_actions(work: Sequence[Work]) -> list[GraphAction]:
    """Actions for the graph, in order. Versions that state nothing leave no trace there, and nothing is to be ended."""
    actions: list[GraphAction] = []
    for item in work:
        after = item.change.after
        if item.live and after is not None and _states_something(after):
            actions.append(PutFacts(facts_of(after), retired=item.retired))
        if item.change.keep_facts and item.change.before is not None:
            # A graph that comes late (it was down, lost, or an old copy) never saw the version whose relations stay.
            actions.append(PutFacts(facts_of(item.change.before), source_removed=True))
        if _facts_taken_away(item):
            actions.append(_unlinked(item))
        elif item.change.type.removes or _states_something(item.change.before):
            actions.extend(_endings(item))
    return actions


def _states_something(memory: Memory | None) -> bool:
    return memory is not None and bool(memory.entities or memory.relations)


def _facts_taken_away(item: Work) -> bool:
    """An update by a reset is one with keep_vector: the facts of earlier versions go too."""
    return item.change.type is EventType.UPDATED and bool(item.change.origin.reset_id)


def _unlinked(item: Work) -> Remove:
    return Remove(item.change.memory_id, upto=item.change.revision, spare_kept=True)


def _endings(item: Work) -> list[Retire | Remove]:
    change = item.change
    if change.type.removes:
        # What an earlier memory with the same id has left in the graph goes only when that is what is removed.
        spare = change.before is not None
        return [Remove(change.memory_id, change.revision, keep_relations=change.keep_facts, spare_kept=spare)]
    if change.type in _REPLACES and change.before is not None and item.live:
        return [Retire(change.memory_id, change.before.revision, change.revision)]
    return []
