import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from memoir.v1 import common_pb2 as _common_pb2
from memoir.v1 import graph_pb2 as _graph_pb2
from memoir.v1 import memory_pb2 as _memory_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Recipe(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECIPE_UNSPECIFIED: _ClassVar[Recipe]
    RECIPE_BALANCED: _ClassVar[Recipe]
    RECIPE_SEMANTIC: _ClassVar[Recipe]
    RECIPE_KEYWORD: _ClassVar[Recipe]
    RECIPE_GRAPH: _ClassVar[Recipe]
    RECIPE_RECENT: _ClassVar[Recipe]

class Fusion(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FUSION_UNSPECIFIED: _ClassVar[Fusion]
    FUSION_WEIGHTED: _ClassVar[Fusion]
    FUSION_RECIPROCAL_RANK: _ClassVar[Fusion]
    FUSION_MAX: _ClassVar[Fusion]
    FUSION_BORDA: _ClassVar[Fusion]

class SearchPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_PHASE_UNSPECIFIED: _ClassVar[SearchPhase]
    SEARCH_PHASE_KEYWORD: _ClassVar[SearchPhase]
    SEARCH_PHASE_DENSE: _ClassVar[SearchPhase]
    SEARCH_PHASE_GRAPH: _ClassVar[SearchPhase]
    SEARCH_PHASE_RERANK: _ClassVar[SearchPhase]
RECIPE_UNSPECIFIED: Recipe
RECIPE_BALANCED: Recipe
RECIPE_SEMANTIC: Recipe
RECIPE_KEYWORD: Recipe
RECIPE_GRAPH: Recipe
RECIPE_RECENT: Recipe
FUSION_UNSPECIFIED: Fusion
FUSION_WEIGHTED: Fusion
FUSION_RECIPROCAL_RANK: Fusion
FUSION_MAX: Fusion
FUSION_BORDA: Fusion
SEARCH_PHASE_UNSPECIFIED: SearchPhase
SEARCH_PHASE_KEYWORD: SearchPhase
SEARCH_PHASE_DENSE: SearchPhase
SEARCH_PHASE_GRAPH: SearchPhase
SEARCH_PHASE_RERANK: SearchPhase

class SearchSpec(_message.Message):
    __slots__ = ("query", "scope", "filter", "create_time_range", "limit", "min_score", "recipe", "fusion", "rerank", "graph_depth", "as_of", "valid_at", "include_superseded", "explain", "view", "min_revision")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_RANGE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    FUSION_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DEPTH_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    VALID_AT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    query: str
    scope: _common_pb2.Scope
    filter: _common_pb2.Filter
    create_time_range: _common_pb2.TimeRange
    limit: int
    min_score: float
    recipe: Recipe
    fusion: Fusion
    rerank: bool
    graph_depth: int
    as_of: _common_pb2.AsOf
    valid_at: _timestamp_pb2.Timestamp
    include_superseded: bool
    explain: bool
    view: _memory_pb2.MemoryView
    min_revision: int
    def __init__(self, query: _Optional[str] = ..., scope: _Optional[_Union[_common_pb2.Scope, _Mapping]] = ..., filter: _Optional[_Union[_common_pb2.Filter, _Mapping]] = ..., create_time_range: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ..., limit: _Optional[int] = ..., min_score: _Optional[float] = ..., recipe: _Optional[_Union[Recipe, str]] = ..., fusion: _Optional[_Union[Fusion, str]] = ..., rerank: bool = ..., graph_depth: _Optional[int] = ..., as_of: _Optional[_Union[_common_pb2.AsOf, _Mapping]] = ..., valid_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., include_superseded: bool = ..., explain: bool = ..., view: _Optional[_Union[_memory_pb2.MemoryView, str]] = ..., min_revision: _Optional[int] = ...) -> None: ...

class SearchHit(_message.Message):
    __slots__ = ("memory", "score", "rank_score", "parts", "relations")
    class PartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RANK_SCORE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    memory: _memory_pb2.Memory
    score: float
    rank_score: float
    parts: _containers.ScalarMap[str, float]
    relations: _containers.RepeatedCompositeFieldContainer[_graph_pb2.Relation]
    def __init__(self, memory: _Optional[_Union[_memory_pb2.Memory, _Mapping]] = ..., score: _Optional[float] = ..., rank_score: _Optional[float] = ..., parts: _Optional[_Mapping[str, float]] = ..., relations: _Optional[_Iterable[_Union[_graph_pb2.Relation, _Mapping]]] = ...) -> None: ...

class HitUpdate(_message.Message):
    __slots__ = ("memory_id", "score", "rank_score", "parts", "relations")
    class PartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MEMORY_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RANK_SCORE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    RELATIONS_FIELD_NUMBER: _ClassVar[int]
    memory_id: str
    score: float
    rank_score: float
    parts: _containers.ScalarMap[str, float]
    relations: _containers.RepeatedCompositeFieldContainer[_graph_pb2.Relation]
    def __init__(self, memory_id: _Optional[str] = ..., score: _Optional[float] = ..., rank_score: _Optional[float] = ..., parts: _Optional[_Mapping[str, float]] = ..., relations: _Optional[_Iterable[_Union[_graph_pb2.Relation, _Mapping]]] = ...) -> None: ...

class PhaseReport(_message.Message):
    __slots__ = ("phase", "outcome", "elapsed", "candidates", "error")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[PhaseReport.Outcome]
        OUTCOME_DONE: _ClassVar[PhaseReport.Outcome]
        OUTCOME_SKIPPED: _ClassVar[PhaseReport.Outcome]
        OUTCOME_TIMED_OUT: _ClassVar[PhaseReport.Outcome]
        OUTCOME_FAILED: _ClassVar[PhaseReport.Outcome]
    OUTCOME_UNSPECIFIED: PhaseReport.Outcome
    OUTCOME_DONE: PhaseReport.Outcome
    OUTCOME_SKIPPED: PhaseReport.Outcome
    OUTCOME_TIMED_OUT: PhaseReport.Outcome
    OUTCOME_FAILED: PhaseReport.Outcome
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    phase: SearchPhase
    outcome: PhaseReport.Outcome
    elapsed: _duration_pb2.Duration
    candidates: int
    error: _status_pb2.Status
    def __init__(self, phase: _Optional[_Union[SearchPhase, str]] = ..., outcome: _Optional[_Union[PhaseReport.Outcome, str]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., candidates: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class SearchMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "spec")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    spec: SearchSpec
    def __init__(self, namespace: _Optional[str] = ..., spec: _Optional[_Union[SearchSpec, _Mapping]] = ...) -> None: ...

class SearchMemoriesResponse(_message.Message):
    __slots__ = ("hits", "phases", "revision", "search_id")
    HITS_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[SearchHit]
    phases: _containers.RepeatedCompositeFieldContainer[PhaseReport]
    revision: int
    search_id: str
    def __init__(self, hits: _Optional[_Iterable[_Union[SearchHit, _Mapping]]] = ..., phases: _Optional[_Iterable[_Union[PhaseReport, _Mapping]]] = ..., revision: _Optional[int] = ..., search_id: _Optional[str] = ...) -> None: ...

class StreamSearchMemoriesRequest(_message.Message):
    __slots__ = ("namespace", "spec")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    spec: SearchSpec
    def __init__(self, namespace: _Optional[str] = ..., spec: _Optional[_Union[SearchSpec, _Mapping]] = ...) -> None: ...

class StreamSearchMemoriesResponse(_message.Message):
    __slots__ = ("sequence", "started", "phase_hits", "phase_failed", "completed")
    class Started(_message.Message):
        __slots__ = ("search_id", "phases", "revision")
        SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
        PHASES_FIELD_NUMBER: _ClassVar[int]
        REVISION_FIELD_NUMBER: _ClassVar[int]
        search_id: str
        phases: _containers.RepeatedScalarFieldContainer[SearchPhase]
        revision: int
        def __init__(self, search_id: _Optional[str] = ..., phases: _Optional[_Iterable[_Union[SearchPhase, str]]] = ..., revision: _Optional[int] = ...) -> None: ...
    class PhaseHits(_message.Message):
        __slots__ = ("report", "new_hits", "updated_hits", "order")
        REPORT_FIELD_NUMBER: _ClassVar[int]
        NEW_HITS_FIELD_NUMBER: _ClassVar[int]
        UPDATED_HITS_FIELD_NUMBER: _ClassVar[int]
        ORDER_FIELD_NUMBER: _ClassVar[int]
        report: PhaseReport
        new_hits: _containers.RepeatedCompositeFieldContainer[SearchHit]
        updated_hits: _containers.RepeatedCompositeFieldContainer[HitUpdate]
        order: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, report: _Optional[_Union[PhaseReport, _Mapping]] = ..., new_hits: _Optional[_Iterable[_Union[SearchHit, _Mapping]]] = ..., updated_hits: _Optional[_Iterable[_Union[HitUpdate, _Mapping]]] = ..., order: _Optional[_Iterable[str]] = ...) -> None: ...
    class Completed(_message.Message):
        __slots__ = ("order", "phases", "revision")
        ORDER_FIELD_NUMBER: _ClassVar[int]
        PHASES_FIELD_NUMBER: _ClassVar[int]
        REVISION_FIELD_NUMBER: _ClassVar[int]
        order: _containers.RepeatedScalarFieldContainer[str]
        phases: _containers.RepeatedCompositeFieldContainer[PhaseReport]
        revision: int
        def __init__(self, order: _Optional[_Iterable[str]] = ..., phases: _Optional[_Iterable[_Union[PhaseReport, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    PHASE_HITS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FAILED_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    started: StreamSearchMemoriesResponse.Started
    phase_hits: StreamSearchMemoriesResponse.PhaseHits
    phase_failed: PhaseReport
    completed: StreamSearchMemoriesResponse.Completed
    def __init__(self, sequence: _Optional[int] = ..., started: _Optional[_Union[StreamSearchMemoriesResponse.Started, _Mapping]] = ..., phase_hits: _Optional[_Union[StreamSearchMemoriesResponse.PhaseHits, _Mapping]] = ..., phase_failed: _Optional[_Union[PhaseReport, _Mapping]] = ..., completed: _Optional[_Union[StreamSearchMemoriesResponse.Completed, _Mapping]] = ...) -> None: ...

class BuildContextRequest(_message.Message):
    __slots__ = ("namespace", "spec", "max_tokens", "neighbours")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    spec: SearchSpec
    max_tokens: int
    neighbours: int
    def __init__(self, namespace: _Optional[str] = ..., spec: _Optional[_Union[SearchSpec, _Mapping]] = ..., max_tokens: _Optional[int] = ..., neighbours: _Optional[int] = ...) -> None: ...

class BuildContextResponse(_message.Message):
    __slots__ = ("text", "parts", "token_count", "tokenizer", "hits", "phases", "revision")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    text: str
    parts: _containers.RepeatedCompositeFieldContainer[ContextPart]
    token_count: int
    tokenizer: str
    hits: _containers.RepeatedCompositeFieldContainer[SearchHit]
    phases: _containers.RepeatedCompositeFieldContainer[PhaseReport]
    revision: int
    def __init__(self, text: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[ContextPart, _Mapping]]] = ..., token_count: _Optional[int] = ..., tokenizer: _Optional[str] = ..., hits: _Optional[_Iterable[_Union[SearchHit, _Mapping]]] = ..., phases: _Optional[_Iterable[_Union[PhaseReport, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class ContextPart(_message.Message):
    __slots__ = ("citation", "text", "memory_ids", "token_count", "create_time")
    CITATION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    citation: int
    text: str
    memory_ids: _containers.RepeatedScalarFieldContainer[str]
    token_count: int
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, citation: _Optional[int] = ..., text: _Optional[str] = ..., memory_ids: _Optional[_Iterable[str]] = ..., token_count: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
