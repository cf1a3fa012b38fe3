"""Exceptions of the client: one class per canonical code, and below it one per reason of the contract."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

ERROR_DOMAIN: Final = "memoir.dev"
_STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One broken rule of a request: the field's path, what is wrong, and the rule's id where there is one."""

    field: str
    description: str
    rule: str = ""


class MemoirError(Exception):
    """A call that failed.

    Attributes:
        code: canonical gRPC status code.
        reason: reason as on the wire, such as "MEMORY_NOT_FOUND"; empty when the server gave none.
        metadata: what the contract promises for the reason, such as {"memory_id": "..."}.
        field_violations: for invalid requests, one entry per broken rule.
        retry_delay: seconds after which the server suggests another attempt; None without advice.
    """

    code: grpc.StatusCode
    reason: str
    metadata: Mapping[str, str]
    field_violations: tuple[FieldViolation, ...]
    retry_delay: float | None

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_delay: float | None = None,
        status: status_pb2.Status | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.field_violations = field_violations
        self.retry_delay = retry_delay
        self._status = status

    @property
    def status(self) -> status_pb2.Status:
        """The google.rpc.Status with all details as received; built from code and message when none came."""
        if self._status is not None:
            return self._status
        return status_pb2.Status(code=self.code.value[0], message=self.message)

    def __str__(self) -> str:
        return f"{self.message} [{self.reason or self.code.name}]"


class Cancelled(MemoirError):
    """CANCELLED: the server ended the call on a cancellation."""


class Unknown(MemoirError):
    """UNKNOWN: a failure without a canonical code."""


class InvalidArgument(MemoirError, ValueError):
    """INVALID_ARGUMENT / FIELD_INVALID: the request breaks a rule; `field_violations` says which. Do not retry."""


class TokenInvalid(InvalidArgument):
    """TOKEN_INVALID: a page or resume token is malformed or belongs to other parameters. Start without it."""


class DeadlineExceeded(MemoirError):
    """DEADLINE_EXCEEDED: the call's timeout passed."""


class FreshnessTimeout(DeadlineExceeded):
    """FRESHNESS_TIMEOUT: the projections did not reach `min_revision` in time."""


class NotFound(MemoirError):
    """NOT_FOUND."""


class MemoryNotFound(NotFound):
    """MEMORY_NOT_FOUND: no such memory in the namespace."""


class ResetNotFound(NotFound):
    """RESET_NOT_FOUND: no such reset in the namespace."""


class IngestionNotFound(NotFound):
    """INGESTION_NOT_FOUND: no such ingestion in the namespace."""


class EntityNotFound(NotFound):
    """ENTITY_NOT_FOUND: no such entity in the namespace."""


class AlreadyExists(MemoirError):
    """ALREADY_EXISTS."""


class MemoryAlreadyExists(AlreadyExists):
    """MEMORY_ALREADY_EXISTS: the wanted memory_id is taken."""


class PermissionDenied(MemoirError):
    """PERMISSION_DENIED: the credential does not allow this."""


class ConfirmTokenInvalid(PermissionDenied):
    """CONFIRM_TOKEN_INVALID: not the confirm token of this reset."""


class Unauthenticated(MemoirError):
    """UNAUTHENTICATED."""


class CredentialInvalid(Unauthenticated):
    """CREDENTIAL_INVALID: no API key, or one the server does not accept."""


class ResourceExhausted(MemoirError):
    """RESOURCE_EXHAUSTED; without a reason, a message over the size limit of 4 MB."""


class RateLimited(ResourceExhausted):
    """RATE_LIMITED: the caller is over its rate; see `retry_delay`."""


class Overloaded(ResourceExhausted):
    """OVERLOADED: the server sheds load; see `retry_delay`."""


class FailedPrecondition(MemoirError):
    """FAILED_PRECONDITION."""


class ResetPlanStale(FailedPrecondition):
    """RESET_PLAN_STALE: the target changed after the plan, or the plan expired. Plan again."""


class Aborted(MemoirError):
    """ABORTED."""


class EtagMismatch(Aborted):
    """ETAG_MISMATCH: the memory changed since it was read. Read again, apply the change again."""


class RequestIdReused(Aborted):
    """REQUEST_ID_REUSED: the same request_id came with another payload."""


class OutOfRange(MemoirError):
    """OUT_OF_RANGE."""


class HistoryCompacted(OutOfRange):
    """HISTORY_COMPACTED: the wanted start of the history is gone. List again, watch from the new token."""


class Unimplemented(MemoirError):
    """UNIMPLEMENTED: the server does not know the method."""


class FeatureDisabled(Unimplemented):
    """FEATURE_DISABLED: the server runs without the feature named in `metadata["feature"]`."""


class InternalError(MemoirError):
    """INTERNAL: a defect of the server; its log holds `metadata["trace_id"]`."""


class Unavailable(MemoirError):
    """UNAVAILABLE: no connection, or a server that cannot serve now."""


class StoreUnavailable(Unavailable):
    """STORE_UNAVAILABLE: a store the call needs does not answer."""


class ServerDraining(Unavailable):
    """SERVER_DRAINING: the server shuts down; connect again."""


class DataLoss(MemoirError):
    """DATA_LOSS."""


class IncompleteStream(DataLoss):
    """A stream that ended early or skipped a message, found by the client."""


CLASS_BY_CODE: Final[Mapping[grpc.StatusCode, type[MemoirError]]] = {
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNKNOWN: Unknown,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.INTERNAL: InternalError,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DATA_LOSS: DataLoss,
}

CLASS_BY_REASON: Final[Mapping[str, type[MemoirError]]] = {
    "FIELD_INVALID": InvalidArgument,
    "TOKEN_INVALID": TokenInvalid,
    "MEMORY_NOT_FOUND": MemoryNotFound,
    "MEMORY_ALREADY_EXISTS": MemoryAlreadyExists,
    "ETAG_MISMATCH": EtagMismatch,
    "REQUEST_ID_REUSED": RequestIdReused,
    "RESET_NOT_FOUND": ResetNotFound,
    "RESET_PLAN_STALE": ResetPlanStale,
    "CONFIRM_TOKEN_INVALID": ConfirmTokenInvalid,
    "HISTORY_COMPACTED": HistoryCompacted,
    "RATE_LIMITED": RateLimited,
    "OVERLOADED": Overloaded,
    "STORE_UNAVAILABLE": StoreUnavailable,
    "CREDENTIAL_INVALID": CredentialInvalid,
    "PERMISSION_DENIED": PermissionDenied,
    "FRESHNESS_TIMEOUT": FreshnessTimeout,
    "FEATURE_DISABLED": FeatureDisabled,
    "INGESTION_NOT_FOUND": IngestionNotFound,
    "ENTITY_NOT_FOUND": EntityNotFound,
    "SERVER_DRAINING": ServerDraining,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "INTERNAL": InternalError,
}

_CODE_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


def invalid(field: str, description: str) -> InvalidArgument:
    """Build the error for an argument the client itself refuses, shaped like the server's."""
    return InvalidArgument(
        f"{field}: {description}",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        reason="FIELD_INVALID",
        metadata={"field": field},
        field_violations=(FieldViolation(field, description),),
    )


def error_from_status(status: status_pb2.Status) -> MemoirError:
    """Turn a google.rpc.Status, from a trailer or from inside a response, into the exception of its reason."""
    code = _CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    reason, metadata = "", dict[str, str]()
    violations: tuple[FieldViolation, ...] = ()
    retry_delay: float | None = None
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            # A reason of another domain (a proxy's) says nothing about our classes, but is kept for the reader.
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations = tuple(FieldViolation(v.field, v.description, v.reason) for v in bad.field_violations)
        elif detail.Unpack(retry):
            retry_delay = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    known = CLASS_BY_REASON if info.domain == ERROR_DOMAIN else {}
    cls = known.get(reason) or CLASS_BY_CODE.get(code, MemoirError)
    return cls(
        status.message,
        code=code,
        reason=reason,
        metadata=metadata,
        field_violations=violations,
        retry_delay=retry_delay,
        status=status,
    )


def error_from_rpc(error: grpc.aio.AioRpcError) -> MemoirError:
    """Turn a failed call into the exception of its reason, or of its code when no details came."""
    code = error.code()
    trailers = error.trailing_metadata()
    for key, value in trailers or ():
        if key == _STATUS_DETAILS_KEY and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            # The code that counts is the transport's; details that contradict it are not from our server.
            if status.code == code.value[0]:
                return error_from_status(status)
    return CLASS_BY_CODE.get(code, MemoirError)(error.details() or code.name, code=code)
