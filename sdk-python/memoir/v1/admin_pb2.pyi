import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from memoir.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    def __init__(self, namespace: _Optional[str] = ...) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("server_version", "contract_digest", "features", "limits", "stores", "revision", "profile", "embedding_model", "ranking_version")
    class LimitsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    STORES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    RANKING_VERSION_FIELD_NUMBER: _ClassVar[int]
    server_version: str
    contract_digest: str
    features: _containers.RepeatedScalarFieldContainer[str]
    limits: _containers.ScalarMap[str, int]
    stores: _containers.RepeatedCompositeFieldContainer[StoreStatus]
    revision: int
    profile: str
    embedding_model: str
    ranking_version: str
    def __init__(self, server_version: _Optional[str] = ..., contract_digest: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., limits: _Optional[_Mapping[str, int]] = ..., stores: _Optional[_Iterable[_Union[StoreStatus, _Mapping]]] = ..., revision: _Optional[int] = ..., profile: _Optional[str] = ..., embedding_model: _Optional[str] = ..., ranking_version: _Optional[str] = ...) -> None: ...

class StoreStatus(_message.Message):
    __slots__ = ("store", "reachable", "version", "latency", "applied_revision", "lag", "breaker", "degraded")
    class BreakerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BREAKER_STATE_UNSPECIFIED: _ClassVar[StoreStatus.BreakerState]
        BREAKER_STATE_CLOSED: _ClassVar[StoreStatus.BreakerState]
        BREAKER_STATE_OPEN: _ClassVar[StoreStatus.BreakerState]
        BREAKER_STATE_HALF_OPEN: _ClassVar[StoreStatus.BreakerState]
    BREAKER_STATE_UNSPECIFIED: StoreStatus.BreakerState
    BREAKER_STATE_CLOSED: StoreStatus.BreakerState
    BREAKER_STATE_OPEN: StoreStatus.BreakerState
    BREAKER_STATE_HALF_OPEN: StoreStatus.BreakerState
    STORE_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    APPLIED_REVISION_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    store: _common_pb2.StoreKind
    reachable: bool
    version: str
    latency: _duration_pb2.Duration
    applied_revision: int
    lag: int
    breaker: StoreStatus.BreakerState
    degraded: int
    def __init__(self, store: _Optional[_Union[_common_pb2.StoreKind, str]] = ..., reachable: bool = ..., version: _Optional[str] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., applied_revision: _Optional[int] = ..., lag: _Optional[int] = ..., breaker: _Optional[_Union[StoreStatus.BreakerState, str]] = ..., degraded: _Optional[int] = ...) -> None: ...

class CheckConsistencyRequest(_message.Message):
    __slots__ = ("namespace", "scope", "max_findings", "sample")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MAX_FINDINGS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    scope: _common_pb2.Scope
    max_findings: int
    sample: int
    def __init__(self, namespace: _Optional[str] = ..., scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., max_findings: _Optional[int] = ..., sample: _Optional[int] = ...) -> None: ...

class CheckConsistencyResponse(_message.Message):
    __slots__ = ("finding", "progress", "summary")
    class Progress(_message.Message):
        __slots__ = ("examined", "total")
        EXAMINED_FIELD_NUMBER: _ClassVar[int]
        TOTAL_FIELD_NUMBER: _ClassVar[int]
        examined: int
        total: int
        def __init__(self, examined: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...
    class Summary(_message.Message):
        __slots__ = ("examined", "findings", "revision")
        EXAMINED_FIELD_NUMBER: _ClassVar[int]
        FINDINGS_FIELD_NUMBER: _ClassVar[int]
        REVISION_FIELD_NUMBER: _ClassVar[int]
        examined: int
        findings: int
        revision: int
        def __init__(self, examined: _Optional[int] = ..., findings: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...
    FINDING_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    finding: Finding
    progress: CheckConsistencyResponse.Progress
    summary: CheckConsistencyResponse.Summary
    def __init__(self, finding: _Optional[_Union[Finding, _Mapping]] = ..., progress: _Optional[_Union[CheckConsistencyResponse.Progress, _Mapping]] = ..., summary: _Optional[_Union[CheckConsistencyResponse.Summary, _Mapping]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("finding_id", "kind", "store", "memory_id", "resource", "message")
    class FindingKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FINDING_KIND_UNSPECIFIED: _ClassVar[Finding.FindingKind]
        FINDING_KIND_MISSING: _ClassVar[Finding.FindingKind]
        FINDING_KIND_ORPHANED: _ClassVar[Finding.FindingKind]
        FINDING_KIND_STALE: _ClassVar[Finding.FindingKind]
        FINDING_KIND_EMBEDDING_MISMATCH: _ClassVar[Finding.FindingKind]
    FINDING_KIND_UNSPECIFIED: Finding.FindingKind
    FINDING_KIND_MISSING: Finding.FindingKind
    FINDING_KIND_ORPHANED: Finding.FindingKind
    FINDING_KIND_STALE: Finding.FindingKind
    FINDING_KIND_EMBEDDING_MISMATCH: Finding.FindingKind
    FINDING_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    finding_id: str
    kind: Finding.FindingKind
    store: _common_pb2.StoreKind
    memory_id: str
    resource: str
    message: str
    def __init__(self, finding_id: _Optional[str] = ..., kind: _Optional[_Union[Finding.FindingKind, str]] = ..., store: _Optional[_Union[_common_pb2.StoreKind, str]] = ..., memory_id: _Optional[str] = ..., resource: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class RepairConsistencyRequest(_message.Message):
    __slots__ = ("namespace", "finding_ids", "validate_only", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FINDING_IDS_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    finding_ids: _containers.RepeatedScalarFieldContainer[str]
    validate_only: bool
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., finding_ids: _Optional[_Iterable[str]] = ..., validate_only: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class RepairConsistencyResponse(_message.Message):
    __slots__ = ("repaired_finding_ids", "resolved_finding_ids")
    REPAIRED_FINDING_IDS_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_FINDING_IDS_FIELD_NUMBER: _ClassVar[int]
    repaired_finding_ids: _containers.RepeatedScalarFieldContainer[str]
    resolved_finding_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, repaired_finding_ids: _Optional[_Iterable[str]] = ..., resolved_finding_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RebuildProjectionRequest(_message.Message):
    __slots__ = ("namespace", "store", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    store: _common_pb2.StoreKind
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., store: _Optional[_Union[_common_pb2.StoreKind, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RebuildProjectionResponse(_message.Message):
    __slots__ = ("applied", "total")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    applied: int
    total: int
    def __init__(self, applied: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...
