import type { SecureClientSessionOptions } from "node:http2";
import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Transport as Connection } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { CONTRACT_SHA256, PACKAGE_VERSION } from "./embedded.js";
import { Cancelled, DeadlineExceeded, type MemoirError } from "./errors.js";
import { isTransient, MAX_ATTEMPTS, mayRepeat, retryDelayMs } from "./retry.js";
import { errorFromCall } from "./rpc-error.js";
import { sleep } from "./sleep.js";
import { traceHeaders } from "./trace.js";
import { invalid, shown } from "./invalid.js";

/** Largest message in either direction, in bytes; the contract's limit. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** Deadline, in seconds, of streams that carry a whole export, import, check or reset, unless the caller gives one. */
export const LONG_TIMEOUT = 3_600;
/** Longest timeout, in seconds: a deadline has at most eight digits of milliseconds on the wire. */
const MAX_TIMEOUT = 86_400;
// A watch may be silent for long: notice a dead peer, and keep middle boxes from forgetting the connection.
const WATCH_PING_MS = 40_000;
const WATCH_PING_TIMEOUT_MS = 10_000;

/** What every call can be given. */
export interface CallOptions {
  /** Seconds for the whole call, retries included. */
  timeout?: number | undefined;
  /** Aborts the call, which then throws `Cancelled`. */
  signal?: AbortSignal | undefined;
}

/** How to reach a server. */
export interface TransportOptions {
  readonly target: string;
  readonly apiKey: string | undefined;
  readonly timeout: number;
  readonly tls: SecureClientSessionOptions | boolean;
  readonly headers: Readonly<Record<string, string>>;
}

/** How a stream is called. */
export interface StreamCall {
  /** Seconds for the whole stream; `undefined` means no deadline. */
  readonly timeout: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Failed attempts before this one, for callers that resume by themselves: nothing is then repeated here. */
  readonly failures?: number;
  /** Use the connection that is kept alive through silence. */
  readonly watch?: boolean;
}

/** The name of a method as `package.Service/Method`. */
function nameOf(method: DescMethodUnary | DescMethodServerStreaming | DescMethodBiDiStreaming): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Check a timeout in seconds. */
export function checkedTimeout(timeout: number): number {
  if (!(timeout > 0 && timeout <= MAX_TIMEOUT)) {
    throw invalid("timeout", `${shown(timeout)} is not a number of seconds above 0 and up to ${MAX_TIMEOUT}`);
  }
  return timeout;
}

function originOf(target: string, tls: boolean): string {
  const text = target.includes("://") ? target : `${tls ? "https" : "http"}://${target}`;
  if (URL.canParse(text)) {
    const url = new URL(text);
    if ((url.protocol === "http:" || url.protocol === "https:") && url.pathname === "/" && url.search === "") {
      return url.origin;
    }
  }
  throw invalid("target", `${shown(target)} is not host:port, such as 127.0.0.1:7600`);
}

/** One call under way: a signal of its own, aborted by the deadline, the caller, `close`, and when the call is left. */
class ActiveCall {
  readonly controller = new AbortController();
  /** Moment of `performance.now()` at which the call has to be over; `undefined` means never. */
  readonly #deadline: number | undefined;
  // The transport's own timer is not used: it would outlive a stream that is left early, and keep the process alive.
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #follow = (): void => this.abort("the call was aborted", this.caller?.reason);
  /** Why the call was stopped from this side, once it was. */
  #reason: MemoirError | undefined;

  constructor(
    timeout: number | undefined,
    private readonly caller: AbortSignal | undefined,
    private readonly active: Set<ActiveCall>,
  ) {
    if (timeout !== undefined) {
      this.#deadline = performance.now() + timeout * 1_000;
      this.#timer = setTimeout(() => this.#stop(deadlinePassed()), timeout * 1_000);
    }
    active.add(this);
    caller?.addEventListener("abort", this.#follow, { once: true });
    if (caller?.aborted) this.#follow();
  }

  #stop(reason: MemoirError): void {
    this.#reason ??= reason;
    this.controller.abort(this.#reason);
  }

  abort(message: string, cause?: unknown): void {
    this.#stop(new Cancelled(message, { code: "CANCELLED", cause }));
  }

  /** The call is over; free what it holds. Harmless to a call that has ended. */
  end(): void {
    clearTimeout(this.#timer);
    this.active.delete(this);
    this.caller?.removeEventListener("abort", this.#follow);
    this.controller.abort();
  }

  error(cause: unknown): MemoirError {
    return this.#reason ?? errorFromCall(cause);
  }

  /** Milliseconds until the deadline; without one, infinite. */
  get remaining(): number {
    return this.#deadline === undefined ? Number.POSITIVE_INFINITY : this.#deadline - performance.now();
  }

  /**
   * The deadline as it goes on the wire.
   *
   * @throws DeadlineExceeded it has passed: a call that cannot end in time is not begun
   */
  header(): Record<string, string> {
    const remaining = Math.ceil(this.remaining);
    if (remaining <= 0) throw deadlinePassed();
    return Number.isFinite(remaining) ? { "grpc-timeout": `${remaining}m` } : {};
  }
}

function deadlinePassed(): DeadlineExceeded {
  return new DeadlineExceeded("the deadline passed", { code: "DEADLINE_EXCEEDED" });
}

/** The one place that talks gRPC: connections, headers, deadlines, retries, and errors as exceptions. */
export class Transport {
  /** Default timeout in seconds. */
  readonly timeout: number;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #sessions: readonly [Http2SessionManager, Http2SessionManager];
  readonly #connections: readonly [Connection, Connection];
  readonly #active = new Set<ActiveCall>();
  #closed = false;

  constructor(options: TransportOptions) {
    const { target, apiKey, timeout, tls, headers } = options;
    this.timeout = checkedTimeout(timeout);
    this.#headers = {
      ...headers,
      ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
      "x-memoir-contract": CONTRACT_SHA256,
      "user-agent": `memoir-node/${PACKAGE_VERSION}`,
    };
    const baseUrl = originOf(target, tls !== false);
    const nodeOptions = typeof tls === "object" ? tls : {};
    // Without an interval, no pings: a server must not take ordinary clients for ping floods.
    const ordinary = new Http2SessionManager(baseUrl, {}, nodeOptions);
    const watching = new Http2SessionManager(
      baseUrl,
      { pingIntervalMs: WATCH_PING_MS, pingTimeoutMs: WATCH_PING_TIMEOUT_MS },
      nodeOptions,
    );
    const connect = (sessionManager: Http2SessionManager): Connection =>
      createGrpcTransport({
        baseUrl,
        sessionManager,
        readMaxBytes: MAX_MESSAGE_BYTES,
        writeMaxBytes: MAX_MESSAGE_BYTES,
      });
    this.#sessions = [ordinary, watching];
    this.#connections = [connect(ordinary), connect(watching)];
  }

  #begin(timeout: number | undefined, signal: AbortSignal | undefined): ActiveCall {
    if (this.#closed) throw new Error("the client is closed; create another one");
    return new ActiveCall(timeout === undefined ? undefined : checkedTimeout(timeout), signal, this.#active);
  }

  #header(call: ActiveCall, trace: Readonly<Record<string, string>>, failures: number): Record<string, string> {
    // The attempt header is the one gRPC's own retries send (gRFC A6).
    const attempts = failures === 0 ? {} : { "grpc-previous-rpc-attempts": String(failures) };
    return { ...this.#headers, ...trace, ...attempts, ...call.header() };
  }

  /**
   * Call a method, again when the policy allows it. The timeout covers all attempts.
   *
   * @throws MemoirError the call failed; the subclass says how
   */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>> {
    const call = this.#begin(options.timeout ?? this.timeout, options.signal);
    try {
      const trace = await traceHeaders();
      for (let failures = 0; ; ) {
        try {
          const response = await this.#connections[0].unary(
            method,
            call.controller.signal,
            undefined,
            this.#header(call, trace, failures),
            request as never,
          );
          return response.message;
        } catch (cause) {
          const error = call.error(cause);
          failures += 1;
          if (!(await again(call, nameOf(method), request, error, failures))) throw error;
        }
      }
    } finally {
      call.end();
    }
  }

  /**
   * Yield the responses of a method; called again, when the policy allows it, until the first one has come. Leaving the
   * iteration cancels the call.
   */
  async *serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageShape<I>,
    options: StreamCall,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const call = this.#begin(options.timeout, options.signal);
    let repeat = options.failures === undefined;
    let failures = options.failures ?? 0;
    try {
      const trace = await traceHeaders();
      for (;;) {
        try {
          const response = await this.#connections[options.watch ? 1 : 0].stream(
            method,
            call.controller.signal,
            undefined,
            this.#header(call, trace, failures),
            only(request) as never,
          );
          for await (const message of response.message) {
            repeat = false;
            yield message;
          }
          return;
        } catch (cause) {
          const error = call.error(cause);
          failures += 1;
          if (!repeat || !(await again(call, nameOf(method), request, error, failures))) throw error;
        }
      }
    } finally {
      call.end();
    }
  }

  /** Yield the responses to a stream of requests. Never repeated: what was sent is not kept. */
  async *bidiStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    requests: AsyncIterable<MessageShape<I>>,
    options: StreamCall,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const call = this.#begin(options.timeout, options.signal);
    let fault: { readonly cause: unknown } | undefined;
    async function* guarded(): AsyncGenerator<MessageShape<I>> {
      // The caller's own error must come back as it is, not as a failed call. A call that fails throws its error in here
      // as well, at the yield: that one is not the caller's.
      const source = requests[Symbol.asyncIterator]();
      try {
        for (;;) {
          let next: IteratorResult<MessageShape<I>>;
          try {
            next = await source.next();
          } catch (cause) {
            fault = { cause };
            throw cause;
          }
          if (next.done) return;
          yield next.value;
        }
      } finally {
        await source.return?.();
      }
    }
    try {
      const response = await this.#connections[0].stream(
        method,
        call.controller.signal,
        undefined,
        this.#header(call, await traceHeaders(), 0),
        guarded() as never,
      );
      yield* response.message;
    } catch (cause) {
      throw fault === undefined ? call.error(cause) : fault.cause;
    } finally {
      call.end();
    }
  }

  /** A signal that follows the caller's and `close`, for work that goes on between calls. Call `end` when done. */
  scope(signal: AbortSignal | undefined): { readonly signal: AbortSignal; end(): void } {
    const call = this.#begin(undefined, signal);
    return { signal: call.controller.signal, end: () => call.end() };
  }

  /** Close the connections; calls under way end with `Cancelled`. */
  close(): void {
    this.#closed = true;
    for (const call of this.#active) call.abort("the client was closed");
    for (const session of this.#sessions) session.abort();
  }
}

async function* only<T>(message: T): AsyncGenerator<T> {
  yield message;
}

/** Wait for the next attempt and return true, or return false at once when there is none. */
async function again(
  call: ActiveCall,
  method: string,
  request: object,
  error: MemoirError,
  failures: number,
): Promise<boolean> {
  const hasRequestId = "requestId" in request && request.requestId !== "";
  if (failures >= MAX_ATTEMPTS || !isTransient(error) || !mayRepeat(method, hasRequestId)) return false;
  const delay = retryDelayMs(error, failures);
  if (delay >= call.remaining) return false;
  await sleep(delay, call.controller.signal);
  return true;
}
