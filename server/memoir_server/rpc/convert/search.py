"""Searches and their events."""

from __future__ import annotations

import struct
from typing import Any, Final

import grpc

from memoir.v1 import graph_pb2, search_pb2
from memoir_server.domain.graph import EntityRef, Relation
from memoir_server.domain.search import (
    Completed,
    Fusion,
    Hit,
    HitUpdate,
    Outcome,
    PhaseFailed,
    PhaseHits,
    PhaseReport,
    Recipe,
    SearchEvent,
    SearchResult,
    SearchSpec,
    Started,
    make_search_spec,
)
from memoir_server.rpc.convert.encoded import Encoded, EncodedMemories
from memoir_server.rpc.convert.filter import read_as_of, read_optional_filter
from memoir_server.rpc.convert.memory import read_scope, write_memory
from memoir_server.rpc.convert.time import read_optional_time, read_range, write_duration, write_time
from memoir_server.rpc.errors import STORE_RETRY_SECONDS, Failure, to_status
from memoir_server.service.contexts import BuiltContext

# The wire format of protobuf: a tag is the number of the field and the kind of what follows.
_HITS: Final = search_pb2.SearchMemoriesResponse.HITS_FIELD_NUMBER << 3 | 2
_SCORE_TAG: Final = search_pb2.SearchHit.SCORE_FIELD_NUMBER << 3 | 1
_SCORE: Final = struct.Struct("<Bd")
_FRAME: Final = struct.Struct("<BBB")


def read_spec(spec: Any) -> SearchSpec:
    """A SearchSpec message. Raises FieldInvalid."""
    return make_search_spec(
        query=spec.query,
        scope=read_scope(spec.scope),
        filter=read_optional_filter(spec, "filter", "spec.filter"),
        created=read_range(spec, "create_time_range", "spec"),
        limit=spec.limit,
        min_score=spec.min_score if spec.HasField("min_score") else None,
        recipe=Recipe(spec.recipe) if spec.recipe else Recipe.BALANCED,
        fusion=Fusion(spec.fusion) if spec.fusion else None,
        rerank=spec.rerank,
        graph_depth=spec.graph_depth if spec.HasField("graph_depth") else 1,
        as_of=read_as_of(spec, "spec.as_of"),
        valid_at=read_optional_time(spec, "valid_at", "spec"),
        include_superseded=spec.include_superseded,
        explain=spec.explain,
        min_revision=spec.min_revision,
    )


def encode_result(result: SearchResult, encoded: EncodedMemories | None) -> Encoded:
    """The SearchMemoriesResponse of a unary search: the bytes that the message would serialise to. Memories are whole
    (view FULL) where `encoded` is None, here and below."""
    response = search_pb2.SearchMemoriesResponse(revision=result.revision, search_id=result.search_id)
    for report in result.phases:
        _write_report(response.phases.add(), report)
    pieces = []
    for hit in result.hits:
        body = _encode_hit(hit, encoded)
        size = len(body)
        # A size of two bytes is the rule.
        pieces.append(_FRAME.pack(_HITS, size & 0x7F | 0x80, size >> 7) if 1 << 7 <= size < 1 << 14 else _framed(size))
        pieces.append(body)
    pieces.append(response.SerializeToString())
    return Encoded(b"".join(pieces))


def _encode_hit(hit: Hit, encoded: EncodedMemories | None) -> bytes:
    memory, score, rank_score, parts, relations = hit
    if encoded is None or rank_score or parts or relations:
        message = search_pb2.SearchHit()
        _write_hit(message, hit, encoded)
        return message.SerializeToString()
    known = encoded.hit(memory)
    return known + _SCORE.pack(_SCORE_TAG, score) if score else known


def _framed(size: int) -> bytes:
    """The tag of a hit and its size, seven bits to a byte, the lowest first."""
    frame = bytearray((_HITS,))
    while size >= 1 << 7:
        frame.append(size & 0x7F | 0x80)
        size >>= 7
    frame.append(size)
    return bytes(frame)


def write_context(
    target: search_pb2.BuildContextResponse, built: BuiltContext, encoded: EncodedMemories | None
) -> None:
    """Sets the answer of BuildContext, but for its tokenizer."""
    context = built.context
    target.text = context.text
    target.token_count = context.token_count
    for part in context.parts:
        row = target.parts.add(citation=part.citation, text=part.text, token_count=part.token_count)
        row.memory_ids.extend(part.memory_ids)
        write_time(row.create_time, part.create_time)
    for hit in context.hits:
        _write_hit(target.hits.add(), hit, encoded)
    for report in built.phases:
        _write_report(target.phases.add(), report)
    target.revision = built.revision


def write_event(
    target: search_pb2.StreamSearchMemoriesResponse, event: SearchEvent, encoded: EncodedMemories | None
) -> None:
    """Sets one event of a streaming search, but for its sequence."""
    if isinstance(event, PhaseHits):
        _write_phase_hits(target.phase_hits, event, encoded)
    elif isinstance(event, PhaseFailed):
        _write_report(target.phase_failed, event.report)
    elif isinstance(event, Started):
        target.started.search_id = event.search_id
        target.started.phases.extend(event.phases)  # type: ignore[arg-type]  # the numbers are the contract's
        target.started.revision = event.revision
    else:
        _write_completed(target.completed, event)


def _write_phase_hits(
    target: search_pb2.StreamSearchMemoriesResponse.PhaseHits, event: PhaseHits, encoded: EncodedMemories | None
) -> None:
    _write_report(target.report, event.report)
    for hit in event.new_hits:
        _write_hit(target.new_hits.add(), hit, encoded)
    for update in event.updated_hits:
        row = target.updated_hits.add()
        row.memory_id = update.memory_id
        _write_scores(row, update)
    target.order.extend(event.order)


def _write_completed(target: search_pb2.StreamSearchMemoriesResponse.Completed, event: Completed) -> None:
    target.SetInParent()
    target.order.extend(event.order)
    for report in event.phases:
        _write_report(target.phases.add(), report)
    target.revision = event.revision


def _write_hit(target: search_pb2.SearchHit, hit: Hit, encoded: EncodedMemories | None) -> None:
    if encoded is None:
        write_memory(target.memory, hit.memory, full=True)
    else:
        target.ParseFromString(encoded.hit(hit.memory))
    _write_scores(target, hit)


def _write_scores(target: search_pb2.SearchHit | search_pb2.HitUpdate, scores: Hit | HitUpdate) -> None:
    target.score = scores.score
    target.rank_score = scores.rank_score
    if scores.parts:
        target.parts.update(scores.parts)
    for relation in scores.relations:
        write_relation(target.relations.add(), relation)


def _write_report(target: search_pb2.PhaseReport, report: PhaseReport) -> None:
    target.phase = report.phase  # type: ignore[assignment]
    target.outcome = report.outcome  # type: ignore[assignment]
    write_duration(target.elapsed, report.elapsed_us)
    target.candidates = report.candidates
    if report.outcome in (Outcome.FAILED, Outcome.TIMED_OUT):
        target.error.CopyFrom(to_status(_phase_failure(report)))


def _phase_failure(report: PhaseReport) -> Failure:
    if report.outcome is Outcome.TIMED_OUT:
        return Failure(code=grpc.StatusCode.DEADLINE_EXCEEDED, reason="DEADLINE_EXCEEDED", message=report.error)
    return Failure(
        code=grpc.StatusCode.UNAVAILABLE,
        reason="STORE_UNAVAILABLE",
        message=report.error,
        metadata={"store": report.store},
        retry_after=STORE_RETRY_SECONDS,
    )


def write_relation(target: graph_pb2.Relation, relation: Relation) -> None:
    """Sets a Relation message."""
    target.relation_id = relation.relation_id
    _write_ref(target.subject, relation.subject)
    target.predicate = relation.predicate
    _write_ref(target.object, relation.object)
    target.confidence = relation.confidence
    if relation.valid_from is not None:
        write_time(target.valid_from, relation.valid_from)
    if relation.valid_until is not None:
        write_time(target.valid_until, relation.valid_until)
    target.memory_ids.extend(relation.memory_ids)
    target.source_removed = relation.source_removed


def _write_ref(target: graph_pb2.EntityRef, ref: EntityRef) -> None:
    target.entity_id = ref.entity_id
    target.name = ref.name
    target.type = ref.type
