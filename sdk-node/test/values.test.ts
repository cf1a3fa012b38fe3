import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { double, Instant, InvalidArgument, type MetadataInput } from "@memoir/client";
import { type CreateMemoryRequest, MemorySchema, MemoryService } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { memory, serve } from "./server.js";

test("an Instant is a Date with exact nanoseconds", () => {
  const instant = Instant.from("2026-01-31T09:00:00.123456789Z");
  assert.ok(instant instanceof Date);
  assert.equal(instant.getTime(), Date.UTC(2026, 0, 31, 9, 0, 0, 123));
  assert.equal(instant.nanos, 123_456_789);
  assert.equal(instant.toRFC3339(), "2026-01-31T09:00:00.123456789Z");
  assert.equal(JSON.stringify({ instant }), '{"instant":"2026-01-31T09:00:00.123456789Z"}');
  assert.equal(Instant.from("2026-01-31T10:00:00+01:00").toRFC3339(), "2026-01-31T09:00:00Z");
  assert.deepEqual(Instant.from(instant.toProto()), instant);
});

test("a moment before 1970 keeps its fraction", () => {
  const instant = Instant.from(new Date(-1));
  assert.deepEqual([instant.seconds, instant.nanos], [-1n, 999_000_000]);
  assert.equal(instant.getTime(), -1);
});

test("what names no moment is refused", () => {
  assert.throws(() => Instant.from("yesterday", "validFrom"), /validFrom: "yesterday" is not RFC 3339/);
  assert.throws(() => Instant.from(new Date(Number.NaN)), InvalidArgument);
  assert.throws(() => Instant.from(5 as never), InvalidArgument);
});

test("metadata goes out typed and comes back without losing a digit", async (t) => {
  let seen: CreateMemoryRequest | undefined;
  const { client } = await serve(t, (router) =>
    router.rpc(MemoryService.method.createMemory, (request) => {
      seen = request;
      return { memory: request.memory! };
    }),
  );
  const metadata = {
    text: "tea",
    small: 3,
    negative: -7,
    big: 9_223_372_036_854_775_807n,
    low: -9_223_372_036_854_775_808n,
    edge: 9_007_199_254_740_993n,
    ratio: 0.25,
    whole: double(2),
    yes: true,
    at: Instant.from("2026-01-31T09:00:00.000000001Z"),
    tags: ["a", "b"],
  };
  const created = await client().create("likes tea", { userId: "ana", metadata });
  const cases = Object.fromEntries(Object.entries(seen!.memory!.metadata).map(([key, { kind }]) => [key, kind.case]));
  assert.deepEqual(cases, {
    text: "stringValue",
    small: "intValue",
    negative: "intValue",
    big: "intValue",
    low: "intValue",
    edge: "intValue",
    ratio: "doubleValue",
    whole: "doubleValue",
    yes: "boolValue",
    at: "timestampValue",
    tags: "stringList",
  });
  assert.deepEqual(created.metadata, { ...metadata, whole: 2 });
  assert.equal(typeof created.metadata["small"], "number");
  assert.equal(created.metadata["edge"], 9_007_199_254_740_993n);
});

test("metadata of no known type is refused by name", async (t) => {
  const { client } = await serve(t, () => undefined);
  const create_ = (value: unknown): Promise<unknown> =>
    client().create("x", { userId: "ana", metadata: { key: value as MetadataInput } });
  for (const value of [null, undefined, {}, [1], 2n ** 63n, () => 1, new Date(Number.NaN)]) {
    await assert.rejects(create_(value), (error: unknown) => {
      assert.ok(error instanceof InvalidArgument);
      assert.equal(error.reason, "FIELD_INVALID");
      assert.equal(error.metadata["field"], "metadata.key");
      return true;
    });
  }
  const metadata = Object.fromEntries([["__proto__", "x"]]);
  await assert.rejects(client().create("x", { userId: "ana", metadata }), /__proto__: this key cannot be sent/);
});

test("revisions are exact beyond 2^53", async (t) => {
  let minRevision = 0n;
  const { client } = await serve(t, (router) =>
    router.rpc(MemoryService.method.getMemory, (request) => {
      minRevision = request.minRevision;
      return { memory: memory({ revision: 9_007_199_254_740_993n }) };
    }),
  );
  const { revision } = await client().get("m1", { minRevision: 9_007_199_254_740_995n });
  assert.equal(revision, 9_007_199_254_740_993n);
  assert.equal(minRevision, 9_007_199_254_740_995n);
  await client().get("m1", { minRevision: 12 });
  assert.equal(minRevision, 12n);
  await assert.rejects(client().get("m1", { minRevision: 2 ** 53 }), /minRevision: .* use a bigint/);
});

test("unknown fields and unknown enum numbers survive", async (t) => {
  const unknown = [{ no: 999, wireType: 2, data: new Uint8Array([3, 97, 98, 99]) }];
  const { client } = await serve(t, (router) =>
    router.rpc(MemoryService.method.getMemory, () => {
      const sent = memory({ memoryId: "m1", kind: 17 as never });
      sent.$unknown = unknown;
      return { memory: sent };
    }),
  );
  const received = await client().get("m1");
  assert.equal(received.kind, "17");
  assert.deepEqual(received.message.$unknown, unknown);
  const expected = create(MemorySchema, { memoryId: "m1", kind: 17 as never });
  expected.$unknown = unknown;
  assert.deepEqual(toBinary(MemorySchema, received.message), toBinary(MemorySchema, expected));
});

test("an unknown enum number can be sent back, an unknown name cannot be sent", async (t) => {
  const kinds: number[] = [];
  const { client } = await serve(t, (router) =>
    router.rpc(MemoryService.method.createMemory, ({ memory: sent }) => {
      kinds.push(sent!.kind);
      return { memory: sent! };
    }),
  );
  for (const kind of ["17", "PREFERENCE", "preference", "MEMORY_KIND_EVENT"]) {
    await client().create("x", { userId: "ana", kind });
  }
  assert.deepEqual(kinds, [17, 2, 2, 3]);
  await assert.rejects(client().create("x", { userId: "ana", kind: "RUMOUR" }), /kind: "RUMOUR" is unknown; use one of FACT/);
});
