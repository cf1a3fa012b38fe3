import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from memoir.v1 import common_pb2 as _common_pb2
from memoir.v1 import memory_pb2 as _memory_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HistoryEvent(_message.Message):
    __slots__ = ("revision", "commit_time", "type", "memory_id", "before", "after", "actor", "reason", "request_id", "traceparent", "reset_id")
    class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        EVENT_TYPE_UNSPECIFIED: _ClassVar[HistoryEvent.EventType]
        EVENT_TYPE_CREATED: _ClassVar[HistoryEvent.EventType]
        EVENT_TYPE_UPDATED: _ClassVar[HistoryEvent.EventType]
        EVENT_TYPE_SUPERSEDED: _ClassVar[HistoryEvent.EventType]
        EVENT_TYPE_DELETED: _ClassVar[HistoryEvent.EventType]
        EVENT_TYPE_EXPIRED: _ClassVar[HistoryEvent.EventType]
        EVENT_TYPE_RESET: _ClassVar[HistoryEvent.EventType]
        EVENT_TYPE_ERASED: _ClassVar[HistoryEvent.EventType]
        EVENT_TYPE_FAILED: _ClassVar[HistoryEvent.EventType]
    EVENT_TYPE_UNSPECIFIED: HistoryEvent.EventType
    EVENT_TYPE_CREATED: HistoryEvent.EventType
    EVENT_TYPE_UPDATED: HistoryEvent.EventType
    EVENT_TYPE_SUPERSEDED: HistoryEvent.EventType
    EVENT_TYPE_DELETED: HistoryEvent.EventType
    EVENT_TYPE_EXPIRED: HistoryEvent.EventType
    EVENT_TYPE_RESET: HistoryEvent.EventType
    EVENT_TYPE_ERASED: HistoryEvent.EventType
    EVENT_TYPE_FAILED: HistoryEvent.EventType
    REVISION_FIELD_NUMBER: _ClassVar[int]
    COMMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    RESET_ID_FIELD_NUMBER: _ClassVar[int]
    revision: int
    commit_time: _timestamp_pb2.Timestamp
    type: HistoryEvent.EventType
    memory_id: str
    before: _memory_pb2.Memory
    after: _memory_pb2.Memory
    actor: Actor
    reason: str
    request_id: str
    traceparent: str
    reset_id: str
    def __init__(self, revision: _Optional[int] = ..., commit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., type: _Optional[_Union[HistoryEvent.EventType, str]] = ..., memory_id: _Optional[str] = ..., before: _Optional[_Union[_memory_pb2.Memory, _Mapping]] = ..., after: _Optional[_Union[_memory_pb2.Memory, _Mapping]] = ..., actor: _Optional[_Union[Actor, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ..., traceparent: _Optional[str] = ..., reset_id: _Optional[str] = ...) -> None: ...

class Actor(_message.Message):
    __slots__ = ("principal", "kind")
    class ActorKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTOR_KIND_UNSPECIFIED: _ClassVar[Actor.ActorKind]
        ACTOR_KIND_CLIENT: _ClassVar[Actor.ActorKind]
        ACTOR_KIND_EXTRACTOR: _ClassVar[Actor.ActorKind]
        ACTOR_KIND_SYSTEM: _ClassVar[Actor.ActorKind]
    ACTOR_KIND_UNSPECIFIED: Actor.ActorKind
    ACTOR_KIND_CLIENT: Actor.ActorKind
    ACTOR_KIND_EXTRACTOR: Actor.ActorKind
    ACTOR_KIND_SYSTEM: Actor.ActorKind
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    principal: str
    kind: Actor.ActorKind
    def __init__(self, principal: _Optional[str] = ..., kind: _Optional[_Union[Actor.ActorKind, str]] = ...) -> None: ...

class HistoryFilter(_message.Message):
    __slots__ = ("scope", "memory_id", "types")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    scope: _common_pb2.Scope
    memory_id: str
    types: _containers.RepeatedScalarFieldContainer[HistoryEvent.EventType]
    def __init__(self, scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., memory_id: _Optional[str] = ..., types: _Optional[_Iterable[_Union[HistoryEvent.EventType, str]]] = ...) -> None: ...

class ListHistoryRequest(_message.Message):
    __slots__ = ("namespace", "page_size", "page_token", "filter", "commit_time_range")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    COMMIT_TIME_RANGE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    page_token: str
    filter: HistoryFilter
    commit_time_range: _common_pb2.TimeRange
    def __init__(self, namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., filter: _Optional[_Union[HistoryFilter, _Mapping]] = ..., commit_time_range: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ...) -> None: ...

class ListHistoryResponse(_message.Message):
    __slots__ = ("events", "next_page_token", "resume_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[HistoryEvent]
    next_page_token: str
    resume_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[HistoryEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., resume_token: _Optional[str] = ...) -> None: ...

class WatchHistoryRequest(_message.Message):
    __slots__ = ("namespace", "filter", "resume_token", "start_revision", "start_time", "progress_interval")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    START_REVISION_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    filter: HistoryFilter
    resume_token: str
    start_revision: int
    start_time: _timestamp_pb2.Timestamp
    progress_interval: _duration_pb2.Duration
    def __init__(self, namespace: _Optional[str] = ..., filter: _Optional[_Union[HistoryFilter, _Mapping]] = ..., resume_token: _Optional[str] = ..., start_revision: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchHistoryResponse(_message.Message):
    __slots__ = ("resume_token", "event", "bookmark")
    class Bookmark(_message.Message):
        __slots__ = ("revision", "caught_up")
        REVISION_FIELD_NUMBER: _ClassVar[int]
        CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
        revision: int
        caught_up: bool
        def __init__(self, revision: _Optional[int] = ..., caught_up: bool = ...) -> None: ...
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    BOOKMARK_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    event: HistoryEvent
    bookmark: WatchHistoryResponse.Bookmark
    def __init__(self, resume_token: _Optional[str] = ..., event: _Optional[_Union[HistoryEvent, _Mapping]] = ..., bookmark: _Optional[_Union[WatchHistoryResponse.Bookmark, _Mapping]] = ...) -> None: ...
