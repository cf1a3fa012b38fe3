import { create } from "@bufbuild/protobuf";
import { EVENT_TYPE, type EventType } from "../enums.js";
import type { MemoirError } from "../errors.js";
import * as wire from "../gen/memoir/v1/history_pb.js";
import { given, refuseUnknown } from "../given.js";
import { type Bookmark, type HistoryEvent, historyEventFromProto, watchItemFromProto } from "../history.js";
import { duration, type TimeInput, timestamp } from "../instant.js";
import { invalid } from "../invalid.js";
import { page, type PageOptions, Pages } from "../paging.js";
import { RECONNECT_TIMEOUT, resumed } from "../resume.js";
import { int64, type RevisionInput, type ScopeOptions, scopeToProto, timeRange } from "../scope.js";
import type { CallOptions } from "../transport.js";
import { Graphs } from "./graphs.js";

/** What narrows a history; the ids are the scope of the memories. */
export interface HistoryFilterOptions extends ScopeOptions {
  /** Of one memory. */
  memoryId?: string | undefined;
  /** Such as ["CREATED", "DELETED"]; absent means all. */
  types?: Iterable<EventType> | undefined;
}

/** Options of `history`. The timeout is per page. */
export interface HistoryOptions extends HistoryFilterOptions, PageOptions, CallOptions {
  /** committedAfter <= commitTime. */
  committedAfter?: TimeInput | undefined;
  /** commitTime < committedBefore. */
  committedBefore?: TimeInput | undefined;
}

/** Options of `watch`. Give at most one of `resumeToken`, `startRevision` and `startTime`. */
export interface WatchOptions extends HistoryFilterOptions, CallOptions {
  /** After the event or page that carried it. */
  resumeToken?: string | undefined;
  /** At this revision, inclusive; 1 is the beginning. */
  startRevision?: RevisionInput | undefined;
  /** At the first event committed at or after. */
  startTime?: TimeInput | undefined;
  /** Also yield the signs of life the server sends when nothing matches. */
  bookmarks?: boolean | undefined;
  /** Longest silence of the server in seconds, 0.1..60; 15 when absent. */
  progressInterval?: number | undefined;
  /** Seconds without any response after which the last error is thrown; `null` means never. 60 when absent. */
  reconnectTimeout?: number | null | undefined;
}

/** The append-only log of changes of the namespace. */
export abstract class Histories extends Graphs {
  /**
   * List past events, oldest first. Each page's `resumeToken` starts a watch right after it.
   *
   * @throws InvalidArgument, TokenInvalid
   */
  history(options: HistoryOptions = {}): Pages<HistoryEvent, wire.ListHistoryResponse> {
    const { timeout, signal, pageSize, pageToken, committedAfter, committedBefore, ...narrowing } = options;
    const request = create(
      wire.ListHistoryRequestSchema,
      given({
        namespace: this.namespace,
        pageSize,
        filter: historyFilter("history", narrowing),
        commitTimeRange: timeRange(committedAfter, committedBefore, ["committedAfter", "committedBefore"]),
      }),
    );
    const method = wire.HistoryService.method.listHistory;
    return new Pages(async (token) => {
      const response = await this.transport.unary(method, { ...request, pageToken: token }, { timeout, signal });
      return page(response.events.map((event) => historyEventFromProto(event)), response);
    }, pageToken);
  }

  /**
   * Follow the history: every event once, in order, across broken connections and server restarts. There is no deadline
   * unless `timeout` is given; leave the loop or abort the signal to end it.
   *
   * Without a start, the watch begins at the next event after the server has taken the call, which is made with the
   * first step of the iteration. To miss nothing, start from a token of `history` or from a revision.
   *
   * @throws HistoryCompacted the start is gone
   * @throws TokenInvalid, InvalidArgument
   */
  watch(options: WatchOptions & { bookmarks: true }): AsyncGenerator<HistoryEvent | Bookmark, void, undefined>;
  watch(options?: WatchOptions & { bookmarks?: false | undefined }): AsyncGenerator<HistoryEvent, void, undefined>;
  watch(options?: WatchOptions): AsyncGenerator<HistoryEvent | Bookmark, void, undefined>;
  watch(options: WatchOptions = {}): AsyncGenerator<HistoryEvent | Bookmark, void, undefined> {
    const { timeout, signal, resumeToken, startRevision, startTime, bookmarks = false, ...rest } = options;
    const { progressInterval, reconnectTimeout = RECONNECT_TIMEOUT, ...narrowing } = rest;
    const starts: wire.WatchHistoryRequest["start"][] = [];
    if (resumeToken !== undefined) starts.push({ case: "resumeToken", value: resumeToken });
    if (startRevision !== undefined) {
      starts.push({ case: "startRevision", value: int64(startRevision, "startRevision") });
    }
    const time = timestamp(startTime, "startTime");
    if (time !== undefined) starts.push({ case: "startTime", value: time });
    if (starts.length > 1) {
      throw invalid("start", "resumeToken, startRevision and startTime exclude each other; give one");
    }
    const request = create(
      wire.WatchHistoryRequestSchema,
      given({
        namespace: this.namespace,
        filter: historyFilter("watch", narrowing),
        start: starts[0],
        progressInterval: progressInterval === undefined ? undefined : duration(progressInterval),
      }),
    );
    return this.#follow(request, { timeout, signal }, reconnectTimeout, bookmarks);
  }

  async *#follow(
    request: wire.WatchHistoryRequest,
    { timeout, signal }: CallOptions,
    reconnectTimeout: number | null,
    bookmarks: boolean,
  ): AsyncGenerator<HistoryEvent | Bookmark, void, undefined> {
    const method = wire.HistoryService.method.watchHistory;
    const scope = this.transport.scope(signal);
    try {
      const responses = resumed({
        open: (left, failures) =>
          this.transport.serverStream(method, request, { timeout: left, signal: scope.signal, failures, watch: true }),
        timeout,
        reconnectTimeout,
        isLast: () => false,
        // A draining server names the place to resume from even when it had sent nothing yet.
        onError: (error: MemoirError) => {
          const token = error.metadata["resume_token"];
          if (token) request.start = { case: "resumeToken", value: token };
        },
        signal: scope.signal,
      });
      for await (const response of responses) {
        request.start = { case: "resumeToken", value: response.resumeToken };
        const item = watchItemFromProto(response);
        if (item !== undefined && (bookmarks || response.item.case === "event")) yield item;
      }
    } finally {
      scope.end();
    }
  }
}

/** Build the narrowing of a history; `undefined` when nothing is narrowed. */
function historyFilter(place: string, options: HistoryFilterOptions): wire.HistoryFilter | undefined {
  const { userId, agentId, sessionId, memoryId, types, ...unknown } = options;
  refuseUnknown(place, unknown);
  const scope = scopeToProto({ userId, agentId, sessionId });
  const numbers = Array.from(types ?? [], (type) => EVENT_TYPE.encode(type, "types"));
  if (scope === undefined && !memoryId && numbers.length === 0) return undefined;
  return create(wire.HistoryFilterSchema, given({ scope, memoryId, types: numbers }));
}
