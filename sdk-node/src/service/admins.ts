import { create } from "@bufbuild/protobuf";
import {
  type ConsistencyReport,
  type Finding,
  findingFromProto,
  type RebuildProgress,
  type RepairResult,
  type ServerInfo,
  serverInfoFromProto,
} from "../admin.js";
import { STORE_KIND, type StoreKind } from "../enums.js";
import { IncompleteStream } from "../errors.js";
import * as wire from "../gen/memoir/v1/admin_pb.js";
import { given, refuseUnknown } from "../given.js";
import { int64, type RevisionInput, type ScopeOptions, scopeToProto } from "../scope.js";
import { type CallOptions, LONG_TIMEOUT } from "../transport.js";
import { type MutationOptions, requestIdOrNew } from "./service.js";
import { Transfers } from "./transfers.js";

/** Options of `checkConsistency`; without any id, the whole namespace. One hour when no timeout is given. */
export interface CheckOptions extends ScopeOptions, CallOptions {
  /** Stop after so many; 1000 when absent. */
  maxFindings?: number | undefined;
  /** Examine so many memories chosen at random; all when absent. */
  sample?: RevisionInput | undefined;
}

/** Options of `repair`. */
export interface RepairOptions extends MutationOptions {
  /** Only say what would be done. */
  validateOnly?: boolean | undefined;
}

/** What operators call. */
export abstract class Admins extends Transfers {
  /** Return version, contract digest, features, limits, and the state of the stores. */
  async serverInfo(options: CallOptions = {}): Promise<ServerInfo> {
    const { timeout, signal, ...unknown } = options;
    refuseUnknown("serverInfo", unknown);
    const request = create(wire.GetServerInfoRequestSchema, { namespace: this.namespace });
    const method = wire.AdminService.method.getServerInfo;
    return serverInfoFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Compare the index and the graph with the ledger. Needs the feature "doctor".
   *
   * @throws FeatureDisabled, IncompleteStream
   */
  async checkConsistency(options: CheckOptions = {}): Promise<ConsistencyReport> {
    const { timeout = LONG_TIMEOUT, signal, userId, agentId, sessionId, maxFindings, sample, ...unknown } = options;
    refuseUnknown("checkConsistency", unknown);
    const request = create(
      wire.CheckConsistencyRequestSchema,
      given({
        namespace: this.namespace,
        scope: scopeToProto({ userId, agentId, sessionId }),
        maxFindings,
        sample: int64(sample, "sample"),
      }),
    );
    const findings: Finding[] = [];
    let summary: wire.CheckConsistencyResponse_Summary | undefined;
    const method = wire.AdminService.method.checkConsistency;
    for await (const { item } of this.transport.serverStream(method, request, { timeout, signal })) {
      if (item.case === "finding") findings.push(findingFromProto(item.value));
      else if (item.case === "summary") summary = item.value;
    }
    if (summary === undefined) {
      throw new IncompleteStream("checkConsistency: no summary came", { code: "DATA_LOSS" });
    }
    return { findings, examined: summary.examined, revision: summary.revision };
  }

  /**
   * Repair findings (or their ids) by replaying from the ledger.
   *
   * @throws FeatureDisabled
   */
  async repair(findings: Iterable<Finding | string>, options: RepairOptions = {}): Promise<RepairResult> {
    const { timeout, signal, requestId, validateOnly, ...unknown } = options;
    refuseUnknown("repair", unknown);
    const request = create(
      wire.RepairConsistencyRequestSchema,
      given({
        namespace: this.namespace,
        findingIds: Array.from(findings, (item) => (typeof item === "string" ? item : item.id)),
        validateOnly,
        requestId: requestIdOrNew(requestId),
      }),
    );
    const message = await this.transport.unary(wire.AdminService.method.repairConsistency, request, { timeout, signal });
    return { repaired: [...message.repairedFindingIds], resolved: [...message.resolvedFindingIds], message };
  }

  /**
   * Rebuild the "INDEX" or the "GRAPH" from the ledger while the server goes on serving; yields progress. One hour when no
   * timeout is given.
   *
   * @throws FeatureDisabled
   */
  rebuild(store: StoreKind, options: MutationOptions = {}): AsyncGenerator<RebuildProgress, void, undefined> {
    const { timeout = LONG_TIMEOUT, signal, requestId, ...unknown } = options;
    refuseUnknown("rebuild", unknown);
    const request = create(wire.RebuildProjectionRequestSchema, {
      namespace: this.namespace,
      store: STORE_KIND.encode(store, "store"),
      requestId: requestIdOrNew(requestId),
    });
    const method = wire.AdminService.method.rebuildProjection;
    return progressOf(this.transport.serverStream(method, request, { timeout, signal }));
  }
}

async function* progressOf(
  responses: AsyncIterable<wire.RebuildProjectionResponse>,
): AsyncGenerator<RebuildProgress, void, undefined> {
  for await (const message of responses) yield { applied: message.applied, total: message.total, message };
}
