"""What operators call. Generated from `memoir/aio/admin.py`; do not edit."""

from collections.abc import Iterable

from memoir.admin import ConsistencyReport, Finding, RebuildProgress, RepairResult, ServerInfo
from memoir.enums import StoreKind
from memoir.sync.base import Stream, SyncService


class Admin(SyncService):
    """Server information and the doctor."""

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Return version, contract digest, features, limits, and the state of the stores."""
        return self._run(self._core.server_info(timeout=timeout))

    def check_consistency(
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
        return self._run(
            self._core.check_consistency(
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                max_findings=max_findings,
                sample=sample,
                timeout=timeout,
            )
        )

    def repair(
        self,
        findings: Iterable[Finding | str],
        *,
        validate_only: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> RepairResult:
        """Repair findings (or their ids) by replaying from the ledger; with validate_only, say what would be done."""
        return self._run(
            self._core.repair(findings, validate_only=validate_only, request_id=request_id, timeout=timeout)
        )

    def rebuild(
        self, store: StoreKind | str, *, request_id: str | None = None, timeout: float | None = None
    ) -> Stream[RebuildProgress]:
        """Rebuild the "INDEX" or the "GRAPH" from the ledger while the server goes on serving; yields progress."""
        return self._stream(self._core.rebuild(store, request_id=request_id, timeout=timeout))
