import { create } from "@bufbuild/protobuf";
import { RESET_STATE, type ResetState, STORE_KIND, type StoreKind } from "./enums.js";
import { errorFromStatus, type MemoirError } from "./errors.js";
import type * as wire from "./gen/memoir/v1/reset_pb.js";
import { ResetSchema, ResetTargetSchema } from "./gen/memoir/v1/reset_pb.js";
import { type Instant, instant } from "./instant.js";
import { type Scope, scopeFromProto } from "./scope.js";

/** What is removed: the memories of a scope, or of the whole namespace named in `entireNamespace`. */
export interface ResetTarget {
  readonly scope: Scope | undefined;
  readonly entireNamespace: string | undefined;
  readonly includeHistory: boolean;
  readonly keepVector: boolean;
  readonly keepGraph: boolean;
  readonly keepHistory: boolean;
  readonly message: wire.ResetTarget;
}

/** Entries of one store: to remove, and removed so far. */
export interface StoreEffect {
  readonly store: StoreKind;
  readonly planned: bigint;
  readonly removed: bigint;
}

/** What one store had and has. */
export interface StoreReceipt {
  readonly store: StoreKind;
  readonly removed: bigint;
  readonly remaining: bigint;
}

/** Proof of a finished reset; `digest` is the SHA-256 that chains it into the ledger, lower-case hex. */
export interface ResetReceipt {
  readonly stores: readonly StoreReceipt[];
  readonly memories: bigint;
  readonly eventsErased: bigint;
  readonly completeTime: Instant | undefined;
  readonly revision: bigint;
  readonly digest: string;
}

/** A planned, running or finished removal. */
export class Reset {
  readonly id: string;
  readonly namespace: string;
  readonly target: ResetTarget;
  readonly state: ResetState;
  readonly effects: readonly StoreEffect[];
  /** Up to 100 ids that would be removed. */
  readonly sampleMemoryIds: readonly string[];
  /** Cautions for a human. */
  readonly warnings: readonly string[];
  /** Revision the plan was made at. */
  readonly plannedRevision: bigint;
  /** Everything of the target up to it is gone. */
  readonly fenceRevision: bigint;
  readonly createTime: Instant | undefined;
  /** From then on the plan can no longer be executed. */
  readonly expireTime: Instant | undefined;
  /** Set when FAILED. */
  readonly error: MemoirError | undefined;
  readonly sequence: bigint;
  /** Set when SUCCEEDED. */
  readonly receipt: ResetReceipt | undefined;
  readonly message: wire.Reset;

  constructor(received: wire.Reset | undefined) {
    const message = received ?? create(ResetSchema);
    this.id = message.resetId;
    this.namespace = message.namespace;
    this.target = targetFromProto(message.target);
    this.state = RESET_STATE.decode(message.state);
    this.effects = message.effects.map(({ store, planned, removed }) => ({
      store: STORE_KIND.decode(store),
      planned,
      removed,
    }));
    this.sampleMemoryIds = [...message.sampleMemoryIds];
    this.warnings = [...message.warnings];
    this.plannedRevision = message.plannedRevision;
    this.fenceRevision = message.fenceRevision;
    this.createTime = instant(message.createTime);
    this.expireTime = instant(message.expireTime);
    this.error = message.error && errorFromStatus(message.error);
    this.sequence = message.sequence;
    this.receipt = message.receipt && receiptFromProto(message.receipt);
    this.message = message;
  }

  /** True in a state from which nothing follows by itself. */
  get done(): boolean {
    return this.state === "SUCCEEDED" || this.state === "FAILED" || this.state === "CANCELLED";
  }
}

/** A reset as `executeReset` started it. */
export class ExecutedReset extends Reset {
  /** Namespace revision of the fence; pass as `minRevision` to a read to see it done. */
  readonly revision: bigint;
  /** The response as received. */
  readonly response: wire.ExecuteResetResponse;

  constructor(response: wire.ExecuteResetResponse) {
    super(response.reset);
    this.revision = response.revision;
    this.response = response;
  }
}

/** What a reset would remove, and the secret that executes it: pass the plan to `executeReset`. */
export class ResetPlan {
  readonly reset: Reset;
  readonly confirmToken: string;
  readonly message: wire.PlanResetResponse;

  constructor(message: wire.PlanResetResponse) {
    this.reset = new Reset(message.reset);
    this.confirmToken = message.confirmToken;
    this.message = message;
  }

  /** Entries to remove, by store. */
  get counts(): Readonly<Partial<Record<StoreKind, bigint>>> {
    return Object.fromEntries(this.reset.effects.map(({ store, planned }) => [store, planned]));
  }

  /** Up to 100 ids of memories that would be removed. */
  get sample(): readonly string[] {
    return this.reset.sampleMemoryIds;
  }

  /** Cautions for a human. */
  get warnings(): readonly string[] {
    return this.reset.warnings;
  }
}

function targetFromProto(received: wire.ResetTarget | undefined): ResetTarget {
  const message = received ?? create(ResetTargetSchema);
  const { extent } = message;
  return {
    scope: extent.case === "scope" ? scopeFromProto(extent.value) : undefined,
    entireNamespace: extent.case === "entireNamespace" ? extent.value : undefined,
    includeHistory: message.includeHistory,
    keepVector: message.keepVector,
    keepGraph: message.keepGraph,
    keepHistory: message.keepHistory,
    message,
  };
}

function receiptFromProto(message: wire.ResetReceipt): ResetReceipt {
  return {
    stores: message.stores.map(({ store, removed, remaining }) => ({
      store: STORE_KIND.decode(store),
      removed,
      remaining,
    })),
    memories: message.memories,
    eventsErased: message.eventsErased,
    completeTime: instant(message.completeTime),
    revision: message.revision,
    digest: message.digest,
  };
}
