"""The methods of the memory service that a language model has a part in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from google.rpc.code_pb2 import ABORTED  # type: ignore[import-untyped]

from memoir.v1 import common_pb2
from memoir.v1 import memory_pb2 as pb
from memoir_server.domain.conversation import AddMode
from memoir_server.domain.inference.usage import Usage
from memoir_server.domain.ingestion import IngestionState
from memoir_server.domain.store import Durability
from memoir_server.ports.ingestions import IngestionPosition
from memoir_server.rpc.convert.inferred import write_dropped, write_inferred, write_usage
from memoir_server.rpc.convert.memory import read_message, read_metadata, read_scope, write_scope
from memoir_server.rpc.convert.time import write_time
from memoir_server.rpc.incoming import Incoming
from memoir_server.rpc.paging import page_size, parameters_of
from memoir_server.rpc.tokens import IngestionToken, Tokens
from memoir_server.service.inferred import decode_inferred
from memoir_server.service.inferring import Inferring
from memoir_server.service.ingesting import Ingested, Ingesting


class InferenceMethods:
    """AddMemories in mode INFER, and what has become of accepted work. `page_bytes` bounds the size of a page."""

    def __init__(self, inferring: Inferring, ingesting: Ingesting, tokens: Tokens, *, page_bytes: int) -> None:
        self._inferring = inferring
        self._ingesting = ingesting
        self._tokens = tokens
        self._page_bytes = page_bytes

    async def add(self, request: pb.AddMemoriesRequest, incoming: Incoming) -> pb.AddMemoriesResponse:
        """AddMemories."""
        call = incoming.mutating(request, request.durability)
        order = self._inferring.order(
            incoming.namespace,
            read_scope(request.scope),
            [read_message(m, f"messages[{i}]") for i, m in enumerate(request.messages)],
            metadata=read_metadata(request.metadata, "metadata"),
            instruction=request.instruction,
        )
        if call.durability is Durability.ACCEPTED and not request.validate_only:
            ingestion = await self._ingesting.accept(order, call)
            return pb.AddMemoriesResponse(
                revision=ingestion.revision,
                durability=common_pb2.DURABILITY_ACCEPTED,
                mode=pb.ADD_MODE_INFER,
                ingestion_id=ingestion.ingestion_id,
            )
        inferred = await self._inferring.add(order, call, validate_only=request.validate_only)
        response = pb.AddMemoriesResponse(
            revision=inferred.revision,
            durability=cast("common_pb2.Durability", int(inferred.durability)),
            mode=pb.ADD_MODE_INFER if inferred.mode is AddMode.INFER else pb.ADD_MODE_VERBATIM,
        )
        write_usage(response.usage, inferred.usage)
        write_inferred(response.changes, incoming.namespace, inferred.items)
        write_dropped(response.dropped, inferred.dropped)
        return response

    async def get_ingestion(self, request: pb.GetIngestionRequest, incoming: Incoming) -> pb.GetIngestionResponse:
        """GetIngestion."""
        response = pb.GetIngestionResponse()
        _write_ingestion(response.ingestion, await self._ingesting.get(incoming.namespace, request.ingestion_id))
        return response

    async def list_ingestions(self, request: pb.ListIngestionsRequest, incoming: Incoming) -> pb.ListIngestionsResponse:
        """ListIngestions."""
        size = page_size(request.page_size)
        text, parameters = parameters_of(request, incoming)
        place = self._tokens.decode(text, IngestionToken, parameters, field="page_token") if text else None
        found = await self._ingesting.list(
            incoming.namespace,
            read_scope(request.scope),
            [IngestionState(state) for state in request.states],
            after=IngestionPosition(place.create_time, place.ingestion_id) if place else None,
            limit=size + 1,
        )
        response = pb.ListIngestionsResponse()
        shown = self._write_page(response.ingestions, found[:size])
        if shown < len(found):
            last = found[shown - 1].ingestion
            response.next_page_token = self._tokens.encode(
                IngestionToken(parameters, last.create_time, last.ingestion_id)
            )
        return response

    def _write_page(self, ingestions: Any, found: Sequence[Ingested]) -> int:
        """Writes what fits, at least one; returns how many."""
        room = self._page_bytes
        for shown, ingested in enumerate(found):
            message = ingestions.add()
            _write_ingestion(message, ingested)
            room -= message.ByteSize()
            if room < 0 and shown:
                del ingestions[-1]
                return shown
        return len(found)


def _write_ingestion(target: pb.Ingestion, ingested: Ingested) -> None:
    ingestion = ingested.ingestion
    inferred = decode_inferred(ingestion.outcome, ingested.changes)
    target.ingestion_id = ingestion.ingestion_id
    target.state = cast("pb.Ingestion.State", int(ingestion.state))
    target.revision = ingestion.revision
    target.attempts = ingestion.attempts
    write_scope(target.scope, ingestion.scope)
    write_time(target.create_time, ingestion.create_time)
    write_time(target.update_time, ingestion.update_time)
    if ingestion.state is IngestionState.SUCCEEDED:
        write_inferred(target.changes, ingestion.namespace, inferred.items)
    if ingestion.state is IngestionState.FAILED:
        target.error.code = ABORTED
        target.error.message = ingestion.error
    if inferred.usage != Usage():
        write_usage(target.usage, inferred.usage)
