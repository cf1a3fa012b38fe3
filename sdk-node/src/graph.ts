import { create } from "@bufbuild/protobuf";
import type * as wire from "./gen/memoir/v1/graph_pb.js";
import { EntityMentionSchema, RelationStatementSchema } from "./gen/memoir/v1/graph_pb.js";
import { given, refuseUnknown } from "./given.js";
import { type Instant, instant, type TimeInput, timestamp } from "./instant.js";
import { type Scope, scopeFromProto } from "./scope.js";
import { invalid, shown } from "./invalid.js";

/** An entity as one memory names it. `type` is lower snake case; "" means "thing". */
export interface EntityMention {
  readonly name: string;
  readonly type: string;
  readonly aliases: readonly string[];
}

/** A directed, dated statement of one memory: subject and object are names, predicate is UPPER_SNAKE case. */
export interface RelationStatement {
  readonly subject: string;
  readonly predicate: string;
  readonly object: string;
  /** 0..1; absent means 1. */
  readonly confidence: number | undefined;
  /** Absent means the memory's own. */
  readonly validFrom: Instant | undefined;
  readonly validUntil: Instant | undefined;
}

/** One end of a relation. */
export interface EntityRef {
  readonly entityId: string;
  readonly name: string;
  readonly type: string;
}

/** A person, place or thing that memories mention; it belongs to the owner of those memories. */
export interface Entity {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly aliases: readonly string[];
  readonly mentionCount: number;
  readonly owner: Scope;
  readonly message: wire.Entity;
}

/** A directed, dated edge between two entities; `memoryIds` are the memories it was taken from. */
export interface Relation {
  readonly id: string;
  readonly subject: EntityRef;
  readonly predicate: string;
  readonly object: EntityRef;
  readonly confidence: number;
  readonly validFrom: Instant | undefined;
  readonly validUntil: Instant | undefined;
  readonly memoryIds: readonly string[];
  /** The memories it came from were removed by a reset that kept the graph. */
  readonly sourceRemoved: boolean;
  readonly message: wire.Relation;
}

/** Entities reached by a walk, breadth-first, and the relations between them; `truncated` when it was cut short. */
export interface Neighbourhood {
  readonly entities: readonly Entity[];
  readonly relations: readonly Relation[];
  readonly truncated: boolean;
  readonly message: wire.TraverseGraphResponse;
}

/** An entity as callers write it: its name, or name, type and other spellings. */
export type EntityInput = string | { name: string; type?: string | undefined; aliases?: readonly string[] | undefined };

/** A relation as callers write it: an object, or [subject, predicate, object]. */
export type RelationInput =
  | readonly [subject: string, predicate: string, object: string]
  | {
      subject: string;
      predicate: string;
      object: string;
      confidence?: number | undefined;
      validFrom?: TimeInput | undefined;
      validUntil?: TimeInput | undefined;
    };

/** Convert mentions of entities. */
export function entitiesToProto(
  entities: Iterable<EntityInput> | null | undefined,
  path = "entities",
): wire.EntityMention[] {
  return Array.from(entities ?? [], (item, index) => {
    const { name, type, aliases, ...unknown } = typeof item === "string" ? { name: item } : item;
    refuseUnknown(`${path}[${index}]`, unknown);
    return create(EntityMentionSchema, given({ name, type, aliases: aliases === undefined ? undefined : [...aliases] }));
  });
}

function isTriple(item: RelationInput): item is readonly [string, string, string] {
  return Array.isArray(item);
}

/** Convert statements of relations. */
export function relationsToProto(
  relations: Iterable<RelationInput> | null | undefined,
  path = "relations",
): wire.RelationStatement[] {
  return Array.from(relations ?? [], (item, index) => {
    const here = `${path}[${index}]`;
    if (isTriple(item)) {
      if (item.length !== 3) throw invalid(here, `${shown(item)} is not [subject, predicate, object]`);
      const [subject, predicate, object] = item;
      return create(RelationStatementSchema, { subject, predicate, object });
    }
    const { subject, predicate, object, confidence, validFrom, validUntil, ...unknown } = item;
    refuseUnknown(here, unknown);
    return create(
      RelationStatementSchema,
      given({
        subject,
        predicate,
        object,
        confidence,
        validFrom: timestamp(validFrom, `${here}.validFrom`),
        validUntil: timestamp(validUntil, `${here}.validUntil`),
      }),
    );
  });
}

/** Convert a mention. */
export function mentionFromProto(message: wire.EntityMention): EntityMention {
  return { name: message.name, type: message.type, aliases: [...message.aliases] };
}

/** Convert a statement. */
export function statementFromProto(message: wire.RelationStatement): RelationStatement {
  return {
    subject: message.subject,
    predicate: message.predicate,
    object: message.object,
    confidence: message.confidence,
    validFrom: instant(message.validFrom),
    validUntil: instant(message.validUntil),
  };
}

function refFromProto(message: wire.EntityRef | undefined): EntityRef {
  return { entityId: message?.entityId ?? "", name: message?.name ?? "", type: message?.type ?? "" };
}

/** Convert an entity. */
export function entityFromProto(message: wire.Entity): Entity {
  return {
    id: message.entityId,
    name: message.name,
    type: message.type,
    aliases: [...message.aliases],
    mentionCount: message.mentionCount,
    owner: scopeFromProto(message.owner),
    message,
  };
}

/** Convert a relation. */
export function relationFromProto(message: wire.Relation): Relation {
  return {
    id: message.relationId,
    subject: refFromProto(message.subject),
    predicate: message.predicate,
    object: refFromProto(message.object),
    confidence: message.confidence,
    validFrom: instant(message.validFrom),
    validUntil: instant(message.validUntil),
    memoryIds: [...message.memoryIds],
    sourceRemoved: message.sourceRemoved,
    message,
  };
}

/** Convert the result of a walk. */
export function neighbourhoodFromProto(message: wire.TraverseGraphResponse): Neighbourhood {
  return {
    entities: message.entities.map(entityFromProto),
    relations: message.relations.map(relationFromProto),
    truncated: message.truncated,
    message,
  };
}
