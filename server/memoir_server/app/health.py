"""grpc.health.v1: liveness apart from readiness.

* `memoir.liveness`: SERVING while the process is up.
* "" : SERVING from the first moment calls are taken until the server drains.
* `memoir.readiness` and each `memoir.v1.*` service: SERVING while every store they need answers.
* `memoir.store.<name>`: that store.

Names only; the details are for operators, in GetServerInfo and the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from grpc_health.v1.health import aio as health_aio  # type: ignore[import-untyped]
from grpc_health.v1.health_pb2 import HealthCheckResponse  # type: ignore[import-untyped]

from memoir_server.app.status import Stores

logger = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
LIVENESS = "memoir.liveness"
READINESS = "memoir.readiness"
_OVERALL = ""
_SERVING = HealthCheckResponse.SERVING
_NOT_SERVING = HealthCheckResponse.NOT_SERVING


class Health:
    """Keeps the health service in step with the stores. `servicer` is to be registered with the server."""

    def __init__(self, stores: Stores, services: Sequence[str], namespace: str) -> None:
        self.servicer = health_aio.HealthServicer()
        self._stores = stores
        self._services = (READINESS, *services)
        self._namespace = namespace
        self._last: dict[str, bool] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes the first look, then one every second."""
        await self.servicer.set(LIVENESS, _SERVING)
        await self.servicer.set(_OVERALL, _SERVING)
        await self.check()
        self._task = asyncio.create_task(self._serve(), name="health")

    async def check(self) -> None:
        """Probes the stores and publishes what changed."""
        statuses = await self._stores.probe(self._namespace)
        for status in statuses:
            await self._publish(f"memoir.store.{status.store.name.lower()}", self._stores.healthy(status))
        ready = self._stores.ready(statuses)
        for service in self._services:
            await self._publish(service, ready)

    async def drain(self) -> None:
        """Not ready any more, for good. Liveness stays: a process that drains must not be killed for it."""
        await self.stop()
        for service in (_OVERALL, *self._services):
            await self.servicer.set(service, _NOT_SERVING)

    async def stop(self) -> None:
        """Ends the looking."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _serve(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def _publish(self, service: str, serving: bool) -> None:
        if self._last.get(service) is serving:
            return
        if service.startswith("memoir.store.") and (service in self._last or not serving):
            if serving:
                logger.info("%s is back", service)
            else:
                logger.warning("%s is not available", service)
        self._last[service] = serving
        await self.servicer.set(service, _SERVING if serving else _NOT_SERVING)
