// A scripted server on a free loopback port: every test says what its methods answer, and reads what they saw.
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Memoir, type MemoirOptions } from "@memoir/client";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@memoir/client/gen/google/rpc/error_details_pb.js";
import { MemorySchema } from "@memoir/client/gen/memoir/v1/memory_pb.js";

export interface TestServer {
  readonly target: string;
  /** Cut every connection, as a crash would. */
  dropConnections(): void;
  client(options?: MemoirOptions): Memoir;
}

export async function serve(t: TestContext, routes: (router: ConnectRouter) => void): Promise<TestServer> {
  const server = http2.createServer(connectNodeAdapter({ routes }));
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const target = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clients: Memoir[] = [];
  const dropConnections = (): void => sockets.forEach((socket) => socket.destroy());
  t.after(() => {
    clients.forEach((client) => client.close());
    dropConnections();
    server.close();
  });
  return {
    target,
    dropConnections,
    client(options = {}) {
      const client = new Memoir({ target, ...options });
      clients.push(client);
      return client;
    },
  };
}

export interface Details {
  reason?: string;
  domain?: string;
  metadata?: Record<string, string>;
  retrySeconds?: number;
  violations?: { field: string; description: string; reason: string }[];
}

/** An error as the server would send it. */
export function failure(code: Code, message: string, details: Details = {}): ConnectError {
  const { reason, domain = "memoir.dev", metadata = {}, retrySeconds, violations } = details;
  const outgoing = [];
  if (reason !== undefined) outgoing.push({ desc: ErrorInfoSchema, value: { reason, domain, metadata } });
  if (retrySeconds !== undefined) {
    const seconds = Math.floor(retrySeconds);
    const nanos = Math.round((retrySeconds - seconds) * 1e9);
    outgoing.push({ desc: RetryInfoSchema, value: { retryDelay: { seconds: BigInt(seconds), nanos } } });
  }
  if (violations !== undefined) outgoing.push({ desc: BadRequestSchema, value: { fieldViolations: violations } });
  return new ConnectError(message, code, undefined, outgoing);
}

export const unavailable = (): ConnectError => failure(Code.Unavailable, "try again");

export function memory(init: MessageInitShape<typeof MemorySchema>) {
  return create(MemorySchema, init);
}

/** The deadline the server saw, in milliseconds; `undefined` without one. */
export function deadlineOf(context: HandlerContext): number | undefined {
  return context.timeoutMs();
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
