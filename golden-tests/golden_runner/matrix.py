"""The parity matrix: which methods are proven, in which language, on which profile. Written from outcomes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from golden_runner import bare
from golden_runner.contract import METHODS
from golden_runner.driver import KINDS, ROOT
from golden_runner.execute import CaseOutcome
from memoir_golden_pb.golden_pb2 import Suite

PATH: Final = ROOT / "docs" / "parity-matrix.md"
PROFILES: Final[dict["Suite.Backend", str]] = {
    Suite.BACKEND_PLAYBACK: "playback",
    Suite.BACKEND_DETERMINISTIC: "embedded",
    Suite.BACKEND_EMBEDDED: "embedded",
    Suite.BACKEND_DISTRIBUTED: "distributed",
}
ON_STORES: Final = ("python", "node")
"""Drivers that run the corpus on the real stores too: one per language."""
COLUMNS: Final = tuple(
    (driver, profile)
    for profile in ("playback", "embedded", "distributed")
    for driver, kind in KINDS.items()
    if (kind.is_sdk or profile == "embedded") and (driver in ON_STORES or profile != "distributed")
)
FEATURE_DISABLED: Final = "FEATURE_DISABLED"


@dataclass(slots=True)
class Cell:
    """What is proven of one method in one language on one profile."""

    successes: int = 0
    reasons: set[str] = field(default_factory=set)
    codes: set[int] = field(default_factory=set)

    @property
    def is_green(self) -> bool:
        """At least one success with a reply that is not empty, and at least one error."""
        return self.successes > 0 and bool(self.codes)

    @property
    def is_disabled(self) -> bool:
        """The method is not built yet: every call of it answered FEATURE_DISABLED."""
        return self.successes == 0 and self.reasons == {FEATURE_DISABLED}


Matrix = dict[tuple[str, str, str], Cell]


def tally(outcomes: Sequence[CaseOutcome]) -> Matrix:
    """Count what was proven, by (method, driver, profile). A step that differs from its expectation proves nothing."""
    cells: Matrix = defaultdict(Cell)
    for outcome in outcomes:
        for step in outcome.steps:
            if step.differences or step.unsupported:
                continue
            cell = cells[step.method, outcome.driver, PROFILES[outcome.backend]]
            if step.call.HasField("error"):
                cell.codes.add(step.call.error.code)
                if step.reason:
                    cell.reasons.add(step.reason)
            if any(response.ByteSize() for response in step.responses):
                cell.successes += 1
    return cells


def render(matrix: Matrix, vectors: dict[str, int]) -> str:
    """Write the matrix as Markdown. `vectors`: passed wire vectors by driver."""
    head = " | ".join(f"{KINDS[driver].title}, {profile}" for driver, profile in COLUMNS)
    lines = [
        "# Parity matrix",
        "",
        "Written by `make golden` from the outcomes of the golden corpus; do not edit.",
        "",
        "* **ok**: one success with a reply that is not empty, and one error, both as the corpus wants them.",
        "* off: not built yet; the method answers UNIMPLEMENTED / FEATURE_DISABLED, a typed error of the SDK.",
        "* half: only successes or only errors are proven. -: nothing is proven.",
        "* Column `dataclasses`: the generated dataclasses over bare gRPC. n/a: a method it does not cover.",
        "* Column `playback`: a scripted server that can fail in every way; `embedded`, `distributed`: a real server",
        "  of that profile. The transcripts of both are the same.",
        "",
        f"| method | {head} |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    for method in METHODS:
        cells = " | ".join(
            _mark(matrix.get((method, *column)), is_asked=_is_asked(method, column[0])) for column in COLUMNS
        )
        lines.append(f"| {method.removeprefix('memoir.v1.')} | {cells} |")
    passed = ", ".join(f"{KINDS[driver].title} {count}" for driver, count in sorted(vectors.items()))
    return "\n".join([*lines, "", f"Wire vectors passed: {passed}.", ""])


def write(matrix: Matrix, vectors: dict[str, int], path: Path = PATH) -> None:
    """Write the matrix file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(render(matrix, vectors), encoding="utf-8")


def cells(text: str, *, on_stores: bool) -> list[list[str]]:
    """The rows of a matrix's table, heading first, with the columns of one kind of profile: those of the real stores,
    or all others. One run fills the one kind, another run the other."""
    chosen = [0, *(i for i, (_, profile) in enumerate(COLUMNS, 1) if (profile == "distributed") is on_stores)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [[row[i] for i in chosen] for row in rows]


def _is_asked(method: str, driver: str) -> bool:
    return KINDS[driver].is_sdk or method in bare.METHODS


def _mark(cell: Cell | None, *, is_asked: bool) -> str:
    if not is_asked:
        return "n/a"
    if cell is None:
        return "-"
    if cell.is_green:
        return "**ok**"
    return "off" if cell.is_disabled else "half"
