"""AdminService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from memoir.v1 import admin_pb2 as pb
from memoir_server.domain.store import StoreKind, StoreStatus
from memoir_server.rpc.convert.consistency import write_check_item
from memoir_server.rpc.convert.memory import read_scope
from memoir_server.rpc.convert.time import write_duration
from memoir_server.rpc.draining import Draining
from memoir_server.rpc.incoming import Incoming
from memoir_server.service.doctor import Doctor


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server says of itself."""

    version: str
    contract_digest: str
    features: Sequence[str]
    limits: Mapping[str, int]
    profile: str
    embedding_model: str
    ranking_version: str


class StoreStatuses(Protocol):
    """Knows the state of the stores."""

    async def head(self, namespace: str) -> int:
        """Newest revision of the namespace; 0 when the ledger does not answer."""

    async def probe(self, namespace: str) -> Sequence[StoreStatus]:
        """State of every store, freshly asked."""


class AdminService:
    """For operators."""

    def __init__(self, facts: ServerFacts, stores: StoreStatuses, doctor: Doctor, draining: Draining) -> None:
        self._facts = facts
        self._stores = stores
        self._doctor = doctor
        self._draining = draining

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, incoming: Incoming) -> pb.GetServerInfoResponse:
        facts = self._facts
        response = pb.GetServerInfoResponse(
            server_version=facts.version,
            contract_digest=facts.contract_digest,
            features=facts.features,
            limits=facts.limits,
            revision=await self._stores.head(incoming.namespace),
            profile=facts.profile,
            embedding_model=facts.embedding_model,
            ranking_version=facts.ranking_version,
        )
        for status in await self._stores.probe(incoming.namespace):
            _write_status(response.stores.add(), status)
        return response

    async def CheckConsistency(
        self, request: pb.CheckConsistencyRequest, incoming: Incoming
    ) -> AsyncIterator[pb.CheckConsistencyResponse]:
        items = self._doctor.check(
            incoming.namespace,
            read_scope(request.scope),
            max_findings=request.max_findings,
            sample=request.sample,
        )
        async for item in self._draining.until_drained(items):
            yield write_check_item(item)

    async def RepairConsistency(
        self, request: pb.RepairConsistencyRequest, incoming: Incoming
    ) -> pb.RepairConsistencyResponse:
        finding_ids = list(request.finding_ids)
        repair = await self._doctor.repair(
            incoming.namespace, finding_ids, incoming.mutating(request), validate_only=request.validate_only
        )
        return pb.RepairConsistencyResponse(repaired_finding_ids=repair.repaired, resolved_finding_ids=repair.resolved)

    async def RebuildProjection(
        self, request: pb.RebuildProjectionRequest, incoming: Incoming
    ) -> AsyncIterator[pb.RebuildProjectionResponse]:
        store = StoreKind(request.store)
        steps = self._doctor.rebuild(incoming.namespace, store, incoming.mutating(request))
        async for step in self._draining.until_drained(steps):
            yield pb.RebuildProjectionResponse(applied=step.applied, total=step.total)


def _write_status(target: pb.StoreStatus, status: StoreStatus) -> None:
    target.store = status.store  # type: ignore[assignment]  # the numbers are the contract's
    target.reachable = status.reachable
    target.version = status.version
    write_duration(target.latency, status.latency_us)
    target.applied_revision = status.applied_revision
    target.lag = status.lag
    if status.breaker is not None:
        target.breaker = status.breaker  # type: ignore[assignment]
    target.degraded = status.degraded
