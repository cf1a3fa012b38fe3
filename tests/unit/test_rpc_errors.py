from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]

from memoir.v1.error_reason_pb2 import ErrorReason
from memoir_server.domain import errors as domain
from memoir_server.domain.errors import MemoirError
from memoir_server.ports.embedder import EmbedderUnavailable
from memoir_server.rpc import refusals
from memoir_server.rpc.errors import TABLE, describe, status_of, to_status

NEVER_TOLD = {"IngestionLost", "ScopeMoved", "_NothingYet"}
"""Failures between layers, which no caller gets to see."""

SAMPLES: list[Exception] = [
    domain.FieldInvalid("memory.text", "must not be empty"),
    refusals.RequestInvalid([refusals.Violation("a", "x"), refusals.Violation("b", "y")]),
    domain.TokenInvalid("page_token"),
    domain.MemoryNotFound("default", "m"),
    domain.EntityNotFound("default", "e"),
    domain.IngestionNotFound("default", "i"),
    domain.MemoryAlreadyExists("default", "m"),
    domain.EtagMismatch("m", '"2"'),
    domain.RequestIdReused("r"),
    domain.ResetNotFound("default", "r"),
    domain.ResetPlanStale("r", planned=1, current=2, why="it expired"),
    domain.ConfirmTokenInvalid("r"),
    domain.HistoryCompacted(compact_revision=5, requested_revision=1),
    refusals.RateLimited("bot", limit=5, retry_after=0.25),
    refusals.Overloaded(7),
    domain.StoreUnavailable("index", "gone"),
    EmbedderUnavailable("m@1", "gone", "restart"),
    refusals.CredentialInvalid("no credential was sent"),
    refusals.PermissionDenied("write", "default"),
    domain.FreshnessTimeout("index", min_revision=3, applied_revision=2),
    domain.FeatureDisabled("infer"),
    refusals.ServerDraining("token"),
    refusals.DeadlinePassed(),
    refusals.Defect("ab" * 16),
]


def documented() -> dict[str, tuple[str, set[str], bool, bool]]:
    """Reason -> (code, metadata keys, RetryInfo?, ResourceInfo?) as the contract's comments state them."""
    source = (Path(__file__).parents[2] / "proto/memoir/v1/error_reason.proto").read_text()
    stated = {}
    for comment, name in re.findall(r"((?:  // .*\n)+)  ERROR_REASON_(\w+) = [1-9]", source):
        text = " ".join(line.strip(" /") for line in comment.splitlines())
        head = re.match(r"(\w+)(?:; keys?: ([^.(]*))?", text)
        assert head is not None
        keys = {key.split()[0] for key in (head[2] or "").split(",") if key.split()}
        stated[name] = (head[1], keys, "RetryInfo" in text, "ResourceInfo" in text)
    return stated


def test_every_reason_of_the_contract_has_a_row() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}
    assert set(documented()) == names
    assert {row.reason for row in TABLE.values()} == names


def test_every_failure_has_a_row_and_a_sample() -> None:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    kinds = {
        kind
        for kind in below(MemoirError) - {MemoirError}
        if kind.__module__.startswith("memoir_server.") and kind.__name__ not in NEVER_TOLD
    }
    assert kinds | {EmbedderUnavailable} == set(TABLE)
    assert {type(sample) for sample in SAMPLES} == set(TABLE)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_each_failure_is_told_as_the_contract_states(sample: Exception) -> None:
    failure = describe(sample)
    assert failure is not None
    code, keys, retry, resource = documented()[failure.reason]
    assert failure.code.name == code
    assert set(failure.metadata) == keys
    assert all(failure.metadata.values())
    names = [packed.type_url.rpartition(".")[2] for packed in to_status(failure).details]
    assert names.count("ErrorInfo") == 1
    assert len(set(names)) == len(names)
    assert ("RetryInfo" in names) is retry
    assert ("ResourceInfo" in names) is resource
    assert ("BadRequest" in names) is (failure.reason == "FIELD_INVALID")
    assert ("QuotaFailure" in names) is (failure.reason == "RATE_LIMITED")


def test_every_violation_is_listed() -> None:
    status = status_of(refusals.RequestInvalid([refusals.Violation("a", "x"), refusals.Violation("b", "y")]))
    bad = error_details_pb2.BadRequest()
    assert any(packed.Unpack(bad) for packed in status.details)
    assert [(v.field, v.description) for v in bad.field_violations] == [("a", "x"), ("b", "y")]


@pytest.mark.parametrize("text", ["x" * 5000, "\U0001f980" * 2000, "ß" * 3000])
def test_a_refusal_fits_into_a_trailer(text: str) -> None:
    violations = [refusals.Violation(f"items[{i}].{text}", text) for i in range(200)]
    described = describe(refusals.RequestInvalid(violations))
    assert described is not None
    status = to_status(described)
    # Details travel in base64; the message beside them, percent-encoded where it is not ASCII.
    assert status.ByteSize() * 4 / 3 + 3 * len(status.message.encode()) < 8192


def test_a_defect_has_no_description() -> None:
    assert describe(ValueError("x")) is None
    with pytest.raises(TypeError, match="no row"):
        status_of(MemoirError("x"))
