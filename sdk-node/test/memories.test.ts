import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { Instant, InvalidArgument, MemoryAlreadyExists } from "@memoir/client";
import { Durability } from "@memoir/client/gen/memoir/v1/common_pb.js";
import {
  AddMode,
  type AddMemoriesRequest,
  type BatchCreateMemoriesRequest,
  type CreateMemoryRequest,
  type GetMemoryRequest,
  type ListMemoriesRequest,
  MemoryChange_Action,
  MemoryKind,
  MemoryService,
  Role,
  type UpdateMemoryRequest,
} from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { collect, memory, serve } from "./server.js";

const methods = MemoryService.method;
const AT = "2026-01-31T09:00:00Z";

test("add sends the turns and returns the changes", async (t) => {
  let seen: AddMemoriesRequest | undefined;
  const { client } = await serve(t, (router) =>
    router.rpc(methods.addMemories, (request) => {
      seen = request;
      return {
        changes: [{ action: MemoryChange_Action.ADDED, memory: memory({ memoryId: "m1", kind: MemoryKind.EPISODE }), reason: "new" }],
        mode: AddMode.VERBATIM,
        revision: 4n,
        durability: Durability.INDEXED,
      };
    }),
  );
  const result = await client({ namespace: "shop" }).add(
    [
      { role: "user", content: "I moved to Lisbon.", actorId: "Ana", messageId: "t1", createTime: AT },
      { role: "ASSISTANT", content: "Noted.", images: [new Uint8Array([1, 2]), Buffer.from("x")] },
    ],
    { userId: "ana", sessionId: "s1", mode: "VERBATIM", metadata: { topic: "travel" }, durability: "ACCEPTED", requestId: "r1" },
  );
  assert.equal(seen!.namespace, "shop");
  assert.deepEqual([seen!.scope?.userId, seen!.scope?.agentId, seen!.scope?.sessionId], ["ana", undefined, "s1"]);
  assert.deepEqual(seen!.messages.map(({ role, content }) => [role, content]), [
    [Role.USER, "I moved to Lisbon."],
    [Role.ASSISTANT, "Noted."],
  ]);
  assert.deepEqual([seen!.messages[0]!.actorId, seen!.messages[0]!.messageId], ["Ana", "t1"]);
  assert.equal(Instant.fromProto(seen!.messages[0]!.createTime!).toRFC3339(), AT);
  assert.deepEqual(seen!.messages.map(({ images }) => images.map(({ data }) => [...data])), [[], [[1, 2], [120]]]);
  assert.deepEqual([seen!.mode, seen!.durability, seen!.requestId], [AddMode.VERBATIM, Durability.ACCEPTED, "r1"]);
  const [change] = result.changes;
  assert.deepEqual([change!.action, change!.memory.id, change!.memory.kind, change!.reason], ["ADDED", "m1", "EPISODE", "new"]);
  assert.deepEqual([result.mode, result.revision, result.durability, result.usage], ["VERBATIM", 4n, "INDEXED", undefined]);
  await client().add("just a line", { userId: "ana" });
  assert.deepEqual(seen!.messages.map(({ role, content }) => [role, content]), [[Role.USER, "just a line"]]);
});

test("an unknown role or key of a turn is refused by its place", async (t) => {
  const { client } = await serve(t, () => undefined);
  await assert.rejects(client().add([{ role: "narrator", content: "x" }], { userId: "ana" }), /messages\[0\]\.role: "narrator"/);
  const shown = [{ role: "user", content: "x", images: ["a path"] }];
  await assert.rejects(client().add(shown as never, { userId: "ana" }), /messages\[0\]\.images\[0\]/);
  const turns = [{ role: "user", content: "x" }, { role: "user", content: "y", actor_id: "Ana" }];
  await assert.rejects(client().add(turns, { userId: "ana" }), /actor_id: messages\[1\] has no such option; did you mean actorId\?/);
});

test("create and createMany tell what was known already", async (t) => {
  const { client } = await serve(t, (router) => {
    router.rpc(methods.createMemory, () => ({
      memory: memory({ memoryId: "m1" }),
      changes: [
        { action: MemoryChange_Action.UNCHANGED, memory: memory({ memoryId: "m1" }), duplicate: { memoryId: "m1", cosine: 0.97 } },
      ],
    }));
    router.rpc(methods.batchCreateMemories, () => ({
      results: [
        {
          outcome: { case: "memory" as const, value: memory({ memoryId: "m2" }) },
          duplicate: { memoryId: "m1", exact: true, stored: true },
        },
      ],
      duplicateGuardSkipped: true,
    }));
  });
  const created = await client().create("Ana likes tea", { userId: "ana" });
  assert.deepEqual(created.duplicate, { memoryId: "m1", exact: false, cosine: 0.97, stored: false });
  assert.deepEqual([created.id, created.changes[0]!.action, created.changes[0]!.duplicate], ["m1", "UNCHANGED", created.duplicate]);
  const many = await client().createMany([{ text: "Ana likes tea", userId: "ana", memoryId: "m2" }]);
  assert.deepEqual(many.results[0]!.duplicate, { memoryId: "m1", exact: true, cosine: undefined, stored: true });
  assert.deepEqual([many.memories[0]!.id, many.results[0]!.error, many.duplicateGuardSkipped], ["m2", undefined, true]);
});

test("accesses are shown where they are asked for", async (t) => {
  const asked: boolean[] = [];
  const { client } = await serve(t, (router) =>
    router.rpc(methods.getMemory, ({ includeAccess }) => {
      asked.push(includeAccess);
      return { memory: memory(includeAccess ? { accessCount: 2n, lastAccessTime: { seconds: 7n } } : {}) };
    }),
  );
  assert.equal((await client().get("m1")).accessCount, undefined);
  const found = await client().get("m1", { includeAccess: true });
  assert.deepEqual([found.accessCount, found.lastAccessTime!.toRFC3339()], [2n, "1970-01-01T00:00:07Z"]);
  assert.deepEqual(asked, [false, true]);
});

test("create sends everything and returns the memory as stored", async (t) => {
  let seen: CreateMemoryRequest | undefined;
  const { client } = await serve(t, (router) =>
    router.rpc(methods.createMemory, (request) => {
      seen = request;
      return {
        memory: { ...request.memory!, memoryId: request.memoryId, etag: '"7"', revision: 7n },
        revision: 9n,
        durability: Durability.ACCEPTED,
        changes: [{ action: MemoryChange_Action.SUPERSEDED, memory: memory({ memoryId: "m0", supersededBy: "m1" }) }],
      };
    }),
  );
  const created = await client().create("Ana lives in Lisbon", {
    userId: "ana",
    agentId: "helper",
    kind: "FACT",
    memoryId: "m1",
    importance: 0,
    validFrom: AT,
    entities: ["Ana", { name: "Lisbon", type: "place", aliases: ["Lisboa"] }],
    relations: [["Ana", "LIVES_IN", "Lisbon"], { subject: "Ana", predicate: "LIKES", object: "Lisbon", confidence: 0.5 }],
    provenance: [{ sessionId: "s1", messageId: "t1", role: "user", quote: "I moved" }],
    supersedes: ["m0"],
  });
  assert.deepEqual([seen!.memoryId, seen!.supersedes], ["m1", ["m0"]]);
  assert.deepEqual([created.id, created.kind, created.importance, created.etag, created.revision], ["m1", "FACT", 0, '"7"', 7n]);
  assert.deepEqual(created.scope, { userId: "ana", agentId: "helper", sessionId: undefined });
  assert.equal(created.validFrom?.toRFC3339(), AT);
  assert.equal(created.validUntil, undefined);
  assert.deepEqual(created.entities[1], { name: "Lisbon", type: "place", aliases: ["Lisboa"] });
  assert.deepEqual(created.relations.map(({ predicate, confidence }) => [predicate, confidence]), [["LIVES_IN", undefined], ["LIKES", 0.5]]);
  assert.deepEqual([created.provenance[0]!.messageId, created.provenance[0]!.role], ["t1", "USER"]);
  assert.deepEqual([created.writeRevision, created.durability, created.response.revision], [9n, "ACCEPTED", 9n]);
  assert.deepEqual(created.changes.map(({ action, memory: { id, supersededBy } }) => [action, id, supersededBy]), [["SUPERSEDED", "m0", "m1"]]);
});

test("createMany reports each item", async (t) => {
  let seen: BatchCreateMemoriesRequest | undefined;
  const { client } = await serve(t, (router) =>
    router.rpc(methods.batchCreateMemories, (request) => {
      seen = request;
      return {
        results: [
          { outcome: { case: "memory", value: memory({ memoryId: "m1" }) } },
          { outcome: { case: "error", value: { code: Code.AlreadyExists, message: "taken" } } },
        ],
        revision: 3n,
      };
    }),
  );
  const result = await client().createMany([{ text: "a", userId: "ana", memoryId: "m1" }, { text: "b", userId: "ana" }], { allowPartial: true });
  assert.equal(seen!.allowPartial, true);
  assert.deepEqual(seen!.items.map((item) => [item.memoryId, item.memory?.text, item.memory?.scope?.userId]), [["m1", "a", "ana"], ["", "b", "ana"]]);
  assert.equal(result.results[0]!.memory?.id, "m1");
  assert.equal(result.results[1]!.error?.name, "AlreadyExists");
  assert.ok(!(result.results[1]!.error instanceof MemoryAlreadyExists));
  assert.deepEqual(result.memories.map(({ id }) => id), ["m1"]);
});

test("update names what it changes: absent stays, null clears", async (t) => {
  let seen: UpdateMemoryRequest | undefined;
  const { client } = await serve(t, (router) =>
    router.rpc(methods.updateMemory, (request) => {
      seen = request;
      return { memory: memory({ memoryId: request.memoryId, text: "new" }), revision: 8n, durability: Durability.INDEXED };
    }),
  );
  const updated = await client().update("m1", { validUntil: null, importance: undefined, text: "new", etag: '"7"', reason: "moved" });
  assert.deepEqual(seen!.updateMask?.paths, ["text", "valid_until"]);
  assert.deepEqual([seen!.memory?.text, seen!.memory?.validUntil, seen!.etag, seen!.reason], ["new", undefined, '"7"', "moved"]);
  assert.deepEqual([updated.text, updated.writeRevision, updated.durability, updated.changes], ["new", 8n, "INDEXED", []]);
  await assert.rejects(client().update("m1", { etag: '"7"' }), /nothing to change; give at least one of text, kind/);
  await assert.rejects(client().update("m1", { text: "x", txt: "y" } as object), InvalidArgument);
});

test("delete and deleteMany count what went", async (t) => {
  const { client } = await serve(t, (router) =>
    router
      .rpc(methods.deleteMemory, ({ allowMissing }) => ({ revision: allowMissing ? 0n : 5n, durability: Durability.INDEXED }))
      .rpc(methods.batchDeleteMemories, ({ memoryIds }) => ({ deletedCount: memoryIds.length, revision: 6n })),
  );
  const one = await client().delete("m1");
  assert.deepEqual([one.deletedCount, one.revision, one.durability], [1, 5n, "INDEXED"]);
  assert.equal((await client().delete("m1", { allowMissing: true })).deletedCount, 0);
  const many = await client().deleteMany(["a", "b"]);
  assert.deepEqual([many.deletedCount, many.revision], [2, 6n]);
});

test("a past moment is a time or a revision", async (t) => {
  const seen: GetMemoryRequest[] = [];
  const { client } = await serve(t, (router) =>
    router.rpc(methods.getMemory, (request) => {
      seen.push(request);
      return { memory: memory({}) };
    }),
  );
  for (const asOf of [AT, new Date(AT), 12, 12n]) await client().get("m1", { asOf });
  assert.deepEqual(seen.map(({ asOf }) => asOf?.moment.case), ["time", "time", "revision", "revision"]);
  assert.equal(seen[3]!.asOf?.moment.value, 12n);
});

test("a listing goes through all pages with the same parameters", async (t) => {
  const seen: ListMemoriesRequest[] = [];
  const pages: Record<string, [string[], string]> = { "": [["a", "b"], "p2"], p2: [[], "p3"], p3: [["c"], ""] };
  const { client } = await serve(t, (router) =>
    router.rpc(methods.listMemories, (request) => {
      seen.push(request);
      const [ids, nextPageToken] = pages[request.pageToken]!;
      return { memories: ids.map((memoryId) => memory({ memoryId })), nextPageToken, revision: 3n };
    }),
  );
  const listing = client().list({ userId: "ana", filter: { topic: "travel" }, pageSize: 2, createdAfter: AT });
  assert.equal(seen.length, 0);
  assert.deepEqual((await collect(listing)).map(({ id }) => id), ["a", "b", "c"]);
  assert.deepEqual(seen.map(({ pageToken }) => pageToken), ["", "p2", "p3"]);
  for (const request of seen) {
    assert.deepEqual([request.pageSize, request.scope?.userId, request.filter?.form.case], [2, "ana", "compare"]);
    assert.ok(request.createTimeRange?.startTime !== undefined && request.createTimeRange.endTime === undefined);
  }
  const first = await listing.page();
  assert.deepEqual([first.items.map(({ id }) => id), first.nextPageToken, first.revision], [["a", "b"], "p2", 3n]);
  assert.equal((await listing.page(first.nextPageToken)).nextPageToken, "p3");
  assert.equal((await collect(client().list({ pageToken: "p3" }))).length, 1);
  for await (const item of client().list()) {
    assert.equal(item.id, "a");
    break;
  }
  assert.equal(seen.length, 7);
});
