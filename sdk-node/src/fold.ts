import { clone, create } from "@bufbuild/protobuf";
import { IncompleteStream } from "./errors.js";
import {
  type HitUpdate,
  type PhaseReport,
  type SearchHit,
  SearchHitSchema,
  type SearchMemoriesResponse,
  SearchMemoriesResponseSchema,
} from "./gen/memoir/v1/search_pb.js";
import { type SearchEvent, type SearchResult, searchResultFromProto } from "./search.js";

/** Keeps the state of a streaming search: `apply` each event, read `result()` at any time. */
export class SearchFold {
  readonly #hits = new Map<string, SearchHit>();
  #order: readonly string[] = [];
  #phases: PhaseReport[] = [];
  #revision = 0n;
  #searchId = "";
  #sequence = 0n;
  #completed = false;

  /** True once the last event was applied: the order is final. */
  get completed(): boolean {
    return this.#completed;
  }

  /**
   * Take one event in.
   *
   * @throws IncompleteStream an event is missing before this one, or an id has no body
   */
  apply(event: SearchEvent): void {
    const { message } = event;
    if (message.sequence !== this.#sequence + 1n) {
      throw broken(`event ${message.sequence} came after ${this.#sequence}`);
    }
    this.#sequence = message.sequence;
    switch (message.event.case) {
      case "started":
        this.#searchId = message.event.value.searchId;
        this.#revision = message.event.value.revision;
        break;
      case "phaseHits": {
        const { report, newHits, updatedHits, order } = message.event.value;
        if (report !== undefined) this.#phases.push(report);
        // A copy: later phases change it, and events stay as received.
        for (const hit of newHits) this.#hits.set(hit.memory?.memoryId ?? "", clone(SearchHitSchema, hit));
        for (const update of updatedHits) this.#update(update);
        this.#order = order;
        break;
      }
      case "phaseFailed":
        this.#phases.push(message.event.value);
        break;
      case "completed":
        this.#order = message.event.value.order;
        this.#phases = [...message.event.value.phases];
        this.#revision = message.event.value.revision;
        this.#completed = true;
        break;
      default:
        break;
    }
  }

  #update(update: HitUpdate): void {
    const hit = this.#body(update.memoryId);
    hit.score = update.score;
    hit.rankScore = update.rankScore;
    hit.parts = update.parts;
    hit.relations = update.relations;
  }

  #body(memoryId: string): SearchHit {
    const hit = this.#hits.get(memoryId);
    if (hit === undefined) throw broken(`memory ${JSON.stringify(memoryId)} was referred to and never sent`);
    return hit;
  }

  /** Return the state as the response the unary call would give. */
  message(): SearchMemoriesResponse {
    return create(SearchMemoriesResponseSchema, {
      // Copies again, so that a result stays what it was when the next event comes.
      hits: this.#order.map((memoryId) => clone(SearchHitSchema, this.#body(memoryId))),
      phases: [...this.#phases],
      revision: this.#revision,
      searchId: this.#searchId,
    });
  }

  /** Return the hits so far in their present order; final once `completed`. */
  result(): SearchResult {
    return searchResultFromProto(this.message());
  }
}

/**
 * Fold all events of a streaming search into the result the unary search returns.
 *
 * @throws IncompleteStream an event is missing, or the last one is not "completed"
 */
export async function fold(events: Iterable<SearchEvent> | AsyncIterable<SearchEvent>): Promise<SearchResult> {
  const state = new SearchFold();
  for await (const event of events) state.apply(event);
  if (!state.completed) throw broken('the events end before "completed"; use SearchFold for a provisional result');
  return state.result();
}

function broken(message: string): IncompleteStream {
  return new IncompleteStream(`search stream: ${message}`, { code: "DATA_LOSS" });
}
