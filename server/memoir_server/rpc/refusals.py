"""Failures that arise in the RPC layer itself: credentials, limits, the form of a request, draining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memoir_server.domain.errors import MemoirError


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: the path of the field in the request, and what is wrong with it."""

    field: str
    problem: str


class RequestInvalid(MemoirError):
    """The request breaks rules of the contract; all of them are listed."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{v.field}: {v.problem}" for v in violations))
        self.violations = tuple(violations)


class CredentialInvalid(MemoirError):
    """No credential, or one the server does not accept."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; send `authorization: Bearer <key>` with a key of this server")


class PermissionDenied(MemoirError):
    """The principal may not do this in this namespace."""

    def __init__(self, permission: str, namespace: str) -> None:
        super().__init__(f"the key does not grant {permission!r} in namespace {namespace!r}; use another key")
        self.permission = permission
        self.namespace = namespace


class RateLimited(MemoirError):
    """The principal's calls come too fast. `retry_after` is in seconds."""

    def __init__(self, principal: str, *, limit: float, retry_after: float) -> None:
        super().__init__(f"{principal!r} is limited to {limit:g} calls per second; wait {retry_after:.3f} s")
        self.principal = principal
        self.limit = limit
        self.retry_after = retry_after


class Overloaded(MemoirError):
    """The server has as many calls in hand as it takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the server has {limit} calls in hand and takes no more; wait and retry")
        self.limit = limit


class ServerDraining(MemoirError):
    """The server is shutting down. `resume_token` is set for a history watch and an export."""

    def __init__(self, resume_token: str = "") -> None:
        super().__init__("the server is draining; connect again, elsewhere or later")
        self.resume_token = resume_token


class DeadlinePassed(MemoirError):
    """The caller's deadline passed while the server was at work."""

    def __init__(self) -> None:
        super().__init__("the deadline passed while the server was at work; allow more time")


class Defect(MemoirError):
    """Stands for an unforeseen exception: the caller learns the trace id and nothing of what happened."""

    def __init__(self, trace_id: str) -> None:
        super().__init__(f"internal error; the server's log holds the details under trace_id {trace_id}")
        self.trace_id = trace_id
