"""Comparing one version as the ledger wants it with what a projection holds. Pure; the doctor reads both sides.

What a projection has merely not applied yet is no disagreement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memoir_server.domain.consistency import Finding, FindingKind, Version
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.memory import NEVER
from memoir_server.domain.store import StoreKind
from memoir_server.ports.projection import Held

VECTOR_TOLERANCE = 1e-4
"""How far components of one text's vector may lie apart: stores may normalise what they are given once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Where a store stands: everything up to `watermark` is applied but for `again`; `head` is the ledger's newest
    revision, read after the store."""

    store: StoreKind
    watermark: int
    again: frozenset[int]
    head: int
    model: EmbeddingModel

    def behind(self, revision: int) -> bool:
        """Whether the change of that revision is still to be applied. NEVER is none.

        A revision that the ledger's rows name counts even beyond `head`: a reader may see a commit a moment before the
        ledger says that it is its newest.
        """
        return self.watermark < revision < NEVER or revision in self.again

    @property
    def name(self) -> str:
        """The store in messages."""
        return self.store.name.lower()


def compare(
    situation: Situation,
    version: Version | None,
    held: Held | None,
    *,
    vector: NDArray[np.float32] | None = None,
    removed_at: int = 0,
) -> Iterator[Finding]:
    """Findings about one revision.

    Args:
        situation: Where the store stands.
        version: What the ledger wants; None when it wants nothing under this revision.
        held: What the store holds under this revision.
        vector: The vector the ledger keeps for the version; None when it keeps none.
        removed_at: Revision that removed the memory of `held` when `version` is None; 0 when that is not known.
    """
    is_wanted = version is not None and wanted(situation.store, version)
    if held is not None and (version is None or not is_wanted or held.memory_id != version.memory_id):
        if not _leaving(situation, version, held, removed_at):
            yield _finding(situation, FindingKind.ORPHANED, held, _why_orphaned(situation, version, held))
        held = None
    if version is None or not is_wanted or situation.behind(version.revision):
        return
    if version.kept is not None and situation.behind(version.retired):
        return
    if held is None:
        what = "relations that outlived their memory" if version.kept is not None else "a version"
        yield _finding(situation, FindingKind.MISSING, version, f"The {situation.name} lacks {what}")
    elif situation.store is StoreKind.INDEX:
        yield from _stale(situation, version, held)
        yield from _of_index(situation, version, held, vector)
    else:
        yield from _stale(situation, version, held)
        yield from _of_graph(situation, version, held)


def wanted(store: StoreKind, version: Version) -> bool:
    """Whether the store is to hold anything of the version."""
    return version.memory is not None if store is StoreKind.INDEX else version.facts is not None


def _leaving(situation: Situation, version: Version | None, held: Held, removed_at: int) -> bool:
    """Whether the entry is only not removed yet, or belongs to a change that is not applied yet."""
    if held.revision > situation.head:
        return False
    ends = [held.revision, removed_at]
    if version is not None and version.memory_id == held.memory_id:
        ends += [version.facts_removed, version.retired if version.kept is not None else 0]
    return any(situation.behind(revision) for revision in ends if revision)


def _why_orphaned(situation: Situation, version: Version | None, held: Held) -> str:
    if held.revision > situation.head:
        return f"The {situation.name} holds a revision that the ledger has not reached"
    if version is not None and version.memory_id != held.memory_id:
        return f"The {situation.name} holds a version that is of memory {version.memory_id!r} in the ledger"
    return f"The {situation.name} holds a version that the ledger does not want there"


def _stale(situation: Situation, version: Version, held: Held) -> Iterator[Finding]:
    # Relations that outlived their memory are never retired.
    retired = NEVER if version.kept is not None else version.retired
    wrong = []
    if held.retired != retired and not (held.retired == NEVER and situation.behind(retired)):
        wrong.append(f"ends it at {_moment(held.retired)} instead of {_moment(retired)}")
    if held.source_removed != (version.kept is not None):
        wrong.append("takes its memory for " + ("removed" if held.source_removed else "existing"))
    scope = version.kept.scope if version.kept is not None else version.memory and version.memory.scope
    if held.scope != scope:
        wrong.append("files it under another scope")
    if wrong:
        yield _finding(situation, FindingKind.STALE, version, f"The {situation.name} {' and '.join(wrong)}")


def _of_index(
    situation: Situation, version: Version, held: Held, vector: NDArray[np.float32] | None
) -> Iterator[Finding]:
    if not held.searchable:
        yield _finding(situation, FindingKind.MISSING, version, "The index lacks the words of a version")
    mismatch = _mismatch(situation.model, held.vector, vector)
    if mismatch:
        yield _finding(situation, FindingKind.EMBEDDING_MISMATCH, version, f"The index {mismatch}")


def _mismatch(model: EmbeddingModel, held: NDArray[np.float32] | None, vector: NDArray[np.float32] | None) -> str:
    if held is None:
        return "has no vector of a version"
    if len(held) != model.dimension:
        return f"has a vector of {len(held)} components; those of {model} have {model.dimension}"
    # A comparison with NaN is false, so damaged values count as apart.
    if vector is not None and not float(np.abs(held - vector).max()) <= VECTOR_TOLERANCE:
        return f"has another vector than {model} made of the text"
    return ""


def _of_graph(situation: Situation, version: Version, held: Held) -> Iterator[Finding]:
    facts = version.facts
    assert facts is not None
    entities = frozenset() if version.kept is not None else frozenset(entity.entity_id for entity in facts.entities)
    relations = frozenset(relation.relation_id for relation in facts.relations)
    for resource in sorted((entities | relations) - held.resources):
        what = "a relation" if resource in relations else "an entity"
        message = f"The graph lacks {what} that a version names"
        yield _finding(situation, FindingKind.MISSING, version, message, resource)
    for resource in sorted(held.resources - entities - relations):
        message = "The graph has something of a version that it does not name"
        yield _finding(situation, FindingKind.ORPHANED, version, message, resource)


def _moment(revision: int) -> str:
    return "never" if revision == NEVER else f"revision {revision}"


def _finding(situation: Situation, kind: FindingKind, of: Version | Held, message: str, resource: str = "") -> Finding:
    return Finding(
        kind=kind,
        store=situation.store,
        memory_id=of.memory_id,
        revision=of.revision,
        resource=resource,
        message=f"{message} (memory {of.memory_id!r}, revision {of.revision}).",
    )
