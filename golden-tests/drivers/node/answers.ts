import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import type { Memoir, Page, Pages, WriteOptions } from "@memoir/client";
import { DurabilitySchema } from "@memoir/client/gen/memoir/v1/common_pb.js";
import * as a from "./arguments.js";
import type { CallOptions } from "./gen/memoir/testing/v1/golden_pb.js";

// What all calls share: their results, their options, and the three shapes a method can have.

/** What a call gives: a response message, and the SDK's own object for its view. */
export interface Answer {
  readonly response: Any;
  readonly value: unknown;
}

/** How the corpus wants a call made. */
export interface How {
  readonly options: CallOptions;
  readonly signal: AbortSignal | undefined;
  /** The further requests, of a method that takes a stream of them. */
  readonly items: readonly Any[];
}

export type Call = (memoir: Memoir, request: Any, how: How) => AsyncIterable<Answer>;

export interface Common {
  timeout: number | undefined;
  signal: AbortSignal | undefined;
}

export function common({ options, signal }: How): Common {
  return { timeout: a.seconds(options.timeout), signal };
}

// What all writes take. An empty requestId is passed on: the corpus decides whether there is one.
export function write(request: { requestId: string; durability?: number }, how: How): WriteOptions {
  const durability = a.enumName(DurabilitySchema, request.durability ?? 0);
  return { ...common(how), requestId: request.requestId, ...(durability === undefined ? {} : { durability }) };
}

export function paging(request: { pageSize: number; pageToken: string }, how: How): Common & { pageSize: number; pageToken: string } {
  return { ...common(how), pageSize: request.pageSize, pageToken: request.pageToken };
}

export function unpacked<Q extends DescMessage>(schema: Q, request: Any): MessageShape<Q> {
  const message = anyUnpack(request, schema);
  if (message === undefined) throw new Error(`the runner sent ${request.typeUrl}, not ${schema.typeName}`);
  return message;
}

/** A method with one result. */
export function one<Q extends DescMessage, R extends DescMessage, T>(
  request: Q,
  response: R,
  call: (memoir: Memoir, request: MessageShape<Q>, how: How) => Promise<T>,
  toResponse: (value: T) => MessageShape<R>,
): Call {
  return async function* (memoir, packed, how) {
    const value = await call(memoir, unpacked(request, packed), how);
    yield { response: anyPack(response, toResponse(value)), value };
  };
}

/** A method with a stream of results. */
export function many<Q extends DescMessage, R extends DescMessage, T>(
  request: Q,
  response: R,
  call: (memoir: Memoir, request: MessageShape<Q>, how: How) => AsyncIterable<T>,
  toResponse: (value: T) => MessageShape<R>,
): Call {
  return async function* (memoir, packed, how) {
    for await (const value of call(memoir, unpacked(request, packed), how)) {
      yield { response: anyPack(response, toResponse(value)), value };
    }
  };
}

export interface Item<M> {
  readonly message: M;
}

/** A listing: its first page, or with allPages everything the iterator gives, as one response. */
export function listing<Q extends DescMessage, R extends DescMessage, M extends Message, T extends Item<M>>(
  request: Q,
  response: R,
  call: (memoir: Memoir, request: MessageShape<Q>, how: How) => Pages<T>,
  toResponse: (items: M[], page: Pick<Page<T>, "nextPageToken" | "revision" | "resumeToken">) => MessageShape<R>,
): Call {
  return async function* (memoir, packed, how) {
    const pages = call(memoir, unpacked(request, packed), how);
    if (!how.options.allPages) {
      const value = await pages.page();
      const items = value.items.map((item) => item.message);
      yield { response: anyPack(response, toResponse(items, value)), value };
      return;
    }
    const value: T[] = [];
    for await (const item of pages) value.push(item);
    const items = value.map((item) => item.message);
    yield { response: anyPack(response, toResponse(items, { nextPageToken: "", revision: 0n, resumeToken: "" })), value };
  };
}
