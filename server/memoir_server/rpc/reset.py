"""ResetService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from memoir.v1 import reset_pb2 as pb
from memoir_server.domain.reset import Reset
from memoir_server.rpc.convert.reset import read_target, write_reset
from memoir_server.rpc.draining import Draining
from memoir_server.rpc.incoming import Incoming
from memoir_server.rpc.refusals import ServerDraining
from memoir_server.service.resets import Resets


class ResetService:
    """Removal in two steps."""

    def __init__(self, resets: Resets, draining: Draining) -> None:
        self._resets = resets
        self._draining = draining

    async def PlanReset(self, request: pb.PlanResetRequest, incoming: Incoming) -> pb.PlanResetResponse:
        target = read_target(request.target, incoming.namespace)
        reset, token = await self._resets.plan(incoming.namespace, target, incoming.mutating(request))
        response = pb.PlanResetResponse(confirm_token=token)
        write_reset(response.reset, reset)
        return response

    async def ExecuteReset(self, request: pb.ExecuteResetRequest, incoming: Incoming) -> pb.ExecuteResetResponse:
        reset = await self._resets.execute(
            incoming.namespace,
            request.reset_id,
            request.confirm_token,
            incoming.mutating(request),
            allow_drift=request.allow_drift,
        )
        response = pb.ExecuteResetResponse(revision=reset.fence_revision)
        write_reset(response.reset, reset)
        return response

    async def GetReset(self, request: pb.GetResetRequest, incoming: Incoming) -> pb.GetResetResponse:
        response = pb.GetResetResponse()
        write_reset(response.reset, await self._resets.get(incoming.namespace, request.reset_id))
        return response

    async def WatchReset(
        self, request: pb.WatchResetRequest, incoming: Incoming
    ) -> AsyncIterator[pb.WatchResetResponse]:
        stream = self._resets.watch(incoming.namespace, request.reset_id, after_sequence=request.after_sequence)
        async with aclosing(stream) as steps:  # type: ignore[type-var]  # an async generator, declared as its protocol
            while (reset := await self._next(steps)) is not None:
                response = pb.WatchResetResponse(sequence=reset.sequence)
                write_reset(response.reset, reset)
                yield response

    async def CancelReset(self, request: pb.CancelResetRequest, incoming: Incoming) -> pb.CancelResetResponse:
        response = pb.CancelResetResponse()
        key = incoming.mutating(request).idempotency
        write_reset(response.reset, await self._resets.cancel(incoming.namespace, request.reset_id, key=key))
        return response

    async def _next(self, steps: AsyncIterator[Reset]) -> Reset | None:
        """The next step; None at the end. Raises ServerDraining when the server shuts down first."""
        step: asyncio.Future[Reset | None] = asyncio.ensure_future(_advance(steps))
        drained = asyncio.ensure_future(self._draining.wait())
        try:
            waiting: set[asyncio.Future[Any]] = {step, drained}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise ServerDraining
            return step.result()
        finally:
            step.cancel()
            drained.cancel()
            await asyncio.gather(step, drained, return_exceptions=True)


async def _advance(steps: AsyncIterator[Reset]) -> Reset | None:
    return await anext(steps, None)
