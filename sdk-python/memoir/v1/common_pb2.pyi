import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StoreKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STORE_KIND_UNSPECIFIED: _ClassVar[StoreKind]
    STORE_KIND_LEDGER: _ClassVar[StoreKind]
    STORE_KIND_INDEX: _ClassVar[StoreKind]
    STORE_KIND_GRAPH: _ClassVar[StoreKind]
    STORE_KIND_CACHE: _ClassVar[StoreKind]
    STORE_KIND_EMBEDDER: _ClassVar[StoreKind]

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_ACCEPTED: _ClassVar[Durability]
    DURABILITY_INDEXED: _ClassVar[Durability]
STORE_KIND_UNSPECIFIED: StoreKind
STORE_KIND_LEDGER: StoreKind
STORE_KIND_INDEX: StoreKind
STORE_KIND_GRAPH: StoreKind
STORE_KIND_CACHE: StoreKind
STORE_KIND_EMBEDDER: StoreKind
DURABILITY_UNSPECIFIED: Durability
DURABILITY_ACCEPTED: Durability
DURABILITY_INDEXED: Durability

class Scope(_message.Message):
    __slots__ = ("user_id", "agent_id", "session_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    agent_id: str
    session_id: str
    def __init__(self, user_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., session_id: _Optional[str] = ...) -> None: ...

class MetadataValue(_message.Message):
    __slots__ = ("string_value", "int_value", "double_value", "bool_value", "timestamp_value", "string_list")
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DOUBLE_VALUE_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_LIST_FIELD_NUMBER: _ClassVar[int]
    string_value: str
    int_value: int
    double_value: float
    bool_value: bool
    timestamp_value: _timestamp_pb2.Timestamp
    string_list: StringList
    def __init__(self, string_value: _Optional[str] = ..., int_value: _Optional[int] = ..., double_value: _Optional[float] = ..., bool_value: bool = ..., timestamp_value: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., string_list: _Optional[_Union[StringList, _Mapping]] = ...) -> None: ...

class StringList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class TimeRange(_message.Message):
    __slots__ = ("start_time", "end_time")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AsOf(_message.Message):
    __slots__ = ("time", "revision")
    TIME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    revision: int
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revision: _Optional[int] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("compare",)
    class Operator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OPERATOR_UNSPECIFIED: _ClassVar[Filter.Operator]
        OPERATOR_EQUAL: _ClassVar[Filter.Operator]
        OPERATOR_NOT_EQUAL: _ClassVar[Filter.Operator]
        OPERATOR_LESS: _ClassVar[Filter.Operator]
        OPERATOR_LESS_OR_EQUAL: _ClassVar[Filter.Operator]
        OPERATOR_GREATER: _ClassVar[Filter.Operator]
        OPERATOR_GREATER_OR_EQUAL: _ClassVar[Filter.Operator]
        OPERATOR_CONTAINS: _ClassVar[Filter.Operator]
        OPERATOR_IN: _ClassVar[Filter.Operator]
        OPERATOR_EXISTS: _ClassVar[Filter.Operator]
    OPERATOR_UNSPECIFIED: Filter.Operator
    OPERATOR_EQUAL: Filter.Operator
    OPERATOR_NOT_EQUAL: Filter.Operator
    OPERATOR_LESS: Filter.Operator
    OPERATOR_LESS_OR_EQUAL: Filter.Operator
    OPERATOR_GREATER: Filter.Operator
    OPERATOR_GREATER_OR_EQUAL: Filter.Operator
    OPERATOR_CONTAINS: Filter.Operator
    OPERATOR_IN: Filter.Operator
    OPERATOR_EXISTS: Filter.Operator
    class FilterList(_message.Message):
        __slots__ = ("filters",)
        FILTERS_FIELD_NUMBER: _ClassVar[int]
        filters: _containers.RepeatedCompositeFieldContainer[Filter]
        def __init__(self, filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...
    class Comparison(_message.Message):
        __slots__ = ("field", "operator", "value")
        FIELD_FIELD_NUMBER: _ClassVar[int]
        OPERATOR_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        field: str
        operator: Filter.Operator
        value: MetadataValue
        def __init__(self, field: _Optional[str] = ..., operator: _Optional[_Union[Filter.Operator, str]] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ...) -> None: ...
    AND_FIELD_NUMBER: _ClassVar[int]
    OR_FIELD_NUMBER: _ClassVar[int]
    NOT_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    compare: Filter.Comparison
    def __init__(self, compare: _Optional[_Union[Filter.Comparison, _Mapping]] = ..., **kwargs) -> None: ...
