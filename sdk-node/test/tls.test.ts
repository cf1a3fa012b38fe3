// TLS against a real TLS server, with certificates that openssl makes for the test.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import http2, { type SecureServerOptions } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Memoir, type MemoirOptions, Unavailable } from "@memoir/client";
import { HistoryService } from "@memoir/client/gen/memoir/v1/history_pb.js";
import { MemoryService } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { memory } from "./server.js";

const run = promisify(execFile);
let directory = "";

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "memoir-tls-"));
  for (const authority of ["ca", "other-ca"]) {
    await openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", `/CN=${authority}`, "-keyout", `${authority}.key`, "-out", `${authority}.pem`);
  }
  await issue("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1");
  await issue("elsewhere", "ca", "subjectAltName=DNS:memoir.example");
  await issue("client", "ca", "extendedKeyUsage=clientAuth");
  await issue("stranger", "other-ca", "extendedKeyUsage=clientAuth");
});

after(() => rm(directory, { recursive: true }));

async function openssl(...command: string[]): Promise<void> {
  await run("openssl", command, { cwd: directory, timeout: 30_000 });
}

async function issue(name: string, authority: string, extension: string): Promise<void> {
  await writeFile(join(directory, `${name}.ext`), `${extension}\n`);
  await openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`);
  await openssl("x509", "-req", "-in", `${name}.csr`, "-CA", `${authority}.pem`, "-CAkey", `${authority}.key`, "-CAcreateserial", "-days", "2", "-extfile", `${name}.ext`, "-out", `${name}.pem`);
}

function pem(name: string): Promise<Buffer> {
  return readFile(join(directory, name));
}

async function pair(name: string): Promise<{ cert: Buffer; key: Buffer }> {
  return { cert: await pem(`${name}.pem`), key: await pem(`${name}.key`) };
}

async function serveTls(t: TestContext, options: SecureServerOptions): Promise<(options: MemoirOptions) => Memoir> {
  const server = http2.createSecureServer(
    options,
    connectNodeAdapter({
      routes: (router) =>
        router
          .rpc(MemoryService.method.getMemory, ({ memoryId }) => ({ memory: memory({ memoryId, text: "found" }) }))
          .rpc(HistoryService.method.watchHistory, async function* () {
            yield { resumeToken: "t1", item: { case: "bookmark", value: { revision: 1n, caughtUp: true } } };
          }),
    }),
  );
  const sockets = new Set<Socket>();
  server.on("secureConnection", (socket: Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const clients: Memoir[] = [];
  t.after(() => {
    for (const client of clients) client.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (how) => {
    const client = new Memoir({ target: `localhost:${(server.address() as AddressInfo).port}`, timeout: 5, ...how });
    clients.push(client);
    return client;
  };
}

/** The call does not get through: a connection that cannot be made is UNAVAILABLE, whatever it fails of. */
async function refused(client: Memoir): Promise<void> {
  await assert.rejects(client.get("m-1"), Unavailable);
}

test("calls and watches go over TLS to a server whose authority is trusted", async (t) => {
  const connect = await serveTls(t, await pair("server"));
  const client = connect({ tls: { ca: await pem("ca.pem") } });
  assert.equal((await client.get("m-1")).text, "found");
  for await (const item of client.watch({ bookmarks: true })) {
    assert.equal(item.revision, 1n);
    break;
  }
});

test("a server of another authority, or with another's name, is not spoken to", async (t) => {
  const connect = await serveTls(t, await pair("server"));
  await refused(connect({ tls: { ca: await pem("other-ca.pem") } }));
  await refused(connect({ tls: true }));
  const misnamed = await serveTls(t, await pair("elsewhere"));
  await refused(misnamed({ tls: { ca: await pem("ca.pem") } }));
  const named = misnamed({ tls: { ca: await pem("ca.pem"), servername: "memoir.example" } });
  assert.equal((await named.get("m-1")).text, "found");
});

test("plain text is not understood by a TLS server", async (t) => {
  const connect = await serveTls(t, await pair("server"));
  await refused(connect({}));
});

test("a server that wants a certificate of the client gets it, and takes no other", async (t) => {
  const authority = await pem("ca.pem");
  const connect = await serveTls(t, { ...(await pair("server")), ca: authority, requestCert: true, rejectUnauthorized: true });
  const client = connect({ tls: { ca: authority, ...(await pair("client")) } });
  assert.equal((await client.get("m-1")).text, "found");
  await refused(connect({ tls: { ca: authority } }));
  await refused(connect({ tls: { ca: authority, ...(await pair("stranger")) } }));
});
