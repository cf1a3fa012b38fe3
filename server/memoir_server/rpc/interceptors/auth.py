"""Who calls, and what they may do. Permission is decided before anything is looked up, so that a refusal says nothing
about what exists."""

from __future__ import annotations

import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from memoir_server.domain.change import Actor
from memoir_server.rpc.refusals import CredentialInvalid, PermissionDenied

ALL_NAMESPACES = "*"
_BEARER = "bearer "


class Role(IntEnum):
    """What a key may do; each role includes those below it."""

    READER = 1
    WRITER = 2
    ADMIN = 3

    @property
    def permission(self) -> str:
        """The permission that a method of this role needs."""
        return {Role.READER: "read", Role.WRITER: "write", Role.ADMIN: "admin"}[self]


REQUIRED: Mapping[str, Role] = {
    **dict.fromkeys(("GetMemory", "ListMemories", "ListScopes", "GetIngestion", "ListIngestions"), Role.READER),
    **dict.fromkeys(("SearchMemories", "StreamSearchMemories", "BuildContext"), Role.READER),
    **dict.fromkeys(("GetEntity", "ListEntities", "ListRelations", "TraverseGraph"), Role.READER),
    **dict.fromkeys(("ListHistory", "WatchHistory", "ExportMemories", "GetServerInfo"), Role.READER),
    **dict.fromkeys(("AddMemories", "CreateMemory", "BatchCreateMemories", "UpdateMemory"), Role.WRITER),
    **dict.fromkeys(("DeleteMemory", "BatchDeleteMemories", "ImportMemories"), Role.WRITER),
    **dict.fromkeys(("PlanReset", "ExecuteReset", "GetReset", "WatchReset", "CancelReset"), Role.ADMIN),
    **dict.fromkeys(("CheckConsistency", "RepairConsistency", "RebuildProjection"), Role.ADMIN),
}
"""Role that each method needs."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key the server accepts, known by its SHA-256 only. `namespaces` may hold "*"; the first is the default."""

    name: str
    sha256: bytes
    namespaces: tuple[str, ...]
    role: Role


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. `namespaces` None: all."""

    actor: Actor
    role: Role
    namespaces: frozenset[str] | None
    default_namespace: str

    def namespace(self, asked: str, needed: Role) -> str:
        """The namespace a call is about. Raises PermissionDenied when the principal may not do `needed` there."""
        namespace = asked or self.default_namespace
        if self.role < needed or (self.namespaces is not None and namespace not in self.namespaces):
            raise PermissionDenied(needed.permission, namespace)
        return namespace


class Authenticator(ABC):
    """Turns a call's credential into a principal."""

    @abstractmethod
    def authenticate(self, authorization: str) -> Principal:
        """The principal behind an `authorization` header ("" when there is none). Raises CredentialInvalid."""


class NoAuthentication(Authenticator):
    """Everybody is "anonymous" and may do everything."""

    def __init__(self, default_namespace: str) -> None:
        self._anonymous = Principal(Actor("anonymous"), Role.ADMIN, None, default_namespace)

    def authenticate(self, authorization: str) -> Principal:
        return self._anonymous


class ApiKeys(Authenticator):
    """Bearer keys, compared by hash in constant time."""

    def __init__(self, keys: Sequence[ApiKey], default_namespace: str) -> None:
        self._keys = tuple((key.sha256, _principal(key, default_namespace)) for key in keys)

    def authenticate(self, authorization: str) -> Principal:
        if not authorization:
            raise CredentialInvalid("no credential was sent")
        if not authorization[: len(_BEARER)].lower() == _BEARER:
            raise CredentialInvalid("the authorization header is not of the form `Bearer <key>`")
        digest = hashlib.sha256(authorization[len(_BEARER) :].strip().encode()).digest()
        found = None
        for sha256, principal in self._keys:
            if hmac.compare_digest(sha256, digest):
                found = principal
        if found is None:
            raise CredentialInvalid("the key is not known")
        return found


def _principal(key: ApiKey, default_namespace: str) -> Principal:
    everywhere = ALL_NAMESPACES in key.namespaces
    first = next((n for n in key.namespaces if n != ALL_NAMESPACES), default_namespace)
    return Principal(Actor(key.name), key.role, None if everywhere else frozenset(key.namespaces), first)
