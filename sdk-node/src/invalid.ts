import { InvalidArgument } from "./errors.js";

/** Build the error for an argument the client itself refuses, shaped like the server's. */
export function invalid(field: string, description: string): InvalidArgument {
  return new InvalidArgument(`${field}: ${description}`, {
    code: "INVALID_ARGUMENT",
    reason: "FIELD_INVALID",
    metadata: { field },
    fieldViolations: [{ field, description, rule: "" }],
  });
}

/** Show a value in an error message. */
export function shown(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "object" || value === null) return String(value);
  // Bigints make JSON.stringify throw.
  return JSON.stringify(value, (_, item: unknown) => (typeof item === "bigint" ? `${item}n` : item)).slice(0, 200);
}
