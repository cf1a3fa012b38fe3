import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { Cancelled, type ExportRecord, HistoryCompacted, InvalidArgument, Reset, ServerDraining } from "@memoir/client";
import {
  HistoryEvent_EventType,
  HistoryService,
  type WatchHistoryRequest,
  type WatchHistoryResponseSchema,
} from "@memoir/client/gen/memoir/v1/history_pb.js";
import { MemoryChange_Action } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { type PlanResetRequest, Reset_State, ResetService } from "@memoir/client/gen/memoir/v1/reset_pb.js";
import { type ImportMemoriesRequest, TransferService } from "@memoir/client/gen/memoir/v1/transfer_pb.js";
import { AdminService, Finding_FindingKind } from "@memoir/client/gen/memoir/v1/admin_pb.js";
import { StoreKind } from "@memoir/client/gen/memoir/v1/common_pb.js";
import { collect, failure, memory, serve, unavailable } from "./server.js";

type Item = MessageInitShape<typeof WatchHistoryResponseSchema>;
const watchHistory = HistoryService.method.watchHistory;
const created = (revision: bigint): Item => ({
  resumeToken: `t${revision}`,
  item: { case: "event", value: { revision, type: HistoryEvent_EventType.CREATED, memoryId: `m${revision}` } },
});
const bookmark = (revision: bigint): Item => ({
  resumeToken: `t${revision}`,
  item: { case: "bookmark", value: { revision, caughtUp: true } },
});

/** Take the first items of a watch. */
async function take<T>(count: number, items: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

test("a watch goes on after the last token, whatever ended it", async (t) => {
  const starts: WatchHistoryRequest["start"][] = [];
  const attempts: (string | null)[] = [];
  const server = await serve(t, (router) =>
    router.rpc(watchHistory, async function* (request, { signal, requestHeader }) {
      starts.push(request.start);
      attempts.push(requestHeader.get("grpc-previous-rpc-attempts"));
      switch (starts.length) {
        case 1:
          yield created(1n);
          yield bookmark(2n);
          throw unavailable();
        case 2:
          throw failure(Code.Unavailable, "bye", { reason: "SERVER_DRAINING", metadata: { resume_token: "t2b" } });
        case 3:
          yield created(3n);
          await wait(100);
          server.dropConnections();
          await wait(2_000, undefined, { signal });
          return;
        case 4:
          yield created(4n);
          return;
        default:
          yield created(5n);
          await wait(2_000, undefined, { signal });
      }
    }),
  );
  const events = await take(4, server.client().watch({ userId: "ana", startRevision: 1 }));
  assert.deepEqual(events.map(({ revision, type, resumeToken }) => [revision, type, resumeToken]), [
    [1n, "CREATED", "t1"],
    [3n, "CREATED", "t3"],
    [4n, "CREATED", "t4"],
    [5n, "CREATED", "t5"],
  ]);
  assert.deepEqual(starts, [
    { case: "startRevision", value: 1n },
    { case: "resumeToken", value: "t2" },
    { case: "resumeToken", value: "t2b" },
    { case: "resumeToken", value: "t3" },
    { case: "resumeToken", value: "t4" },
  ]);
  assert.deepEqual(attempts, [null, "1", "2", "1", "1"]);
});

test("bookmarks are shown on request only", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(watchHistory, async function* () {
      yield bookmark(1n);
      yield created(2n);
    }),
  );
  assert.deepEqual((await take(1, client().watch())).map(({ type }) => type), ["CREATED"]);
  const items = await take(2, client().watch({ bookmarks: true }));
  assert.deepEqual(items.map(({ type }) => type), ["BOOKMARK", "CREATED"]);
});

test("an error that does not pass ends the watch", async (t) => {
  let attempts = 0;
  const { client } = await serve(t, (router) =>
    router.rpc(watchHistory, async function* () {
      attempts += 1;
      yield created(1n);
      throw failure(Code.OutOfRange, "gone", { reason: "HISTORY_COMPACTED", metadata: { compact_revision: "9", requested_revision: "1" } });
    }),
  );
  await assert.rejects(collect(client().watch({ resumeToken: "t0" })), (error: unknown) => {
    assert.ok(error instanceof HistoryCompacted);
    assert.equal(error.metadata["compact_revision"], "9");
    return true;
  });
  assert.equal(attempts, 1);
});

test("a watch gives up after reconnectTimeout, and stops when it is aborted", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(watchHistory, async function* () {
      throw failure(Code.Unavailable, "bye", { reason: "SERVER_DRAINING" });
    }),
  );
  const began = performance.now();
  await assert.rejects(collect(client().watch({ reconnectTimeout: 0.3 })), ServerDraining);
  assert.ok(performance.now() - began < 3_000);
  const signal = AbortSignal.timeout(200);
  await assert.rejects(collect(client().watch({ reconnectTimeout: null, signal })), Cancelled);
  const memoir = client();
  setTimeout(() => memoir.close(), 100);
  await assert.rejects(collect(memoir.watch({ reconnectTimeout: null })), Cancelled);
  assert.throws(() => client().watch({ startRevision: 1, resumeToken: "t" }), InvalidArgument);
});

test("history pages forward and says where a watch starts", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(HistoryService.method.listHistory, ({ pageToken, filter }) => ({
      events: [{ revision: pageToken === "" ? 1n : 2n, memoryId: filter?.memoryId ?? "", after: memory({ memoryId: "m1" }) }],
      nextPageToken: pageToken === "" ? "p2" : "",
      resumeToken: "watch-here",
    })),
  );
  const events = await collect(client().history({ memoryId: "m1", types: ["CREATED"] }));
  assert.deepEqual(events.map(({ revision, memoryId, after, before }) => [revision, memoryId, after?.id, before]), [
    [1n, "m1", "m1", undefined],
    [2n, "m1", "m1", undefined],
  ]);
  assert.equal((await client().history().page()).resumeToken, "watch-here");
});

test("a reset is planned, executed and followed to its receipt", async (t) => {
  let planned: PlanResetRequest | undefined;
  const after: bigint[] = [];
  const { client } = await serve(t, (router) =>
    router
      .rpc(ResetService.method.planReset, (request) => {
        planned = request;
        return {
          reset: { resetId: "r1", state: Reset_State.PLANNED, effects: [{ store: StoreKind.LEDGER, planned: 3n }], sampleMemoryIds: ["m1"], target: request.target! },
          confirmToken: "secret",
        };
      })
      .rpc(ResetService.method.executeReset, ({ resetId, confirmToken }) => {
        assert.deepEqual([resetId, confirmToken], ["r1", "secret"]);
        return { reset: { resetId, state: Reset_State.RUNNING }, revision: 12n };
      })
      .rpc(ResetService.method.watchReset, async function* ({ afterSequence }) {
        after.push(afterSequence);
        yield { sequence: afterSequence + 1n, reset: { resetId: "r1", state: Reset_State.RUNNING } };
        if (afterSequence === 0n) throw unavailable();
        yield { sequence: 3n, reset: { resetId: "r1", state: Reset_State.SUCCEEDED, receipt: { memories: 3n, digest: "d" } } };
      }),
  );
  const memoir = client();
  const plan = await memoir.planReset({ userId: "ana", preserve: { keep: true }, keepGraph: true });
  assert.equal(planned!.target?.extent.case, "scope");
  assert.deepEqual([planned!.target?.preserve?.form.case, planned!.target?.keepGraph], ["compare", true]);
  assert.deepEqual([plan.reset.id, plan.counts, plan.sample], ["r1", { LEDGER: 3n }, ["m1"]]);
  assert.equal(plan.reset.target.scope?.userId, "ana");
  const running = await memoir.executeReset(plan);
  assert.deepEqual([running.state, running.done, running.revision, running.response.revision], ["RUNNING", false, 12n, 12n]);
  assert.ok(running instanceof Reset);
  const states = await collect(memoir.watchReset(running));
  assert.deepEqual(states.map(({ state }) => state), ["RUNNING", "RUNNING", "SUCCEEDED"]);
  assert.deepEqual(after, [0n, 1n]);
  assert.deepEqual([states.at(-1)!.done, states.at(-1)!.receipt?.memories, states.at(-1)!.receipt?.digest], [true, 3n, "d"]);
  await memoir.planReset({ entireNamespace: "default" });
  assert.deepEqual(planned!.target?.extent, { case: "entireNamespace", value: "default" });
  await assert.rejects(memoir.planReset({ entireNamespace: "default", userId: "ana" }), InvalidArgument);
});

test("an export resumes, and its records can be imported", async (t) => {
  const tokens: string[] = [];
  const imported: ImportMemoriesRequest[] = [];
  const { client } = await serve(t, (router) =>
    router
      .rpc(TransferService.method.exportMemories, async function* ({ resumeToken }) {
        tokens.push(resumeToken);
        if (resumeToken === "") {
          yield { resumeToken: "e1", record: { case: "header", value: { revision: 9n } } };
          yield { resumeToken: "e2", record: { case: "memory", value: { memory: memory({ memoryId: "m1" }) } } };
          throw unavailable();
        }
        yield { resumeToken: "e3", record: { case: "memory", value: { memory: memory({ memoryId: "m2" }), embedding: { model: "x", values: [0.5] } } } };
        yield { resumeToken: "e4", record: { case: "summary", value: { memories: 2n } } };
      })
      .rpc(TransferService.method.importMemories, async function* (requests) {
        for await (const request of requests) {
          imported.push(request);
          if (request.part.case !== "item") continue;
          const { sequence, memory: item } = request.part.value;
          yield { sequence, memoryId: item?.memory?.memoryId ?? "", outcome: { case: "action", value: MemoryChange_Action.ADDED } };
        }
      }),
  );
  const records: ExportRecord[] = await collect(client().export({ userId: "ana" }));
  assert.deepEqual(records.map(({ type }) => type), ["header", "memory", "memory", "summary"]);
  assert.deepEqual(tokens, ["", "e2"]);
  const results = await collect(client().import(records, { onConflict: "REPLACE" }));
  assert.deepEqual(results.map(({ sequence, memoryId, action }) => [sequence, memoryId, action]), [[1n, "m1", "ADDED"], [2n, "m2", "ADDED"]]);
  assert.deepEqual(imported.map(({ part }) => part.case), ["header", "item", "item"]);
  async function* broken(): AsyncGenerator<ExportRecord> {
    yield records[1]!;
    throw new RangeError("the file ends here");
  }
  await assert.rejects(collect(client().import(broken())), RangeError);
});

test("the doctor's findings are collected and repaired", async (t) => {
  const { client } = await serve(t, (router) =>
    router
      .rpc(AdminService.method.checkConsistency, async function* ({ sample }) {
        yield { item: { case: "progress", value: { examined: 1n } } };
        yield { item: { case: "finding", value: { findingId: "f1", kind: Finding_FindingKind.STALE, store: StoreKind.INDEX, message: "old" } } };
        if (sample === 0n) yield { item: { case: "summary", value: { examined: 2n, findings: 1n, revision: 7n } } };
      })
      .rpc(AdminService.method.repairConsistency, ({ findingIds }) => ({ repairedFindingIds: findingIds })),
  );
  const report = await client().checkConsistency();
  assert.deepEqual([report.examined, report.revision], [2n, 7n]);
  assert.deepEqual(report.findings.map(({ id, kind, store, text }) => [id, kind, store, text]), [["f1", "STALE", "INDEX", "old"]]);
  assert.deepEqual((await client().repair(report.findings)).repaired, ["f1"]);
  await assert.rejects(client().checkConsistency({ sample: 1 }), { name: "IncompleteStream" });
});
