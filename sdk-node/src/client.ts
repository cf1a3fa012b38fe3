import type { SecureClientSessionOptions } from "node:http2";
import { refuseUnknown } from "./given.js";
import { Admins } from "./service/admins.js";
import { Transport } from "./transport.js";

/** Where a server listens unless told otherwise. */
export const DEFAULT_TARGET = "127.0.0.1:7600";

/** Options of the constructor. */
export interface MemoirOptions {
  /** host:port. */
  target?: string | undefined;
  /** Namespace of all calls; "default" when absent. See `inNamespace`. */
  namespace?: string | undefined;
  /** Sent as a bearer token. */
  apiKey?: string | undefined;
  /** Seconds (as in every SDK) of each call, retries included, unless the call says otherwise; 10 when absent. */
  timeout?: number | undefined;
  /** `true`, or options such as `{ca, cert, key}`, for TLS; absent means plain text. */
  tls?: SecureClientSessionOptions | boolean | undefined;
  /** Further headers of every call. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * Client of a Memoir server.
 *
 * ```
 * const memoir = new Memoir();
 * await memoir.add([{role: "user", content: "I moved to Lisbon."}], {userId: "ana"});
 * const {hits} = await memoir.search("Where does Ana live?", {userId: "ana"});
 * memoir.close();
 * ```
 *
 * Cheap to create: it connects with the first call. Idle connections do not keep the process alive.
 */
export class Memoir extends Admins {
  readonly #ownsTransport: boolean;

  /** @throws InvalidArgument an option that makes no sense */
  constructor(options: MemoirOptions = {}, shared?: Transport) {
    const { target = DEFAULT_TARGET, namespace = "default", apiKey, timeout = 10, tls = false, ...rest } = options;
    const { headers = {}, ...unknown } = rest;
    refuseUnknown("Memoir", unknown);
    super(shared ?? new Transport({ target, apiKey, timeout, tls, headers }), namespace);
    this.#ownsTransport = shared === undefined;
  }

  /** Return a client for another namespace that shares this one's connections. Closing it has no effect. */
  inNamespace(namespace: string): Memoir {
    return new Memoir({ namespace }, this.transport);
  }

  /** Close the connections; calls under way end with `Cancelled`. */
  close(): void {
    if (this.#ownsTransport) this.transport.close();
  }

  /** For `using memoir = new Memoir()`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
