"""From failures to google.rpc.Status: one table of code, reason, metadata and details.

The comments of `proto/memoir/v1/error_reason.proto` are the specification; a test goes through all reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2 as details  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from memoir_server.domain import errors as domain
from memoir_server.domain.errors import MemoirError
from memoir_server.ports.embedder import EmbedderUnavailable
from memoir_server.rpc import refusals

DOMAIN = "memoir.dev"
STORE_RETRY_SECONDS = 1.0
"""RetryInfo when a store does not answer."""
OVERLOAD_RETRY_SECONDS = 0.5
"""RetryInfo when load is shed."""
DRAIN_RETRY_SECONDS = 1.0
"""RetryInfo while the server shuts down."""
MAX_MESSAGE_BYTES = 512
MAX_VALUE_BYTES = 1024
MAX_VIOLATION_BYTES = 2048
"""Errors travel in trailers, which HTTP/2 peers limit to 8 KiB by default: what does not fit is counted, not sent. The
bounds are of UTF-8; the details grow by a third in base64, and the message to three times its size percent-encoded."""
_FRAME_BYTES = 3
"""Of each violation in the list: a tag and a length."""
STATUS_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Everything a caller is told about a failure."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[refusals.Violation, ...] = ()
    retry_after: float | None = None
    resource: tuple[str, str] | None = None
    quota_subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    code: grpc.StatusCode
    reason: str
    describe: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    """Further fields of Failure; `metadata` values of any type become strings."""


E = TypeVar("E", bound=Exception)
_Code = grpc.StatusCode


def _row(
    kind: type[E], code: grpc.StatusCode, reason: str, describe: Callable[[E], Mapping[str, Any]] = lambda _: {}
) -> tuple[type[Exception], _Row]:
    return kind, _Row(code=code, reason=reason, describe=describe)


TABLE: Mapping[type[Exception], _Row] = dict(
    [
        _row(
            domain.FieldInvalid,
            _Code.INVALID_ARGUMENT,
            "FIELD_INVALID",
            lambda e: {"metadata": {"field": e.field}, "violations": (refusals.Violation(e.field, e.problem),)},
        ),
        _row(
            refusals.RequestInvalid,
            _Code.INVALID_ARGUMENT,
            "FIELD_INVALID",
            lambda e: {"metadata": {"field": e.violations[0].field}, "violations": e.violations},
        ),
        _row(domain.TokenInvalid, _Code.INVALID_ARGUMENT, "TOKEN_INVALID", lambda e: {"metadata": {"field": e.field}}),
        _row(
            domain.MemoryNotFound,
            _Code.NOT_FOUND,
            "MEMORY_NOT_FOUND",
            lambda e: {
                "metadata": {"namespace": e.namespace, "memory_id": e.memory_id},
                "resource": ("memoir.v1.Memory", e.memory_id),
            },
        ),
        _row(
            domain.EntityNotFound,
            _Code.NOT_FOUND,
            "ENTITY_NOT_FOUND",
            lambda e: {
                "metadata": {"namespace": e.namespace, "entity_id": e.entity_id},
                "resource": ("memoir.v1.Entity", e.entity_id),
            },
        ),
        _row(
            domain.IngestionNotFound,
            _Code.NOT_FOUND,
            "INGESTION_NOT_FOUND",
            lambda e: {
                "metadata": {"namespace": e.namespace, "ingestion_id": e.ingestion_id},
                "resource": ("memoir.v1.Ingestion", e.ingestion_id),
            },
        ),
        _row(
            domain.MemoryAlreadyExists,
            _Code.ALREADY_EXISTS,
            "MEMORY_ALREADY_EXISTS",
            lambda e: {"metadata": {"namespace": e.namespace, "memory_id": e.memory_id}},
        ),
        _row(
            domain.EtagMismatch,
            _Code.ABORTED,
            "ETAG_MISMATCH",
            lambda e: {"metadata": {"memory_id": e.memory_id, "current_etag": e.current_etag}},
        ),
        _row(
            domain.RequestIdReused,
            _Code.ABORTED,
            "REQUEST_ID_REUSED",
            lambda e: {"metadata": {"request_id": e.request_id}},
        ),
        _row(
            domain.ResetNotFound,
            _Code.NOT_FOUND,
            "RESET_NOT_FOUND",
            lambda e: {
                "metadata": {"namespace": e.namespace, "reset_id": e.reset_id},
                "resource": ("memoir.v1.Reset", e.reset_id),
            },
        ),
        _row(
            domain.ResetPlanStale,
            _Code.FAILED_PRECONDITION,
            "RESET_PLAN_STALE",
            lambda e: {
                "metadata": {
                    "reset_id": e.reset_id,
                    "planned_revision": e.planned_revision,
                    "current_revision": e.current_revision,
                }
            },
        ),
        _row(
            domain.ConfirmTokenInvalid,
            _Code.PERMISSION_DENIED,
            "CONFIRM_TOKEN_INVALID",
            lambda e: {"metadata": {"reset_id": e.reset_id}},
        ),
        _row(
            domain.HistoryCompacted,
            _Code.OUT_OF_RANGE,
            "HISTORY_COMPACTED",
            lambda e: {
                "metadata": {"compact_revision": e.compact_revision, "requested_revision": e.requested_revision}
            },
        ),
        _row(
            refusals.RateLimited,
            _Code.RESOURCE_EXHAUSTED,
            "RATE_LIMITED",
            lambda e: {
                "metadata": {"limit": f"{e.limit:g}", "unit": "calls per second"},
                "retry_after": e.retry_after,
                "quota_subject": e.principal,
            },
        ),
        _row(
            refusals.Overloaded,
            _Code.RESOURCE_EXHAUSTED,
            "OVERLOADED",
            lambda e: {"metadata": {"limit": e.limit}, "retry_after": OVERLOAD_RETRY_SECONDS},
        ),
        _row(
            domain.StoreUnavailable,
            _Code.UNAVAILABLE,
            "STORE_UNAVAILABLE",
            lambda e: {"metadata": {"store": e.store}, "retry_after": STORE_RETRY_SECONDS},
        ),
        _row(
            EmbedderUnavailable,
            _Code.UNAVAILABLE,
            "STORE_UNAVAILABLE",
            lambda _: {"metadata": {"store": "embedder"}, "retry_after": STORE_RETRY_SECONDS},
        ),
        _row(refusals.CredentialInvalid, _Code.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
        _row(
            refusals.PermissionDenied,
            _Code.PERMISSION_DENIED,
            "PERMISSION_DENIED",
            lambda e: {"metadata": {"permission": e.permission, "namespace": e.namespace}},
        ),
        _row(
            domain.FreshnessTimeout,
            _Code.DEADLINE_EXCEEDED,
            "FRESHNESS_TIMEOUT",
            lambda e: {
                "metadata": {
                    "store": e.store,
                    "min_revision": e.min_revision,
                    "applied_revision": e.applied_revision,
                }
            },
        ),
        _row(
            domain.FeatureDisabled,
            _Code.UNIMPLEMENTED,
            "FEATURE_DISABLED",
            lambda e: {"metadata": {"feature": e.feature}},
        ),
        _row(
            refusals.ServerDraining,
            _Code.UNAVAILABLE,
            "SERVER_DRAINING",
            lambda e: {
                "metadata": {"resume_token": e.resume_token} if e.resume_token else {},
                "retry_after": DRAIN_RETRY_SECONDS,
            },
        ),
        _row(refusals.DeadlinePassed, _Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        _row(refusals.Defect, _Code.INTERNAL, "INTERNAL", lambda e: {"metadata": {"trace_id": e.trace_id}}),
    ]
)
"""Every failure the service answers with."""


def describe(failure: Exception) -> Failure | None:
    """What a caller is told about it; None for an exception that is no answer but a defect."""
    row = next((TABLE[kind] for kind in type(failure).__mro__ if kind in TABLE), None)
    if row is None:
        return None
    fields = dict(row.describe(failure))
    metadata = {key: _shortened(str(value), MAX_VALUE_BYTES) for key, value in fields.pop("metadata", {}).items()}
    return Failure(code=row.code, reason=row.reason, message=_shortened(str(failure)), metadata=metadata, **fields)


def to_status(failure: Failure) -> Status:
    """The failure as google.rpc.Status, with exactly one ErrorInfo and each other detail at most once."""
    parts: list[Any] = [details.ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=dict(failure.metadata))]
    if failure.violations:
        parts.append(details.BadRequest(field_violations=_violations(failure.violations)))
    if failure.retry_after is not None:
        nanos = round(failure.retry_after * 1e9)
        parts.append(
            details.RetryInfo(retry_delay=Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000))
        )
    if failure.quota_subject:
        parts.append(
            details.QuotaFailure(
                violations=[details.QuotaFailure.Violation(subject=failure.quota_subject, description=failure.message)]
            )
        )
    if failure.resource is not None:
        kind, name = failure.resource
        parts.append(details.ResourceInfo(resource_type=kind, resource_name=name, description=failure.message))
    status = Status(code=failure.code.value[0], message=failure.message)
    for part in parts:
        packed = AnyMessage()
        packed.Pack(part)
        status.details.append(packed)
    return status


def status_of(failure: MemoirError) -> Status:
    """The google.rpc.Status of a failure that is an answer, for results that report failures inside a response."""
    described = describe(failure)
    if described is None:
        raise TypeError(f"{type(failure).__name__} has no row in the error table")
    return to_status(described)


def _shortened(text: str, limit: int = MAX_MESSAGE_BYTES) -> str:
    """At most `limit` bytes of UTF-8; what was cut ends with an ellipsis."""
    if len(text) <= limit // 4 or len(encoded := text.encode()) <= limit:
        return text
    return f"{encoded[: limit - 4].decode(errors='ignore')} ..."


def _violations(violations: Sequence[refusals.Violation]) -> list[Any]:
    """As many as fit into a trailer; a last one counts those left out."""
    shown: list[Any] = []
    room = MAX_VIOLATION_BYTES
    for violation in violations:
        entry = details.BadRequest.FieldViolation(
            field=_shortened(violation.field, MAX_VALUE_BYTES), description=_shortened(violation.problem)
        )
        room -= entry.ByteSize() + _FRAME_BYTES
        if room < 0 and shown:
            entry.description = f"{len(violations) - len(shown)} more violations from here on"
            return [*shown, entry]
        shown.append(entry)
    return shown
