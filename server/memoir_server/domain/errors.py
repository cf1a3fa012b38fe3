"""Failures that callers can act on. Each maps to one reason of the contract; the RPC layer does the mapping."""

from __future__ import annotations


class MemoirError(Exception):
    """Base of every failure that is an answer rather than a defect."""


class FieldInvalid(MemoirError):
    """A field of the request breaks a rule. `field` is its path in the request, `problem` the rule and the fix."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class TokenInvalid(MemoirError):
    """A page or resume token is malformed or belongs to other parameters."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: not a token of this server for these parameters; start again without it")
        self.field = field


class MemoryNotFound(MemoirError):
    """No such memory now (or at the moment asked for)."""

    def __init__(self, namespace: str, memory_id: str) -> None:
        super().__init__(f"memory {memory_id!r} does not exist in namespace {namespace!r}")
        self.namespace = namespace
        self.memory_id = memory_id


class EntityNotFound(MemoirError):
    """Nothing that exists mentions such an entity."""

    def __init__(self, namespace: str, entity_id: str) -> None:
        super().__init__(
            f"entity {entity_id!r} does not exist in namespace {namespace!r}; ListEntities finds ids by name"
        )
        self.namespace = namespace
        self.entity_id = entity_id


class MemoryAlreadyExists(MemoirError):
    """A client-chosen id is taken."""

    def __init__(self, namespace: str, memory_id: str) -> None:
        super().__init__(
            f"memory {memory_id!r} already exists in namespace {namespace!r}; choose another id or update it"
        )
        self.namespace = namespace
        self.memory_id = memory_id


class EtagMismatch(MemoirError):
    """The memory changed since the caller read it."""

    def __init__(self, memory_id: str, current_etag: str) -> None:
        super().__init__(f"memory {memory_id!r} has changed; its etag is now {current_etag}: read it again and retry")
        self.memory_id = memory_id
        self.current_etag = current_etag


class RequestIdReused(MemoirError):
    """The same request_id came with another payload."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request_id {request_id!r} was used for another request; use a fresh one")
        self.request_id = request_id


class IngestionNotFound(MemoirError):
    """No such ingestion, or it was erased, or is over for so long that it is forgotten."""

    def __init__(self, namespace: str, ingestion_id: str) -> None:
        super().__init__(f"ingestion {ingestion_id!r} does not exist in namespace {namespace!r}")
        self.namespace = namespace
        self.ingestion_id = ingestion_id


class IngestionLost(MemoirError):
    """Work that was done for an ingestion which is not this attempt's any more. Never reaches a caller."""

    def __init__(self, ingestion_id: str) -> None:
        super().__init__(f"ingestion {ingestion_id!r} was taken over by another server, or cancelled")
        self.ingestion_id = ingestion_id


class ScopeMoved(MemoirError):
    """Memories of an owner have changed since what is to be committed was decided. Never reaches a caller: it is
    decided again."""

    def __init__(self, namespace: str) -> None:
        super().__init__(f"memories of the scope in namespace {namespace!r} have changed meanwhile")
        self.namespace = namespace


class ResetNotFound(MemoirError):
    """No such reset."""

    def __init__(self, namespace: str, reset_id: str) -> None:
        super().__init__(f"reset {reset_id!r} does not exist in namespace {namespace!r}")
        self.namespace = namespace
        self.reset_id = reset_id


class ResetPlanStale(MemoirError):
    """A plan can no longer be executed."""

    def __init__(self, reset_id: str, *, planned: int, current: int, why: str) -> None:
        super().__init__(f"reset {reset_id!r} cannot be executed: {why}; plan again")
        self.reset_id = reset_id
        self.planned_revision = planned
        self.current_revision = current


class ConfirmTokenInvalid(MemoirError):
    """The confirm token does not belong to the plan."""

    def __init__(self, reset_id: str) -> None:
        super().__init__(f"the confirm_token is not the one PlanReset returned for reset {reset_id!r}")
        self.reset_id = reset_id


class HistoryCompacted(MemoirError):
    """The wanted start of the history is gone."""

    def __init__(self, *, compact_revision: int, requested_revision: int) -> None:
        super().__init__(
            f"history before revision {compact_revision} is gone; revision {requested_revision} was asked for"
        )
        self.compact_revision = compact_revision
        self.requested_revision = requested_revision


class StoreUnavailable(MemoirError):
    """A store that is needed does not answer. Adapters raise it for their own store."""

    def __init__(self, store: str, why: str) -> None:
        super().__init__(f"store {store!r} is unavailable: {why}")
        self.store = store


class FreshnessTimeout(MemoirError):
    """A read waited for a revision in vain."""

    def __init__(self, store: str, *, min_revision: int, applied_revision: int) -> None:
        super().__init__(f"store {store!r} has applied revision {applied_revision}, not yet {min_revision}")
        self.store = store
        self.min_revision = min_revision
        self.applied_revision = applied_revision


class FeatureDisabled(MemoirError):
    """The server runs without the feature."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"feature {feature!r} is off on this server; GetServerInfo lists those that are on")
        self.feature = feature
