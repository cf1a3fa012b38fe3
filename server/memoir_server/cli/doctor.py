"""`memoir doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from memoir import ConsistencyReport, Finding, Memoir, RepairResult
from memoir_server.cli.connection import (
    DEFAULT_NAMESPACE,
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT,
    Agent,
    Json,
    Namespace,
    Session,
    Target,
    Timeout,
    User,
    connect,
)
from memoir_server.cli.render import console, messages, print_json

_REPAIRS_PER_CALL = 1000
"""What the contract allows in one request."""


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Repair what is found.")] = False,
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="Examine so many memories chosen at random; 0: all.")
    ] = 0,
    max_findings: Annotated[int, typer.Option("--max-findings", min=1, help="Stop after so many findings.")] = 1000,
    user: User = None,
    agent: Agent = None,
    session: Session = None,
    target: Target = DEFAULT_TARGET,
    namespace: Namespace = DEFAULT_NAMESPACE,
    timeout: Timeout = DEFAULT_TIMEOUT,
    json: Json = False,
) -> None:
    """Compare the index and the graph with the ledger, while the server goes on serving.

    Exit status 1 when something is wrong and, with --repair, still is.
    """
    with connect(target, namespace, timeout) as memoir:
        with messages.status("examining"):
            report = memoir.check_consistency(
                user_id=user, agent_id=agent, session_id=session, max_findings=max_findings, sample=sample
            )
        print_json(report) if json else show_report(report)
        if not report.findings:
            return
        if not repair:
            messages.print("repair with `memoir doctor --repair`")
            raise typer.Exit(1)
        result = _repaired(memoir, report.findings)
        print_json(result) if json else show_repair(result, len(report.findings))
        if len(result.repaired) + len(result.resolved) < len(report.findings):
            raise typer.Exit(1)


def show_report(report: ConsistencyReport) -> None:
    """A line per finding, then what was examined."""
    for finding in report.findings:
        line = Text(f"{finding.kind.lower():<18} ", style="red")
        line.append(f"{finding.store.lower():<6} ", style="cyan")
        line.append(finding.text)
        if finding.resource:
            line.append(f"  {finding.resource}", style="dim")
        console.print(line)
    wrong = f"{len(report.findings)} findings" if report.findings else "nothing wrong"
    console.print(f"{wrong}; {report.examined} memories examined at revision {report.revision}")


def show_repair(result: RepairResult, asked: int) -> None:
    """One line: what became of the findings."""
    left = asked - len(result.repaired) - len(result.resolved)
    parts = [f"{len(result.repaired)} repaired"]
    if result.resolved:
        parts.append(f"{len(result.resolved)} no longer true")
    if left:
        parts.append(f"{left} not yet repaired; run it again, the server's log says why")
    console.print(", ".join(parts))


def _repaired(memoir: Memoir, findings: Sequence[Finding]) -> RepairResult:
    repaired: list[str] = []
    resolved: list[str] = []
    with messages.status("repairing"):
        for start in range(0, len(findings), _REPAIRS_PER_CALL):
            done = memoir.repair(findings[start : start + _REPAIRS_PER_CALL])
            repaired.extend(done.repaired)
            resolved.extend(done.resolved)
    return RepairResult(tuple(repaired), tuple(resolved))
