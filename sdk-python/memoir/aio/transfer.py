"""Export and import."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing

from memoir import methods
from memoir.aio.base import AsyncService
from memoir.aio.history import RECONNECT_TIMEOUT
from memoir.enums import ON_CONFLICT, OnConflict
from memoir.filters import FilterInput, filter_to_proto
from memoir.memory import Memory
from memoir.resume import resumed
from memoir.streams import AsyncStream
from memoir.transfer import (
    ExportedMemory,
    ExportRecord,
    ImportResult,
    export_record_from_proto,
    import_result_from_proto,
)
from memoir.transport import LONG_TIMEOUT
from memoir.v1 import transfer_pb2
from memoir.values import Moment, as_of_to_proto, scope_to_proto


class AsyncTransfer(AsyncService):
    """Moving memories in and out. Needs the feature "transfer"."""

    def export(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        filter: FilterInput | None = None,
        as_of: Moment | None = None,
        include_history: bool = False,
        include_embeddings: bool = False,
        resume_token: str = "",
        reconnect_timeout: float | None = RECONNECT_TIMEOUT,
        timeout: float | None = None,
    ) -> AsyncStream[ExportRecord]:
        """Send memories as of one revision: an `ExportHeader`, memories, events if asked for, an `ExportSummary`.

        Args:
            user_id, agent_id, session_id: whose memories; without any, the whole namespace.
            filter: data such as {"topic": "travel"}.
            as_of: moment to export; None means now, fixed at the start.
            include_history: also the history of these memories, after them.
            include_embeddings: also vectors, so that an import need not embed again.
            resume_token: after the record that carried it. A broken connection is resumed by itself.
            reconnect_timeout: seconds without any record after which the last error is raised; None means never.
            timeout: seconds for the whole; None means one hour.
        """
        request = transfer_pb2.ExportMemoriesRequest(
            namespace=self._namespace,
            scope=scope_to_proto(user_id, agent_id, session_id),
            filter=filter_to_proto(filter),
            as_of=as_of_to_proto(as_of),
            include_history=include_history,
            include_embeddings=include_embeddings,
            resume_token=resume_token,
        )

        def open_stream(left: float | None, failures: int) -> AsyncGenerator[transfer_pb2.ExportMemoriesResponse]:
            return self._transport.server_stream(methods.EXPORT_MEMORIES, request, left, failures=failures)

        async def records() -> AsyncGenerator[ExportRecord]:
            stream = resumed(
                open_stream,
                timeout=LONG_TIMEOUT if timeout is None else timeout,
                reconnect_timeout=reconnect_timeout,
                is_last=lambda response: response.HasField("summary"),
            )
            async with aclosing(stream) as responses:
                async for response in responses:
                    request.resume_token = response.resume_token
                    record = export_record_from_proto(response)
                    if record is not None:
                        yield record

        return AsyncStream(records())

    def import_(
        self,
        memories: Iterable[Memory | ExportRecord] | AsyncIterable[Memory | ExportRecord],
        *,
        on_conflict: OnConflict | str | None = None,
        timeout: float | None = None,
    ) -> AsyncStream[ImportResult]:
        """Take memories in, such as the records of `export`; yields one result per memory once it is durable.

        Args:
            memories: memories or export records; records that are not memories are passed over. Ids are kept.
            on_conflict: for an id that exists with other content: "SKIP" (default), "REPLACE" or "FAIL".
            timeout: seconds for the whole; None means one hour.
        """
        header = transfer_pb2.ImportMemoriesRequest.Header(
            namespace=self._namespace, on_conflict=ON_CONFLICT.encode(on_conflict, "on_conflict")
        )

        async def requests() -> AsyncGenerator[transfer_pb2.ImportMemoriesRequest]:
            yield transfer_pb2.ImportMemoriesRequest(header=header)
            sequence = 0
            async for record in any_iterable(memories):
                if isinstance(record, Memory):
                    exported = transfer_pb2.ExportedMemory(memory=record.message)
                elif isinstance(record, ExportedMemory):
                    exported = record.message
                else:
                    continue
                sequence += 1
                yield transfer_pb2.ImportMemoriesRequest(
                    item=transfer_pb2.ImportMemoriesRequest.Item(sequence=sequence, memory=exported)
                )

        async def results() -> AsyncGenerator[ImportResult]:
            stream = self._transport.bidi_stream(methods.IMPORT_MEMORIES, requests(), timeout)
            async with aclosing(stream) as responses:
                async for response in responses:
                    yield import_result_from_proto(response)

        return AsyncStream(results())


async def any_iterable(
    source: Iterable[Memory | ExportRecord] | AsyncIterable[Memory | ExportRecord],
) -> AsyncGenerator[Memory | ExportRecord]:
    """Iterate over either kind; a lazy plain iterable is read in a thread, since its next item may take long."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
        return
    if isinstance(source, list | tuple):
        for item in source:
            yield item
        return
    iterator = iter(source)

    def step() -> Memory | ExportRecord | None:
        return next(iterator, None)

    while (record := await asyncio.to_thread(step)) is not None:
        yield record
