import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { type ExportRecord, exportRecordFromProto, ResetPlan } from "@memoir/client";
import * as admin from "@memoir/client/gen/memoir/v1/admin_pb.js";
import { StoreKindSchema } from "@memoir/client/gen/memoir/v1/common_pb.js";
import * as graph from "@memoir/client/gen/memoir/v1/graph_pb.js";
import * as history from "@memoir/client/gen/memoir/v1/history_pb.js";
import * as reset from "@memoir/client/gen/memoir/v1/reset_pb.js";
import * as search from "@memoir/client/gen/memoir/v1/search_pb.js";
import * as transfer from "@memoir/client/gen/memoir/v1/transfer_pb.js";
import { type Answer, type Call, common, listing, many, one, paging, unpacked, write } from "./answers.js";
import * as a from "./arguments.js";
import { memoryService } from "./memory-calls.js";

// One entry per method of the contract: calls the SDK and gives back what the SDK gave, as the method's responses. Where
// the SDK returns the message it received, that message is handed on untouched; else the response is put together from what
// the SDK returned.

function historyFilter(filter: history.HistoryFilter | undefined) {
  return {
    ...a.scope(filter?.scope),
    memoryId: filter?.memoryId,
    types: filter?.types.map((type) => a.enumName(history.HistoryEvent_EventTypeSchema, type) ?? "UNSPECIFIED"),
  };
}

const searchService: Readonly<Record<string, Call>> = {
  SearchMemories: one(
    search.SearchMemoriesRequestSchema,
    search.SearchMemoriesResponseSchema,
    (memoir, { spec = create(search.SearchSpecSchema) }, how) =>
      memoir.search(spec.query, { ...a.search(spec), ...common(how) }),
    ({ message }) => message,
  ),
  StreamSearchMemories: many(
    search.StreamSearchMemoriesRequestSchema,
    search.StreamSearchMemoriesResponseSchema,
    (memoir, { spec = create(search.SearchSpecSchema) }, how) =>
      memoir.searchStream(spec.query, { ...a.search(spec), ...common(how) }),
    ({ message }) => message,
  ),
  BuildContext: one(
    search.BuildContextRequestSchema,
    search.BuildContextResponseSchema,
    (memoir, { spec = create(search.SearchSpecSchema), maxTokens, neighbours }, how) =>
      memoir.context(spec.query, { ...a.search(spec), maxTokens, neighbours, ...common(how) }),
    ({ message }) => message,
  ),
};

const graphService: Readonly<Record<string, Call>> = {
  GetEntity: one(
    graph.GetEntityRequestSchema,
    graph.GetEntityResponseSchema,
    (memoir, q, how) => memoir.getEntity(q.entityId, { minRevision: q.minRevision, ...common(how) }),
    ({ message }) => create(graph.GetEntityResponseSchema, { entity: message }),
  ),
  ListEntities: listing(
    graph.ListEntitiesRequestSchema,
    graph.ListEntitiesResponseSchema,
    (memoir, q, how) =>
      memoir.entities({
        ...a.scope(q.scope),
        type: q.type,
        namePrefix: q.namePrefix,
        minRevision: q.minRevision,
        ...paging(q, how),
      }),
    (entities: graph.Entity[], { nextPageToken }) =>
      create(graph.ListEntitiesResponseSchema, { entities, nextPageToken }),
  ),
  ListRelations: listing(
    graph.ListRelationsRequestSchema,
    graph.ListRelationsResponseSchema,
    (memoir, q, how) =>
      memoir.relations({
        ...(q.anchor.case === undefined ? {} : { [q.anchor.case]: q.anchor.value }),
        validAt: a.moment(q.validAt),
        includeSuperseded: q.includeSuperseded,
        asOf: a.asOf(q.asOf),
        minRevision: q.minRevision,
        ...paging(q, how),
      }),
    (relations: graph.Relation[], { nextPageToken }) =>
      create(graph.ListRelationsResponseSchema, { relations, nextPageToken }),
  ),
  TraverseGraph: one(
    graph.TraverseGraphRequestSchema,
    graph.TraverseGraphResponseSchema,
    (memoir, q, how) =>
      memoir.traverse(q.startEntityIds, {
        depth: q.depth,
        predicates: q.predicates,
        maxEntities: q.maxEntities,
        validAt: a.moment(q.validAt),
        minRevision: q.minRevision,
        ...common(how),
      }),
    ({ message }) => message,
  ),
};

const historyService: Readonly<Record<string, Call>> = {
  ListHistory: listing(
    history.ListHistoryRequestSchema,
    history.ListHistoryResponseSchema,
    (memoir, q, how) => {
      const [committedAfter, committedBefore] = a.range(q.commitTimeRange);
      return memoir.history({ ...historyFilter(q.filter), committedAfter, committedBefore, ...paging(q, how) });
    },
    (events: history.HistoryEvent[], { nextPageToken, resumeToken }) =>
      create(history.ListHistoryResponseSchema, { events, nextPageToken, resumeToken }),
  ),
  // Bookmarks included.
  WatchHistory: many(
    history.WatchHistoryRequestSchema,
    history.WatchHistoryResponseSchema,
    (memoir, { filter, start, progressInterval }, how) =>
      memoir.watch({
        ...historyFilter(filter),
        resumeToken: start.case === "resumeToken" ? start.value : undefined,
        startRevision: start.case === "startRevision" ? start.value : undefined,
        startTime: start.case === "startTime" ? a.moment(start.value) : undefined,
        bookmarks: true,
        progressInterval: a.seconds(progressInterval),
        reconnectTimeout: a.seconds(how.options.reconnectTimeout),
        ...common(how),
      }),
    ({ message, resumeToken }) =>
      message.$typeName === "memoir.v1.WatchHistoryResponse"
        ? message
        : create(history.WatchHistoryResponseSchema, { resumeToken, item: { case: "event", value: message } }),
  ),
};

const resetService: Readonly<Record<string, Call>> = {
  PlanReset: one(
    reset.PlanResetRequestSchema,
    reset.PlanResetResponseSchema,
    (memoir, { target = create(reset.ResetTargetSchema), ...q }, how) =>
      memoir.planReset({
        ...a.scope(target.extent.case === "scope" ? target.extent.value : undefined),
        entireNamespace: target.extent.case === "entireNamespace" ? target.extent.value : undefined,
        preserve: a.filterData(target.preserve),
        includeHistory: target.includeHistory,
        keepVector: target.keepVector,
        keepGraph: target.keepGraph,
        keepHistory: target.keepHistory,
        ...write(q, how),
      }),
    ({ message }) => message,
  ),
  // Of a plan made from id and token.
  ExecuteReset: one(
    reset.ExecuteResetRequestSchema,
    reset.ExecuteResetResponseSchema,
    (memoir, { resetId, confirmToken, allowDrift, requestId }, how) => {
      const plan = new ResetPlan(create(reset.PlanResetResponseSchema, { reset: { resetId }, confirmToken }));
      return memoir.executeReset(plan, { allowDrift, ...write({ requestId }, how) });
    },
    ({ response }) => response,
  ),
  GetReset: one(
    reset.GetResetRequestSchema,
    reset.GetResetResponseSchema,
    (memoir, { resetId }, how) => memoir.getReset(resetId, common(how)),
    ({ message }) => create(reset.GetResetResponseSchema, { reset: message }),
  ),
  WatchReset: many(
    reset.WatchResetRequestSchema,
    reset.WatchResetResponseSchema,
    (memoir, { resetId, afterSequence }, how) => memoir.watchReset(resetId, { afterSequence, ...common(how) }),
    ({ message, sequence }) => create(reset.WatchResetResponseSchema, { sequence, reset: message }),
  ),
  CancelReset: one(
    reset.CancelResetRequestSchema,
    reset.CancelResetResponseSchema,
    (memoir, { resetId, requestId }, how) => memoir.cancelReset(resetId, write({ requestId }, how)),
    ({ message }) => create(reset.CancelResetResponseSchema, { reset: message }),
  ),
};

const transferService: Readonly<Record<string, Call>> = {
  ExportMemories: async function* (memoir, packed, how) {
    const q = unpacked(transfer.ExportMemoriesRequestSchema, packed);
    const records = memoir.export({
      ...a.scope(q.scope),
      filter: a.filterData(q.filter),
      asOf: a.asOf(q.asOf),
      includeHistory: q.includeHistory,
      includeEmbeddings: q.includeEmbeddings,
      resumeToken: q.resumeToken,
      ...common(how),
    });
    for await (const record of records) {
      const response = create(transfer.ExportMemoriesResponseSchema, { resumeToken: record.resumeToken });
      switch (record.type) {
        case "header":
          response.record = {
            case: "header",
            value: create(transfer.ExportMemoriesResponse_HeaderSchema, {
              revision: record.revision,
              estimatedMemories: record.estimatedMemories,
            }),
          };
          break;
        case "memory":
          response.record = { case: "memory", value: record.message };
          break;
        case "event":
          response.record = { case: "event", value: record.event.message };
          break;
        default:
          response.record = {
            case: "summary",
            value: create(transfer.ExportMemoriesResponse_SummarySchema, {
              memories: record.memories,
              events: record.events,
            }),
          };
      }
      const value = record.type === "event" ? record.event : record;
      yield { response: anyPack(transfer.ExportMemoriesResponseSchema, response), value };
    }
  },
  // The request is the header; the items, as the records an export would have given.
  ImportMemories: many(
    transfer.ImportMemoriesRequestSchema,
    transfer.ImportMemoriesResponseSchema,
    (memoir, { part }, how) => {
      const conflict = part.case === "header" ? part.value.onConflict : 0;
      const onConflict = a.enumName(transfer.ImportMemoriesRequest_OnConflictSchema, conflict);
      const records = how.items.flatMap((packed): ExportRecord[] => {
        const item = unpacked(transfer.ImportMemoriesRequestSchema, packed).part;
        const value = item.case === "item" ? item.value.memory : undefined;
        if (value === undefined) return [];
        const exported = create(transfer.ExportMemoriesResponseSchema, { record: { case: "memory", value } });
        return [exportRecordFromProto(exported) ?? []].flat();
      });
      return memoir.import(records, { onConflict, ...common(how) });
    },
    ({ message }) => message,
  ),
};

const adminService: Readonly<Record<string, Call>> = {
  GetServerInfo: one(
    admin.GetServerInfoRequestSchema,
    admin.GetServerInfoResponseSchema,
    (memoir, _, how) => memoir.serverInfo(common(how)),
    ({ message }) => message,
  ),
  // The SDK gives a report instead of a stream: its findings, then its summary.
  CheckConsistency: async function* (memoir, packed, how) {
    const { scope, maxFindings, sample } = unpacked(admin.CheckConsistencyRequestSchema, packed);
    const report = await memoir.checkConsistency({ ...a.scope(scope), maxFindings, sample, ...common(how) });
    const answer = (item: admin.CheckConsistencyResponse["item"], value: unknown): Answer => ({
      response: anyPack(admin.CheckConsistencyResponseSchema, create(admin.CheckConsistencyResponseSchema, { item })),
      value,
    });
    for (const finding of report.findings) yield answer({ case: "finding", value: finding.message }, finding);
    const { examined, revision } = report;
    const findings = BigInt(report.findings.length);
    const value = create(admin.CheckConsistencyResponse_SummarySchema, { examined, findings, revision });
    yield answer({ case: "summary", value }, report);
  },
  RepairConsistency: one(
    admin.RepairConsistencyRequestSchema,
    admin.RepairConsistencyResponseSchema,
    (memoir, q, how) => memoir.repair(q.findingIds, { validateOnly: q.validateOnly, ...write(q, how) }),
    ({ message }) => message,
  ),
  RebuildProjection: many(
    admin.RebuildProjectionRequestSchema,
    admin.RebuildProjectionResponseSchema,
    (memoir, q, how) => memoir.rebuild(a.enumName(StoreKindSchema, q.store) ?? "UNSPECIFIED", write(q, how)),
    ({ message }) => message,
  ),
};

function named(service: string, calls: Readonly<Record<string, Call>>): [string, Call][] {
  return Object.entries(calls).map(([method, call]) => [`memoir.v1.${service}/${method}`, call]);
}

/** Every method of the contract, by "memoir.v1.Service/Method". */
export const CALLS: ReadonlyMap<string, Call> = new Map([
  ...named("MemoryService", memoryService),
  ...named("SearchService", searchService),
  ...named("GraphService", graphService),
  ...named("HistoryService", historyService),
  ...named("ResetService", resetService),
  ...named("TransferService", transferService),
  ...named("AdminService", adminService),
]);
