import { Instant, MemoirError } from "@memoir/client";

// Durations are numbers of seconds here; the other SDK's have microseconds.
const DURATIONS: ReadonlySet<string> = new Set(["elapsed", "latency"]);

/**
 * Views: the objects the SDK returns, in a JSON form that is equal in all languages. Undefined and empty values are left
 * out; times are RFC 3339 in microseconds; every whole number is a decimal string, whatever its type; an error is its
 * code, reason and text. Messages of the contract are not part of a view, nor is the discriminator that tells the kinds of
 * a stream's items apart.
 */
export function view(value: unknown): string {
  return JSON.stringify(plain(isTagged(value) ? { ...value, type: undefined } : value));
}

const TAGS: ReadonlySet<unknown> = new Set(
  "started phase phaseFailed completed header memory event summary BOOKMARK".split(" "),
);

function isTagged(value: unknown): value is object {
  return typeof value === "object" && value !== null && "type" in value && TAGS.has(value.type);
}

function plain(value: unknown): unknown {
  switch (typeof value) {
    case "bigint":
      return value.toString();
    case "number":
      return Number.isInteger(value) ? BigInt(value).toString() : value;
    case "object":
      break;
    default:
      return value;
  }
  if (value === null) return undefined;
  if (value instanceof Date) return moment(Instant.from(value));
  if (value instanceof MemoirError) {
    return plain({ code: value.status.code, reason: value.reason, message: value.message });
  }
  if (Array.isArray(value)) return value.map(plain);
  const kept = Object.entries(value)
    .filter(([, item]) => !isMessage(item))
    .map(([key, item]): [string, unknown] => [
      key,
      DURATIONS.has(key) && typeof item === "number" ? plain(Math.round(item * 1e6) / 1e6) : plain(item),
    ])
    .filter(([, item]) => !isEmpty(item));
  return Object.fromEntries(kept);
}

function isMessage(value: unknown): boolean {
  return typeof value === "object" && value !== null && "$typeName" in value;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === "") return true;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function moment(value: Instant): string {
  const whole = new Date(Number(value.seconds) * 1_000).toISOString().slice(0, 19);
  const micros = Math.floor(value.nanos / 1_000);
  return `${whole}.${String(micros).padStart(6, "0")}Z`;
}
