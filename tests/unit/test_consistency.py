from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.consistency import Finding, FindingKind, Version, read_finding_id
from memoir_server.domain.embedding import EmbeddingModel
from memoir_server.domain.memory import NEVER, EntityMention, Memory, Scope
from memoir_server.domain.store import PROJECTIONS, StoreKind
from memoir_server.ports.projection import Held
from memoir_server.service.comparing import Situation, compare

ALICE = Scope("alice")
MODEL = EmbeddingModel("test", "1", 4)
VECTOR = np.array([1, 0, 0, 0], dtype=np.float32)


@given(
    st.sampled_from(FindingKind),
    st.sampled_from(PROJECTIONS),
    st.text(max_size=128),
    st.integers(1, NEVER),
    st.text(max_size=40),
)
def test_an_id_is_a_finding_and_back(
    kind: FindingKind, store: StoreKind, memory_id: str, revision: int, resource: str
) -> None:
    finding = Finding(kind=kind, store=store, memory_id=memory_id, revision=revision, resource=resource)
    assert read_finding_id(finding.finding_id) == finding
    assert finding.finding_id.isascii()


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_nothing_else_is_an_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it"):
        read_finding_id(text)


@pytest.mark.parametrize(
    "parts",
    [
        [2, 2, 1, 1, "m", ""],
        [1, 1, 1, 1, "m", ""],
        [1, 2, 9, 1, "m", ""],
        [1, 2, 1, 0, "m", ""],
        [1, 2, 1, True, "m", ""],
        [1, 2, 1, 1, "m"],
        {"a": 1},
        [[[]]],
    ],
)
def test_ids_of_another_form_are_refused(parts: object) -> None:
    data = json.dumps(parts, separators=(",", ":")).encode()
    with pytest.raises(ValueError, match=r"^it"):
        read_finding_id(base64.urlsafe_b64encode(data).decode().rstrip("="))


def situation(
    store: StoreKind = StoreKind.INDEX, *, watermark: int = 10, again: frozenset[int] = frozenset()
) -> Situation:
    return Situation(store=store, watermark=watermark, again=again, head=20, model=MODEL)


def version(revision: int, retired: int = NEVER, **fields: object) -> Version:
    memory = Memory(
        namespace="ns", memory_id="m", text="t", scope=ALICE, revision=revision, entities=(EntityMention(name="Ana"),)
    )
    return Version(memory_id="m", revision=revision, retired=retired, memory=memory, **fields)  # type: ignore[arg-type]


def held(revision: int, retired: int = NEVER, memory_id: str = "m") -> Held:
    return Held(memory_id=memory_id, revision=revision, retired=retired, scope=ALICE, vector=VECTOR)


def kinds(
    at: Situation, wanted: Version | None, found: Held | None, *, removed_at: int = 0, vector: object = None
) -> list[FindingKind]:
    return [f.kind for f in compare(at, wanted, found, removed_at=removed_at, vector=vector)]  # type: ignore[arg-type]


MISSING, ORPHANED, STALE = FindingKind.MISSING, FindingKind.ORPHANED, FindingKind.STALE


@pytest.mark.parametrize(
    ("at", "wanted", "found", "removed_at", "expected"),
    [
        (situation(), version(5), held(5), 0, []),
        (situation(), version(5), None, 0, [MISSING]),
        (situation(), version(11), None, 0, []),
        (situation(again=frozenset({5})), version(5), None, 0, []),
        (situation(), None, held(5), 0, [ORPHANED]),
        (situation(), None, held(5), 9, [ORPHANED]),
        (situation(), None, held(5), 11, []),
        (situation(), None, held(11), 0, []),
        (situation(), None, held(21), 0, [ORPHANED]),
        (situation(), version(5), held(5, memory_id="other"), 0, [ORPHANED, MISSING]),
        (situation(), version(5, 9), held(5), 0, [STALE]),
        (situation(), version(5, 11), held(5), 0, []),
        # The head was read before the commit of revision 21, the version after it.
        (situation(), version(5, 21), held(5), 0, []),
        (situation(), None, held(5), 21, []),
        (situation(), version(5, 11), held(5, 11), 0, []),
        (situation(), version(5, 11), held(5, 7), 0, [STALE]),
        (situation(), version(5), held(5, 7), 0, [STALE]),
        (situation(StoreKind.GRAPH), version(5, facts_removed=9), held(5), 0, [ORPHANED]),
        (situation(StoreKind.GRAPH), version(5, facts_removed=11), held(5), 0, []),
        (situation(StoreKind.GRAPH), version(5, facts_removed=9), None, 0, []),
        (situation(StoreKind.GRAPH), version(5), held(5), 0, [MISSING]),
    ],
)
def test_lag_is_told_from_disagreement(
    at: Situation, wanted: Version | None, found: Held | None, removed_at: int, expected: list[FindingKind]
) -> None:
    assert kinds(at, wanted, found, removed_at=removed_at) == expected


@pytest.mark.parametrize(
    ("vector", "kept", "wrong"),
    [
        (VECTOR, VECTOR, False),
        (VECTOR, None, False),
        (VECTOR * np.float32(0.99999), VECTOR, False),
        (VECTOR[::-1], VECTOR, True),
        (VECTOR[:3], None, True),
        (np.full(4, np.nan, dtype=np.float32), VECTOR, True),
        (None, VECTOR, True),
    ],
)
def test_vectors_are_compared_by_their_components(vector: object, kept: object, wrong: bool) -> None:
    found = Held(memory_id="m", revision=5, retired=NEVER, scope=ALICE, vector=vector)  # type: ignore[arg-type]
    expected = [FindingKind.EMBEDDING_MISMATCH] if wrong else []
    assert kinds(situation(), version(5), found, vector=kept) == expected
