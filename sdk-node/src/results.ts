import {
  ADD_MODE,
  type AddMode,
  DROP_REASON,
  type DropReason,
  DURABILITY,
  type Durability,
  INGESTION_STATE,
  type IngestionState,
} from "./enums.js";
import { errorFromStatus, type MemoirError } from "./errors.js";
import type * as wire from "./gen/memoir/v1/memory_pb.js";
import { type Instant, instant } from "./instant.js";
import {
  changeFromProto,
  type Duplicate,
  duplicateFromProto,
  type Memory,
  type MemoryChange,
  memoryFromProto,
} from "./memory.js";
import { type Scope, scopeFromProto } from "./scope.js";

/** What inference cost, tokens as the provider counts them. */
export interface InferenceUsage {
  readonly llmCalls: number;
  readonly promptTokens: bigint;
  readonly completionTokens: bigint;
  readonly model: string;
}

/** A statement, or a request to forget, that a model took from the conversation and that was left out. */
export interface DroppedFact {
  readonly text: string;
  readonly quote: string;
  readonly reason: DropReason;
}

/** What `add` did. */
export interface AddResult {
  /** Decisions, in order. */
  readonly changes: readonly MemoryChange[];
  /** The mode that ran. */
  readonly mode: AddMode;
  /** Pass as `minRevision` to a read to see this write. */
  readonly revision: bigint;
  /** How far the write has got. */
  readonly durability: Durability;
  /** Absent where no model was asked. */
  readonly usage: InferenceUsage | undefined;
  /** Set when the work goes on (see `getIngestion`); else "". */
  readonly ingestionId: string;
  /** What a model handed over and the server did not take. */
  readonly dropped: readonly DroppedFact[];
  readonly message: wire.AddMemoriesResponse;
}

/** Outcome of one item of a batch: exactly one of `memory` and `error` is set. */
export interface BatchItem {
  readonly memory: Memory | undefined;
  readonly error: MemoirError | undefined;
  /** Set when a memory said this already; unless `duplicate.stored`, `memory` is that memory. */
  readonly duplicate: Duplicate | undefined;
}

/** What `createMany` did, one entry of `results` per item in order. */
export class CreateManyResult {
  readonly results: readonly BatchItem[];
  readonly revision: bigint;
  readonly durability: Durability;
  readonly message: wire.BatchCreateMemoriesResponse;

  constructor(message: wire.BatchCreateMemoriesResponse) {
    this.results = message.results.map(({ outcome, duplicate }) => ({
      memory: outcome.case === "memory" ? memoryFromProto(outcome.value) : undefined,
      error: outcome.case === "error" ? errorFromStatus(outcome.value) : undefined,
      duplicate: duplicateFromProto(duplicate),
    }));
    this.revision = message.revision;
    this.durability = DURABILITY.decode(message.durability);
    this.message = message;
  }

  /** True when near duplicates are to be passed over here, and the server could not look for them. */
  get duplicateGuardSkipped(): boolean {
    return this.message.duplicateGuardSkipped;
  }

  /** The memories as they are stored, those that were known already included. */
  get memories(): readonly Memory[] {
    return this.results.flatMap(({ memory }) => (memory === undefined ? [] : [memory]));
  }
}

/** What `delete` and `deleteMany` did; revision is 0n when nothing was there and that was allowed. */
export interface DeleteResult {
  readonly deletedCount: number;
  readonly revision: bigint;
  readonly durability: Durability;
  /** Of `delete` only: memories that were taken from the message of the EPISODE that was deleted; they stay. */
  readonly derived: readonly string[];
  readonly message: wire.DeleteMemoryResponse | wire.BatchDeleteMemoriesResponse;
}

/** How many memories a user, agent or session has now. */
export interface ScopeSummary {
  readonly scope: Scope;
  readonly memoryCount: bigint;
  readonly lastCreateTime: Instant | undefined;
  readonly message: wire.ScopeSummary;
}

/** Inference work that goes on after its call returned; `error` is set once FAILED. */
export interface Ingestion {
  readonly id: string;
  readonly scope: Scope;
  readonly state: IngestionState;
  readonly createTime: Instant | undefined;
  readonly updateTime: Instant | undefined;
  readonly changes: readonly MemoryChange[];
  readonly error: MemoirError | undefined;
  readonly usage: InferenceUsage | undefined;
  readonly revision: bigint;
  readonly attempts: number;
  readonly message: wire.Ingestion;
}

function usageFromProto(message: wire.InferenceUsage | undefined): InferenceUsage | undefined {
  if (message === undefined) return undefined;
  const { llmCalls, promptTokens, completionTokens, model } = message;
  return { llmCalls, promptTokens, completionTokens, model };
}

/** Convert the response of AddMemories. */
export function addResultFromProto(message: wire.AddMemoriesResponse): AddResult {
  return {
    changes: message.changes.map(changeFromProto),
    mode: ADD_MODE.decode(message.mode),
    revision: message.revision,
    durability: DURABILITY.decode(message.durability),
    usage: usageFromProto(message.usage),
    ingestionId: message.ingestionId,
    dropped: message.dropped.map(({ text, quote, reason }) => ({ text, quote, reason: DROP_REASON.decode(reason) })),
    message,
  };
}

/** Convert the response of DeleteMemory or BatchDeleteMemories. */
export function deleteResultFromProto(
  message: wire.DeleteMemoryResponse | wire.BatchDeleteMemoriesResponse,
): DeleteResult {
  return {
    // DeleteMemory has no count: a revision above 0 says that there was something.
    deletedCount: "deletedCount" in message ? message.deletedCount : Number(message.revision > 0n),
    revision: message.revision,
    durability: DURABILITY.decode(message.durability),
    derived: "derived" in message ? message.derived : [],
    message,
  };
}

/** Convert a scope summary. */
export function scopeSummaryFromProto(message: wire.ScopeSummary): ScopeSummary {
  return {
    scope: scopeFromProto(message.scope),
    memoryCount: message.memoryCount,
    lastCreateTime: instant(message.lastCreateTime),
    message,
  };
}

/** Convert an ingestion. */
export function ingestionFromProto(message: wire.Ingestion): Ingestion {
  return {
    id: message.ingestionId,
    scope: scopeFromProto(message.scope),
    state: INGESTION_STATE.decode(message.state),
    createTime: instant(message.createTime),
    updateTime: instant(message.updateTime),
    changes: message.changes.map(changeFromProto),
    error: message.error && errorFromStatus(message.error),
    usage: usageFromProto(message.usage),
    revision: message.revision,
    attempts: message.attempts,
    message,
  };
}
