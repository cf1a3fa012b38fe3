import { create } from "@bufbuild/protobuf";
import { ADD_MODE, type AddMode, DURABILITY } from "../enums.js";
import * as wire from "../gen/memoir/v1/memory_pb.js";
import { given, refuseUnknown } from "../given.js";
import { type WrittenMemory, writtenFromProto } from "../memory.js";
import {
  changesToProto,
  type MemoryChanges,
  type MemoryFields,
  type MessageInput,
  messagesToProto,
  type NewMemory,
  newMemoryToProto,
} from "../messages.js";
import { type MetadataInput, metadataToProto } from "../metadata.js";
import {
  type AddResult,
  addResultFromProto,
  CreateManyResult,
  type DeleteResult,
  deleteResultFromProto,
} from "../results.js";
import { type ScopeOptions, scopeToProto } from "../scope.js";
import { requestIdOrNew, Service, type WriteOptions } from "./service.js";

/** Options of `add`. */
export interface AddOptions extends ScopeOptions, WriteOptions {
  /** "INFER" extracts facts, "VERBATIM" keeps each turn; absent lets the server choose. */
  mode?: AddMode | undefined;
  /** Copied onto every memory produced. */
  metadata?: Readonly<Record<string, MetadataInput>> | undefined;
  /** Extra instruction for the extraction. */
  instruction?: string | undefined;
  /** Compute the changes, store nothing. */
  validateOnly?: boolean | undefined;
}

/** Options of `create`. */
export interface CreateOptions extends Omit<NewMemory, "text">, MemoryFields, WriteOptions {}

/** Options of `createMany`. */
export interface CreateManyOptions extends WriteOptions {
  /** Store the good items, report the bad ones in `results`. */
  allowPartial?: boolean | undefined;
}

/** Options of `update`. */
export type UpdateOptions = MemoryChanges &
  WriteOptions & {
    /** The memory's etag as read; the update fails when the memory changed since. */
    etag?: string | undefined;
    /** Why, for the history. */
    reason?: string | undefined;
  };

/** Options of `deleteMany`. */
export interface DeleteManyOptions extends WriteOptions {
  /** Why, for the history. */
  reason?: string | undefined;
  /** Pass over what does not exist. */
  allowMissing?: boolean | undefined;
}

/** Options of `delete`. */
export interface DeleteOptions extends DeleteManyOptions {
  /** The memory's etag as read; the delete fails when the memory changed since. */
  etag?: string | undefined;
}

/** Methods that write. */
export abstract class Writes extends Service {
  /**
   * Remember a conversation. In mode VERBATIM a message that was sent before (same messageId, or same given createTime,
   * and same words) comes back as UNCHANGED.
   *
   * @param messages turns, oldest first; a plain string is one turn of the user
   * @param options `userId` or `agentId` is required
   * @throws InvalidArgument, FeatureDisabled, RequestIdReused, and the errors of any call
   */
  async add(messages: string | MessageInput | Iterable<MessageInput>, options: AddOptions): Promise<AddResult> {
    const { timeout, signal, userId, agentId, sessionId, requestId, durability, ...rest } = options;
    const { mode, metadata, instruction, validateOnly, ...unknown } = rest;
    refuseUnknown("add", unknown);
    const request = create(
      wire.AddMemoriesRequestSchema,
      given({
        namespace: this.namespace,
        scope: scopeToProto({ userId, agentId, sessionId }),
        messages: messagesToProto(messages),
        mode: ADD_MODE.encode(mode, "mode"),
        metadata: metadataToProto(metadata),
        instruction,
        durability: DURABILITY.encode(durability, "durability"),
        validateOnly,
        requestId: requestIdOrNew(requestId),
      }),
    );
    const method = wire.MemoryService.method.addMemories;
    return addResultFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Store one memory as given, and return it as stored. When a memory says the same already, nothing is stored and that
   * memory is returned, with `duplicate` set; a `memoryId` or `supersedes` has it stored in any case.
   *
   * @param options `userId` or `agentId` is required
   * @throws InvalidArgument, MemoryAlreadyExists, MemoryNotFound (of `supersedes`), RequestIdReused
   */
  async create(text: string, options: CreateOptions): Promise<WrittenMemory<wire.CreateMemoryResponse>> {
    const { timeout, signal, requestId, durability, ...memory } = options;
    const request = create(wire.CreateMemoryRequestSchema, {
      namespace: this.namespace,
      ...newMemoryToProto({ ...memory, text }),
      durability: DURABILITY.encode(durability, "durability"),
      requestId: requestIdOrNew(requestId),
    });
    const method = wire.MemoryService.method.createMemory;
    return writtenFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Store up to 500 memories as given: all or nothing, or with `allowPartial` each for itself. What `create` says of
   * memories that say the same holds for each item, earlier items included.
   *
   * @param items text and options of `create`; `supersedes` may name earlier items
   * @throws as `create`, for the first bad item, unless `allowPartial`
   */
  async createMany(items: Iterable<NewMemory>, options: CreateManyOptions = {}): Promise<CreateManyResult> {
    const { timeout, signal, requestId, durability, allowPartial, ...unknown } = options;
    refuseUnknown("createMany", unknown);
    const request = create(
      wire.BatchCreateMemoriesRequestSchema,
      given({
        namespace: this.namespace,
        items: Array.from(items, (item, index) =>
          create(wire.BatchCreateMemoriesRequest_ItemSchema, newMemoryToProto(item, `items[${index}]`)),
        ),
        allowPartial,
        durability: DURABILITY.encode(durability, "durability"),
        requestId: requestIdOrNew(requestId),
      }),
    );
    const method = wire.MemoryService.method.batchCreateMemories;
    return new CreateManyResult(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Change the given fields of a memory, and return it. Fields not given stay; `null` clears a field; `metadata`
   * replaces all metadata.
   *
   * @throws MemoryNotFound, EtagMismatch, InvalidArgument, RequestIdReused
   */
  async update(memoryId: string, options: UpdateOptions): Promise<WrittenMemory<wire.UpdateMemoryResponse>> {
    const { timeout, signal, requestId, durability, etag, reason, ...changes } = options;
    const request = create(
      wire.UpdateMemoryRequestSchema,
      given({
        namespace: this.namespace,
        memoryId,
        ...changesToProto(changes),
        etag,
        reason,
        durability: DURABILITY.encode(durability, "durability"),
        requestId: requestIdOrNew(requestId),
      }),
    );
    const method = wire.MemoryService.method.updateMemory;
    return writtenFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Delete a memory, with what was derived from it. Its history stays.
   *
   * @throws MemoryNotFound (unless `allowMissing`), EtagMismatch, RequestIdReused
   */
  async delete(memoryId: string, options: DeleteOptions = {}): Promise<DeleteResult> {
    const { timeout, signal, requestId, durability, etag, reason, allowMissing, ...unknown } = options;
    refuseUnknown("delete", unknown);
    const request = create(
      wire.DeleteMemoryRequestSchema,
      given({
        namespace: this.namespace,
        memoryId,
        etag,
        reason,
        allowMissing,
        durability: DURABILITY.encode(durability, "durability"),
        requestId: requestIdOrNew(requestId),
      }),
    );
    const method = wire.MemoryService.method.deleteMemory;
    return deleteResultFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Delete up to 500 memories by id, all or nothing; with `allowMissing`, ids that do not exist are passed over.
   *
   * @throws MemoryNotFound (unless `allowMissing`), RequestIdReused
   */
  async deleteMany(memoryIds: Iterable<string>, options: DeleteManyOptions = {}): Promise<DeleteResult> {
    const { timeout, signal, requestId, durability, reason, allowMissing, ...unknown } = options;
    refuseUnknown("deleteMany", unknown);
    const request = create(
      wire.BatchDeleteMemoriesRequestSchema,
      given({
        namespace: this.namespace,
        memoryIds: [...memoryIds],
        reason,
        allowMissing,
        durability: DURABILITY.encode(durability, "durability"),
        requestId: requestIdOrNew(requestId),
      }),
    );
    const method = wire.MemoryService.method.batchDeleteMemories;
    return deleteResultFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }
}
