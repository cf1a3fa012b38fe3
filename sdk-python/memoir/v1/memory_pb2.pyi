import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from memoir.v1 import common_pb2 as _common_pb2
from memoir.v1 import graph_pb2 as _graph_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MemoryKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMORY_KIND_UNSPECIFIED: _ClassVar[MemoryKind]
    MEMORY_KIND_FACT: _ClassVar[MemoryKind]
    MEMORY_KIND_PREFERENCE: _ClassVar[MemoryKind]
    MEMORY_KIND_EVENT: _ClassVar[MemoryKind]
    MEMORY_KIND_PROCEDURE: _ClassVar[MemoryKind]
    MEMORY_KIND_SUMMARY: _ClassVar[MemoryKind]
    MEMORY_KIND_EPISODE: _ClassVar[MemoryKind]

class MemoryView(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMORY_VIEW_UNSPECIFIED: _ClassVar[MemoryView]
    MEMORY_VIEW_BASIC: _ClassVar[MemoryView]
    MEMORY_VIEW_FULL: _ClassVar[MemoryView]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_USER: _ClassVar[Role]
    ROLE_ASSISTANT: _ClassVar[Role]
    ROLE_SYSTEM: _ClassVar[Role]
    ROLE_TOOL: _ClassVar[Role]

class AddMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADD_MODE_UNSPECIFIED: _ClassVar[AddMode]
    ADD_MODE_INFER: _ClassVar[AddMode]
    ADD_MODE_VERBATIM: _ClassVar[AddMode]

class ScopeDimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCOPE_DIMENSION_UNSPECIFIED: _ClassVar[ScopeDimension]
    SCOPE_DIMENSION_USER: _ClassVar[ScopeDimension]
    SCOPE_DIMENSION_AGENT: _ClassVar[ScopeDimension]
    SCOPE_DIMENSION_SESSION: _ClassVar[ScopeDimension]
MEMORY_KIND_UNSPECIFIED: MemoryKind
MEMORY_KIND_FACT: MemoryKind
MEMORY_KIND_PREFERENCE: MemoryKind
MEMORY_KIND_EVENT: MemoryKind
MEMORY_KIND_PROCEDURE: MemoryKind
MEMORY_KIND_SUMMARY: MemoryKind
MEMORY_KIND_EPISODE: MemoryKind
MEMORY_VIEW_UNSPECIFIED: MemoryView
MEMORY_VIEW_BASIC: MemoryView
MEMORY_VIEW_FULL: MemoryView
ROLE_UNSPECIFIED: Role
ROLE_USER: Role
ROLE_ASSISTANT: Role
ROLE_SYSTEM: Role
ROLE_TOOL: Role
ADD_MODE_UNSPECIFIED: AddMode
ADD_MODE_INFER: AddMode
ADD_MODE_VERBATIM: AddMode
SCOPE_DIMENSION_UNSPECIFIED: ScopeDimension
SCOPE_DIMENSION_USER: ScopeDimension
SCOPE_DIMENSION_AGENT: ScopeDimension
SCOPE_DIMENSION_SESSION: ScopeDimension

class Memory(_message.Message):
    __slots__ = ("namespace", "memory_id", "text", "kind", "scope", "metadata", "importance", "valid_from", "valid_until", "expire_time", "create_time", "update_time", "provenance", "entities", "relations", "revision", "etag", "supersedes", "superseded_by", "access_count", "last_access_time")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _common_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_common_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_BY_FIELD_NUMBER: _ClassVar[int]
    ACCESS_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_ACCESS_TIME_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    memory_id: str
    text: str
    kind: MemoryKind
    scope: _common_pb2.Scope
    metadata: _containers.MessageMap[str, _common_pb2.MetadataValue]
    importance: float
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    provenance: _containers.RepeatedCompositeFieldContainer[Provenance]
    entities: _containers.RepeatedCompositeFieldContainer[_graph_pb2.EntityMention]
    relations: _containers.RepeatedCompositeFieldContainer[_graph_pb2.RelationStatement]
    revision: int
    etag: str
    supersedes: _containers.RepeatedScalarFieldContainer[str]
    superseded_by: str
    access_count: int
    last_access_time: _timestamp_pb2.Timestamp
    def __init__(self, namespace: _Optional[str] = ..., memory_id: _Optional[str] = ..., text: _Optional[str] = ..., kind: _Optional[_Union[MemoryKind, str]] = ..., scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., metadata: _Optional[_Mapping[str, _common_pb2.MetadataValue]] = ..., importance: _Optional[float] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., provenance: _Optional[_Iterable[_Union[Provenance, _Mapping]]] = ..., entities: _Optional[_Iterable[_Union[_graph_pb2.EntityMention, _Mapping]]] = ..., relations: _Optional[_Iterable[_Union[_graph_pb2.RelationStatement, _Mapping]]] = ..., revision: _Optional[int] = ..., etag: _Optional[str] = ..., supersedes: _Optional[_Iterable[str]] = ..., superseded_by: _Optional[str] = ..., access_count: _Optional[int] = ..., last_access_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Duplicate(_message.Message):
    __slots__ = ("memory_id", "exact", "cosine", "stored")
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    memory_id: str
    exact: bool
    cosine: float
    stored: bool
    def __init__(self, memory_id: _Optional[str] = ..., exact: bool = ..., cosine: _Optional[float] = ..., stored: bool = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("session_id", "message_id", "role", "actor_id", "quote", "create_time")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    message_id: str
    role: Role
    actor_id: str
    quote: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, session_id: _Optional[str] = ..., message_id: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., actor_id: _Optional[str] = ..., quote: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("role", "content", "actor_id", "message_id", "create_time", "images")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    role: Role
    content: str
    actor_id: str
    message_id: str
    create_time: _timestamp_pb2.Timestamp
    images: _containers.RepeatedCompositeFieldContainer[Image]
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., content: _Optional[str] = ..., actor_id: _Optional[str] = ..., message_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class AddMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "scope", "messages", "mode", "metadata", "instruction", "durability", "validate_only", "request_id")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _common_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_common_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    scope: _common_pb2.Scope
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    mode: AddMode
    metadata: _containers.MessageMap[str, _common_pb2.MetadataValue]
    instruction: str
    durability: _common_pb2.Durability
    validate_only: bool
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., mode: _Optional[_Union[AddMode, str]] = ..., metadata: _Optional[_Mapping[str, _common_pb2.MetadataValue]] = ..., instruction: _Optional[str] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., validate_only: bool = ..., request_id: _Optional[str] = ...) -> None: ...

class AddMemoriesResponse(_message.Message):
    __slots__ = ("changes", "revision", "durability", "mode", "usage", "ingestion_id", "dropped")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    INGESTION_ID_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[MemoryChange]
    revision: int
    durability: _common_pb2.Durability
    mode: AddMode
    usage: InferenceUsage
    ingestion_id: str
    dropped: _containers.RepeatedCompositeFieldContainer[DroppedFact]
    def __init__(self, changes: _Optional[_Iterable[_Union[MemoryChange, _Mapping]]] = ..., revision: _Optional[int] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., mode: _Optional[_Union[AddMode, str]] = ..., usage: _Optional[_Union[InferenceUsage, _Mapping]] = ..., ingestion_id: _Optional[str] = ..., dropped: _Optional[_Iterable[_Union[DroppedFact, _Mapping]]] = ...) -> None: ...

class DroppedFact(_message.Message):
    __slots__ = ("text", "quote", "reason")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[DroppedFact.Reason]
        REASON_QUOTE_NOT_FOUND: _ClassVar[DroppedFact.Reason]
        REASON_QUOTE_TOO_SHORT: _ClassVar[DroppedFact.Reason]
        REASON_KIND_NOT_WANTED: _ClassVar[DroppedFact.Reason]
        REASON_PERSONAL_DATA: _ClassVar[DroppedFact.Reason]
        REASON_SAID_TWICE: _ClassVar[DroppedFact.Reason]
        REASON_NOT_THE_USERS_REQUEST: _ClassVar[DroppedFact.Reason]
    REASON_UNSPECIFIED: DroppedFact.Reason
    REASON_QUOTE_NOT_FOUND: DroppedFact.Reason
    REASON_QUOTE_TOO_SHORT: DroppedFact.Reason
    REASON_KIND_NOT_WANTED: DroppedFact.Reason
    REASON_PERSONAL_DATA: DroppedFact.Reason
    REASON_SAID_TWICE: DroppedFact.Reason
    REASON_NOT_THE_USERS_REQUEST: DroppedFact.Reason
    TEXT_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    text: str
    quote: str
    reason: DroppedFact.Reason
    def __init__(self, text: _Optional[str] = ..., quote: _Optional[str] = ..., reason: _Optional[_Union[DroppedFact.Reason, str]] = ...) -> None: ...

class InferenceUsage(_message.Message):
    __slots__ = ("llm_calls", "prompt_tokens", "completion_tokens", "model")
    LLM_CALLS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    llm_calls: int
    prompt_tokens: int
    completion_tokens: int
    model: str
    def __init__(self, llm_calls: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., model: _Optional[str] = ...) -> None: ...

class MemoryChange(_message.Message):
    __slots__ = ("action", "memory", "previous_text", "reason", "source_quote", "duplicate")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[MemoryChange.Action]
        ACTION_ADDED: _ClassVar[MemoryChange.Action]
        ACTION_UPDATED: _ClassVar[MemoryChange.Action]
        ACTION_SUPERSEDED: _ClassVar[MemoryChange.Action]
        ACTION_DELETED: _ClassVar[MemoryChange.Action]
        ACTION_UNCHANGED: _ClassVar[MemoryChange.Action]
    ACTION_UNSPECIFIED: MemoryChange.Action
    ACTION_ADDED: MemoryChange.Action
    ACTION_UPDATED: MemoryChange.Action
    ACTION_SUPERSEDED: MemoryChange.Action
    ACTION_DELETED: MemoryChange.Action
    ACTION_UNCHANGED: MemoryChange.Action
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_TEXT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_QUOTE_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    action: MemoryChange.Action
    memory: Memory
    previous_text: str
    reason: str
    source_quote: str
    duplicate: Duplicate
    def __init__(self, action: _Optional[_Union[MemoryChange.Action, str]] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ..., previous_text: _Optional[str] = ..., reason: _Optional[str] = ..., source_quote: _Optional[str] = ..., duplicate: _Optional[_Union[Duplicate, _Mapping]] = ...) -> None: ...

class CreateMemoryRequest(_message.Message):
    __slots__ = ("namespace", "memory_id", "memory", "supersedes", "durability", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    memory_id: str
    memory: Memory
    supersedes: _containers.RepeatedScalarFieldContainer[str]
    durability: _common_pb2.Durability
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., memory_id: _Optional[str] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ..., supersedes: _Optional[_Iterable[str]] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateMemoryResponse(_message.Message):
    __slots__ = ("memory", "revision", "durability", "changes", "duplicate_guard_skipped")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_GUARD_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    memory: Memory
    revision: int
    durability: _common_pb2.Durability
    changes: _containers.RepeatedCompositeFieldContainer[MemoryChange]
    duplicate_guard_skipped: bool
    def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ..., revision: _Optional[int] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., changes: _Optional[_Iterable[_Union[MemoryChange, _Mapping]]] = ..., duplicate_guard_skipped: bool = ...) -> None: ...

class BatchCreateMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "items", "allow_partial", "durability", "request_id")
    class Item(_message.Message):
        __slots__ = ("memory_id", "memory", "supersedes")
        MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
        MEMORY_FIELD_NUMBER: _ClassVar[int]
        SUPERSEDES_FIELD_NUMBER: _ClassVar[int]
        memory_id: str
        memory: Memory
        supersedes: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, memory_id: _Optional[str] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ..., supersedes: _Optional[_Iterable[str]] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_PARTIAL_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    items: _containers.RepeatedCompositeFieldContainer[BatchCreateMemoriesRequest.Item]
    allow_partial: bool
    durability: _common_pb2.Durability
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., items: _Optional[_Iterable[_Union[BatchCreateMemoriesRequest.Item, _Mapping]]] = ..., allow_partial: bool = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class BatchCreateMemoriesResponse(_message.Message):
    __slots__ = ("results", "revision", "durability", "duplicate_guard_skipped")
    class Result(_message.Message):
        __slots__ = ("memory", "error", "duplicate")
        MEMORY_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        DUPLICATE_FIELD_NUMBER: _ClassVar[int]
        memory: Memory
        error: _status_pb2.Status
        duplicate: Duplicate
        def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., duplicate: _Optional[_Union[Duplicate, _Mapping]] = ...) -> None: ...
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_GUARD_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchCreateMemoriesResponse.Result]
    revision: int
    durability: _common_pb2.Durability
    duplicate_guard_skipped: bool
    def __init__(self, results: _Optional[_Iterable[_Union[BatchCreateMemoriesResponse.Result, _Mapping]]] = ..., revision: _Optional[int] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., duplicate_guard_skipped: bool = ...) -> None: ...

class GetMemoryRequest(_message.Message):
    __slots__ = ("namespace", "memory_id", "view", "as_of", "min_revision", "include_access")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ACCESS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    memory_id: str
    view: MemoryView
    as_of: _common_pb2.AsOf
    min_revision: int
    include_access: bool
    def __init__(self, namespace: _Optional[str] = ..., memory_id: _Optional[str] = ..., view: _Optional[_Union[MemoryView, str]] = ..., as_of: _Optional[_Union[_common_pb2.AsOf, _Mapping]] = ..., min_revision: _Optional[int] = ..., include_access: bool = ...) -> None: ...

class GetMemoryResponse(_message.Message):
    __slots__ = ("memory",)
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    memory: Memory
    def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class ListMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "page_size", "page_token", "scope", "filter", "create_time_range", "include_superseded", "as_of", "valid_at", "view", "min_revision", "include_access")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_RANGE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    VALID_AT_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_ACCESS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    page_token: str
    scope: _common_pb2.Scope
    filter: _common_pb2.Filter
    create_time_range: _common_pb2.TimeRange
    include_superseded: bool
    as_of: _common_pb2.AsOf
    valid_at: _timestamp_pb2.Timestamp
    view: MemoryView
    min_revision: int
    include_access: bool
    def __init__(self, namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., filter: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., create_time_range: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ..., include_superseded: bool = ..., as_of: _Optional[_Union[_common_pb2.AsOf, _Mapping]] = ..., valid_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., view: _Optional[_Union[MemoryView, str]] = ..., min_revision: _Optional[int] = ..., include_access: bool = ...) -> None: ...

class ListMemoriesResponse(_message.Message):
    __slots__ = ("memories", "next_page_token", "revision")
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    memories: _containers.RepeatedCompositeFieldContainer[Memory]
    next_page_token: str
    revision: int
    def __init__(self, memories: _Optional[_Iterable[_Union[Memory, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class UpdateMemoryRequest(_message.Message):
    __slots__ = ("namespace", "memory_id", "memory", "update_mask", "etag", "reason", "durability", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    memory_id: str
    memory: Memory
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    reason: str
    durability: _common_pb2.Durability
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., memory_id: _Optional[str] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateMemoryResponse(_message.Message):
    __slots__ = ("memory", "revision", "durability")
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    memory: Memory
    revision: int
    durability: _common_pb2.Durability
    def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ..., revision: _Optional[int] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ...) -> None: ...

class DeleteMemoryRequest(_message.Message):
    __slots__ = ("namespace", "memory_id", "etag", "reason", "allow_missing", "durability", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    memory_id: str
    etag: str
    reason: str
    allow_missing: bool
    durability: _common_pb2.Durability
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., memory_id: _Optional[str] = ..., etag: _Optional[str] = ..., reason: _Optional[str] = ..., allow_missing: bool = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteMemoryResponse(_message.Message):
    __slots__ = ("revision", "durability", "derived")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    DERIVED_FIELD_NUMBER: _ClassVar[int]
    revision: int
    durability: _common_pb2.Durability
    derived: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, revision: _Optional[int] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., derived: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchDeleteMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "memory_ids", "reason", "allow_missing", "durability", "request_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_IDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ALLOW_MISSING_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    memory_ids: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    allow_missing: bool
    durability: _common_pb2.Durability
    request_id: str
    def __init__(self, namespace: _Optional[str] = ..., memory_ids: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., allow_missing: bool = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class BatchDeleteMemoriesResponse(_message.Message):
    __slots__ = ("deleted_count", "revision", "durability")
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    revision: int
    durability: _common_pb2.Durability
    def __init__(self, deleted_count: _Optional[int] = ..., revision: _Optional[int] = ..., durability: _Optional[_Union[_common_pb2.Durability, str]] = ...) -> None: ...

class ListScopesRequest(_message.Message):
    __slots__ = ("namespace", "dimension", "within", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    WITHIN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    dimension: ScopeDimension
    within: _common_pb2.Scope
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., dimension: _Optional[_Union[ScopeDimension, str]] = ..., within: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListScopesResponse(_message.Message):
    __slots__ = ("scopes", "next_page_token")
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scopes: _containers.RepeatedCompositeFieldContainer[ScopeSummary]
    next_page_token: str
    def __init__(self, scopes: _Optional[_Iterable[_Union[ScopeSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ScopeSummary(_message.Message):
    __slots__ = ("scope", "memory_count", "last_create_time")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    scope: _common_pb2.Scope
    memory_count: int
    last_create_time: _timestamp_pb2.Timestamp
    def __init__(self, scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., memory_count: _Optional[int] = ..., last_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Ingestion(_message.Message):
    __slots__ = ("ingestion_id", "scope", "state", "create_time", "update_time", "changes", "error", "usage", "revision", "attempts")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Ingestion.State]
        STATE_PENDING: _ClassVar[Ingestion.State]
        STATE_RUNNING: _ClassVar[Ingestion.State]
        STATE_SUCCEEDED: _ClassVar[Ingestion.State]
        STATE_FAILED: _ClassVar[Ingestion.State]
    STATE_UNSPECIFIED: Ingestion.State
    STATE_PENDING: Ingestion.State
    STATE_RUNNING: Ingestion.State
    STATE_SUCCEEDED: Ingestion.State
    STATE_FAILED: Ingestion.State
    INGESTION_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ingestion_id: str
    scope: _common_pb2.Scope
    state: Ingestion.State
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    changes: _containers.RepeatedCompositeFieldContainer[MemoryChange]
    error: _status_pb2.Status
    usage: InferenceUsage
    revision: int
    attempts: int
    def __init__(self, ingestion_id: _Optional[str] = ..., scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., state: _Optional[_Union[Ingestion.State, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changes: _Optional[_Iterable[_Union[MemoryChange, _Mapping]]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., usage: _Optional[_Union[InferenceUsage, _Mapping]] = ..., revision: _Optional[int] = ..., attempts: _Optional[int] = ...) -> None: ...

class GetIngestionRequest(_message.Message):
    __slots__ = ("namespace", "ingestion_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    INGESTION_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    ingestion_id: str
    def __init__(self, namespace: _Optional[str] = ..., ingestion_id: _Optional[str] = ...) -> None: ...

class GetIngestionResponse(_message.Message):
    __slots__ = ("ingestion",)
    INGESTION_FIELD_NUMBER: _ClassVar[int]
    ingestion: Ingestion
    def __init__(self, ingestion: _Optional[_Union[Ingestion, _Mapping]] = ...) -> None: ...

class ListIngestionsRequest(_message.Message):
    __slots__ = ("namespace", "page_size", "page_token", "scope", "states")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_size: int
    page_token: str
    scope: _common_pb2.Scope
    states: _containers.RepeatedScalarFieldContainer[Ingestion.State]
    def __init__(self, namespace: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., states: _Optional[_Iterable[_Union[Ingestion.State, str]]] = ...) -> None: ...

class ListIngestionsResponse(_message.Message):
    __slots__ = ("ingestions", "next_page_token")
    INGESTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ingestions: _containers.RepeatedCompositeFieldContainer[Ingestion]
    next_page_token: str
    def __init__(self, ingestions: _Optional[_Iterable[_Union[Ingestion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
