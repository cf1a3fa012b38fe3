"""The result that the events of a search fold to (semantics 10)."""

from __future__ import annotations

from memoir_server.domain.search import Completed, Hit, PhaseHits, SearchEvent, SearchResult, Started


class Fold:
    """What a client makes of the events of a search. The unary answer must be the same."""

    def __init__(self) -> None:
        self._hits: dict[str, Hit] = {}
        self._search_id = ""

    def add(self, event: SearchEvent) -> SearchResult | None:
        """Takes one event; returns the result on the last."""
        if isinstance(event, Started):
            self._search_id = event.search_id
        elif isinstance(event, PhaseHits):
            for hit in event.new_hits:
                self._hits[hit.memory.memory_id] = hit
            for update in event.updated_hits:
                memory_id, score, rank_score, parts, relations = update
                self._hits[memory_id] = Hit(self._hits[memory_id].memory, score, rank_score, parts, relations)
        elif isinstance(event, Completed):
            return SearchResult(
                hits=tuple(self._hits[memory_id] for memory_id in event.order),
                phases=event.phases,
                revision=event.revision,
                search_id=self._search_id,
            )
        return None
