import { create, isMessage } from "@bufbuild/protobuf";
import { MEMORY_KIND } from "./enums.js";
import {
  type Filter,
  Filter_ComparisonSchema,
  Filter_FilterListSchema,
  Filter_Operator,
  FilterSchema,
  type MetadataValue,
  MetadataValueSchema,
} from "./gen/memoir/v1/common_pb.js";
import { Instant } from "./instant.js";
import { invalid, shown } from "./invalid.js";
import { type MetadataInput, metadataValueToProto } from "./metadata.js";

/** Comparisons of one field; all of them must hold. */
export interface Operators {
  readonly eq?: MetadataInput;
  readonly ne?: MetadataInput;
  readonly lt?: MetadataInput;
  readonly lte?: MetadataInput;
  readonly gt?: MetadataInput;
  readonly gte?: MetadataInput;
  /** The stored list of strings contains the constant. */
  readonly contains?: string;
  /** The stored string is one of the constants. */
  readonly in?: readonly string[];
  /** The field is present (true) or absent (false). */
  readonly exists?: boolean;
}

/**
 * A filter as data, the same in every SDK:
 *
 * ```
 * {topic: "travel"}                              metadata.topic equals "travel"
 * {score: {gt: 1, lt: 5}}                        several operators on one field: all hold
 * {topic: "travel", kind: "FACT"}                several fields: all hold
 * {and: [{score: {gt: 1}}, {score: {lt: 5}}]}    and / or / not nest
 * {not: {tags: {contains: "old"}}}
 * ```
 *
 * A key that names a built-in field (see `BUILT_IN_FIELDS`; snake_case as in the contract) means that field, any other
 * key means `metadata.<key>`; "metadata.text" reaches a metadata key with the name of a built-in field. The type of a
 * constant is its JavaScript type, except that a built-in time field takes RFC 3339 text too and `kind` takes a
 * `MemoryKind`.
 */
export interface FilterData {
  readonly and?: readonly FilterInput[];
  readonly or?: readonly FilterInput[];
  readonly not?: FilterInput;
  readonly [field: string]: MetadataInput | Operators | FilterInput | readonly FilterInput[] | undefined;
}

/** A filter as data, or the contract's own message for callers that already have one. */
export type FilterInput = FilterData | Filter;

const TIME_FIELDS: ReadonlySet<string> = new Set(["create_time", "update_time", "valid_from", "valid_until", "expire_time"]);

/** Fields of a memory a filter can name; any other name is a metadata key. */
export const BUILT_IN_FIELDS: ReadonlySet<string> = new Set([
  ...TIME_FIELDS,
  "memory_id",
  "text",
  "kind",
  "user_id",
  "agent_id",
  "session_id",
  "actor_id",
  "message_id",
  "importance",
]);

const OPERATORS: ReadonlyMap<string, Filter_Operator> = new Map([
  ["eq", Filter_Operator.EQUAL],
  ["ne", Filter_Operator.NOT_EQUAL],
  ["lt", Filter_Operator.LESS],
  ["lte", Filter_Operator.LESS_OR_EQUAL],
  ["gt", Filter_Operator.GREATER],
  ["gte", Filter_Operator.GREATER_OR_EQUAL],
  ["contains", Filter_Operator.CONTAINS],
  ["in", Filter_Operator.IN],
  ["exists", Filter_Operator.EXISTS],
]);
const COMBINATORS: ReadonlySet<string> = new Set(["and", "or", "not"]);
const METADATA = "metadata.";

/**
 * Convert a filter; `undefined` stays.
 *
 * @throws InvalidArgument an unknown operator, an empty object or array, a constant of no known type. The error names
 *   the place within the filter.
 */
export function filterToProto(data: FilterInput | undefined, path = "filter"): Filter | undefined {
  return data === undefined ? undefined : tree(data, path);
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || "$typeName" in value) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function tree(data: unknown, path: string): Filter {
  if (isMessage(data, FilterSchema)) return data;
  if (!isPlain(data)) throw invalid(path, `${shown(data)} is not an object such as {"topic": "travel"}`);
  const entries = Object.entries(data);
  if (entries.length === 0) throw invalid(path, "an empty object says nothing; leave the filter out");
  return allOf(entries.map(([key, value]) => entry(key, value, path)));
}

function entry(key: string, value: unknown, path: string): Filter {
  if (key === "") throw invalid(path, `"" is not the name of a field`);
  const here = `${path}.${key}`;
  if (key === "not") return create(FilterSchema, { form: { case: "not", value: tree(value, here) } });
  if (key === "and" || key === "or") {
    if (!Array.isArray(value) || value.length === 0) {
      throw invalid(here, `${shown(value)} is not an array of one or more filters`);
    }
    return list(key, value.map((child, index) => tree(child, `${here}[${index}]`)));
  }
  const name = fieldName(key, here);
  if (!isPlain(value)) return comparison(name, "eq", value, here);
  const operators = Object.entries(value);
  if (operators.length === 0) {
    throw invalid(here, `an empty object says nothing; use {"exists": true} to ask for presence`);
  }
  return allOf(operators.map(([operator, constant]) => comparison(name, operator, constant, here)));
}

function fieldName(key: string, path: string): string {
  if (BUILT_IN_FIELDS.has(key) || key.startsWith(METADATA)) return key;
  const snake = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  // A silent metadata comparison would match nothing, or with `ne` everything.
  if (snake !== key && BUILT_IN_FIELDS.has(snake)) {
    throw invalid(path, `write ${snake} for the built-in field, or ${METADATA}${key} for a metadata key`);
  }
  return METADATA + key;
}

function allOf(filters: Filter[]): Filter {
  const [only] = filters;
  return only !== undefined && filters.length === 1 ? only : list("and", filters);
}

function list(form: "and" | "or", filters: Filter[]): Filter {
  return create(FilterSchema, { form: { case: form, value: create(Filter_FilterListSchema, { filters }) } });
}

function comparison(name: string, operator: string, value: unknown, path: string): Filter {
  const number = OPERATORS.get(operator);
  if (number === undefined) {
    throw invalid(path, `${shown(operator)} is not an operator; use one of ${[...OPERATORS.keys()].join(", ")}`);
  }
  return create(FilterSchema, {
    form: {
      case: "compare",
      value: create(Filter_ComparisonSchema, {
        field: name,
        operator: number,
        value: constant(name, value, `${path}.${operator}`),
      }),
    },
  });
}

function constant(name: string, value: unknown, path: string): MetadataValue {
  if (value === undefined || value === null) {
    throw invalid(path, `${String(value)} is not a constant; use {"exists": false} to ask for absence`);
  }
  if (TIME_FIELDS.has(name) && typeof value === "string") {
    const time = Instant.from(value, path).toProto();
    return create(MetadataValueSchema, { kind: { case: "timestampValue", value: time } });
  }
  if (name === "kind") return metadataValueToProto(Array.isArray(value) ? value.map(kindName) : kindName(value), path);
  return metadataValueToProto(value, path);
}

function kindName(value: unknown): unknown {
  return typeof value === "string" ? MEMORY_KIND.fullName(value) : value;
}

/** A field to compare; every comparison returns a filter as data. Made by `field`. */
export class Field {
  readonly #key: string;

  constructor(name: string) {
    this.#key = COMBINATORS.has(name) ? METADATA + name : name;
  }

  #compare(operators: Operators): FilterData {
    return { [this.#key]: operators };
  }

  /** Equal. */
  eq(constant: MetadataInput): FilterData {
    return this.#compare({ eq: constant });
  }

  /** Not equal, or absent. */
  ne(constant: MetadataInput): FilterData {
    return this.#compare({ ne: constant });
  }

  /** Less than. */
  lt(constant: MetadataInput): FilterData {
    return this.#compare({ lt: constant });
  }

  /** Less than or equal. */
  lte(constant: MetadataInput): FilterData {
    return this.#compare({ lte: constant });
  }

  /** Greater than. */
  gt(constant: MetadataInput): FilterData {
    return this.#compare({ gt: constant });
  }

  /** Greater than or equal. */
  gte(constant: MetadataInput): FilterData {
    return this.#compare({ gte: constant });
  }

  /** The stored list of strings contains the constant. */
  contains(constant: string): FilterData {
    return this.#compare({ contains: constant });
  }

  /** The stored string is one of the constants. */
  in(constants: readonly string[]): FilterData {
    return this.#compare({ in: constants });
  }

  /** The field is present, or with `false` absent. */
  exists(present = true): FilterData {
    return this.#compare({ exists: present });
  }
}

/** Name a built-in field or a metadata key: `field("score").gt(1)` is `{score: {gt: 1}}`. */
export function field(name: string): Field {
  return new Field(name);
}

/** All hold. */
export function and(...filters: FilterInput[]): FilterData {
  return { and: filters };
}

/** At least one holds. */
export function or(...filters: FilterInput[]): FilterData {
  return { or: filters };
}

/** The filter does not hold. */
export function not(negated: FilterInput): FilterData {
  return { not: negated };
}
