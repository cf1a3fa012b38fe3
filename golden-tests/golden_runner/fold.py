"""The fold of a search stream, written from the contract alone: what the unary answer must be equal to."""

from collections.abc import Iterable

from memoir.v1.search_pb2 import SearchHit, SearchMemoriesResponse, StreamSearchMemoriesResponse


class StreamInvalid(Exception):
    """The events of a search stream break its grammar; the message says where."""


def fold(events: Iterable[StreamSearchMemoriesResponse]) -> SearchMemoriesResponse:
    """Fold the events of one search into its unary answer.

    Raises `StreamInvalid` when they break the grammar of the stream.
    """
    hits: dict[str, SearchHit] = {}
    answer = SearchMemoriesResponse()
    planned: list[int] = []
    is_complete = False
    for number, event in enumerate(events, start=1):
        kind = event.WhichOneof("event")
        if event.sequence != number:
            raise StreamInvalid(f"event {number} has the sequence {event.sequence}")
        if (kind == "started") != (number == 1) or is_complete:
            raise StreamInvalid(f"event {number} is {kind}")
        if kind == "started":
            answer.search_id = event.started.search_id
            planned = list(event.started.phases)
        elif kind == "phase_hits":
            _phase(planned, event.phase_hits.report.phase)
            _apply(hits, event.phase_hits)
        elif kind == "phase_failed":
            _phase(planned, event.phase_failed.phase)
        elif kind == "completed":
            if planned:
                raise StreamInvalid(f"completed before the phases {planned}")
            is_complete = True
            answer.revision = event.completed.revision
            answer.phases.extend(event.completed.phases)
            missing = [memory_id for memory_id in event.completed.order if memory_id not in hits]
            if missing:
                raise StreamInvalid(f"the final order names memories without a body: {missing}")
            answer.hits.extend(hits[memory_id] for memory_id in event.completed.order)
    if not is_complete:
        raise StreamInvalid("the stream ended before completed")
    return answer


def _phase(planned: list[int], phase: int) -> None:
    if not planned or planned.pop(0) != phase:
        raise StreamInvalid(f"phase {phase} came out of the declared order")


def _apply(hits: dict[str, SearchHit], phase: StreamSearchMemoriesResponse.PhaseHits) -> None:
    for hit in phase.new_hits:
        if hit.memory.memory_id in hits:
            raise StreamInvalid(f"the body of {hit.memory.memory_id} was sent twice")
        hits[hit.memory.memory_id] = SearchHit()
        hits[hit.memory.memory_id].CopyFrom(hit)
    for update in phase.updated_hits:
        if update.memory_id not in hits:
            raise StreamInvalid(f"an update of {update.memory_id} came before its body")
        hit = hits[update.memory_id]
        hit.score, hit.rank_score = update.score, update.rank_score
        hit.ClearField("parts")
        hit.parts.update(update.parts)
        hit.ClearField("relations")
        hit.relations.extend(update.relations)
    unknown = [memory_id for memory_id in phase.order if memory_id not in hits]
    if unknown:
        raise StreamInvalid(f"a provisional order names memories without a body: {unknown}")
