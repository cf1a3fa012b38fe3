import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Suite(_message.Message):
    __slots__ = ("name", "description", "backend", "cases", "server_settings")
    class Backend(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BACKEND_UNSPECIFIED: _ClassVar[Suite.Backend]
        BACKEND_NONE: _ClassVar[Suite.Backend]
        BACKEND_PLAYBACK: _ClassVar[Suite.Backend]
        BACKEND_DETERMINISTIC: _ClassVar[Suite.Backend]
        BACKEND_EMBEDDED: _ClassVar[Suite.Backend]
        BACKEND_DISTRIBUTED: _ClassVar[Suite.Backend]
    BACKEND_UNSPECIFIED: Suite.Backend
    BACKEND_NONE: Suite.Backend
    BACKEND_PLAYBACK: Suite.Backend
    BACKEND_DETERMINISTIC: Suite.Backend
    BACKEND_EMBEDDED: Suite.Backend
    BACKEND_DISTRIBUTED: Suite.Backend
    class ServerSettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    SERVER_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    backend: Suite.Backend
    cases: _containers.RepeatedCompositeFieldContainer[Case]
    server_settings: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., backend: _Optional[_Union[Suite.Backend, str]] = ..., cases: _Optional[_Iterable[_Union[Case, _Mapping]]] = ..., server_settings: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Case(_message.Message):
    __slots__ = ("name", "description", "steps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("method", "request", "options", "script", "expect", "bind", "pause", "items", "meanwhile", "end_server_after")
    class BindEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    EXPECT_FIELD_NUMBER: _ClassVar[int]
    BIND_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MEANWHILE_FIELD_NUMBER: _ClassVar[int]
    END_SERVER_AFTER_FIELD_NUMBER: _ClassVar[int]
    method: str
    request: _struct_pb2.Struct
    options: CallOptions
    script: _containers.RepeatedCompositeFieldContainer[ScriptedAttempt]
    expect: Expectation
    bind: _containers.ScalarMap[str, str]
    pause: _duration_pb2.Duration
    items: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    meanwhile: _containers.RepeatedCompositeFieldContainer[OtherCall]
    end_server_after: _duration_pb2.Duration
    def __init__(self, method: _Optional[str] = ..., request: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., options: _Optional[_Union[CallOptions, _Mapping]] = ..., script: _Optional[_Iterable[_Union[ScriptedAttempt, _Mapping]]] = ..., expect: _Optional[_Union[Expectation, _Mapping]] = ..., bind: _Optional[_Mapping[str, str]] = ..., pause: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., items: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., meanwhile: _Optional[_Iterable[_Union[OtherCall, _Mapping]]] = ..., end_server_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class OtherCall(_message.Message):
    __slots__ = ("method", "request", "api_key")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    method: str
    request: _struct_pb2.Struct
    api_key: str
    def __init__(self, method: _Optional[str] = ..., request: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., api_key: _Optional[str] = ...) -> None: ...

class CallOptions(_message.Message):
    __slots__ = ("timeout", "api_key", "cancel_after_responses", "cancel_after", "default_namespace", "all_pages", "reconnect_timeout")
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    API_KEY_FIELD_NUMBER: _ClassVar[int]
    CANCEL_AFTER_RESPONSES_FIELD_NUMBER: _ClassVar[int]
    CANCEL_AFTER_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ALL_PAGES_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    timeout: _duration_pb2.Duration
    api_key: str
    cancel_after_responses: int
    cancel_after: _duration_pb2.Duration
    default_namespace: str
    all_pages: bool
    reconnect_timeout: _duration_pb2.Duration
    def __init__(self, timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., api_key: _Optional[str] = ..., cancel_after_responses: _Optional[int] = ..., cancel_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., default_namespace: _Optional[str] = ..., all_pages: bool = ..., reconnect_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ScriptedAttempt(_message.Message):
    __slots__ = ("delay", "responses", "status", "drop_connection", "trailers", "hold", "pace", "headers_first", "go_away")
    class TrailersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class GoAway(_message.Message):
        __slots__ = ("after_responses", "disown")
        AFTER_RESPONSES_FIELD_NUMBER: _ClassVar[int]
        DISOWN_FIELD_NUMBER: _ClassVar[int]
        after_responses: int
        disown: bool
        def __init__(self, after_responses: _Optional[int] = ..., disown: bool = ...) -> None: ...
    DELAY_FIELD_NUMBER: _ClassVar[int]
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DROP_CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TRAILERS_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    PACE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIRST_FIELD_NUMBER: _ClassVar[int]
    GO_AWAY_FIELD_NUMBER: _ClassVar[int]
    delay: _duration_pb2.Duration
    responses: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    status: _status_pb2.Status
    drop_connection: bool
    trailers: _containers.ScalarMap[str, str]
    hold: bool
    pace: _duration_pb2.Duration
    headers_first: bool
    go_away: ScriptedAttempt.GoAway
    def __init__(self, delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., responses: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., drop_connection: bool = ..., trailers: _Optional[_Mapping[str, str]] = ..., hold: bool = ..., pace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., headers_first: bool = ..., go_away: _Optional[_Union[ScriptedAttempt.GoAway, _Mapping]] = ...) -> None: ...

class Expectation(_message.Message):
    __slots__ = ("responses", "response_count", "match", "error", "other_codes", "attempts", "server_deadline", "server_metadata", "server_requests", "server_backoff", "ignore_paths", "tolerances", "unordered_paths", "empty_paths", "present_paths", "sdk_error", "same_as_step", "last_only", "cancelled", "trailers_only", "connections")
    class Match(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MATCH_UNSPECIFIED: _ClassVar[Expectation.Match]
        MATCH_EXACT: _ClassVar[Expectation.Match]
        MATCH_POPULATED: _ClassVar[Expectation.Match]
    MATCH_UNSPECIFIED: Expectation.Match
    MATCH_EXACT: Expectation.Match
    MATCH_POPULATED: Expectation.Match
    class ServerMetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class TolerancesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MATCH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OTHER_CODES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SERVER_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    SERVER_METADATA_FIELD_NUMBER: _ClassVar[int]
    SERVER_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    SERVER_BACKOFF_FIELD_NUMBER: _ClassVar[int]
    IGNORE_PATHS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCES_FIELD_NUMBER: _ClassVar[int]
    UNORDERED_PATHS_FIELD_NUMBER: _ClassVar[int]
    EMPTY_PATHS_FIELD_NUMBER: _ClassVar[int]
    PRESENT_PATHS_FIELD_NUMBER: _ClassVar[int]
    SDK_ERROR_FIELD_NUMBER: _ClassVar[int]
    SAME_AS_STEP_FIELD_NUMBER: _ClassVar[int]
    LAST_ONLY_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    TRAILERS_ONLY_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    response_count: int
    match: Expectation.Match
    error: _status_pb2.Status
    other_codes: _containers.RepeatedScalarFieldContainer[int]
    attempts: int
    server_deadline: _duration_pb2.Duration
    server_metadata: _containers.ScalarMap[str, str]
    server_requests: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    server_backoff: _containers.RepeatedCompositeFieldContainer[_duration_pb2.Duration]
    ignore_paths: _containers.RepeatedScalarFieldContainer[str]
    tolerances: _containers.ScalarMap[str, float]
    unordered_paths: _containers.RepeatedScalarFieldContainer[str]
    empty_paths: _containers.RepeatedScalarFieldContainer[str]
    present_paths: _containers.RepeatedScalarFieldContainer[str]
    sdk_error: str
    same_as_step: int
    last_only: bool
    cancelled: bool
    trailers_only: bool
    connections: int
    def __init__(self, responses: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., response_count: _Optional[int] = ..., match: _Optional[_Union[Expectation.Match, str]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., other_codes: _Optional[_Iterable[int]] = ..., attempts: _Optional[int] = ..., server_deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., server_metadata: _Optional[_Mapping[str, str]] = ..., server_requests: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., server_backoff: _Optional[_Iterable[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]]] = ..., ignore_paths: _Optional[_Iterable[str]] = ..., tolerances: _Optional[_Mapping[str, float]] = ..., unordered_paths: _Optional[_Iterable[str]] = ..., empty_paths: _Optional[_Iterable[str]] = ..., present_paths: _Optional[_Iterable[str]] = ..., sdk_error: _Optional[str] = ..., same_as_step: _Optional[int] = ..., last_only: bool = ..., cancelled: bool = ..., trailers_only: bool = ..., connections: _Optional[int] = ...) -> None: ...

class VectorSet(_message.Message):
    __slots__ = ("name", "description", "vectors")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    vectors: _containers.RepeatedCompositeFieldContainer[Vector]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., vectors: _Optional[_Iterable[_Union[Vector, _Mapping]]] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("name", "type_name", "binary", "json", "canonical", "direction")
    class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DIRECTION_UNSPECIFIED: _ClassVar[Vector.Direction]
        DIRECTION_BOTH: _ClassVar[Vector.Direction]
        DIRECTION_FROM_BINARY: _ClassVar[Vector.Direction]
        DIRECTION_FROM_JSON: _ClassVar[Vector.Direction]
        DIRECTION_REJECT_BINARY: _ClassVar[Vector.Direction]
        DIRECTION_REJECT_JSON: _ClassVar[Vector.Direction]
    DIRECTION_UNSPECIFIED: Vector.Direction
    DIRECTION_BOTH: Vector.Direction
    DIRECTION_FROM_BINARY: Vector.Direction
    DIRECTION_FROM_JSON: Vector.Direction
    DIRECTION_REJECT_BINARY: Vector.Direction
    DIRECTION_REJECT_JSON: Vector.Direction
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
    BINARY_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    CANONICAL_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type_name: str
    binary: bytes
    json: _struct_pb2.Struct
    canonical: bytes
    direction: Vector.Direction
    def __init__(self, name: _Optional[str] = ..., type_name: _Optional[str] = ..., binary: _Optional[bytes] = ..., json: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., canonical: _Optional[bytes] = ..., direction: _Optional[_Union[Vector.Direction, str]] = ...) -> None: ...

class DriverRequest(_message.Message):
    __slots__ = ("id", "call", "round_trip")
    class Call(_message.Message):
        __slots__ = ("target", "method", "request", "options", "items")
        TARGET_FIELD_NUMBER: _ClassVar[int]
        METHOD_FIELD_NUMBER: _ClassVar[int]
        REQUEST_FIELD_NUMBER: _ClassVar[int]
        OPTIONS_FIELD_NUMBER: _ClassVar[int]
        ITEMS_FIELD_NUMBER: _ClassVar[int]
        target: str
        method: str
        request: _any_pb2.Any
        options: CallOptions
        items: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
        def __init__(self, target: _Optional[str] = ..., method: _Optional[str] = ..., request: _Optional[_Union[_any_pb2.Any, _Mapping]] = ..., options: _Optional[_Union[CallOptions, _Mapping]] = ..., items: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...
    class RoundTrip(_message.Message):
        __slots__ = ("type_name", "binary", "json")
        TYPE_NAME_FIELD_NUMBER: _ClassVar[int]
        BINARY_FIELD_NUMBER: _ClassVar[int]
        JSON_FIELD_NUMBER: _ClassVar[int]
        type_name: str
        binary: bytes
        json: str
        def __init__(self, type_name: _Optional[str] = ..., binary: _Optional[bytes] = ..., json: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_FIELD_NUMBER: _ClassVar[int]
    id: str
    call: DriverRequest.Call
    round_trip: DriverRequest.RoundTrip
    def __init__(self, id: _Optional[str] = ..., call: _Optional[_Union[DriverRequest.Call, _Mapping]] = ..., round_trip: _Optional[_Union[DriverRequest.RoundTrip, _Mapping]] = ...) -> None: ...

class DriverResponse(_message.Message):
    __slots__ = ("id", "call", "round_trip", "driver_error", "unsupported")
    class CallResult(_message.Message):
        __slots__ = ("responses", "error", "sdk_error", "views")
        RESPONSES_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        SDK_ERROR_FIELD_NUMBER: _ClassVar[int]
        VIEWS_FIELD_NUMBER: _ClassVar[int]
        responses: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
        error: _status_pb2.Status
        sdk_error: str
        views: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, responses: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., sdk_error: _Optional[str] = ..., views: _Optional[_Iterable[str]] = ...) -> None: ...
    class RoundTripResult(_message.Message):
        __slots__ = ("binary", "json", "error")
        BINARY_FIELD_NUMBER: _ClassVar[int]
        JSON_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        binary: bytes
        json: str
        error: str
        def __init__(self, binary: _Optional[bytes] = ..., json: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_FIELD_NUMBER: _ClassVar[int]
    DRIVER_ERROR_FIELD_NUMBER: _ClassVar[int]
    UNSUPPORTED_FIELD_NUMBER: _ClassVar[int]
    id: str
    call: DriverResponse.CallResult
    round_trip: DriverResponse.RoundTripResult
    driver_error: str
    unsupported: str
    def __init__(self, id: _Optional[str] = ..., call: _Optional[_Union[DriverResponse.CallResult, _Mapping]] = ..., round_trip: _Optional[_Union[DriverResponse.RoundTripResult, _Mapping]] = ..., driver_error: _Optional[str] = ..., unsupported: _Optional[str] = ...) -> None: ...
