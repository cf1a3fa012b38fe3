// The package as users get it: its published files alone, in another directory, through both module systems.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { propagation } from "@opentelemetry/api";
import { MemoryService } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { SearchService } from "@memoir/client/gen/memoir/v1/search_pb.js";
import { AdminService } from "@memoir/client/gen/memoir/v1/admin_pb.js";
import { memory, serve } from "./server.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));

test("the published files work through import and through require, without OpenTelemetry", async (t) => {
  const traces: (string | null)[] = [];
  const { target } = await serve(t, (router) =>
    router.rpc(AdminService.method.getServerInfo, (_, { requestHeader }) => {
      traces.push(requestHeader.get("traceparent"));
      return { serverVersion: "1.2.3" };
    }),
  );
  const directory = await mkdtemp(join(tmpdir(), "memoir-client-"));
  t.after(() => rm(directory, { recursive: true }));
  const modules = join(directory, "node_modules");
  await mkdir(join(modules, "@memoir", "client"), { recursive: true });
  await cp(join(root, "dist"), join(modules, "@memoir", "client", "dist"), { recursive: true });
  await cp(join(root, "package.json"), join(modules, "@memoir", "client", "package.json"));
  for (const name of ["@bufbuild", "@connectrpc"]) await symlink(join(root, "node_modules", name), join(modules, name));
  const body = `
    const memoir = new Memoir({ target: process.argv[2] });
    const gone = new MemoryNotFound("gone");
    memoir.serverInfo().then(({ serverVersion }) => {
      console.log(serverVersion, gone instanceof MemoirError, typeof MemoryService);
      memoir.close();
    });`;
  const esm = `import { MemoirError, Memoir, MemoryNotFound } from "@memoir/client";
    import { MemoryService } from "@memoir/client/gen/memoir/v1/memory_pb.js";${body}`;
  const cjs = `const { MemoirError, Memoir, MemoryNotFound } = require("@memoir/client");
    const { MemoryService } = require("@memoir/client/gen/memoir/v1/memory_pb.js");${body}`;
  for (const [file, source] of [["main.mjs", esm], ["main.cjs", cjs]] as const) {
    await writeFile(join(directory, file), source);
    const { stdout } = await run(process.execPath, [join(directory, file), target], { timeout: 30_000 });
    assert.equal(stdout.trim(), "1.2.3 true object");
  }
  for (const trace of traces) assert.match(trace!, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  assert.equal(new Set(traces).size, 2);
});

test("leaving a stream early leaves nothing that keeps the process alive", async (t) => {
  const { target } = await serve(t, (router) =>
    router.rpc(SearchService.method.streamSearchMemories, async function* () {
      yield { sequence: 1n, event: { case: "started", value: {} } };
      yield { sequence: 2n, event: { case: "completed", value: {} } };
    }),
  );
  const script = `
    import { Memoir } from "@memoir/client";
    const memoir = new Memoir({ target: process.argv[1] });
    for await (const { type } of memoir.searchStream("q", { timeout: 600 })) if (type === "completed") break;`;
  await run(process.execPath, ["--input-type=module", "-e", script, target], { cwd: root, timeout: 20_000 });
});

test("with OpenTelemetry in use, the caller's trace context is sent", async (t) => {
  const seen: (string | null)[] = [];
  const { client } = await serve(t, (router) =>
    router.rpc(MemoryService.method.getMemory, (_, { requestHeader }) => {
      seen.push(requestHeader.get("traceparent"), requestHeader.get("tracestate"));
      return { memory: memory({}) };
    }),
  );
  propagation.setGlobalPropagator({
    inject: (_, carrier: Record<string, string>) => {
      carrier["traceparent"] = `00-${"a".repeat(32)}-${"b".repeat(16)}-00`;
      carrier["tracestate"] = "vendor=1";
    },
    extract: (active) => active,
    fields: () => ["traceparent", "tracestate"],
  });
  t.after(() => propagation.disable());
  await client().get("m1");
  assert.deepEqual(seen, [`00-${"a".repeat(32)}-${"b".repeat(16)}-00`, "vendor=1"]);
});
