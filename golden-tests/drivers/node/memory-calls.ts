import { create } from "@bufbuild/protobuf";
import * as memory from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { type Call, common, listing, one, paging, write } from "./answers.js";
import * as a from "./arguments.js";

/** The methods of MemoryService; see calls.ts. */
export const memoryService: Readonly<Record<string, Call>> = {
  AddMemories: one(
    memory.AddMemoriesRequestSchema,
    memory.AddMemoriesResponseSchema,
    (memoir, q, how) =>
      memoir.add(q.messages.map(a.message), {
        ...a.scope(q.scope),
        mode: a.enumName(memory.AddModeSchema, q.mode),
        metadata: a.metadata(q.metadata),
        instruction: q.instruction,
        validateOnly: q.validateOnly,
        ...write(q, how),
      }),
    ({ message }) => message,
  ),
  CreateMemory: one(
    memory.CreateMemoryRequestSchema,
    memory.CreateMemoryResponseSchema,
    (memoir, q, how) => {
      const { text, ...rest } = a.newMemory(q.memory ?? create(memory.MemorySchema));
      return memoir.create(text, { ...rest, memoryId: q.memoryId, supersedes: q.supersedes, ...write(q, how) });
    },
    ({ response }) => response,
  ),
  BatchCreateMemories: one(
    memory.BatchCreateMemoriesRequestSchema,
    memory.BatchCreateMemoriesResponseSchema,
    (memoir, q, how) =>
      memoir.createMany(
        q.items.map((item) => ({
          ...a.newMemory(item.memory ?? create(memory.MemorySchema)),
          memoryId: item.memoryId,
          supersedes: item.supersedes,
        })),
        { allowPartial: q.allowPartial, ...write(q, how) },
      ),
    ({ message }) => message,
  ),
  GetMemory: one(
    memory.GetMemoryRequestSchema,
    memory.GetMemoryResponseSchema,
    (memoir, q, how) =>
      memoir.get(q.memoryId, {
        view: a.enumName(memory.MemoryViewSchema, q.view),
        asOf: a.asOf(q.asOf),
        minRevision: q.minRevision,
        includeAccess: q.includeAccess,
        ...common(how),
      }),
    ({ message }) => create(memory.GetMemoryResponseSchema, { memory: message }),
  ),
  ListMemories: listing(
    memory.ListMemoriesRequestSchema,
    memory.ListMemoriesResponseSchema,
    (memoir, q, how) => {
      const [createdAfter, createdBefore] = a.range(q.createTimeRange);
      return memoir.list({
        ...a.scope(q.scope),
        createdAfter,
        createdBefore,
        filter: a.filterData(q.filter),
        includeSuperseded: q.includeSuperseded,
        asOf: a.asOf(q.asOf),
        validAt: a.moment(q.validAt),
        view: a.enumName(memory.MemoryViewSchema, q.view),
        minRevision: q.minRevision,
        includeAccess: q.includeAccess,
        ...paging(q, how),
      });
    },
    (memories: memory.Memory[], { nextPageToken, revision }) =>
      create(memory.ListMemoriesResponseSchema, { memories, nextPageToken, revision }),
  ),
  UpdateMemory: one(
    memory.UpdateMemoryRequestSchema,
    memory.UpdateMemoryResponseSchema,
    (memoir, q, how) => {
      const given = q.memory ?? create(memory.MemorySchema);
      const values: Readonly<Record<string, unknown>> = { text: given.text, ...a.memoryFields(given) };
      const names = (q.updateMask?.paths ?? []).map((path) => path.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()));
      const changes = Object.fromEntries(names.map((name) => [name, values[name]]));
      return memoir.update(q.memoryId, { ...changes, etag: q.etag, reason: q.reason, ...write(q, how) });
    },
    ({ response }) => response,
  ),
  DeleteMemory: one(
    memory.DeleteMemoryRequestSchema,
    memory.DeleteMemoryResponseSchema,
    (memoir, q, how) =>
      memoir.delete(q.memoryId, { etag: q.etag, reason: q.reason, allowMissing: q.allowMissing, ...write(q, how) }),
    ({ message }) => message as memory.DeleteMemoryResponse,
  ),
  BatchDeleteMemories: one(
    memory.BatchDeleteMemoriesRequestSchema,
    memory.BatchDeleteMemoriesResponseSchema,
    (memoir, q, how) =>
      memoir.deleteMany(q.memoryIds, { reason: q.reason, allowMissing: q.allowMissing, ...write(q, how) }),
    ({ message }) => message as memory.BatchDeleteMemoriesResponse,
  ),
  ListScopes: listing(
    memory.ListScopesRequestSchema,
    memory.ListScopesResponseSchema,
    (memoir, q, how) =>
      memoir.scopes(a.enumName(memory.ScopeDimensionSchema, q.dimension) ?? "UNSPECIFIED", {
        ...a.scope(q.within),
        ...paging(q, how),
      }),
    (scopes: memory.ScopeSummary[], { nextPageToken }) =>
      create(memory.ListScopesResponseSchema, { scopes, nextPageToken }),
  ),
  GetIngestion: one(
    memory.GetIngestionRequestSchema,
    memory.GetIngestionResponseSchema,
    (memoir, q, how) => memoir.getIngestion(q.ingestionId, common(how)),
    ({ message }) => create(memory.GetIngestionResponseSchema, { ingestion: message }),
  ),
  ListIngestions: listing(
    memory.ListIngestionsRequestSchema,
    memory.ListIngestionsResponseSchema,
    (memoir, q, how) =>
      memoir.ingestions({
        ...a.scope(q.scope),
        states: q.states.map((state) => a.enumName(memory.Ingestion_StateSchema, state) ?? "UNSPECIFIED"),
        ...paging(q, how),
      }),
    (ingestions: memory.Ingestion[], { nextPageToken }) =>
      create(memory.ListIngestionsResponseSchema, { ingestions, nextPageToken }),
  ),
};
