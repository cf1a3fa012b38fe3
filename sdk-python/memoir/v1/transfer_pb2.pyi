from google.rpc import status_pb2 as _status_pb2
from memoir.v1 import common_pb2 as _common_pb2
from memoir.v1 import history_pb2 as _history_pb2
from memoir.v1 import memory_pb2 as _memory_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExportMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "scope", "filter", "as_of", "include_history", "include_embeddings", "resume_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    scope: _common_pb2.Scope
    filter: _common_pb2.Filter
    as_of: _common_pb2.AsOf
    include_history: bool
    include_embeddings: bool
    resume_token: str
    def __init__(self, namespace: _Optional[str] = ..., scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., filter: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., as_of: _Optional[_Union[_common_pb2.AsOf, _Mapping]] = ..., include_history: bool = ..., include_embeddings: bool = ..., resume_token: _Optional[str] = ...) -> None: ...

class ExportMemoriesResponse(_message.Message):
    __slots__ = ("resume_token", "header", "memory", "event", "summary")
    class Header(_message.Message):
        __slots__ = ("revision", "estimated_memories")
        REVISION_FIELD_NUMBER: _ClassVar[int]
        ESTIMATED_MEMORIES_FIELD_NUMBER: _ClassVar[int]
        revision: int
        estimated_memories: int
        def __init__(self, revision: _Optional[int] = ..., estimated_memories: _Optional[int] = ...) -> None: ...
    class Summary(_message.Message):
        __slots__ = ("memories", "events")
        MEMORIES_FIELD_NUMBER: _ClassVar[int]
        EVENTS_FIELD_NUMBER: _ClassVar[int]
        memories: int
        events: int
        def __init__(self, memories: _Optional[int] = ..., events: _Optional[int] = ...) -> None: ...
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    header: ExportMemoriesResponse.Header
    memory: ExportedMemory
    event: _history_pb2.HistoryEvent
    summary: ExportMemoriesResponse.Summary
    def __init__(self, resume_token: _Optional[str] = ..., header: _Optional[_Union[ExportMemoriesResponse.Header, _Mapping]] = ..., memory: _Optional[_Union[ExportedMemory, _Mapping]] = ..., event: _Optional[_Union[_history_pb2.HistoryEvent, _Mapping]] = ..., summary: _Optional[_Union[ExportMemoriesResponse.Summary, _Mapping]] = ...) -> None: ...

class ExportedMemory(_message.Message):
    __slots__ = ("memory", "embedding")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    memory: _memory_pb2.Memory
    embedding: Embedding
    def __init__(self, memory: _Optional[_Union[_memory_pb2.Memory, _Mapping]] = ..., embedding: _Optional[_Union[Embedding, _Mapping]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("model", "version", "values")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class ImportMemoriesRequest(_message.Message):
    __slots__ = ("header", "item")
    class OnConflict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ON_CONFLICT_UNSPECIFIED: _ClassVar[ImportMemoriesRequest.OnConflict]
        ON_CONFLICT_SKIP: _ClassVar[ImportMemoriesRequest.OnConflict]
        ON_CONFLICT_REPLACE: _ClassVar[ImportMemoriesRequest.OnConflict]
        ON_CONFLICT_FAIL: _ClassVar[ImportMemoriesRequest.OnConflict]
    ON_CONFLICT_UNSPECIFIED: ImportMemoriesRequest.OnConflict
    ON_CONFLICT_SKIP: ImportMemoriesRequest.OnConflict
    ON_CONFLICT_REPLACE: ImportMemoriesRequest.OnConflict
    ON_CONFLICT_FAIL: ImportMemoriesRequest.OnConflict
    class Header(_message.Message):
        __slots__ = ("namespace", "on_conflict")
        NAMESPACE_FIELD_NUMBER: _ClassVar[int]
        ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
        namespace: str
        on_conflict: ImportMemoriesRequest.OnConflict
        def __init__(self, namespace: _Optional[str] = ..., on_conflict: _Optional[_Union[ImportMemoriesRequest.OnConflict, str]] = ...) -> None: ...
    class Item(_message.Message):
        __slots__ = ("sequence", "memory")
        SEQUENCE_FIELD_NUMBER: _ClassVar[int]
        MEMORY_FIELD_NUMBER: _ClassVar[int]
        sequence: int
        memory: ExportedMemory
        def __init__(self, sequence: _Optional[int] = ..., memory: _Optional[_Union[ExportedMemory, _Mapping]] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    header: ImportMemoriesRequest.Header
    item: ImportMemoriesRequest.Item
    def __init__(self, header: _Optional[_Union[ImportMemoriesRequest.Header, _Mapping]] = ..., item: _Optional[_Union[ImportMemoriesRequest.Item, _Mapping]] = ...) -> None: ...

class ImportMemoriesResponse(_message.Message):
    __slots__ = ("sequence", "memory_id", "action", "error", "revision")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    memory_id: str
    action: _memory_pb2.MemoryChange.Action
    error: _status_pb2.Status
    revision: int
    def __init__(self, sequence: _Optional[int] = ..., memory_id: _Optional[str] = ..., action: _Optional[_Union[_memory_pb2.MemoryChange.Action, str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...
