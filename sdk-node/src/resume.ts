import { IncompleteStream, MemoirError } from "./errors.js";
import { isTransient, retryDelayMs } from "./retry.js";
import { sleep } from "./sleep.js";

/** Seconds without any response after which a broken stream is given up, unless the caller says otherwise. */
export const RECONNECT_TIMEOUT = 60;

/** How a stream is opened again. Times are in seconds. */
export interface Resumption<T> {
  /** Opens the stream where it broke, given the seconds left and the failed attempts since the last response. */
  readonly open: (timeout: number | undefined, failures: number) => AsyncIterable<T>;
  /** For the whole; `undefined` means no limit. */
  readonly timeout: number | undefined;
  /** Without any response; `null` means never give up. */
  readonly reconnectTimeout: number | null;
  /** Says whether a response ends the stream; an end without one counts as a break. */
  readonly isLast: (response: T) => boolean;
  /** Sees each error that leads to another attempt. */
  readonly onError?: (error: MemoirError) => void;
  /** Ends the wait between two attempts with `Cancelled`. */
  readonly signal: AbortSignal;
}

/**
 * Yield the responses of a stream that is opened again whenever it breaks.
 *
 * @throws MemoirError an error that does not pass, or one that lasted longer than `reconnectTimeout`
 */
export async function* resumed<T>(how: Resumption<T>): AsyncGenerator<T, void, undefined> {
  const begin = performance.now();
  const { timeout, reconnectTimeout } = how;
  let alive = begin;
  let failures = 0;
  let complete = false;
  for (;;) {
    let error: MemoirError;
    try {
      const left = timeout === undefined ? undefined : Math.max(timeout - (performance.now() - begin) / 1_000, 0.001);
      for await (const response of how.open(left, failures)) {
        failures = 0;
        complete = how.isLast(response);
        yield response;
        // The consumer's own time between two steps is not silence of the server.
        alive = performance.now();
      }
      if (complete) return;
      error = new IncompleteStream("the stream ended before its last message", { code: "DATA_LOSS" });
    } catch (cause) {
      if (!(cause instanceof MemoirError)) throw cause;
      if (complete) return;
      if (!isTransient(cause)) throw cause;
      error = cause;
    }
    how.onError?.(error);
    failures += 1;
    const next = performance.now() + retryDelayMs(error, failures);
    if (reconnectTimeout !== null && next - alive > reconnectTimeout * 1_000) throw error;
    if (timeout !== undefined && next - begin >= timeout * 1_000) throw error;
    await sleep(next - performance.now(), how.signal);
  }
}
