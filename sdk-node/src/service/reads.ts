import { create } from "@bufbuild/protobuf";
import {
  INGESTION_STATE,
  type IngestionState,
  MEMORY_VIEW,
  type MemoryView,
  SCOPE_DIMENSION,
  type ScopeDimension,
} from "../enums.js";
import { type FilterInput, filterToProto } from "../filter.js";
import * as wire from "../gen/memoir/v1/memory_pb.js";
import { given, refuseUnknown } from "../given.js";
import { type TimeInput, timestamp } from "../instant.js";
import { type Memory, memoryFromProto } from "../memory.js";
import { page, type PageOptions, Pages } from "../paging.js";
import { type Ingestion, ingestionFromProto, type ScopeSummary, scopeSummaryFromProto } from "../results.js";
import { asOf, int64, type MomentInput, type RevisionInput, type ScopeOptions, scopeToProto, timeRange } from "../scope.js";
import type { CallOptions } from "../transport.js";
import { Writes } from "./writes.js";

/** Options of `get`. */
export interface GetOptions extends CallOptions {
  /** "FULL" when absent; "BASIC" leaves out entities and relations. */
  view?: MemoryView | undefined;
  /** What was known at a past moment: a time, or a revision (number or bigint). */
  asOf?: MomentInput | undefined;
  /** Wait, within the timeout, until this revision is visible. */
  minRevision?: RevisionInput | undefined;
  /** Also how often a memory was returned before, and when last. */
  includeAccess?: boolean | undefined;
}

/** Options of `list`. The timeout is per page. */
export interface ListOptions extends ScopeOptions, PageOptions, GetOptions {
  /** Data such as `{topic: "travel"}`. */
  filter?: FilterInput | undefined;
  /** createdAfter <= createTime. */
  createdAfter?: TimeInput | undefined;
  /** createTime < createdBefore. */
  createdBefore?: TimeInput | undefined;
  /** Also memories whose validUntil has passed. */
  includeSuperseded?: boolean | undefined;
  /** What was true in the world at this moment. */
  validAt?: TimeInput | undefined;
}

/** Options of `scopes`; the ids narrow the listing. */
export interface ScopesOptions extends ScopeOptions, PageOptions, CallOptions {}

/** Options of `ingestions`. */
export interface IngestionsOptions extends ScopeOptions, PageOptions, CallOptions {
  /** Such as ["PENDING", "RUNNING"]; absent means all. */
  states?: Iterable<IngestionState> | undefined;
}

/** Point reads and listings. */
export abstract class Reads extends Writes {
  /**
   * Read one memory.
   *
   * @throws MemoryNotFound, FreshnessTimeout
   */
  async get(memoryId: string, options: GetOptions = {}): Promise<Memory> {
    const { timeout, signal, view, asOf: moment, minRevision, includeAccess, ...unknown } = options;
    refuseUnknown("get", unknown);
    const request = create(
      wire.GetMemoryRequestSchema,
      given({
        namespace: this.namespace,
        memoryId,
        view: MEMORY_VIEW.encode(view, "view"),
        asOf: asOf(moment),
        minRevision: int64(minRevision, "minRevision"),
        includeAccess,
      }),
    );
    const method = wire.MemoryService.method.getMemory;
    return memoryFromProto((await this.transport.unary(method, request, { timeout, signal })).memory);
  }

  /**
   * List memories, newest createTime first; without any id, of the whole namespace.
   *
   * @throws InvalidArgument, TokenInvalid, FreshnessTimeout
   */
  list(options: ListOptions = {}): Pages<Memory, wire.ListMemoriesResponse> {
    const { timeout, signal, pageSize, pageToken, userId, agentId, sessionId, filter, ...rest } = options;
    const { createdAfter, createdBefore, includeSuperseded, asOf: moment, validAt, view, ...others } = rest;
    const { minRevision, includeAccess, ...unknown } = others;
    refuseUnknown("list", unknown);
    const request = create(
      wire.ListMemoriesRequestSchema,
      given({
        namespace: this.namespace,
        pageSize,
        scope: scopeToProto({ userId, agentId, sessionId }),
        filter: filterToProto(filter),
        createTimeRange: timeRange(createdAfter, createdBefore, ["createdAfter", "createdBefore"]),
        includeSuperseded,
        asOf: asOf(moment),
        validAt: timestamp(validAt, "validAt"),
        view: MEMORY_VIEW.encode(view, "view"),
        minRevision: int64(minRevision, "minRevision"),
        includeAccess,
      }),
    );
    const method = wire.MemoryService.method.listMemories;
    return new Pages(async (token) => {
      const response = await this.transport.unary(method, { ...request, pageToken: token }, { timeout, signal });
      return page(response.memories.map(memoryFromProto), response);
    }, pageToken);
  }

  /**
   * List the users, agents or sessions that have memories, with counts. The ids narrow the listing:
   * `scopes("SESSION", {userId: "ana"})` lists her sessions.
   *
   * @throws FeatureDisabled, TokenInvalid
   */
  scopes(
    dimension: ScopeDimension = "USER",
    options: ScopesOptions = {},
  ): Pages<ScopeSummary, wire.ListScopesResponse> {
    const { timeout, signal, pageSize, pageToken, userId, agentId, sessionId, ...unknown } = options;
    refuseUnknown("scopes", unknown);
    const request = create(
      wire.ListScopesRequestSchema,
      given({
        namespace: this.namespace,
        dimension: SCOPE_DIMENSION.encode(dimension, "dimension"),
        within: scopeToProto({ userId, agentId, sessionId }),
        pageSize,
      }),
    );
    const method = wire.MemoryService.method.listScopes;
    return new Pages(async (token) => {
      const response = await this.transport.unary(method, { ...request, pageToken: token }, { timeout, signal });
      return page(response.scopes.map(scopeSummaryFromProto), response);
    }, pageToken);
  }

  /**
   * Read the state of accepted inference work.
   *
   * @throws IngestionNotFound, FeatureDisabled
   */
  async getIngestion(ingestionId: string, options: CallOptions = {}): Promise<Ingestion> {
    const { timeout, signal, ...unknown } = options;
    refuseUnknown("getIngestion", unknown);
    const request = create(wire.GetIngestionRequestSchema, { namespace: this.namespace, ingestionId });
    const response = await this.transport.unary(wire.MemoryService.method.getIngestion, request, { timeout, signal });
    return ingestionFromProto(response.ingestion ?? create(wire.IngestionSchema));
  }

  /**
   * List accepted inference work, newest first.
   *
   * @throws FeatureDisabled, TokenInvalid
   */
  ingestions(options: IngestionsOptions = {}): Pages<Ingestion, wire.ListIngestionsResponse> {
    const { timeout, signal, pageSize, pageToken, userId, agentId, sessionId, states, ...unknown } = options;
    refuseUnknown("ingestions", unknown);
    const request = create(
      wire.ListIngestionsRequestSchema,
      given({
        namespace: this.namespace,
        pageSize,
        scope: scopeToProto({ userId, agentId, sessionId }),
        states: Array.from(states ?? [], (state) => INGESTION_STATE.encode(state, "states")),
      }),
    );
    const method = wire.MemoryService.method.listIngestions;
    return new Pages(async (token) => {
      const response = await this.transport.unary(method, { ...request, pageToken: token }, { timeout, signal });
      return page(response.ingestions.map(ingestionFromProto), response);
    }, pageToken);
  }
}
