"""TransferService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from memoir.v1 import transfer_pb2 as pb
from memoir_server.domain.errors import FieldInvalid, MemoirError, TokenInvalid
from memoir_server.ports.ledger import Ledger
from memoir_server.rpc.arrivals import Arrivals
from memoir_server.rpc.contract import PACKAGE, Contract, Method
from memoir_server.rpc.convert.filter import read_as_of, read_optional_filter
from memoir_server.rpc.convert.memory import read_scope
from memoir_server.rpc.convert.transfer import read_item, write_record
from memoir_server.rpc.draining import Draining
from memoir_server.rpc.errors import status_of
from memoir_server.rpc.incoming import Incoming
from memoir_server.rpc.interceptors.validate import RequestValidator
from memoir_server.rpc.refusals import RequestInvalid, ServerDraining
from memoir_server.rpc.tokens import ExportToken, Tokens, fingerprint
from memoir_server.service.exporting import Exporting, ExportPlace, ExportSpec
from memoir_server.service.importing import Importing, ImportItem, ImportResult, OnConflict

BATCH_ITEMS = 250
"""Most items that are committed together."""
BATCH_BYTES = 4 << 20
"""Bytes of items waiting, beyond which no more are read; one batch holds at most one message more."""


class TransferService:
    """Export and import."""

    def __init__(
        self,
        exporting: Exporting,
        importing: Importing,
        ledger: Ledger,
        tokens: Tokens,
        draining: Draining,
        contract: Contract,
        validator: RequestValidator,
    ) -> None:
        self._exporting = exporting
        self._importing = importing
        self._ledger = ledger
        self._tokens = tokens
        self._draining = draining
        self._import_method = contract.methods[f"{PACKAGE}.TransferService"]["ImportMemories"]
        self._validator = validator

    async def ExportMemories(
        self, request: pb.ExportMemoriesRequest, incoming: Incoming
    ) -> AsyncIterator[pb.ExportMemoriesResponse]:
        text = request.resume_token
        request.resume_token = ""
        request.namespace = incoming.namespace
        parameters = fingerprint(incoming.method.encode(), request.SerializeToString(deterministic=True))
        place = await self._place(text, parameters, incoming.namespace) if text else None
        spec = ExportSpec(
            scope=read_scope(request.scope),
            filter=read_optional_filter(request, "filter", "filter"),
            as_of=read_as_of(request),
            include_history=request.include_history,
            include_embeddings=request.include_embeddings,
        )
        stream = self._exporting.export(incoming.namespace, spec, incoming.reading(), place=place)
        async with aclosing(stream) as items:  # type: ignore[type-var]  # an async generator, declared as its protocol
            async for item in items:
                if text and self._draining.active:
                    raise ServerDraining(text)
                text = self._token(parameters, item.place)
                response = pb.ExportMemoriesResponse(resume_token=text)
                write_record(response, item.record)
                yield response

    async def ImportMemories(
        self, requests: AsyncIterator[bytes], incoming: Incoming
    ) -> AsyncIterator[pb.ImportMemoriesResponse]:
        running = _Import(self._importing, self._validator, self._import_method, incoming)
        arrivals = Arrivals(requests, max_messages=BATCH_ITEMS, max_bytes=BATCH_BYTES)
        drained = asyncio.ensure_future(self._draining.wait())
        try:
            async with aclosing(arrivals.batches(drained)) as batches:
                async for batch in batches:
                    async for response in running.answer(batch):
                        yield response
            if drained.done():
                raise ServerDraining
            if not running.begun:
                raise FieldInvalid("header", "must be the first message of an import")
        finally:
            drained.cancel()

    async def _place(self, text: str, parameters: bytes, namespace: str) -> ExportPlace:
        token = self._tokens.decode(text, ExportToken, parameters, field="resume_token")
        if token.revision > (await self._ledger.head(namespace)).revision:
            # A moment this log never reached: the ledger was restored from an older copy.
            raise TokenInvalid("resume_token")
        return ExportPlace(
            revision=token.revision,
            birth=token.birth,
            event=token.event,
            memories=token.memories,
            events=token.events,
        )

    def _token(self, parameters: bytes, place: ExportPlace) -> str:
        return self._tokens.encode(
            ExportToken(parameters, place.revision, place.birth, place.event, place.memories, place.events)
        )


@dataclass(frozen=True, slots=True)
class _Arrived:
    """An item as it came: what to take in, or why it is refused."""

    sequence: int
    memory_id: str
    item: ImportItem | None
    refusal: MemoirError | None = None


class _Import:
    """One import: reads its messages and has the items taken in, those that arrived together in one transaction."""

    def __init__(self, importing: Importing, validator: RequestValidator, method: Method, incoming: Incoming) -> None:
        self._importing = importing
        self._validator = validator
        self._method = method
        self._incoming = incoming
        self._call = incoming.reading()
        self._namespace = ""
        self._on_conflict = OnConflict.SKIP
        self.begun = False
        """Whether the header has come."""

    async def answer(self, messages: Sequence[bytes]) -> AsyncIterator[pb.ImportMemoriesResponse]:
        """Results of the items among the messages, in order.

        Raises RequestInvalid, FieldInvalid, PermissionDenied when the stream is at fault, not one item; the items
        before that are taken in and answered first.
        """
        group: dict[str, _Arrived] = {}
        fault: MemoirError | None = None
        for data in messages:
            try:
                arrived = self._read(data)
            except MemoirError as problem:
                fault = problem
                break
            if arrived is None:
                continue
            if arrived.memory_id in group:
                # One transaction changes a memory at most once.
                for response in await self._take(list(group.values())):
                    yield response
                group.clear()
            group[arrived.memory_id] = arrived
        for response in await self._take(list(group.values())):
            yield response
        if fault is not None:
            raise fault

    def _read(self, data: bytes) -> _Arrived | None:
        """The item in a message; None for the header."""
        request: Any = self._validator.decode(self._method, data)
        violations = self._validator.violations(request)
        if request.WhichOneof("part") != "item":
            if violations:
                raise RequestInvalid(violations)
            self._begin(request.header)
            return None
        if not self.begun:
            raise FieldInvalid("header", "must be the first message of an import")
        item = request.item
        memory_id = item.memory.memory.memory_id
        if violations:
            return _Arrived(item.sequence, memory_id, None, RequestInvalid(violations))
        try:
            return _Arrived(item.sequence, memory_id, read_item(item))
        except FieldInvalid as problem:
            return _Arrived(item.sequence, memory_id, None, problem)

    def _begin(self, header: Any) -> None:
        if self.begun:
            raise FieldInvalid("header", "comes once, before the items; begin another import for other settings")
        self._namespace = self._incoming.permit(header.namespace)
        self._on_conflict = OnConflict(header.on_conflict) if header.on_conflict else OnConflict.SKIP
        self.begun = True

    async def _take(self, group: Sequence[_Arrived]) -> list[pb.ImportMemoriesResponse]:
        items = [arrived.item for arrived in group if arrived.item is not None]
        results: dict[str, ImportResult] = {}
        if items:
            taken = await self._importing.take(self._namespace, items, self._on_conflict, self._call)
            results = {result.memory_id: result for result in taken}
        return [_result(arrived, results.get(arrived.memory_id)) for arrived in group]


def _result(arrived: _Arrived, result: ImportResult | None) -> pb.ImportMemoriesResponse:
    response = pb.ImportMemoriesResponse(sequence=arrived.sequence, memory_id=arrived.memory_id)
    error = arrived.refusal if result is None else result.error
    if error is not None:
        response.error.CopyFrom(status_of(error))
    elif result is not None and result.action is not None:
        response.action = result.action  # type: ignore[assignment]  # the numbers are the contract's
        response.revision = result.revision
    return response
