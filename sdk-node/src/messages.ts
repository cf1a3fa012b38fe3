import { create } from "@bufbuild/protobuf";
import { type FieldMask, FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { MEMORY_KIND, type MemoryKind, ROLE, type Role } from "./enums.js";
import * as wire from "./gen/memoir/v1/memory_pb.js";
import { given, refuseUnknown } from "./given.js";
import { entitiesToProto, type EntityInput, type RelationInput, relationsToProto } from "./graph.js";
import { type TimeInput, timestamp } from "./instant.js";
import { type MetadataInput, metadataToProto } from "./metadata.js";
import { type ScopeOptions, scopeToProto } from "./scope.js";
import { invalid, shown } from "./invalid.js";

type RoleInput = Role | Lowercase<"USER" | "ASSISTANT" | "SYSTEM" | "TOOL">;

/** One turn of a conversation. */
export interface MessageInput {
  /** "user", "assistant", "system" or "tool", in any case. */
  role: RoleInput;
  content: string;
  /** Speaker's id or name. */
  actorId?: string | undefined;
  /** Caller's id of the message, returned in provenance. */
  messageId?: string | undefined;
  /** When it was said; absent means now. May lie in the past. */
  createTime?: TimeInput | undefined;
  /** Bytes of PNG, JPEG, GIF or WebP files: mode INFER has a model describe them. */
  images?: Iterable<Uint8Array> | undefined;
}

/** Where a memory came from, as callers write it. */
export interface ProvenanceInput {
  sessionId?: string | undefined;
  messageId?: string | undefined;
  role?: RoleInput | undefined;
  actorId?: string | undefined;
  quote?: string | undefined;
  createTime?: TimeInput | undefined;
}

/** What a memory can be created with, beside its text and scope. */
export interface MemoryFields {
  /** FACT when absent. */
  kind?: MemoryKind | undefined;
  metadata?: Readonly<Record<string, MetadataInput>> | undefined;
  entities?: Iterable<EntityInput> | undefined;
  relations?: Iterable<RelationInput> | undefined;
  /** Weight in ranking, 0..1; absent means the server decides. */
  importance?: number | undefined;
  /** When the statement became true in the world, inclusive. */
  validFrom?: TimeInput | undefined;
  /** When it stopped being true, exclusive. */
  validUntil?: TimeInput | undefined;
  /** Moment from which the memory is gone. */
  expireTime?: TimeInput | undefined;
  /** When it was said; absent means now. */
  createTime?: TimeInput | undefined;
  provenance?: Iterable<ProvenanceInput> | undefined;
}

/** One item of `createMany`: the text and the options of `create`. */
export interface NewMemory extends ScopeOptions, MemoryFields {
  text: string;
  /** Id wanted; absent means one made by the server. */
  memoryId?: string | undefined;
  /** Ids of memories this one contradicts; they are closed at its validFrom. */
  supersedes?: Iterable<string> | undefined;
}

/** Fields of a memory that can change: absent stays as it is, `null` clears. */
export type MemoryChanges = { [K in keyof MemoryFields]: MemoryFields[K] | null } & { text?: string | undefined };

/** Convert the turns of a conversation; a plain string is one turn of the user. */
export function messagesToProto(messages: string | MessageInput | Iterable<MessageInput>): wire.Message[] {
  const turns: Iterable<MessageInput> =
    typeof messages === "string"
      ? [{ role: "user", content: messages }]
      : Symbol.iterator in messages
        ? messages
        : [messages];
  return Array.from(turns, (turn, index) => {
    const path = `messages[${index}]`;
    if (typeof turn !== "object" || turn === null) throw invalid(path, `${shown(turn)} is not an object`);
    const { role, content, actorId, messageId, createTime, images, ...unknown } = turn;
    refuseUnknown(path, unknown);
    return create(
      wire.MessageSchema,
      given({
        role: ROLE.encode(role, `${path}.role`),
        content,
        actorId,
        messageId,
        createTime: timestamp(createTime, `${path}.createTime`),
        images: imagesToProto(images, `${path}.images`),
      }),
    );
  });
}

function imagesToProto(images: Iterable<Uint8Array> | undefined, path: string): wire.Image[] {
  return Array.from(images ?? [], (data, index) => {
    if (!(data instanceof Uint8Array)) throw invalid(`${path}[${index}]`, `${shown(data)} is not the bytes of an image`);
    return create(wire.ImageSchema, { data });
  });
}

function provenanceToProto(items: Iterable<ProvenanceInput> | null | undefined, path: string): wire.Provenance[] {
  return Array.from(items ?? [], (item, index) => {
    const here = `${path}[${index}]`;
    const { sessionId, messageId, role, actorId, quote, createTime, ...unknown } = item;
    refuseUnknown(here, unknown);
    return create(
      wire.ProvenanceSchema,
      given({
        sessionId,
        messageId,
        role: ROLE.encode(role, `${here}.role`),
        actorId,
        quote,
        createTime: timestamp(createTime, `${here}.createTime`),
      }),
    );
  });
}

/** What CreateMemory and each item of BatchCreateMemories have in common. */
export interface NewMemoryParts {
  memoryId: string;
  memory: wire.Memory;
  supersedes: string[];
}

/**
 * Convert a new memory.
 *
 * @param path place of the item for error messages; "" for the only one
 */
export function newMemoryToProto(item: NewMemory, path = ""): NewMemoryParts {
  const prefix = path === "" ? "" : `${path}.`;
  const { text, userId, agentId, sessionId, memoryId, supersedes, ...rest } = item;
  const { kind, metadata, entities, relations, ...others } = rest;
  const { importance, validFrom, validUntil, expireTime, createTime, provenance, ...unknown } = others;
  refuseUnknown(path === "" ? "create" : path, unknown);
  const memory = create(
    wire.MemorySchema,
    given({
      text,
      kind: MEMORY_KIND.encode(kind, `${prefix}kind`),
      scope: scopeToProto({ userId, agentId, sessionId }),
      metadata: metadataToProto(metadata, `${prefix}metadata`),
      importance,
      validFrom: timestamp(validFrom, `${prefix}validFrom`),
      validUntil: timestamp(validUntil, `${prefix}validUntil`),
      expireTime: timestamp(expireTime, `${prefix}expireTime`),
      createTime: timestamp(createTime, `${prefix}createTime`),
      provenance: provenanceToProto(provenance, `${prefix}provenance`),
      entities: entitiesToProto(entities, `${prefix}entities`),
      relations: relationsToProto(relations, `${prefix}relations`),
    }),
  );
  return { memoryId: memoryId ?? "", memory, supersedes: [...(supersedes ?? [])] };
}

/** Fields of the contract's mask, in its order, by option name. */
const MASK_PATHS = [
  ["text", "text"],
  ["kind", "kind"],
  ["metadata", "metadata"],
  ["importance", "importance"],
  ["validFrom", "valid_from"],
  ["validUntil", "valid_until"],
  ["expireTime", "expire_time"],
  ["createTime", "create_time"],
  ["provenance", "provenance"],
  ["entities", "entities"],
  ["relations", "relations"],
] as const satisfies readonly (readonly [keyof MemoryChanges, string])[];

/**
 * Build the new values and the mask of an update. Absent fields stay out of both; `null` clears a field.
 *
 * @throws InvalidArgument nothing is to change, or an option is unknown
 */
export function changesToProto(changes: MemoryChanges): { memory: wire.Memory; updateMask: FieldMask } {
  const paths = MASK_PATHS.filter(([name]) => changes[name] !== undefined).map(([, path]) => path);
  const known = new Set<string>(MASK_PATHS.map(([name]) => name));
  const unknown = Object.entries(changes).filter(([name]) => !known.has(name));
  refuseUnknown("update", Object.fromEntries(unknown));
  if (paths.length === 0) {
    throw invalid("updateMask", `nothing to change; give at least one of ${[...known].join(", ")}`);
  }
  const values = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== null));
  const { memory } = newMemoryToProto({ text: "", ...given(values) });
  return { memory, updateMask: create(FieldMaskSchema, { paths }) };
}
