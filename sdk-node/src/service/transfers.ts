import { create } from "@bufbuild/protobuf";
import { ON_CONFLICT, type OnConflict } from "../enums.js";
import { type FilterInput, filterToProto } from "../filter.js";
import * as wire from "../gen/memoir/v1/transfer_pb.js";
import { given, refuseUnknown } from "../given.js";
import type { Memory } from "../memory.js";
import { RECONNECT_TIMEOUT, resumed } from "../resume.js";
import { asOf, type MomentInput, type ScopeOptions, scopeToProto } from "../scope.js";
import { type ExportRecord, exportRecordFromProto, type ImportResult, importResultFromProto } from "../transfer.js";
import { type CallOptions, LONG_TIMEOUT } from "../transport.js";
import { Resets } from "./resets.js";

/** Options of `export`; without any id, the whole namespace. The timeout is for the whole, one hour when absent. */
export interface ExportOptions extends ScopeOptions, CallOptions {
  /** Data such as `{topic: "travel"}`. */
  filter?: FilterInput | undefined;
  /** Moment to export: a time, or a revision (number or bigint); now, fixed at the start, when absent. */
  asOf?: MomentInput | undefined;
  /** Also the history of these memories, after them. */
  includeHistory?: boolean | undefined;
  /** Also vectors, so that an import need not embed again. */
  includeEmbeddings?: boolean | undefined;
  /** After the record that carried it. A broken connection is resumed by itself. */
  resumeToken?: string | undefined;
  /** Seconds without any record after which the last error is thrown; `null` means never. 60 when absent. */
  reconnectTimeout?: number | null | undefined;
}

/** Options of `import`. The timeout is for the whole, one hour when absent. */
export interface ImportOptions extends CallOptions {
  /** For an id that exists with other content: "SKIP" (default), "REPLACE" or "FAIL". */
  onConflict?: OnConflict | undefined;
}

/** Moving memories in and out. Needs the feature "transfer". */
export abstract class Transfers extends Resets {
  /**
   * Send memories as of one revision: a "header", every "memory", every "event" if asked for, a "summary".
   *
   * @throws FeatureDisabled, TokenInvalid
   */
  export(options: ExportOptions = {}): AsyncGenerator<ExportRecord, void, undefined> {
    const { timeout = LONG_TIMEOUT, signal, userId, agentId, sessionId, filter, asOf: moment, ...rest } = options;
    const { includeHistory, includeEmbeddings, resumeToken, ...others } = rest;
    const { reconnectTimeout = RECONNECT_TIMEOUT, ...unknown } = others;
    refuseUnknown("export", unknown);
    const request = create(
      wire.ExportMemoriesRequestSchema,
      given({
        namespace: this.namespace,
        scope: scopeToProto({ userId, agentId, sessionId }),
        filter: filterToProto(filter),
        asOf: asOf(moment),
        includeHistory,
        includeEmbeddings,
        resumeToken,
      }),
    );
    return this.#records(request, { timeout, signal }, reconnectTimeout);
  }

  async *#records(
    request: wire.ExportMemoriesRequest,
    { timeout, signal }: CallOptions,
    reconnectTimeout: number | null,
  ): AsyncGenerator<ExportRecord, void, undefined> {
    const method = wire.TransferService.method.exportMemories;
    const scope = this.transport.scope(signal);
    try {
      const responses = resumed({
        open: (left, failures) =>
          this.transport.serverStream(method, request, { timeout: left, signal: scope.signal, failures }),
        timeout,
        reconnectTimeout,
        isLast: (response) => response.record.case === "summary",
        signal: scope.signal,
      });
      for await (const response of responses) {
        request.resumeToken = response.resumeToken;
        const record = exportRecordFromProto(response);
        if (record !== undefined) yield record;
      }
    } finally {
      scope.end();
    }
  }

  /**
   * Take memories in, such as the records of `export` or of its file (`exportRecordFromLine`); yields one result per
   * memory once it is durable. Records that are not memories are passed over. Ids are kept.
   *
   * @throws FeatureDisabled, and what `memories` itself throws
   */
  import(
    memories: Iterable<Memory | ExportRecord> | AsyncIterable<Memory | ExportRecord>,
    options: ImportOptions = {},
  ): AsyncGenerator<ImportResult, void, undefined> {
    const { timeout = LONG_TIMEOUT, signal, onConflict, ...unknown } = options;
    refuseUnknown("import", unknown);
    const header = create(wire.ImportMemoriesRequest_HeaderSchema, {
      namespace: this.namespace,
      onConflict: ON_CONFLICT.encode(onConflict, "onConflict"),
    });
    const method = wire.TransferService.method.importMemories;
    return resultsOf(this.transport.bidiStream(method, importRequests(header, memories), { timeout, signal }));
  }
}

async function* importRequests(
  header: wire.ImportMemoriesRequest_Header,
  memories: Iterable<Memory | ExportRecord> | AsyncIterable<Memory | ExportRecord>,
): AsyncGenerator<wire.ImportMemoriesRequest> {
  yield create(wire.ImportMemoriesRequestSchema, { part: { case: "header", value: header } });
  let sequence = 0n;
  for await (const record of memories) {
    if ("type" in record && record.type !== "memory") continue;
    sequence += 1n;
    const memory = "type" in record ? record.message : create(wire.ExportedMemorySchema, { memory: record.message });
    const item = create(wire.ImportMemoriesRequest_ItemSchema, { sequence, memory });
    yield create(wire.ImportMemoriesRequestSchema, { part: { case: "item", value: item } });
  }
}

async function* resultsOf(
  responses: AsyncIterable<wire.ImportMemoriesResponse>,
): AsyncGenerator<ImportResult, void, undefined> {
  for await (const response of responses) yield importResultFromProto(response);
}
