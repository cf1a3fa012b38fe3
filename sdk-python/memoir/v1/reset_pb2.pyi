import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from memoir.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Reset(_message.Message):
    __slots__ = ("namespace", "reset_id", "target", "state", "effects", "sample_memory_ids", "warnings", "planned_revision", "fence_revision", "create_time", "expire_time", "error", "sequence", "receipt")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Reset.State]
        STATE_PLANNED: _ClassVar[Reset.State]
        STATE_RUNNING: _ClassVar[Reset.State]
        STATE_SUCCEEDED: _ClassVar[Reset.State]
        STATE_FAILED: _ClassVar[Reset.State]
        STATE_CANCELLED: _ClassVar[Reset.State]
    STATE_UNSPECIFIED: Reset.State
    STATE_PLANNED: Reset.State
    STATE_RUNNING: Reset.State
    STATE_SUCCEEDED: Reset.State
    STATE_FAILED: Reset.State
    STATE_CANCELLED: Reset.State
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RESET_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_MEMORY_IDS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    PLANNED_REVISION_FIELD_NUMBER: _ClassVar[int]
    FENCE_REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    reset_id: str
    target: ResetTarget
    state: Reset.State
    effects: _containers.RepeatedCompositeFieldContainer[StoreEffect]
    sample_memory_ids: _containers.RepeatedScalarFieldContainer[str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    planned_revision: int
    fence_revision: int
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    error: _status_pb2.Status
    sequence: int
    receipt: ResetReceipt
    def __init__(self, namespace: _Optional[str] = ..., reset_id: _Optional[str] = ..., target: _Optional[_Union[ResetTarget, _Mapping]] = ..., state: _Optional[_Union[Reset.State, str]] = ..., effects: _Optional[_Iterable[_Union[StoreEffect, _Mapping]]] = ..., sample_memory_ids: _Optional[_Iterable[str]] = ..., warnings: _Optional[_Iterable[str]] = ..., planned_revision: _Optional[int] = ..., fence_revision: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., sequence: _Optional[int] = ..., receipt: _Optional[_Union[ResetReceipt, _Mapping]] = ...) -> None: ...

class ResetTarget(_message.Message):
    __slots__ = ("scope", "entire_namespace", "preserve", "include_history", "keep_vector", "keep_graph", "keep_history")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ENTIRE_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PRESERVE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    KEEP_VECTOR_FIELD_NUMBER: _ClassVar[int]
    KEEP_GRAPH_FIELD_NUMBER: _ClassVar[int]
    KEEP_HISTORY_FIELD_NUMBER: _ClassVar[int]
    scope: _common_pb2.Scope
    entire_namespace: str
    preserve: _common_pb2.Filter
    include_history: bool
    keep_vector: bool
    keep_graph: bool
    keep_history: bool
    def __init__(self, scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., entire_namespace: _Optional[str] = ..., preserve: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., include_history: bool = ..., keep_vector: bool = ..., keep_graph: bool = ..., keep_history: bool = ...) -> None: ...

class StoreEffect(_message.Message):
    __slots__ = ("store", "planned", "removed")
    STORE_FIELD_NUMBER: _ClassVar[int]
    PLANNED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    store: _common_pb2.StoreKind
    planned: int
    removed: int
    def __init__(self, store: _Optional[_Union[_common_pb2.StoreKind, str]] = ..., planned: _Optional[int] = ..., removed: _Optional[int] = ...) -> None: ...

class ResetReceipt(_message.Message):
    __slots__ = ("stores", "memories", "events_erased", "complete_time", "revision", "digest")
    class StoreReceipt(_message.Message):
        __slots__ = ("store", "removed", "remaining")
        STORE_FIELD_NUMBER: _ClassVar[int]
        REMOVED_FIELD_NUMBER: _ClassVar[int]
        REMAINING_FIELD_NUMBER: _ClassVar[int]
        store: _common_pb2.StoreKind
        removed: int
        remaining: int
        def __init__(self, store: _Optional[_Union[_common_pb2.StoreKind, str]] = ..., removed: _Optional[int] = ..., remaining: _Optional[int] = ...) -> None: ...
    STORES_FIELD_NUMBER: _ClassVar[int]
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    EVENTS_ERASED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    stores: _containers.RepeatedCompositeFieldContainer[ResetReceipt.StoreReceipt]
    memories: int
    events_erased: int
    complete_time: _timestamp_pb2.Timestamp
    revision: int
    digest: str
    def __init__(self, stores: _Optional[_Iterable[_Union[ResetReceipt.StoreReceipt, _Mapping]]] = ..., memories: _Optional[int] = ..., events_erased: _Optional[int] = ..., complete_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class PlanResetRequest(_message.Message):
    __slots__ = ("namespace", "target", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    target: ResetTarget
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., target: _Optional[_Union[ResetTarget, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class PlanResetResponse(_message.Message):
    __slots__ = ("reset", "confirm_token")
    RESET_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_TOKEN_FIELD_NUMBER: _ClassVar[int]
    reset: Reset
    confirm_token: str
    def __init__(self, reset: _Optional[_Union[Reset, _Mapping]] = ..., confirm_token: _Optional[str] = ...) -> None: ...

class ExecuteResetRequest(_message.Message):
    __slots__ = ("namespace", "reset_id", "confirm_token", "allow_drift", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RESET_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DRIFT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    reset_id: str
    confirm_token: str
    allow_drift: bool
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., reset_id: _Optional[str] = ..., confirm_token: _Optional[str] = ..., allow_drift: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class ExecuteResetResponse(_message.Message):
    __slots__ = ("reset", "revision")
    RESET_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    reset: Reset
    revision: int
    def __init__(self, reset: _Optional[_Union[Reset, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class GetResetRequest(_message.Message):
    __slots__ = ("namespace", "reset_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RESET_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    reset_id: str
    def __init__(self, namespace: _Optional[str] = ..., reset_id: _Optional[str] = ...) -> None: ...

class GetResetResponse(_message.Message):
    __slots__ = ("reset",)
    RESET_FIELD_NUMBER: _ClassVar[int]
    reset: Reset
    def __init__(self, reset: _Optional[_Union[Reset, _Mapping]] = ...) -> None: ...

class WatchResetRequest(_message.Message):
    __slots__ = ("namespace", "reset_id", "after_sequence")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RESET_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    reset_id: str
    after_sequence: int
    def __init__(self, namespace: _Optional[str] = ..., reset_id: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class WatchResetResponse(_message.Message):
    __slots__ = ("sequence", "reset")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    reset: Reset
    def __init__(self, sequence: _Optional[int] = ..., reset: _Optional[_Union[Reset, _Mapping]] = ...) -> None: ...

class CancelResetRequest(_message.Message):
    __slots__ = ("namespace", "reset_id", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RESET_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    reset_id: str
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., reset_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CancelResetResponse(_message.Message):
    __slots__ = ("reset",)
    RESET_FIELD_NUMBER: _ClassVar[int]
    reset: Reset
    def __init__(self, reset: _Optional[_Union[Reset, _Mapping]] = ...) -> None: ...
