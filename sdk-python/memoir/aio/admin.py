"""What operators call."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

import grpc

from memoir import methods
from memoir.admin import (
    ConsistencyReport,
    Finding,
    RebuildProgress,
    RepairResult,
    ServerInfo,
    finding_from_proto,
    server_info_from_proto,
)
from memoir.aio.base import AsyncService, request_id_or_new
from memoir.enums import STORE_KIND, StoreKind
from memoir.errors import IncompleteStream
from memoir.streams import AsyncStream
from memoir.transport import LONG_TIMEOUT
from memoir.v1 import admin_pb2
from memoir.values import scope_to_proto


class AsyncAdmin(AsyncService):
    """Server information and the doctor."""

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Return version, contract digest, features, limits, and the state of the stores."""
        request = admin_pb2.GetServerInfoRequest(namespace=self._namespace)
        return server_info_from_proto(await self._transport.unary(methods.GET_SERVER_INFO, request, timeout))

    async def check_consistency(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        max_findings: int = 0,
        sample: int = 0,
        timeout: float | None = None,
    ) -> ConsistencyReport:
        """Compare the index and the graph with the ledger. Needs the feature "doctor".

        Args:
            user_id, agent_id, session_id: whose memories; without any, the whole namespace.
            max_findings: stop after so many; 1000 when 0.
            sample: examine so many memories chosen at random; all when 0.
            timeout: seconds for the whole check; None means one hour.

        Raises:
            FeatureDisabled, IncompleteStream.
        """
        request = admin_pb2.CheckConsistencyRequest(
            namespace=self._namespace,
            scope=scope_to_proto(user_id, agent_id, session_id),
            max_findings=max_findings,
            sample=sample,
        )
        findings: list[Finding] = []
        limit = LONG_TIMEOUT if timeout is None else timeout
        async with aclosing(self._transport.server_stream(methods.CHECK_CONSISTENCY, request, limit)) as responses:
            async for response in responses:
                if response.HasField("finding"):
                    findings.append(finding_from_proto(response.finding))
                elif response.HasField("summary"):
                    return ConsistencyReport(tuple(findings), response.summary.examined, response.summary.revision)
        raise IncompleteStream("check_consistency: no summary came", code=grpc.StatusCode.DATA_LOSS)

    async def repair(
        self,
        findings: Iterable[Finding | str],
        *,
        validate_only: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RepairResult:
        """Repair findings (or their ids) by replaying from the ledger; with validate_only, say what would be done."""
        request = admin_pb2.RepairConsistencyRequest(
            namespace=self._namespace,
            finding_ids=[item.id if isinstance(item, Finding) else item for item in findings],
            validate_only=validate_only,
            request_id=request_id_or_new(request_id),
        )
        response = await self._transport.unary(methods.REPAIR_CONSISTENCY, request, timeout)
        return RepairResult(tuple(response.repaired_finding_ids), tuple(response.resolved_finding_ids))

    def rebuild(
        self,
        store: StoreKind | str,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AsyncStream[RebuildProgress]:
        """Rebuild the "INDEX" or the "GRAPH" from the ledger while the server goes on serving; yields progress."""
        request = admin_pb2.RebuildProjectionRequest(
            namespace=self._namespace,
            store=STORE_KIND.encode(store, "store"),
            request_id=request_id_or_new(request_id),
        )

        async def progress() -> AsyncGenerator[RebuildProgress]:
            limit = LONG_TIMEOUT if timeout is None else timeout
            stream = self._transport.server_stream(methods.REBUILD_PROJECTION, request, limit)
            async with aclosing(stream) as responses:
                async for response in responses:
                    yield RebuildProgress(response.applied, response.total)

        return AsyncStream(progress())
