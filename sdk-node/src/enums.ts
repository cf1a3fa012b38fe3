import { Finding_FindingKind, StoreStatus_BreakerState } from "./gen/memoir/v1/admin_pb.js";
import * as common from "./gen/memoir/v1/common_pb.js";
import { Actor_ActorKind, HistoryEvent_EventType } from "./gen/memoir/v1/history_pb.js";
import * as memory from "./gen/memoir/v1/memory_pb.js";
import { Reset_State } from "./gen/memoir/v1/reset_pb.js";
import * as search from "./gen/memoir/v1/search_pb.js";
import { ImportMemoriesRequest_OnConflict } from "./gen/memoir/v1/transfer_pb.js";
import { invalid, shown } from "./invalid.js";

// Enumerations are strings: the contract's names without the enum's prefix ("FACT" for MEMORY_KIND_FACT). They are open:
// a number this package has no name for is carried as its decimal text ("17") and goes back to the server unchanged.
type Open<E> = (keyof E & string) | (string & Record<never, never>);

/** Kind of a memory. */
export type MemoryKind = Open<typeof memory.MemoryKind>;
/** How much of a memory to return: BASIC leaves out entities and relations. */
export type MemoryView = Open<typeof memory.MemoryView>;
/** Role of a speaker. */
export type Role = Open<typeof memory.Role>;
/** How a conversation is remembered; UNSPECIFIED lets the server choose. */
export type AddMode = Open<typeof memory.AddMode>;
/** How far a write has got: ACCEPTED is committed, INDEXED is searchable too. */
export type Durability = Open<typeof common.Durability>;
/** What a write did to one memory. */
export type ChangeAction = Open<typeof memory.MemoryChange_Action>;
/** Type of a history event. */
export type EventType = Open<typeof HistoryEvent_EventType>;
/** Who caused a history event. */
export type ActorKind = Open<typeof Actor_ActorKind>;
/** Named way of ranking. */
export type Recipe = Open<typeof search.Recipe>;
/** How dense and keyword evidence are merged. */
export type Fusion = Open<typeof search.Fusion>;
/** Phase of a search. */
export type SearchPhase = Open<typeof search.SearchPhase>;
/** How a phase ended. */
export type PhaseOutcome = Open<typeof search.PhaseReport_Outcome>;
/** State of a reset. */
export type ResetState = Open<typeof Reset_State>;
/** State of accepted inference work. */
export type IngestionState = Open<typeof memory.Ingestion_State>;
/** Why something a model handed over was left out. */
export type DropReason = Open<typeof memory.DroppedFact_Reason>;
/** Part of a scope to list by. */
export type ScopeDimension = Open<typeof memory.ScopeDimension>;
/** Part of the server that holds or computes data. */
export type StoreKind = Open<typeof common.StoreKind>;
/** State of a store's circuit breaker. */
export type BreakerState = Open<typeof StoreStatus_BreakerState>;
/** What is wrong between a store and the ledger. */
export type FindingKind = Open<typeof Finding_FindingKind>;
/** What an import does with an id that exists with other content. */
export type OnConflict = Open<typeof ImportMemoriesRequest_OnConflict>;

/** Translates one enumeration between names and the contract's numbers. */
export class EnumCodec<E extends Readonly<Record<string, string | number>>> {
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #names: ReadonlyMap<number, string>;

  /**
   * @param wire the generated enum
   * @param prefix prefix of its values in the contract
   */
  constructor(
    wire: E,
    readonly prefix: string,
  ) {
    const entries = Object.entries(wire).filter((entry): entry is [string, number] => typeof entry[1] === "number");
    this.#numbers = new Map(entries);
    this.#names = new Map(entries.map(([name, number]) => [number, name]));
  }

  /** Return the name of a number; an unknown number becomes its decimal text. */
  decode(number: E[keyof E]): Open<E> {
    return this.#names.get(number as number) ?? String(number);
  }

  /**
   * Return the number of a name in any case, with or without the prefix, or of a decimal text; 0 when absent.
   *
   * @throws InvalidArgument the name is unknown; the message lists the names there are
   */
  encode(value: string | undefined, field: string): E[keyof E] {
    return this.#number(value, field) as E[keyof E];
  }

  #number(value: string | undefined, field: string): number {
    if (value === undefined) return 0;
    if (typeof value === "string") {
      const upper = value.toUpperCase();
      const number = this.#numbers.get(upper.startsWith(this.prefix) ? upper.slice(this.prefix.length) : upper);
      if (number !== undefined) return number;
      if (/^-?\d+$/.test(value)) return Number(value);
    }
    const names = [...this.#numbers].filter(([, number]) => number !== 0).map(([name]) => name);
    throw invalid(field, `${shown(value)} is unknown; use one of ${names.join(", ")}`);
  }

  /** Return the contract's full name of a known name; anything else unchanged, for the server to judge. */
  fullName(value: string): string {
    const upper = value.toUpperCase();
    const name = upper.startsWith(this.prefix) ? upper.slice(this.prefix.length) : upper;
    return this.#numbers.has(name) ? this.prefix + name : value;
  }
}

export const MEMORY_KIND = new EnumCodec(memory.MemoryKind, "MEMORY_KIND_");
export const MEMORY_VIEW = new EnumCodec(memory.MemoryView, "MEMORY_VIEW_");
export const ROLE = new EnumCodec(memory.Role, "ROLE_");
export const ADD_MODE = new EnumCodec(memory.AddMode, "ADD_MODE_");
export const DURABILITY = new EnumCodec(common.Durability, "DURABILITY_");
export const CHANGE_ACTION = new EnumCodec(memory.MemoryChange_Action, "ACTION_");
export const EVENT_TYPE = new EnumCodec(HistoryEvent_EventType, "EVENT_TYPE_");
export const ACTOR_KIND = new EnumCodec(Actor_ActorKind, "ACTOR_KIND_");
export const RECIPE = new EnumCodec(search.Recipe, "RECIPE_");
export const FUSION = new EnumCodec(search.Fusion, "FUSION_");
export const SEARCH_PHASE = new EnumCodec(search.SearchPhase, "SEARCH_PHASE_");
export const PHASE_OUTCOME = new EnumCodec(search.PhaseReport_Outcome, "OUTCOME_");
export const RESET_STATE = new EnumCodec(Reset_State, "STATE_");
export const INGESTION_STATE = new EnumCodec(memory.Ingestion_State, "STATE_");
export const DROP_REASON = new EnumCodec(memory.DroppedFact_Reason, "REASON_");
export const SCOPE_DIMENSION = new EnumCodec(memory.ScopeDimension, "SCOPE_DIMENSION_");
export const STORE_KIND = new EnumCodec(common.StoreKind, "STORE_KIND_");
export const BREAKER_STATE = new EnumCodec(StoreStatus_BreakerState, "BREAKER_STATE_");
export const FINDING_KIND = new EnumCodec(Finding_FindingKind, "FINDING_KIND_");
export const ON_CONFLICT = new EnumCodec(ImportMemoriesRequest_OnConflict, "ON_CONFLICT_");
