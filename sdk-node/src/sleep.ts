import { Cancelled } from "./errors.js";

/**
 * Wait.
 *
 * @throws Cancelled the signal was aborted, before or meanwhile
 */
export function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(cancelled(signal?.reason));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, milliseconds);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function cancelled(reason: unknown): Cancelled {
  return reason instanceof Cancelled ? reason : new Cancelled("the call was aborted", { code: "CANCELLED", cause: reason });
}
