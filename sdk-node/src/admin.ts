import { BREAKER_STATE, type BreakerState, FINDING_KIND, type FindingKind, STORE_KIND, type StoreKind } from "./enums.js";
import type * as wire from "./gen/memoir/v1/admin_pb.js";
import { seconds } from "./instant.js";

/** State of one store; `lag` is the number of revisions of the namespace it has not applied yet. */
export interface StoreStatus {
  readonly store: StoreKind;
  readonly reachable: boolean;
  readonly version: string;
  /** Round trip of the last probe, in seconds. */
  readonly latency: number;
  readonly appliedRevision: bigint;
  readonly lag: bigint;
  readonly breaker: BreakerState;
  readonly degraded: bigint;
}

/** Version, contract, features, limits and stores of a server. */
export interface ServerInfo {
  readonly serverVersion: string;
  readonly contractDigest: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, bigint>>;
  readonly stores: readonly StoreStatus[];
  readonly revision: bigint;
  readonly profile: string;
  readonly embeddingModel: string;
  readonly rankingVersion: string;
  readonly message: wire.GetServerInfoResponse;
}

/** One disagreement between a store and the ledger; its id is the input of `repair`. */
export interface Finding {
  readonly id: string;
  readonly kind: FindingKind;
  readonly store: StoreKind;
  readonly memoryId: string;
  readonly resource: string;
  /** One sentence for a human. */
  readonly text: string;
  readonly message: wire.Finding;
}

/** Result of a check at one revision; without findings, the stores agree with the ledger. */
export interface ConsistencyReport {
  readonly findings: readonly Finding[];
  readonly examined: bigint;
  readonly revision: bigint;
}

/** Ids of the findings that were (or could be) repaired, and of those no longer true. */
export interface RepairResult {
  readonly repaired: readonly string[];
  readonly resolved: readonly string[];
  readonly message: wire.RepairConsistencyResponse;
}

/** How far a rebuild has got, in versions. */
export interface RebuildProgress {
  readonly applied: bigint;
  readonly total: bigint;
  readonly message: wire.RebuildProjectionResponse;
}

/** Convert the response of GetServerInfo. */
export function serverInfoFromProto(message: wire.GetServerInfoResponse): ServerInfo {
  return {
    serverVersion: message.serverVersion,
    contractDigest: message.contractDigest,
    features: [...message.features],
    limits: { ...message.limits },
    stores: message.stores.map((status) => ({
      store: STORE_KIND.decode(status.store),
      reachable: status.reachable,
      version: status.version,
      latency: seconds(status.latency),
      appliedRevision: status.appliedRevision,
      lag: status.lag,
      breaker: BREAKER_STATE.decode(status.breaker),
      degraded: status.degraded,
    })),
    revision: message.revision,
    profile: message.profile,
    embeddingModel: message.embeddingModel,
    rankingVersion: message.rankingVersion,
    message,
  };
}

/** Convert a finding. */
export function findingFromProto(message: wire.Finding): Finding {
  return {
    id: message.findingId,
    kind: FINDING_KIND.decode(message.kind),
    store: STORE_KIND.decode(message.store),
    memoryId: message.memoryId,
    resource: message.resource,
    text: message.message,
    message,
  };
}
