import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AsOf,
  AsOfSchema,
  type Scope as WireScope,
  ScopeSchema,
  type TimeRange,
  TimeRangeSchema,
} from "./gen/memoir/v1/common_pb.js";
import { given } from "./given.js";
import { type TimeInput, timestamp } from "./instant.js";
import { invalid, shown } from "./invalid.js";

/** Whose memory something is: every id that is set must match, an absent id matches anything. */
export interface Scope {
  readonly userId: string | undefined;
  readonly agentId: string | undefined;
  readonly sessionId: string | undefined;
}

/** The ids of a scope, as written flat among a method's options. */
export interface ScopeOptions {
  /** End user the memory is about. */
  userId?: string | undefined;
  /** Assistant that learned it. */
  agentId?: string | undefined;
  /** Conversation in which it was learned. */
  sessionId?: string | undefined;
}

/** A revision of the namespace; revisions come back as bigint. */
export type RevisionInput = bigint | number;

/** A past moment of the ledger: a time, or a revision (number or bigint). */
export type MomentInput = TimeInput | RevisionInput;

/** Build a scope; `undefined` when no id is given. */
export function scopeToProto(options: ScopeOptions): WireScope | undefined {
  const ids: MessageInitShape<typeof ScopeSchema> = given({
    userId: options.userId,
    agentId: options.agentId,
    sessionId: options.sessionId,
  });
  return Object.keys(ids).length === 0 ? undefined : create(ScopeSchema, ids);
}

/** Convert a scope. */
export function scopeFromProto(scope: WireScope | undefined): Scope {
  return { userId: scope?.userId, agentId: scope?.agentId, sessionId: scope?.sessionId };
}

/**
 * Convert a 64-bit integer; absent is 0.
 *
 * @throws InvalidArgument a number that is not a safe integer
 */
export function int64(value: RevisionInput | undefined, field: string): bigint {
  if (value === undefined) return 0n;
  if (typeof value === "bigint") return value;
  if (!Number.isSafeInteger(value)) throw invalid(field, `${shown(value)} is not a safe integer; use a bigint`);
  return BigInt(value);
}

/** Build the moment of a read in the past: a number or bigint is a revision, anything else a time. */
export function asOf(moment: MomentInput | undefined, field = "asOf"): AsOf | undefined {
  if (moment === undefined) return undefined;
  if (typeof moment === "number" || typeof moment === "bigint") {
    return create(AsOfSchema, { moment: { case: "revision", value: int64(moment, field) } });
  }
  const time = timestamp(moment, field);
  return time === undefined ? undefined : create(AsOfSchema, { moment: { case: "time", value: time } });
}

/** Build the half-open range after <= t < before; `undefined` when neither side is given. */
export function timeRange(
  after: TimeInput | undefined,
  before: TimeInput | undefined,
  fields: readonly [string, string],
): TimeRange | undefined {
  if (after === undefined && before === undefined) return undefined;
  return create(
    TimeRangeSchema,
    given({ startTime: timestamp(after, fields[0]), endTime: timestamp(before, fields[1]) }),
  );
}
