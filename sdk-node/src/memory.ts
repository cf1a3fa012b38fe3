import { create } from "@bufbuild/protobuf";
import {
  CHANGE_ACTION,
  type ChangeAction,
  DURABILITY,
  type Durability,
  MEMORY_KIND,
  type MemoryKind,
  ROLE,
  type Role,
} from "./enums.js";
import type * as wire from "./gen/memoir/v1/memory_pb.js";
import { MemorySchema } from "./gen/memoir/v1/memory_pb.js";
import { type EntityMention, mentionFromProto, type RelationStatement, statementFromProto } from "./graph.js";
import { type Instant, instant } from "./instant.js";
import { type Metadata, metadataFromProto } from "./metadata.js";
import { type Scope, scopeFromProto } from "./scope.js";

/** Where a memory came from: the message, its speaker, and the words (`quote`) it rests on. */
export interface Provenance {
  readonly sessionId: string;
  readonly messageId: string;
  readonly role: Role;
  readonly actorId: string;
  readonly quote: string;
  readonly createTime: Instant | undefined;
}

/** One durable statement, as one version of it. */
export interface Memory {
  /** Identity within the namespace (`memory_id` in the contract). */
  readonly id: string;
  readonly namespace: string;
  readonly text: string;
  readonly kind: MemoryKind;
  readonly scope: Scope;
  readonly metadata: Metadata;
  /** Weight in ranking, 0..1; absent when the server decides. */
  readonly importance: number | undefined;
  /** When the statement became true in the world, inclusive. */
  readonly validFrom: Instant | undefined;
  /** When it stopped being true, exclusive. */
  readonly validUntil: Instant | undefined;
  /** Moment from which the memory is gone. */
  readonly expireTime: Instant | undefined;
  /** When it was said. */
  readonly createTime: Instant | undefined;
  /** Commit time of the last change. */
  readonly updateTime: Instant | undefined;
  readonly provenance: readonly Provenance[];
  /** Present in view FULL only. */
  readonly entities: readonly EntityMention[];
  /** Present in view FULL only. */
  readonly relations: readonly RelationStatement[];
  /** Send it back to make a change conditional. */
  readonly etag: string;
  /** Namespace revision of the last change. */
  readonly revision: bigint;
  /** Ids of the memories this one replaced. */
  readonly supersedes: readonly string[];
  /** Id of the memory that replaced this one; "" when none did. */
  readonly supersededBy: string;
  /** How often it was returned; present where `includeAccess` was asked for and the server counts. */
  readonly accessCount: bigint | undefined;
  /** When it was last returned; absent when it never was. */
  readonly lastAccessTime: Instant | undefined;
  /** The message as received; unknown fields and unknown enum numbers survive in it. */
  readonly message: wire.Memory;
}

/** A memory as `create` or `update` left it, and what the write did. */
export interface WrittenMemory<R> extends Memory {
  /**
   * Of `create`: the memory ADDED (UNCHANGED when it was known already), and each one SUPERSEDED by it. Empty for
   * `update`.
   */
  readonly changes: readonly MemoryChange[];
  /** Of `create`: set when a memory said this already. Unless `duplicate.stored`, this is that memory. */
  readonly duplicate: Duplicate | undefined;
  /** How far the write has got. */
  readonly durability: Durability;
  /** Pass as `minRevision` to a read to see this write. */
  readonly writeRevision: bigint;
  /** The response as received. */
  readonly response: R;
}

/** The memory that already says what a write wanted to store. */
export interface Duplicate {
  readonly memoryId: string;
  /** It says the same; else nearly, with `cosine` between the two texts. */
  readonly exact: boolean;
  readonly cosine: number | undefined;
  /** The new memory was stored all the same, since it came with an id of its own or supersedes another. */
  readonly stored: boolean;
}

/** One decision about one memory; `memory` is its state after the change. */
export interface MemoryChange {
  readonly action: ChangeAction;
  readonly memory: Memory;
  /** Text before the change, for UPDATED and SUPERSEDED. */
  readonly previousText: string;
  readonly reason: string;
  /** The words in the conversation that led to it. */
  readonly sourceQuote: string;
  /** Set when a memory said this already: that of UNCHANGED itself, another one for ADDED. */
  readonly duplicate: Duplicate | undefined;
}

/** Convert a memory; an absent one, which no server sends, is empty. */
export function memoryFromProto(received: wire.Memory | undefined): Memory {
  const message = received ?? create(MemorySchema);
  return {
    id: message.memoryId,
    namespace: message.namespace,
    text: message.text,
    kind: MEMORY_KIND.decode(message.kind),
    scope: scopeFromProto(message.scope),
    metadata: metadataFromProto(message.metadata),
    importance: message.importance,
    validFrom: instant(message.validFrom),
    validUntil: instant(message.validUntil),
    expireTime: instant(message.expireTime),
    createTime: instant(message.createTime),
    updateTime: instant(message.updateTime),
    provenance: message.provenance.map(provenanceFromProto),
    entities: message.entities.map(mentionFromProto),
    relations: message.relations.map(statementFromProto),
    etag: message.etag,
    revision: message.revision,
    supersedes: [...message.supersedes],
    supersededBy: message.supersededBy,
    accessCount: message.accessCount,
    lastAccessTime: instant(message.lastAccessTime),
    message,
  };
}

function provenanceFromProto(message: wire.Provenance): Provenance {
  return {
    sessionId: message.sessionId,
    messageId: message.messageId,
    role: ROLE.decode(message.role),
    actorId: message.actorId,
    quote: message.quote,
    createTime: instant(message.createTime),
  };
}

/** Convert the response of CreateMemory or UpdateMemory. */
export function writtenFromProto<R extends wire.CreateMemoryResponse | wire.UpdateMemoryResponse>(
  response: R,
): WrittenMemory<R> {
  const changes = "changes" in response ? response.changes.map(changeFromProto) : [];
  return {
    ...memoryFromProto(response.memory),
    changes,
    duplicate: changes[0]?.duplicate,
    durability: DURABILITY.decode(response.durability),
    writeRevision: response.revision,
    response,
  };
}

/** Convert a change. */
export function changeFromProto(message: wire.MemoryChange): MemoryChange {
  return {
    action: CHANGE_ACTION.decode(message.action),
    memory: memoryFromProto(message.memory),
    previousText: message.previousText,
    reason: message.reason,
    sourceQuote: message.sourceQuote,
    duplicate: duplicateFromProto(message.duplicate),
  };
}

/** Convert a duplicate. */
export function duplicateFromProto(message: wire.Duplicate | undefined): Duplicate | undefined {
  if (message === undefined) return undefined;
  const { memoryId, exact, cosine, stored } = message;
  return { memoryId, exact, cosine: cosine === 0 ? undefined : cosine, stored };
}
