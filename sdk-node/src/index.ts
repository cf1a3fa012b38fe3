export type * from "./admin.js";
export { DEFAULT_TARGET, Memoir, type MemoirOptions } from "./client.js";
export { CONTRACT_SHA256, PACKAGE_VERSION } from "./embedded.js";
export type {
  ActorKind,
  AddMode,
  BreakerState,
  ChangeAction,
  DropReason,
  Durability,
  EventType,
  FindingKind,
  Fusion,
  IngestionState,
  MemoryKind,
  MemoryView,
  OnConflict,
  PhaseOutcome,
  Recipe,
  ResetState,
  Role,
  ScopeDimension,
  SearchPhase,
  StoreKind,
} from "./enums.js";
export * from "./errors.js";
export { exportLine, exportRecordFromLine } from "./export-line.js";
export {
  and,
  BUILT_IN_FIELDS,
  Field,
  field,
  type FilterData,
  type FilterInput,
  filterToProto,
  not,
  type Operators,
  or,
} from "./filter.js";
export { fold, SearchFold } from "./fold.js";
export type {
  Entity,
  EntityInput,
  EntityMention,
  EntityRef,
  Neighbourhood,
  Relation,
  RelationInput,
  RelationStatement,
} from "./graph.js";
export type { Actor, Bookmark, HistoryEvent } from "./history.js";
export { Instant, type TimeInput } from "./instant.js";
export {
  type Duplicate,
  type Memory,
  type MemoryChange,
  memoryFromProto,
  type Provenance,
  type WrittenMemory,
} from "./memory.js";
export type { MemoryChanges, MemoryFields, MessageInput, NewMemory, ProvenanceInput } from "./messages.js";
export { Double, double, type Metadata, type MetadataInput, type MetadataValue } from "./metadata.js";
export { type Page, type PageOptions, Pages } from "./paging.js";
export {
  ExecutedReset,
  Reset,
  ResetPlan,
  type ResetReceipt,
  type ResetTarget,
  type StoreEffect,
  type StoreReceipt,
} from "./reset.js";
export {
  type AddResult,
  type BatchItem,
  CreateManyResult,
  type DeleteResult,
  type DroppedFact,
  type InferenceUsage,
  type Ingestion,
  type ScopeSummary,
} from "./results.js";
export type { MomentInput, RevisionInput, Scope, ScopeOptions } from "./scope.js";
export type {
  ContextPart,
  ContextResult,
  HitUpdate,
  PhaseFailed,
  PhaseHits,
  PhaseReport,
  SearchCompleted,
  SearchEvent,
  SearchHit,
  SearchResult,
  SearchStarted,
} from "./search.js";
export type { CheckOptions, RepairOptions } from "./service/admins.js";
export type { EntitiesOptions, GetEntityOptions, RelationsOptions, TraverseOptions } from "./service/graphs.js";
export type { HistoryFilterOptions, HistoryOptions, WatchOptions } from "./service/histories.js";
export type { GetOptions, IngestionsOptions, ListOptions, ScopesOptions } from "./service/reads.js";
export type { ExecuteResetOptions, PlanResetOptions, ResetInput, WatchResetOptions } from "./service/resets.js";
export type { ContextOptions, SearchOptions } from "./service/searches.js";
export type { MutationOptions, WriteOptions } from "./service/service.js";
export type { ExportOptions, ImportOptions } from "./service/transfers.js";
export type {
  AddOptions,
  CreateManyOptions,
  CreateOptions,
  DeleteManyOptions,
  DeleteOptions,
  UpdateOptions,
} from "./service/writes.js";
export {
  type Embedding,
  type ExportedEvent,
  type ExportedMemory,
  type ExportHeader,
  type ExportRecord,
  exportRecordFromProto,
  type ExportSummary,
  type ImportResult,
} from "./transfer.js";
export { type CallOptions, MAX_MESSAGE_BYTES } from "./transport.js";
