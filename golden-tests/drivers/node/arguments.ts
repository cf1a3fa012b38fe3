import { create, type DescEnum } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import {
  BUILT_IN_FIELDS,
  double,
  type FilterData,
  type FilterInput,
  Instant,
  type MemoryFields,
  type MessageInput,
  type MetadataInput,
  type MomentInput,
  type NewMemory,
  type ScopeOptions,
  type SearchOptions,
} from "@memoir/client";
import {
  type AsOf,
  type Filter,
  Filter_Operator,
  type MetadataValue,
  type Scope,
  ScopeSchema,
  type TimeRange,
} from "@memoir/client/gen/memoir/v1/common_pb.js";
import { type Memory, type Message, RoleSchema, MemoryKindSchema, MemoryViewSchema } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { FusionSchema, RecipeSchema, type SearchSpec } from "@memoir/client/gen/memoir/v1/search_pb.js";

// From the corpus's request messages to the arguments a user of the SDK would write.

const OPERATORS: Readonly<Record<number, string>> = {
  [Filter_Operator.EQUAL]: "eq",
  [Filter_Operator.NOT_EQUAL]: "ne",
  [Filter_Operator.LESS]: "lt",
  [Filter_Operator.LESS_OR_EQUAL]: "lte",
  [Filter_Operator.GREATER]: "gt",
  [Filter_Operator.GREATER_OR_EQUAL]: "gte",
  [Filter_Operator.CONTAINS]: "contains",
  [Filter_Operator.IN]: "in",
  [Filter_Operator.EXISTS]: "exists",
};

/** The ids of a scope, as far as they are set. */
export function scope(value: Scope = create(ScopeSchema)): ScopeOptions {
  return { userId: value.userId, agentId: value.agentId, sessionId: value.sessionId };
}

/** The contract's name of an enum value; `undefined` when it is not set. */
export function enumName(schema: DescEnum, number: number): string | undefined {
  return number === 0 ? undefined : (schema.value[number]?.name ?? String(number));
}

/** A duration in seconds. */
export function seconds(value: Duration | undefined): number | undefined {
  return value === undefined ? undefined : Number(value.seconds) + value.nanos / 1e9;
}

/** A moment with all its nanoseconds. */
export function moment(value: ReturnType<Instant["toProto"]> | undefined): Instant | undefined {
  return value === undefined ? undefined : Instant.fromProto(value);
}

function metadataValue({ kind }: MetadataValue): MetadataInput {
  switch (kind.case) {
    case "doubleValue":
      return double(kind.value);
    case "timestampValue":
      return Instant.fromProto(kind.value);
    case "stringList":
      return kind.value.values;
    case undefined:
      throw new Error("the corpus holds a metadata value without a value");
    default:
      return kind.value;
  }
}

/** A metadata map as a plain object. */
export function metadata(values: Readonly<Record<string, MetadataValue>>): Record<string, MetadataInput> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, metadataValue(value)]));
}

/** A filter as data; the contract's own message where the data form has no name for one of its fields. */
export function filterData(value: Filter | undefined): FilterInput | undefined {
  if (value === undefined) return undefined;
  return isSayable(value) ? tree(value) : value;
}

function isSayable({ form }: Filter): boolean {
  switch (form.case) {
    case "and":
    case "or":
      return form.value.filters.every(isSayable);
    case "not":
      return isSayable(form.value);
    case "compare":
      return BUILT_IN_FIELDS.has(form.value.field) || form.value.field.startsWith("metadata.");
    default:
      return false;
  }
}

function tree({ form }: Filter): FilterData {
  switch (form.case) {
    case "and":
      return { and: form.value.filters.map(tree) };
    case "or":
      return { or: form.value.filters.map(tree) };
    case "not":
      return { not: tree(form.value) };
    case "compare": {
      const { field, operator, value } = form.value;
      if (value === undefined) throw new Error("the corpus holds a comparison without a constant");
      return { [field]: { [OPERATORS[operator] ?? String(operator)]: metadataValue(value) } };
    }
    default:
      throw new Error("the corpus holds an empty filter");
  }
}

/** The moment of a read in the past. */
export function asOf(value: AsOf | undefined): MomentInput | undefined {
  return value?.moment.case === "time" ? Instant.fromProto(value.moment.value) : value?.moment.value;
}

/** A time range as the pair of moments that stands for it. */
export function range(value: TimeRange | undefined): [Instant | undefined, Instant | undefined] {
  return [moment(value?.startTime), moment(value?.endTime)];
}

/** The fields of a memory that can be written, apart from its text and scope. */
export function memoryFields(memory: Memory): MemoryFields {
  return {
    kind: enumName(MemoryKindSchema, memory.kind),
    metadata: metadata(memory.metadata),
    importance: memory.importance,
    validFrom: moment(memory.validFrom),
    validUntil: moment(memory.validUntil),
    expireTime: moment(memory.expireTime),
    createTime: moment(memory.createTime),
    provenance: memory.provenance.map((item) => ({
      sessionId: item.sessionId,
      messageId: item.messageId,
      role: enumName(RoleSchema, item.role),
      actorId: item.actorId,
      quote: item.quote,
      createTime: moment(item.createTime),
    })),
    entities: memory.entities.map(({ name, type, aliases }) => ({ name, type, aliases })),
    relations: memory.relations.map((item) => ({
      subject: item.subject,
      predicate: item.predicate,
      object: item.object,
      confidence: item.confidence,
      validFrom: moment(item.validFrom),
      validUntil: moment(item.validUntil),
    })),
  };
}

/** Text and options of `create` that a memory stands for. */
export function newMemory(memory: Memory): NewMemory {
  return { text: memory.text, ...scope(memory.scope), ...memoryFields(memory) };
}

/** A conversation turn. */
export function message(value: Message): MessageInput {
  return {
    role: enumName(RoleSchema, value.role) ?? "UNSPECIFIED",
    content: value.content,
    actorId: value.actorId,
    messageId: value.messageId,
    createTime: moment(value.createTime),
    images: value.images.map((image) => image.data),
  };
}

/** The options that `search`, `searchStream` and `context` have in common. */
export function search(spec: SearchSpec): SearchOptions {
  const [createdAfter, createdBefore] = range(spec.createTimeRange);
  return {
    ...scope(spec.scope),
    limit: spec.limit,
    filter: filterData(spec.filter),
    createdAfter,
    createdBefore,
    minScore: spec.minScore,
    recipe: enumName(RecipeSchema, spec.recipe) as SearchOptions["recipe"],
    fusion: enumName(FusionSchema, spec.fusion) as SearchOptions["fusion"],
    rerank: spec.rerank,
    graphDepth: spec.graphDepth,
    asOf: asOf(spec.asOf),
    validAt: moment(spec.validAt),
    includeSuperseded: spec.includeSuperseded,
    explain: spec.explain,
    view: enumName(MemoryViewSchema, spec.view),
    minRevision: spec.minRevision,
  };
}
