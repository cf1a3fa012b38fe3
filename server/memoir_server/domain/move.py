"""What a move of everything into other stores tells while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from memoir_server.domain.consistency import Finding


class Phase(StrEnum):
    """What a move is doing."""

    CHECKING = "checking the source"
    COPYING = "copying"
    COMPARING = "comparing"
    BUILDING = "building index and graph"
    EXAMINING = "examining index and graph"


@dataclass(frozen=True, slots=True)
class MoveStep:
    """So much of a phase is done: revisions, rows, rows, changes or memories."""

    phase: Phase
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class MoveRemark:
    """Something the operator should know."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveResult:
    """How a move ended.

    Attributes:
        source: Where everything was.
        target: Where it is now.
        finished: Whether servers may open the target; findings that stand in the way are in `findings`.
        moved_before: An earlier run had finished it; this one changed nothing.
        heads: Newest revision by namespace.
        rows: What was copied, by part of the ledger.
        memories: Memories that exist.
        embedded: Texts that had no vector in the ledger and were embedded.
        repaired: Findings of the doctor that it has repaired.
        findings: Those it has not.
    """

    source: str
    target: str
    finished: bool
    moved_before: bool = False
    heads: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    memories: int = 0
    embedded: int = 0
    repaired: int = 0
    findings: Sequence[Finding] = ()


MoveItem: TypeAlias = MoveStep | MoveRemark | MoveResult
"""What a move tells, in order; the result comes last."""
