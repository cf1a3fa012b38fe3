import { randomBytes } from "node:crypto";

/** The part of `@opentelemetry/api` that is used here. */
export interface OpenTelemetry {
  readonly context: { active(): unknown };
  readonly propagation: { inject(context: unknown, carrier: Record<string, string>): void };
}

const OPENTELEMETRY = "@opentelemetry/api";

async function loadOpenTelemetry(): Promise<OpenTelemetry | undefined> {
  try {
    // The name is not a literal, because the package is optional and compilers and bundlers must not insist on it.
    return (await import(OPENTELEMETRY)) as OpenTelemetry;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

let installed: Promise<OpenTelemetry | undefined> | undefined;

/** Return a new sampled `traceparent`, so that a call without a span of its own still has a trace to look up. */
export function freshTraceparent(): string {
  return `00-${randomBytes(16).toString("hex")}-${randomBytes(8).toString("hex")}-01`;
}

/**
 * Return the headers that carry the trace context: the caller's when OpenTelemetry is in use, a fresh one otherwise.
 *
 * @param opentelemetry the API to ask; by default `@opentelemetry/api`, when it is installed
 */
export async function traceHeaders(opentelemetry?: OpenTelemetry): Promise<Record<string, string>> {
  const api = opentelemetry ?? (await (installed ??= loadOpenTelemetry()));
  const carrier: Record<string, string> = {};
  api?.propagation.inject(api.context.active(), carrier);
  return "traceparent" in carrier ? carrier : { traceparent: freshTraceparent() };
}
