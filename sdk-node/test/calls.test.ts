import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { Code, type HandlerContext } from "@connectrpc/connect";
import {
  Cancelled,
  CONTRACT_SHA256,
  DeadlineExceeded,
  InvalidArgument,
  MAX_MESSAGE_BYTES,
  Memoir,
  Overloaded,
  PACKAGE_VERSION,
  ResourceExhausted,
  Unavailable,
} from "@memoir/client";
import { HistoryService } from "@memoir/client/gen/memoir/v1/history_pb.js";
import { type CreateMemoryRequest, MemoryService } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { SearchService } from "@memoir/client/gen/memoir/v1/search_pb.js";
import { deadlineOf, failure, memory, serve, unavailable } from "./server.js";

const getMemory = MemoryService.method.getMemory;

test("a read is repeated until it succeeds, and says how often it was tried", async (t) => {
  const attempts: (string | null)[] = [];
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, (_, { requestHeader }) => {
      attempts.push(requestHeader.get("grpc-previous-rpc-attempts"));
      if (attempts.length < 4) throw unavailable();
      return { memory: memory({ memoryId: "m1" }) };
    }),
  );
  assert.equal((await client().get("m1")).id, "m1");
  assert.deepEqual(attempts, [null, "1", "2", "3"]);
});

test("after four attempts the error is thrown as it came", async (t) => {
  let attempts = 0;
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, () => {
      attempts += 1;
      throw unavailable();
    }),
  );
  await assert.rejects(client().get("m1"), (error: unknown) => {
    assert.ok(error instanceof Unavailable);
    assert.equal(error.message, "try again");
    return true;
  });
  assert.equal(attempts, 4);
});

test("a write is repeated with the same request id, and never without one", async (t) => {
  const requests: CreateMemoryRequest[] = [];
  const { client } = await serve(t, (router) =>
    router.rpc(MemoryService.method.createMemory, (request) => {
      requests.push(request);
      if (requests.length === 1) throw unavailable();
      if (request.requestId === "") throw unavailable();
      return { memory: request.memory! };
    }),
  );
  await client().create("likes tea", { userId: "ana" });
  assert.equal(requests.length, 2);
  assert.match(requests[0]!.requestId, /^[0-9a-f-]{36}$/);
  assert.equal(requests[0]!.requestId, requests[1]!.requestId);
  await assert.rejects(client().create("likes tea", { userId: "ana", requestId: "" }), Unavailable);
  assert.equal(requests.length, 3);
});

test("other codes are not repeated", async (t) => {
  let attempts = 0;
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, () => {
      attempts += 1;
      throw failure(Code.Internal, "bug");
    }),
  );
  await assert.rejects(client().get("m1"), { name: "InternalError" });
  assert.equal(attempts, 1);
});

test("RESOURCE_EXHAUSTED is repeated only with RetryInfo, and after its delay", async (t) => {
  const times: number[] = [];
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, ({ memoryId }) => {
      times.push(performance.now());
      if (memoryId === "bare") throw failure(Code.ResourceExhausted, "too large");
      if (times.length === 1) throw failure(Code.ResourceExhausted, "busy", { reason: "OVERLOADED", retrySeconds: 0.3 });
      return { memory: memory({ memoryId }) };
    }),
  );
  await client().get("m1");
  assert.equal(times.length, 2);
  // The server's clock starts a little after the delay was read.
  assert.ok(times[1]! - times[0]! >= 290, `${times[1]! - times[0]!}`);
  await assert.rejects(client().get("bare"), ResourceExhausted);
  assert.equal(times.length, 3);
});

test("no attempt starts after the deadline", async (t) => {
  let attempts = 0;
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, () => {
      attempts += 1;
      throw failure(Code.ResourceExhausted, "busy", { reason: "OVERLOADED", retrySeconds: 30 });
    }),
  );
  const began = performance.now();
  await assert.rejects(client().get("m1", { timeout: 5 }), (error: unknown) => {
    assert.ok(error instanceof Overloaded);
    assert.equal(error.retryDelay, 30);
    return true;
  });
  assert.ok(performance.now() - began < 2_000);
  assert.equal(attempts, 1);
});

test("deadlines are on the wire, shrink from attempt to attempt, and a watch has none", async (t) => {
  const deadlines: (number | undefined)[] = [];
  const note = (_: unknown, context: HandlerContext): void => void deadlines.push(deadlineOf(context));
  const { client } = await serve(t, (router) =>
    router
      .rpc(getMemory, async (request, context) => {
        note(request, context);
        if (deadlines.length === 1) throw failure(Code.Unavailable, "x", { retrySeconds: 0.2 });
        return { memory: memory({ memoryId: "m1" }) };
      })
      .rpc(SearchService.method.streamSearchMemories, async function* (request, context) {
        note(request, context);
      })
      .rpc(HistoryService.method.watchHistory, async function* (request, context) {
        note(request, context);
        yield { resumeToken: "t", item: { case: "bookmark", value: { revision: 1n } } };
      }),
  );
  const memoir = client({ timeout: 7 });
  await memoir.get("m1");
  const [first, second] = deadlines;
  assert.ok(first! > 6_500 && first! <= 7_000, `${first}`);
  assert.ok(second! > 6_000 && second! <= first! - 190, `${second}`);
  await memoir.get("m1", { timeout: 2.5 });
  assert.ok(deadlines[2]! > 2_000 && deadlines[2]! <= 2_500);
  for await (const _ of memoir.searchStream("q")) assert.fail("there was no event");
  assert.ok(deadlines[3]! > 6_500 && deadlines[3]! <= 7_000);
  for await (const _ of memoir.watch({ bookmarks: true })) break;
  assert.equal(deadlines[4], undefined);
});

test("a call that takes too long ends with DeadlineExceeded", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, async (_, { signal }) => {
      await wait(5_000, undefined, { signal });
      return {};
    }),
  );
  await assert.rejects(client().get("m1", { timeout: 0.1 }), DeadlineExceeded);
});

test("every call carries contract, version, credential and a fresh trace", async (t) => {
  const headers: Headers[] = [];
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, (_, { requestHeader }) => {
      headers.push(requestHeader);
      return { memory: memory({}) };
    }),
  );
  const memoir = client({ apiKey: "secret", headers: { "x-team": "blue" } });
  await memoir.get("m1");
  await memoir.inNamespace("other").get("m1");
  const [first, second] = headers;
  assert.equal(first!.get("x-memoir-contract"), CONTRACT_SHA256);
  assert.equal(first!.get("user-agent"), `memoir-node/${PACKAGE_VERSION}`);
  assert.equal(first!.get("authorization"), "Bearer secret");
  assert.equal(first!.get("x-team"), "blue");
  assert.match(first!.get("traceparent")!, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  assert.notEqual(first!.get("traceparent"), second!.get("traceparent"));
});

test("abort cancels the call here and at the server", async (t) => {
  let aborted: () => void;
  const seen = new Promise<void>((resolve) => (aborted = resolve));
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, async (_, { signal }) => {
      signal.addEventListener("abort", () => aborted());
      await wait(5_000, undefined, { signal });
      return {};
    }),
  );
  const controller = new AbortController();
  const call = client().get("m1", { signal: controller.signal });
  setTimeout(() => controller.abort("enough"), 50);
  await assert.rejects(call, (error: unknown) => {
    assert.ok(error instanceof Cancelled);
    assert.equal(error.code, "CANCELLED");
    assert.equal(error.cause, "enough");
    return true;
  });
  await seen;
  await assert.rejects(client().get("m1", { signal: AbortSignal.abort() }), Cancelled);
});

test("abort also ends the wait between two attempts", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, () => {
      throw failure(Code.Unavailable, "later", { retrySeconds: 8 });
    }),
  );
  const began = performance.now();
  await assert.rejects(client().get("m1", { signal: AbortSignal.timeout(100) }), Cancelled);
  assert.ok(performance.now() - began < 3_000);
});

test("close ends calls under way and refuses new ones", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, async (_, { signal }) => {
      await wait(5_000, undefined, { signal });
      return {};
    }),
  );
  const memoir = client();
  const call = memoir.get("m1");
  setTimeout(() => memoir.close(), 50);
  await assert.rejects(call, Cancelled);
  await assert.rejects(memoir.get("m1"), /closed/);
});

test("leaving a stream early cancels it at the server", async (t) => {
  let aborted: () => void;
  const seen = new Promise<void>((resolve) => (aborted = resolve));
  const { client } = await serve(t, (router) =>
    router.rpc(SearchService.method.streamSearchMemories, async function* (_, { signal }) {
      signal.addEventListener("abort", () => aborted());
      yield { sequence: 1n, event: { case: "started", value: { searchId: "s" } } };
      await wait(5_000, undefined, { signal });
    }),
  );
  for await (const event of client().searchStream("q")) {
    assert.equal(event.type, "started");
    break;
  }
  await seen;
});

test("a stream is repeated until its first message, and not after it", async (t) => {
  let attempts = 0;
  const { client } = await serve(t, (router) =>
    router.rpc(SearchService.method.streamSearchMemories, async function* () {
      attempts += 1;
      if (attempts < 3) throw unavailable();
      yield { sequence: 1n, event: { case: "started", value: { searchId: "s" } } };
      throw unavailable();
    }),
  );
  const types: string[] = [];
  await assert.rejects(async () => {
    for await (const event of client().searchStream("q")) types.push(event.type);
  }, Unavailable);
  assert.deepEqual(types, ["started"]);
  assert.equal(attempts, 3);
});

test("messages over 4 MB are refused in both directions", async (t) => {
  let attempts = 0;
  const { client } = await serve(t, (router) =>
    router.rpc(getMemory, () => {
      attempts += 1;
      return { memory: memory({ text: "x".repeat(MAX_MESSAGE_BYTES) }) };
    }),
  );
  await assert.rejects(client().get("m1"), ResourceExhausted);
  await assert.rejects(client().create("x".repeat(MAX_MESSAGE_BYTES), { userId: "ana" }), ResourceExhausted);
  assert.equal(attempts, 1);
});

test("a lost connection is UNAVAILABLE and repeated", async (t) => {
  let attempts = 0;
  const server = await serve(t, (router) =>
    router.rpc(getMemory, async (_, { signal }) => {
      attempts += 1;
      if (attempts === 1) {
        server.dropConnections();
        await wait(1_000, undefined, { signal });
      }
      return { memory: memory({ memoryId: "m1" }) };
    }),
  );
  assert.equal((await server.client().get("m1")).id, "m1");
  assert.equal(attempts, 2);
});

test("no server is UNAVAILABLE", async () => {
  const memoir = new Memoir({ target: "127.0.0.1:1" });
  await assert.rejects(memoir.get("m1"), Unavailable);
  memoir.close();
});

test("options that make no sense are refused before anything is sent", async () => {
  assert.throws(() => new Memoir({ target: "not a host" }), InvalidArgument);
  assert.throws(() => new Memoir({ timeout: 0 }), /timeout: 0 is not a number of seconds/);
  assert.throws(() => new Memoir({ url: "x" } as object), /Memoir has no such option/);
  using memoir = new Memoir();
  await assert.rejects(memoir.get("m1", { timeout: -1 }), InvalidArgument);
  await assert.rejects(memoir.search("q", { user_id: "ana" } as object), /user_id: search has no such option; did you mean userId\?/);
  await assert.rejects(memoir.planReset({ user_id: "ana" } as object), InvalidArgument);
});
