import { create } from "@bufbuild/protobuf";
import { FUSION, type Fusion, MEMORY_VIEW, type MemoryView, RECIPE, type Recipe } from "../enums.js";
import { type FilterInput, filterToProto } from "../filter.js";
import * as wire from "../gen/memoir/v1/search_pb.js";
import { given, refuseUnknown } from "../given.js";
import { type TimeInput, timestamp } from "../instant.js";
import { asOf, int64, type MomentInput, type RevisionInput, type ScopeOptions, scopeToProto, timeRange } from "../scope.js";
import {
  type ContextResult,
  contextFromProto,
  type SearchEvent,
  searchEventFromProto,
  type SearchResult,
  searchResultFromProto,
} from "../search.js";
import type { CallOptions } from "../transport.js";
import { Reads } from "./reads.js";

type AnyCase<N extends string> = N | Lowercase<N>;

/** Options of `search` and `searchStream`; without any id, the whole namespace is searched. */
export interface SearchOptions extends ScopeOptions, CallOptions {
  /** Hits wanted; 10 when absent, at most 100. */
  limit?: number | undefined;
  /** Data such as `{topic: "travel"}`. */
  filter?: FilterInput | undefined;
  /** createdAfter <= createTime. */
  createdAfter?: TimeInput | undefined;
  /** createTime < createdBefore. */
  createdBefore?: TimeInput | undefined;
  /** Drop hits below this score, 0..1. */
  minScore?: number | undefined;
  /** "BALANCED" (default), "SEMANTIC", "KEYWORD", "GRAPH" or "RECENT". */
  recipe?: AnyCase<Recipe> | undefined;
  /** "WEIGHTED", "RECIPROCAL_RANK", "MAX" or "BORDA"; absent for the recipe's own. */
  fusion?: AnyCase<Fusion> | undefined;
  /** Rerank with a model; needs the feature "rerank". */
  rerank?: boolean | undefined;
  /** Hops in the graph, 0..3; 1 when absent. */
  graphDepth?: number | undefined;
  /** What was known at a past moment: a time, or a revision (number or bigint). */
  asOf?: MomentInput | undefined;
  /** What was true in the world at this moment. */
  validAt?: TimeInput | undefined;
  /** Without validAt, also memories whose validUntil has passed. */
  includeSuperseded?: boolean | undefined;
  /** Fill `rankScore` and `parts` of each hit. */
  explain?: boolean | undefined;
  /** "BASIC" when absent; "FULL" adds entities and relations. */
  view?: MemoryView | undefined;
  /** Wait, within the timeout, until this revision is visible. */
  minRevision?: RevisionInput | undefined;
}

/** Options of `context`. */
export interface ContextOptions extends SearchOptions {
  /** Budget in tokens of the result's tokenizer; 1000 when absent, at most 32000. */
  maxTokens?: number | undefined;
  /** Turns to add before and after each verbatim turn found, 0..5; 1 when absent. */
  neighbours?: number | undefined;
}

/** Ranked retrieval. */
export abstract class Searches extends Reads {
  /**
   * Rank memories for a query and return the best.
   *
   * @param query the question or the last message, in natural language
   * @throws InvalidArgument, FreshnessTimeout, StoreUnavailable (when every phase failed)
   */
  async search(query: string, options: SearchOptions = {}): Promise<SearchResult> {
    const { timeout, signal, ...rest } = options;
    const spec = searchSpec("search", query, rest);
    const request = create(wire.SearchMemoriesRequestSchema, { namespace: this.namespace, spec });
    const method = wire.SearchService.method.searchMemories;
    return searchResultFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Search phase by phase: "started", then "phase" or "phaseFailed" per phase, then "completed". `fold(events)` gives
   * what `search` would have returned; a `SearchFold` keeps the provisional result while events arrive.
   */
  searchStream(query: string, options: SearchOptions = {}): AsyncGenerator<SearchEvent, void, undefined> {
    const { timeout = this.transport.timeout, signal, ...rest } = options;
    const spec = searchSpec("searchStream", query, rest);
    const request = create(wire.StreamSearchMemoriesRequestSchema, { namespace: this.namespace, spec });
    const method = wire.SearchService.method.streamSearchMemories;
    return eventsOf(this.transport.serverStream(method, request, { timeout, signal }));
  }

  /**
   * Build a cited context for a prompt within a token budget.
   *
   * @throws as `search`, and FeatureDisabled
   */
  async context(query: string, options: ContextOptions = {}): Promise<ContextResult> {
    const { timeout, signal, maxTokens, neighbours, ...rest } = options;
    const spec = searchSpec("context", query, rest);
    const request = create(
      wire.BuildContextRequestSchema,
      given({ namespace: this.namespace, spec, maxTokens, neighbours }),
    );
    const method = wire.SearchService.method.buildContext;
    return contextFromProto(await this.transport.unary(method, request, { timeout, signal }));
  }
}

async function* eventsOf(
  responses: AsyncIterable<wire.StreamSearchMemoriesResponse>,
): AsyncGenerator<SearchEvent, void, undefined> {
  for await (const response of responses) {
    const event = searchEventFromProto(response);
    if (event !== undefined) yield event;
  }
}

/** Build what the three methods have in common. */
function searchSpec(place: string, query: string, options: SearchOptions): wire.SearchSpec {
  const { userId, agentId, sessionId, limit, filter, createdAfter, createdBefore, minScore, ...rest } = options;
  const { recipe, fusion, rerank, graphDepth, asOf: moment, validAt, ...others } = rest;
  const { includeSuperseded, explain, view, minRevision, ...unknown } = others;
  refuseUnknown(place, unknown);
  return create(
    wire.SearchSpecSchema,
    given({
      query,
      scope: scopeToProto({ userId, agentId, sessionId }),
      filter: filterToProto(filter),
      createTimeRange: timeRange(createdAfter, createdBefore, ["createdAfter", "createdBefore"]),
      limit,
      minScore,
      recipe: RECIPE.encode(recipe, "recipe"),
      fusion: FUSION.encode(fusion, "fusion"),
      rerank,
      graphDepth,
      asOf: asOf(moment),
      validAt: timestamp(validAt, "validAt"),
      includeSuperseded,
      explain,
      view: MEMORY_VIEW.encode(view, "view"),
      minRevision: int64(minRevision, "minRevision"),
    }),
  );
}
