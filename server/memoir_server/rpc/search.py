"""SearchService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from memoir.v1 import search_pb2 as pb
from memoir_server.domain.context import DEFAULT_NEIGHBOURS
from memoir_server.domain.tokens import TOKENIZER
from memoir_server.rpc.convert.encoded import Encoded, EncodedMemories
from memoir_server.rpc.convert.memory import wants_full
from memoir_server.rpc.convert.search import encode_result, read_spec, write_context, write_event
from memoir_server.rpc.incoming import Incoming
from memoir_server.service.contexts import Contexts
from memoir_server.service.recalling import Recalling


class SearchService:
    """Ranked reads. All methods run the same search; the unary ones are folds of the stream."""

    def __init__(self, recalling: Recalling, contexts: Contexts) -> None:
        self._recalling = recalling
        self._contexts = contexts
        self._encoded = EncodedMemories()

    async def SearchMemories(self, request: pb.SearchMemoriesRequest, incoming: Incoming) -> Encoded:
        result = await self._recalling.search(incoming.namespace, read_spec(request.spec), incoming.reading())
        return encode_result(result, self._written(request.spec))

    async def StreamSearchMemories(
        self, request: pb.StreamSearchMemoriesRequest, incoming: Incoming
    ) -> AsyncIterator[pb.StreamSearchMemoriesResponse]:
        encoded = self._written(request.spec)
        sequence = 0
        stream = self._recalling.stream(incoming.namespace, read_spec(request.spec), incoming.reading())
        async with aclosing(stream) as events:  # type: ignore[type-var]  # an async generator, declared as its protocol
            async for event in events:
                sequence += 1
                response = pb.StreamSearchMemoriesResponse(sequence=sequence)
                write_event(response, event, encoded)
                yield response

    async def BuildContext(self, request: pb.BuildContextRequest, incoming: Incoming) -> pb.BuildContextResponse:
        built = await self._contexts.build(
            incoming.namespace,
            read_spec(request.spec),
            incoming.reading(),
            max_tokens=request.max_tokens,
            neighbours=request.neighbours if request.HasField("neighbours") else DEFAULT_NEIGHBOURS,
        )
        response = pb.BuildContextResponse(tokenizer=TOKENIZER)
        write_context(response, built, self._written(request.spec))
        return response

    def _written(self, spec: pb.SearchSpec) -> EncodedMemories | None:
        return None if wants_full(spec.view, default=False) else self._encoded
