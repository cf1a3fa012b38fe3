"""The page counts what was found, and a run that was broken off keeps its findings."""

from __future__ import annotations

from pathlib import Path

from tests.faults.report import (
    ANSWERED,
    DIFFERENT,
    DISTRIBUTED_STEPS,
    FILES,
    LOST,
    NOT_REACHED,
    PARTS,
    RECOVERED,
    ROUNDS,
    STEPS,
    STORES,
    Finding,
    Report,
)

FINDINGS = (
    Finding(STEPS, "create", "ledger.commit#1", LOST, "before"),
    Finding(STEPS, "create", "ledger.commit#1", ANSWERED, "after"),
    Finding(STEPS, "create", "graph.apply#1", DIFFERENT, "before"),
    Finding(STEPS, "delete", "ledger.commit#1", LOST, "before"),
    Finding(STEPS, "create", "ledger.watermark(INDEX)#1", NOT_REACHED, "after"),
    Finding(STEPS, "create", "ledger.watermark(INDEX)#2", LOST, "after"),
    Finding(ROUNDS, "3", "4 mutations: create 4", "none lost"),
    Finding(FILES, "`graph.db`", "deleted, server stopped", "rebuilt"),
    Finding(DISTRIBUTED_STEPS, "delete", "index.apply#1", LOST, "before"),
    Finding(STORES, "Neo4j", "kill -9", RECOVERED, counts={"acknowledged": 3, "searches whole": 2, "sent again": 1}),
    Finding(STORES, "Redis", "reset", RECOVERED, counts={"acknowledged": 1}),
    Finding(STORES, "Neo4j", "kill -9", RECOVERED, counts={"acknowledged": 4, "searches refused": 5}),
    Finding(FILES, "disk", "full while serving", "refused"),
    Finding(FILES, "`graph.db`", "deleted, server killed", "rebuilt"),
)


def test_the_page_counts_by_operation_and_groups_by_outcome(tmp_path: Path) -> None:
    report = Report(tmp_path / "journal")
    for finding in FINDINGS:
        assert report.complete == ({each.part for each in report.findings} == set(PARTS))
        report.add(finding)
    assert report.complete
    page = report.page("make something", 7)
    assert "```\nmake something\n```" in page
    assert "Seed 7 " in page
    assert (
        "| create | 4 | 4 | 2 | 1 | 1 | 1 |\n| delete | 1 | 1 | 1 | 0 | 0 | 0 |\n| **all** | 5 | 5 | 3 | 1 | 1 | 1 |"
        in page
    )
    assert "| `ledger.commit` | create 1, delete 1 | lost 2 | answered 1 |\n" in page
    assert "| `ledger.watermark(INDEX)` | create 2 |  | lost 1, not reached 1 |\n" in page
    assert "| 3 | 4 mutations: create 4 | none lost |" in page
    assert "| `graph.db` | deleted, server stopped; deleted, server killed | rebuilt |" in page
    assert "| `index.apply` | delete 1 | lost 1 |  |\n" in page
    assert "| Neo4j | kill -9 | 2 | 7 | 1 | 2 | 0 | 5 | recovered |\n" in page
    assert "| disk | full while serving | refused |" in page


def test_findings_are_on_disk_as_they_come(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    report = Report(journal)
    for count, finding in enumerate(FINDINGS, start=1):
        report.add(finding)
        assert Report.read(journal).findings == list(FINDINGS[:count])
    assert Report.read(journal).page("x", 0) == report.page("x", 0)
