import { create } from "@bufbuild/protobuf";
import { type MetadataValue as WireValue, MetadataValueSchema } from "./gen/memoir/v1/common_pb.js";
import { Instant, type TimeInput } from "./instant.js";
import { invalid, shown } from "./invalid.js";

/**
 * What a metadata key holds. An integer is a number when it is safe (within ±(2^53 - 1)) and a bigint beyond, so no
 * digit is ever lost.
 */
export type MetadataValue = string | number | bigint | boolean | Instant | string[];

/** Plain object of metadata values. */
export type Metadata = Record<string, MetadataValue>;

/** What callers may write for a metadata value. See `double` for 64-bit floats that are whole numbers. */
export type MetadataInput = string | number | bigint | boolean | Exclude<TimeInput, string> | readonly string[] | Double;

/** A number to be stored as a double even when it is whole. Made by `double`. */
export class Double {
  constructor(readonly value: number) {}
}

/** Store a number as a double. JavaScript has one number type: a whole number without this is stored as an integer. */
export function double(value: number): Double {
  return new Double(value);
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/**
 * Convert one typed value. Whole safe numbers and bigints become integers, all other numbers doubles.
 *
 * @throws InvalidArgument a type the contract has no place for, or an integer beyond 64 bits
 */
export function metadataValueToProto(value: unknown, field: string): WireValue {
  return create(MetadataValueSchema, { kind: kindOf(value, field) });
}

function kindOf(value: unknown, field: string): WireValue["kind"] {
  switch (typeof value) {
    case "string":
      return { case: "stringValue", value };
    case "boolean":
      return { case: "boolValue", value };
    case "number":
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) return { case: "intValue", value: BigInt(value) };
      return { case: "doubleValue", value };
    case "bigint":
      if (value < INT64_MIN || value > INT64_MAX) {
        throw invalid(field, `${value} does not fit in 64 bits; store it as text`);
      }
      return { case: "intValue", value };
    default:
      break;
  }
  if (value instanceof Double) return { case: "doubleValue", value: value.value };
  if (value instanceof Date) return { case: "timestampValue", value: Instant.from(value, field).toProto() };
  if (Array.isArray(value) && value.every((item): item is string => typeof item === "string")) {
    return { case: "stringList", value: { $typeName: "memoir.v1.StringList", values: [...value] } };
  }
  if (typeof value === "object" && value !== null && "$typeName" in value) {
    return { case: "timestampValue", value: Instant.from(value as Exclude<TimeInput, string>, field).toProto() };
  }
  throw invalid(field, `${shown(value)} is not a string, number, bigint, boolean, Date or array of strings`);
}

/** Convert a whole metadata object; `undefined` is empty. */
export function metadataToProto(
  metadata: Readonly<Record<string, MetadataInput>> | undefined,
  field = "metadata",
): Record<string, WireValue> {
  return Object.fromEntries(
    Object.entries(metadata ?? {}).map(([key, value]) => {
      // The runtime of protobuf messages would drop it in silence.
      if (key === "__proto__") throw invalid(`${field}.${key}`, "this key cannot be sent from JavaScript; choose another");
      return [key, metadataValueToProto(value, `${field}.${key}`)];
    }),
  );
}

function metadataValueFromProto({ kind }: WireValue): MetadataValue | undefined {
  switch (kind.case) {
    case "stringValue":
    case "doubleValue":
    case "boolValue":
      return kind.value;
    case "intValue": {
      const number = Number(kind.value);
      return Number.isSafeInteger(number) ? number : kind.value;
    }
    case "timestampValue":
      return Instant.fromProto(kind.value);
    case "stringList":
      return [...kind.value.values];
    default:
      return undefined;
  }
}

/** Convert a metadata map to a plain object; values of a type unknown here are left out (see `.message`). */
export function metadataFromProto(metadata: Readonly<Record<string, WireValue>>): Metadata {
  const entries: [string, MetadataValue][] = [];
  for (const key of Object.keys(metadata).sort()) {
    const wire = metadata[key];
    const value = wire === undefined ? undefined : metadataValueFromProto(wire);
    if (value !== undefined) entries.push([key, value]);
  }
  return Object.fromEntries(entries);
}
