"""What the doctor says, in the contract's messages."""

from __future__ import annotations

from memoir.v1 import admin_pb2 as pb
from memoir_server.domain.consistency import CheckItem, CheckProgress, Finding


def write_check_item(item: CheckItem) -> pb.CheckConsistencyResponse:
    """One item of a check."""
    response = pb.CheckConsistencyResponse()
    if isinstance(item, Finding):
        _write_finding(response.finding, item)
    elif isinstance(item, CheckProgress):
        response.progress.CopyFrom(pb.CheckConsistencyResponse.Progress(examined=item.examined, total=item.total))
    else:
        response.summary.CopyFrom(
            pb.CheckConsistencyResponse.Summary(examined=item.examined, findings=item.findings, revision=item.revision)
        )
    return response


def _write_finding(target: pb.Finding, finding: Finding) -> None:
    target.finding_id = finding.finding_id
    target.kind = int(finding.kind)  # type: ignore[assignment]  # the numbers are the contract's
    target.store = int(finding.store)  # type: ignore[assignment]
    target.memory_id = "" if finding.resource else finding.memory_id
    target.resource = finding.resource
    target.message = finding.message
