import { RETRY_METHODS, RETRY_POLICY } from "./embedded.js";
import type { MemoirError } from "./errors.js";

/** Attempts a call may take in all. */
export const MAX_ATTEMPTS = RETRY_POLICY.max_attempts;

/** Say whether a call of `package.Service/Method` may be made more than once. */
export function mayRepeat(method: string, hasRequestId: boolean): boolean {
  const rule = RETRY_METHODS[method] ?? "never";
  return rule === "always" || (rule === "with_request_id" && hasRequestId);
}

/** Say whether the same call may succeed later. */
export function isTransient(error: MemoirError): boolean {
  if (RETRY_POLICY.retry_info_required.includes(error.code) && error.retryDelay === undefined) return false;
  return RETRY_POLICY.retryable_codes.includes(error.code);
}

/** Milliseconds to wait after the given number of failures in a row (1 or more). */
export function retryDelayMs(error: MemoirError, failures: number): number {
  if (error.retryDelay !== undefined) return error.retryDelay * 1_000;
  const { initial_backoff_ms, multiplier, max_backoff_ms, jitter } = RETRY_POLICY;
  const backoff = Math.min(initial_backoff_ms * multiplier ** (failures - 1), max_backoff_ms);
  return backoff * (1 + jitter * (2 * Math.random() - 1));
}
