import { randomUUID } from "node:crypto";
import type { Durability } from "../enums.js";
import type { CallOptions, Transport } from "../transport.js";

/** What every part of the client has: a transport and a namespace. */
export abstract class Service {
  protected readonly transport: Transport;
  /** Namespace of all calls. */
  readonly namespace: string;

  protected constructor(transport: Transport, namespace: string) {
    this.transport = transport;
    this.namespace = namespace;
  }
}

/** What every mutation can be given. */
export interface MutationOptions extends CallOptions {
  /** The same id returns the first answer again, for 24 hours. Absent: a new UUID, so that retries are safe. */
  requestId?: string | undefined;
}

/** What every write of memories can be given. */
export interface WriteOptions extends MutationOptions {
  /** "INDEXED" (default) returns when searchable, "ACCEPTED" when committed. */
  durability?: Durability | undefined;
}

/** Return the given id, or a new UUID: every mutation is then safe to retry. */
export function requestIdOrNew(requestId: string | undefined): string {
  return requestId ?? randomUUID();
}
