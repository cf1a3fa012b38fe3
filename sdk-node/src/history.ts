import { ACTOR_KIND, type ActorKind, EVENT_TYPE, type EventType } from "./enums.js";
import type * as wire from "./gen/memoir/v1/history_pb.js";
import { Actor_ActorKind } from "./gen/memoir/v1/history_pb.js";
import { type Instant, instant } from "./instant.js";
import { type Memory, memoryFromProto } from "./memory.js";

/** Who caused a change. */
export interface Actor {
  readonly principal: string;
  readonly kind: ActorKind;
}

/** One committed change. */
export interface HistoryEvent {
  /** Position in the log of the namespace; counts up by one. */
  readonly revision: bigint;
  readonly commitTime: Instant | undefined;
  readonly type: EventType;
  readonly memoryId: string;
  /** Absent for CREATED and ERASED. */
  readonly before: Memory | undefined;
  /** Absent for DELETED, EXPIRED and ERASED. */
  readonly after: Memory | undefined;
  readonly actor: Actor;
  readonly reason: string;
  readonly requestId: string;
  /** W3C traceparent of the mutation. */
  readonly traceparent: string;
  /** Reset that caused the event, or "". */
  readonly resetId: string;
  /** When the event came from a watch or an export, resumes after it; else "". */
  readonly resumeToken: string;
  readonly message: wire.HistoryEvent;
}

/** Sign of life of a watch: everything up to `revision` was considered. */
export interface Bookmark {
  readonly type: "BOOKMARK";
  readonly revision: bigint;
  /** True once the watcher has passed the newest revision there was when it began. */
  readonly caughtUp: boolean;
  readonly resumeToken: string;
  readonly message: wire.WatchHistoryResponse;
}

/** Convert an event. */
export function historyEventFromProto(message: wire.HistoryEvent, resumeToken = ""): HistoryEvent {
  return {
    revision: message.revision,
    commitTime: instant(message.commitTime),
    type: EVENT_TYPE.decode(message.type),
    memoryId: message.memoryId,
    before: message.before && memoryFromProto(message.before),
    after: message.after && memoryFromProto(message.after),
    actor: {
      principal: message.actor?.principal ?? "",
      kind: ACTOR_KIND.decode(message.actor?.kind ?? Actor_ActorKind.UNSPECIFIED),
    },
    reason: message.reason,
    requestId: message.requestId,
    traceparent: message.traceparent,
    resetId: message.resetId,
    resumeToken,
    message,
  };
}

/** Convert an item of a watch; `undefined` for a kind this package does not know. */
export function watchItemFromProto(message: wire.WatchHistoryResponse): HistoryEvent | Bookmark | undefined {
  const { item, resumeToken } = message;
  switch (item.case) {
    case "event":
      return historyEventFromProto(item.value, resumeToken);
    case "bookmark":
      return { type: "BOOKMARK", revision: item.value.revision, caughtUp: item.value.caughtUp, resumeToken, message };
    default:
      return undefined;
  }
}
