// An export kept in a file, and imported again: nothing of a record is lost on the way.
import assert from "node:assert/strict";
import { readFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { exportLine, type ExportRecord, exportRecordFromLine, exportRecordFromProto, InvalidArgument, memoryFromProto } from "@memoir/client";
import { HistoryEvent_EventType } from "@memoir/client/gen/memoir/v1/history_pb.js";
import { MemoryKind } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import {
  type ExportedMemory,
  ExportMemoriesResponseSchema,
  TransferService,
} from "@memoir/client/gen/memoir/v1/transfer_pb.js";
import { collect, memory, serve } from "./server.js";

const BIG = 2n ** 53n + 1n;
const whole = memory({
  memoryId: "m-1",
  text: "Ana moved to Lisbon – 🙂\u2028\n",
  kind: MemoryKind.EVENT,
  scope: { userId: "ana" },
  metadata: {
    n: { kind: { case: "intValue", value: BIG } },
    rate: { kind: { case: "doubleValue", value: 2 } },
    at: { kind: { case: "timestampValue", value: { seconds: 1n, nanos: 123_456_789 } } },
    tags: { kind: { case: "stringList", value: { values: ["a", "b"] } } },
  },
  createTime: { seconds: 1_740_000_000n, nanos: 1 },
});
const RECORDS: NonNullable<MessageInitShape<typeof ExportMemoriesResponseSchema>["record"]>[] = [
  { case: "header", value: { revision: BIG, estimatedMemories: 2n } },
  { case: "memory", value: { memory: whole, embedding: { model: "hash", version: "1", values: [0.5, -0.25] } } },
  { case: "memory", value: { memory: memory({ memoryId: "m-2", text: "two" }) } },
  { case: "event", value: { revision: 7n, type: HistoryEvent_EventType.CREATED, memoryId: "m-1", after: whole } },
  { case: "summary", value: { memories: 2n, events: 1n } },
];

test("an export is written to a file, and the file imported", async (t) => {
  const imported: (ExportedMemory | undefined)[] = [];
  const { client } = await serve(t, (router) =>
    router
      .rpc(TransferService.method.exportMemories, async function* () {
        for (const record of RECORDS) yield { resumeToken: "t", record };
      })
      .rpc(TransferService.method.importMemories, async function* (requests) {
        for await (const { part } of requests) {
          if (part.case !== "item") continue;
          imported.push(part.value.memory);
          yield { sequence: part.value.sequence };
        }
      }),
  );
  const directory = await mkdtemp(join(tmpdir(), "memoir-export-"));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, "ana.jsonl");
  const records: ExportRecord[] = await collect(client().export());
  await writeFile(file, records.map((record) => `${exportLine(record, "default")}\n`).join(""));
  const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
  const read = lines.map(exportRecordFromLine).filter((record) => record !== undefined);
  assert.deepEqual(read, records.map((record) => withoutToken(record)));
  await collect(client().import(read));
  const sent = records.flatMap((record) => (record.type === "memory" ? [record.message] : []));
  assert.deepEqual(imported, sent);
});

function withoutToken(record: ExportRecord): ExportRecord {
  const bare = { ...record, resumeToken: "" };
  return bare.type === "event" ? { ...bare, event: { ...bare.event, resumeToken: "" } } : bare;
}

test("lines that the command line wrote are read", () => {
  const [header, one, event, summary] = [
    '{"format":"memoir-export","version":1,"namespace":"default","revision":2,"estimated_memories":1}',
    '{"memory":{"namespace":"default","memory_id":"m-1","text":"one","kind":"MEMORY_KIND_FACT","scope":{"user_id":"ana"},"metadata":{"n":{"int_value":"9007199254740993"}},"revision":"1","a_field_of_a_newer_server":1}}',
    '{"event":{"revision":"1","type":"EVENT_TYPE_CREATED","memory_id":"m-1"}}',
    '{"summary":{"memories":1,"events":1}}',
  ].map(exportRecordFromLine);
  assert.ok(header?.type === "header" && one?.type === "memory" && event?.type === "event" && summary?.type === "summary");
  assert.deepEqual([header.revision, header.estimatedMemories, summary.memories, event.event.memoryId], [2n, 1n, 1n, "m-1"]);
  assert.deepEqual([one.memory.id, one.memory.scope.userId, one.memory.metadata["n"]], ["m-1", "ana", BIG]);
  assert.equal(exportRecordFromLine('{"something_new":{}}'), undefined);
});

test("lines that are none of an export are refused, and the error says why", () => {
  for (const [line, message] of [
    ["{", /not JSON/],
    ["[]", /not an object/],
    ['{"format":"memoir-transcript","version":1}', /another format/],
    ['{"format":"memoir-export","version":2}', /version 2 is unknown/],
    ['{"memory":{"text":7}}', /text/],
    ['{"summary":{"memories":-1}}', /not a count/],
  ] as const) {
    assert.throws(() => exportRecordFromLine(line), (error) => error instanceof InvalidArgument && message.test(error.message), line);
  }
});

test("memories and records are made from messages of the contract", () => {
  const made = memoryFromProto(whole);
  assert.deepEqual([made.id, made.kind, made.metadata["n"]], ["m-1", "EVENT", BIG]);
  const record = exportRecordFromProto(create(ExportMemoriesResponseSchema, { record: RECORDS[1]! }));
  assert.ok(record?.type === "memory");
  assert.deepEqual(record.embedding?.values, [0.5, -0.25]);
});
