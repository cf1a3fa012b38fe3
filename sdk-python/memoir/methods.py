"""The methods of the contract with their message types: the one place that spells their names."""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from memoir.v1 import admin_pb2, graph_pb2, history_pb2, memory_pb2, reset_pb2, search_pb2, transfer_pb2

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Unary(Generic[Q, R]):
    """One request, one response. `name` is `package.Service/Method`."""

    name: str
    request: type[Q]
    response: type[R]


@dataclass(frozen=True, slots=True)
class ServerStream(Generic[Q, R]):
    """One request, many responses. `name` is `package.Service/Method`."""

    name: str
    request: type[Q]
    response: type[R]


@dataclass(frozen=True, slots=True)
class BidiStream(Generic[Q, R]):
    """Many requests, many responses. `name` is `package.Service/Method`."""

    name: str
    request: type[Q]
    response: type[R]


ADD_MEMORIES: Final = Unary(
    "memoir.v1.MemoryService/AddMemories", memory_pb2.AddMemoriesRequest, memory_pb2.AddMemoriesResponse
)
CREATE_MEMORY: Final = Unary(
    "memoir.v1.MemoryService/CreateMemory", memory_pb2.CreateMemoryRequest, memory_pb2.CreateMemoryResponse
)
BATCH_CREATE_MEMORIES: Final = Unary(
    "memoir.v1.MemoryService/BatchCreateMemories",
    memory_pb2.BatchCreateMemoriesRequest,
    memory_pb2.BatchCreateMemoriesResponse,
)
GET_MEMORY: Final = Unary(
    "memoir.v1.MemoryService/GetMemory", memory_pb2.GetMemoryRequest, memory_pb2.GetMemoryResponse
)
LIST_MEMORIES: Final = Unary(
    "memoir.v1.MemoryService/ListMemories", memory_pb2.ListMemoriesRequest, memory_pb2.ListMemoriesResponse
)
UPDATE_MEMORY: Final = Unary(
    "memoir.v1.MemoryService/UpdateMemory", memory_pb2.UpdateMemoryRequest, memory_pb2.UpdateMemoryResponse
)
DELETE_MEMORY: Final = Unary(
    "memoir.v1.MemoryService/DeleteMemory", memory_pb2.DeleteMemoryRequest, memory_pb2.DeleteMemoryResponse
)
BATCH_DELETE_MEMORIES: Final = Unary(
    "memoir.v1.MemoryService/BatchDeleteMemories",
    memory_pb2.BatchDeleteMemoriesRequest,
    memory_pb2.BatchDeleteMemoriesResponse,
)
LIST_SCOPES: Final = Unary(
    "memoir.v1.MemoryService/ListScopes", memory_pb2.ListScopesRequest, memory_pb2.ListScopesResponse
)
GET_INGESTION: Final = Unary(
    "memoir.v1.MemoryService/GetIngestion", memory_pb2.GetIngestionRequest, memory_pb2.GetIngestionResponse
)
LIST_INGESTIONS: Final = Unary(
    "memoir.v1.MemoryService/ListIngestions", memory_pb2.ListIngestionsRequest, memory_pb2.ListIngestionsResponse
)
SEARCH_MEMORIES: Final = Unary(
    "memoir.v1.SearchService/SearchMemories", search_pb2.SearchMemoriesRequest, search_pb2.SearchMemoriesResponse
)
STREAM_SEARCH_MEMORIES: Final = ServerStream(
    "memoir.v1.SearchService/StreamSearchMemories",
    search_pb2.StreamSearchMemoriesRequest,
    search_pb2.StreamSearchMemoriesResponse,
)
BUILD_CONTEXT: Final = Unary(
    "memoir.v1.SearchService/BuildContext", search_pb2.BuildContextRequest, search_pb2.BuildContextResponse
)
GET_ENTITY: Final = Unary("memoir.v1.GraphService/GetEntity", graph_pb2.GetEntityRequest, graph_pb2.GetEntityResponse)
LIST_ENTITIES: Final = Unary(
    "memoir.v1.GraphService/ListEntities", graph_pb2.ListEntitiesRequest, graph_pb2.ListEntitiesResponse
)
LIST_RELATIONS: Final = Unary(
    "memoir.v1.GraphService/ListRelations", graph_pb2.ListRelationsRequest, graph_pb2.ListRelationsResponse
)
TRAVERSE_GRAPH: Final = Unary(
    "memoir.v1.GraphService/TraverseGraph", graph_pb2.TraverseGraphRequest, graph_pb2.TraverseGraphResponse
)
LIST_HISTORY: Final = Unary(
    "memoir.v1.HistoryService/ListHistory", history_pb2.ListHistoryRequest, history_pb2.ListHistoryResponse
)
WATCH_HISTORY: Final = ServerStream(
    "memoir.v1.HistoryService/WatchHistory", history_pb2.WatchHistoryRequest, history_pb2.WatchHistoryResponse
)
PLAN_RESET: Final = Unary("memoir.v1.ResetService/PlanReset", reset_pb2.PlanResetRequest, reset_pb2.PlanResetResponse)
EXECUTE_RESET: Final = Unary(
    "memoir.v1.ResetService/ExecuteReset", reset_pb2.ExecuteResetRequest, reset_pb2.ExecuteResetResponse
)
GET_RESET: Final = Unary("memoir.v1.ResetService/GetReset", reset_pb2.GetResetRequest, reset_pb2.GetResetResponse)
WATCH_RESET: Final = ServerStream(
    "memoir.v1.ResetService/WatchReset", reset_pb2.WatchResetRequest, reset_pb2.WatchResetResponse
)
CANCEL_RESET: Final = Unary(
    "memoir.v1.ResetService/CancelReset", reset_pb2.CancelResetRequest, reset_pb2.CancelResetResponse
)
EXPORT_MEMORIES: Final = ServerStream(
    "memoir.v1.TransferService/ExportMemories", transfer_pb2.ExportMemoriesRequest, transfer_pb2.ExportMemoriesResponse
)
IMPORT_MEMORIES: Final = BidiStream(
    "memoir.v1.TransferService/ImportMemories", transfer_pb2.ImportMemoriesRequest, transfer_pb2.ImportMemoriesResponse
)
GET_SERVER_INFO: Final = Unary(
    "memoir.v1.AdminService/GetServerInfo", admin_pb2.GetServerInfoRequest, admin_pb2.GetServerInfoResponse
)
CHECK_CONSISTENCY: Final = ServerStream(
    "memoir.v1.AdminService/CheckConsistency", admin_pb2.CheckConsistencyRequest, admin_pb2.CheckConsistencyResponse
)
REPAIR_CONSISTENCY: Final = Unary(
    "memoir.v1.AdminService/RepairConsistency", admin_pb2.RepairConsistencyRequest, admin_pb2.RepairConsistencyResponse
)
REBUILD_PROJECTION: Final = ServerStream(
    "memoir.v1.AdminService/RebuildProjection", admin_pb2.RebuildProjectionRequest, admin_pb2.RebuildProjectionResponse
)

ALL_METHODS: Final = (
    ADD_MEMORIES,
    CREATE_MEMORY,
    BATCH_CREATE_MEMORIES,
    GET_MEMORY,
    LIST_MEMORIES,
    UPDATE_MEMORY,
    DELETE_MEMORY,
    BATCH_DELETE_MEMORIES,
    LIST_SCOPES,
    GET_INGESTION,
    LIST_INGESTIONS,
    SEARCH_MEMORIES,
    STREAM_SEARCH_MEMORIES,
    BUILD_CONTEXT,
    GET_ENTITY,
    LIST_ENTITIES,
    LIST_RELATIONS,
    TRAVERSE_GRAPH,
    LIST_HISTORY,
    WATCH_HISTORY,
    PLAN_RESET,
    EXECUTE_RESET,
    GET_RESET,
    WATCH_RESET,
    CANCEL_RESET,
    EXPORT_MEMORIES,
    IMPORT_MEMORIES,
    GET_SERVER_INFO,
    CHECK_CONSISTENCY,
    REPAIR_CONSISTENCY,
    REBUILD_PROJECTION,
)
