import { CHANGE_ACTION, type ChangeAction } from "./enums.js";
import { errorFromStatus, type MemoirError } from "./errors.js";
import type * as wire from "./gen/memoir/v1/transfer_pb.js";
import { type HistoryEvent, historyEventFromProto } from "./history.js";
import { type Memory, memoryFromProto } from "./memory.js";

/** First record of an export. */
export interface ExportHeader {
  readonly type: "header";
  readonly revision: bigint;
  readonly estimatedMemories: bigint;
  readonly resumeToken: string;
}

/** A vector of unit norm and the model it came from. */
export interface Embedding {
  readonly model: string;
  readonly version: string;
  readonly values: readonly number[];
}

/** A memory of an export, with its vector when that was asked for. */
export interface ExportedMemory {
  readonly type: "memory";
  readonly memory: Memory;
  readonly embedding: Embedding | undefined;
  readonly resumeToken: string;
  readonly message: wire.ExportedMemory;
}

/** A history event of an export. */
export interface ExportedEvent {
  readonly type: "event";
  readonly event: HistoryEvent;
  readonly resumeToken: string;
}

/** Last record of an export, with its totals, resumed parts included. */
export interface ExportSummary {
  readonly type: "summary";
  readonly memories: bigint;
  readonly events: bigint;
  readonly resumeToken: string;
}

/** One record of an export. */
export type ExportRecord = ExportHeader | ExportedMemory | ExportedEvent | ExportSummary;

/** Outcome of one imported item: exactly one of `action` and `error` is set. */
export interface ImportResult {
  readonly sequence: bigint;
  readonly memoryId: string;
  readonly action: ChangeAction | undefined;
  readonly error: MemoirError | undefined;
  readonly revision: bigint;
  readonly message: wire.ImportMemoriesResponse;
}

/** Convert a record; `undefined` for a kind this package does not know. */
export function exportRecordFromProto(message: wire.ExportMemoriesResponse): ExportRecord | undefined {
  const { record, resumeToken } = message;
  switch (record.case) {
    case "header":
      return {
        type: "header",
        revision: record.value.revision,
        estimatedMemories: record.value.estimatedMemories,
        resumeToken,
      };
    case "memory": {
      const { memory, embedding } = record.value;
      return {
        type: "memory",
        memory: memoryFromProto(memory),
        embedding: embedding && { model: embedding.model, version: embedding.version, values: [...embedding.values] },
        resumeToken,
        message: record.value,
      };
    }
    case "event":
      return { type: "event", event: historyEventFromProto(record.value, resumeToken), resumeToken };
    case "summary":
      return { type: "summary", memories: record.value.memories, events: record.value.events, resumeToken };
    default:
      return undefined;
  }
}

/** Convert the result of one item. */
export function importResultFromProto(message: wire.ImportMemoriesResponse): ImportResult {
  const { outcome } = message;
  return {
    sequence: message.sequence,
    memoryId: message.memoryId,
    action: outcome.case === "action" ? CHANGE_ACTION.decode(outcome.value) : undefined,
    error: outcome.case === "error" ? errorFromStatus(outcome.value) : undefined,
    revision: message.revision,
    message,
  };
}
