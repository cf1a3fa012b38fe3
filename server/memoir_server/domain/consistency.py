"""What the doctor speaks of: portions of a store that are looked at, and disagreements with the ledger."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from memoir_server.domain.graph import MemoryFacts, facts_of
from memoir_server.domain.memory import NEVER, Memory, Scope
from memoir_server.domain.store import PROJECTIONS, StoreKind

_CODEC = 1
"""Form of a finding's id; another number is another form."""


class FindingKind(IntEnum):
    """What is wrong; the numbers are those of the contract."""

    MISSING = 1
    ORPHANED = 2
    STALE = 3
    EMBEDDING_MISMATCH = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Which versions are looked at, up to the revision `until`. What is None, or an empty scope, does not bind."""

    scope: Scope = field(default_factory=Scope)
    until: int = NEVER
    memory_ids: Sequence[str] | None = None
    revisions: Sequence[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version as the ledger wants it in the projections.

    `memory` is None when the memory was removed and only its relations stay: then `kept` holds them, and `retired` is
    the revision that removed it. `facts_removed` is the revision at which a reset took the facts of this version out of
    the graph and left the memory; 0 when none did.
    """

    memory_id: str
    revision: int
    retired: int = NEVER
    memory: Memory | None = None
    kept: MemoryFacts | None = None
    facts_removed: int = 0

    @property
    def facts(self) -> MemoryFacts | None:
        """What the graph holds of it; None for nothing."""
        if self.kept is not None:
            return self.kept if self.kept.relations else None
        if self.memory is None or self.facts_removed:
            return None
        facts = facts_of(self.memory)
        return None if facts.empty else facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One disagreement between a projection and the ledger about one version.

    `resource` is the id of an entity or relation when the version is there and only that is wrong.
    """

    kind: FindingKind
    store: StoreKind
    memory_id: str
    revision: int
    resource: str = ""
    message: str = ""

    @property
    def finding_id(self) -> str:
        """Opaque to callers; the same disagreement has the same id in every check."""
        parts = [_CODEC, int(self.store), int(self.kind), self.revision, self.memory_id, self.resource]
        data = json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckProgress:
    """How many memories a check has examined, and how many there were when it began."""

    examined: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSummary:
    """The end of a check: memories examined, findings reported, and the revision that was checked."""

    examined: int
    findings: int
    revision: int


CheckItem: TypeAlias = Finding | CheckProgress | CheckSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Ids of findings, in the order asked: those that were repaired (or could be), and those no longer true."""

    repaired: tuple[str, ...]
    resolved: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildProgress:
    """Changes applied by a rebuild, and changes to apply."""

    applied: int
    total: int


def read_finding_id(finding_id: str) -> Finding:
    """The finding behind an id, without its message. Raises ValueError for what is no id of a finding."""
    try:
        data = base64.b64decode(finding_id + "=" * (-len(finding_id) % 4), altchars=b"-_", validate=True)
        parts = json.loads(data.decode("utf-8", "surrogatepass"))
    except (ValueError, binascii.Error, RecursionError) as fault:
        raise ValueError("it does not decode") from fault
    if not isinstance(parts, list) or [type(part) for part in parts] != [int, int, int, int, str, str]:
        raise ValueError("it has another form")
    codec, store, kind, revision, memory_id, resource = parts
    known = codec == _CODEC and store in map(int, PROJECTIONS) and kind in map(int, FindingKind)
    if not known or not 0 < revision <= NEVER:
        raise ValueError("its values are out of range")
    finding = Finding(
        kind=FindingKind(kind), store=StoreKind(store), memory_id=memory_id, revision=revision, resource=resource
    )
    if finding.finding_id != finding_id:
        raise ValueError("it is not in its only spelling")
    return finding
