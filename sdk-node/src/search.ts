import { create } from "@bufbuild/protobuf";
import { PHASE_OUTCOME, type PhaseOutcome, SEARCH_PHASE, type SearchPhase } from "./enums.js";
import { errorFromStatus, type MemoirError } from "./errors.js";
import type * as wire from "./gen/memoir/v1/search_pb.js";
import { PhaseReportSchema } from "./gen/memoir/v1/search_pb.js";
import { type Relation, relationFromProto } from "./graph.js";
import { type Instant, instant, seconds } from "./instant.js";
import { type Memory, memoryFromProto } from "./memory.js";

/** One ranked memory. */
export interface SearchHit {
  readonly memory: Memory;
  /** 0..1; means the same in every query. */
  readonly score: number;
  /** What the order rests on, within one search only. Set with `explain`. */
  readonly rankScore: number;
  /** What the scores are made of, by name. Set with `explain`. */
  readonly parts: Readonly<Record<string, number>>;
  /** Relations of the memory that touch entities of the query. */
  readonly relations: readonly Relation[];
  readonly message: wire.SearchHit;
}

/** New scores and relations of a hit sent by an earlier phase; they replace the old ones. */
export interface HitUpdate {
  readonly memoryId: string;
  readonly score: number;
  readonly rankScore: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly relations: readonly Relation[];
}

/** How a phase went; `error` says why when the outcome is FAILED or TIMED_OUT. */
export interface PhaseReport {
  readonly phase: SearchPhase;
  readonly outcome: PhaseOutcome;
  /** Seconds spent. */
  readonly elapsed: number;
  readonly candidates: number;
  readonly error: MemoirError | undefined;
}

/** A finished search: hits, best first, a report per phase, and the revision it saw at least. */
export interface SearchResult {
  readonly hits: readonly SearchHit[];
  readonly phases: readonly PhaseReport[];
  readonly revision: bigint;
  readonly searchId: string;
  readonly message: wire.SearchMemoriesResponse;
}

/** One cited passage: `citation` is its mark in the text, counting from 1. */
export interface ContextPart {
  readonly citation: number;
  readonly text: string;
  readonly memoryIds: readonly string[];
  readonly tokenCount: number;
  readonly createTime: Instant | undefined;
}

/** A cited context for a prompt: `text` is ready to paste, `parts` are its passages, `hits` what it rests on. */
export interface ContextResult {
  readonly text: string;
  readonly parts: readonly ContextPart[];
  readonly tokenCount: number;
  readonly tokenizer: string;
  readonly hits: readonly SearchHit[];
  readonly phases: readonly PhaseReport[];
  readonly revision: bigint;
  readonly message: wire.BuildContextResponse;
}

/** First event of a streaming search. */
export interface SearchStarted {
  readonly type: "started";
  readonly sequence: bigint;
  readonly searchId: string;
  readonly phases: readonly SearchPhase[];
  readonly revision: bigint;
  readonly message: wire.StreamSearchMemoriesResponse;
}

/** State after one phase: hits not sent before, changes of hits sent before, and a provisional order of ids. */
export interface PhaseHits {
  readonly type: "phase";
  readonly sequence: bigint;
  readonly report: PhaseReport;
  readonly newHits: readonly SearchHit[];
  readonly updatedHits: readonly HitUpdate[];
  readonly order: readonly string[];
  readonly message: wire.StreamSearchMemoriesResponse;
}

/** A phase that gave nothing usable; the others stand. */
export interface PhaseFailed {
  readonly type: "phaseFailed";
  readonly sequence: bigint;
  readonly report: PhaseReport;
  readonly message: wire.StreamSearchMemoriesResponse;
}

/** Last event: the final order of ids, the only one to rely on. */
export interface SearchCompleted {
  readonly type: "completed";
  readonly sequence: bigint;
  readonly order: readonly string[];
  readonly phases: readonly PhaseReport[];
  readonly revision: bigint;
  readonly message: wire.StreamSearchMemoriesResponse;
}

/** One event of a streaming search. */
export type SearchEvent = SearchStarted | PhaseHits | PhaseFailed | SearchCompleted;

/** Convert a hit. */
export function hitFromProto(message: wire.SearchHit): SearchHit {
  return {
    memory: memoryFromProto(message.memory),
    score: message.score,
    rankScore: message.rankScore,
    parts: { ...message.parts },
    relations: message.relations.map(relationFromProto),
    message,
  };
}

function reportFromProto(received: wire.PhaseReport | undefined): PhaseReport {
  const message = received ?? create(PhaseReportSchema);
  return {
    phase: SEARCH_PHASE.decode(message.phase),
    outcome: PHASE_OUTCOME.decode(message.outcome),
    elapsed: seconds(message.elapsed),
    candidates: message.candidates,
    error: message.error && errorFromStatus(message.error),
  };
}

/** Convert the response of SearchMemories. */
export function searchResultFromProto(message: wire.SearchMemoriesResponse): SearchResult {
  return {
    hits: message.hits.map(hitFromProto),
    phases: message.phases.map(reportFromProto),
    revision: message.revision,
    searchId: message.searchId,
    message,
  };
}

/** Convert the response of BuildContext. */
export function contextFromProto(message: wire.BuildContextResponse): ContextResult {
  return {
    text: message.text,
    parts: message.parts.map((part) => ({
      citation: part.citation,
      text: part.text,
      memoryIds: [...part.memoryIds],
      tokenCount: part.tokenCount,
      createTime: instant(part.createTime),
    })),
    tokenCount: message.tokenCount,
    tokenizer: message.tokenizer,
    hits: message.hits.map(hitFromProto),
    phases: message.phases.map(reportFromProto),
    revision: message.revision,
    message,
  };
}

/** Convert one event; `undefined` for a kind this package does not know. */
export function searchEventFromProto(message: wire.StreamSearchMemoriesResponse): SearchEvent | undefined {
  const { event, sequence } = message;
  switch (event.case) {
    case "started":
      return {
        type: "started",
        sequence,
        searchId: event.value.searchId,
        phases: event.value.phases.map((phase) => SEARCH_PHASE.decode(phase)),
        revision: event.value.revision,
        message,
      };
    case "phaseHits":
      return {
        type: "phase",
        sequence,
        report: reportFromProto(event.value.report),
        newHits: event.value.newHits.map(hitFromProto),
        updatedHits: event.value.updatedHits.map((update) => ({
          memoryId: update.memoryId,
          score: update.score,
          rankScore: update.rankScore,
          parts: { ...update.parts },
          relations: update.relations.map(relationFromProto),
        })),
        order: [...event.value.order],
        message,
      };
    case "phaseFailed":
      return { type: "phaseFailed", sequence, report: reportFromProto(event.value), message };
    case "completed":
      return {
        type: "completed",
        sequence,
        order: [...event.value.order],
        phases: event.value.phases.map(reportFromProto),
        revision: event.value.revision,
        message,
      };
    default:
      return undefined;
  }
}
