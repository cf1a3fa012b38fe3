import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { fold, IncompleteStream, type SearchEvent, SearchFold } from "@memoir/client";
import {
  PhaseReport_Outcome,
  Recipe,
  type SearchMemoriesRequest,
  SearchPhase,
  SearchService,
  type StreamSearchMemoriesResponseSchema,
} from "@memoir/client/gen/memoir/v1/search_pb.js";
import { collect, memory, serve } from "./server.js";

type Event = MessageInitShape<typeof StreamSearchMemoriesResponseSchema>;
const DONE = PhaseReport_Outcome.DONE;
const hit = (memoryId: string, score: number) => ({ memory: memory({ memoryId, text: `text of ${memoryId}` }), score });

const EVENTS: Event[] = [
  { event: { case: "started", value: { searchId: "s1", phases: [SearchPhase.KEYWORD, SearchPhase.DENSE, SearchPhase.GRAPH], revision: 4n } } },
  {
    event: {
      case: "phaseHits",
      value: { report: { phase: SearchPhase.KEYWORD, outcome: DONE }, newHits: [hit("a", 0.4), hit("b", 0.3)], order: ["a", "b"] },
    },
  },
  {
    event: {
      case: "phaseHits",
      value: {
        report: { phase: SearchPhase.DENSE, outcome: DONE, elapsed: { seconds: 1n, nanos: 500_000_000 } },
        newHits: [hit("c", 0.9)],
        updatedHits: [{ memoryId: "b", score: 0.5, rankScore: 2, parts: { dense: 1 } }],
        order: ["c", "b", "a"],
      },
    },
  },
  {
    event: {
      case: "phaseFailed",
      value: { phase: SearchPhase.GRAPH, outcome: PhaseReport_Outcome.FAILED, error: { code: 14, message: "graph is down" } },
    },
  },
  {
    event: {
      case: "completed",
      value: {
        order: ["c", "b"],
        phases: [
          { phase: SearchPhase.KEYWORD, outcome: DONE },
          { phase: SearchPhase.DENSE, outcome: DONE, elapsed: { seconds: 1n, nanos: 500_000_000 } },
          { phase: SearchPhase.GRAPH, outcome: PhaseReport_Outcome.FAILED, error: { code: 14, message: "graph is down" } },
        ],
        revision: 5n,
      },
    },
  },
].map((event, index) => ({ sequence: BigInt(index + 1), ...event }) as Event);

const UNARY = {
  hits: [hit("c", 0.9), { ...hit("b", 0.5), rankScore: 2, parts: { dense: 1 } }],
  phases: (EVENTS[4]!.event as { value: { phases: object[] } }).value.phases,
  revision: 5n,
  searchId: "s1",
};

test("search sends its options and returns hits", async (t) => {
  let seen: SearchMemoriesRequest | undefined;
  const { client } = await serve(t, (router) =>
    router.rpc(SearchService.method.searchMemories, (request) => {
      seen = request;
      return UNARY;
    }),
  );
  const result = await client().search("Where?", {
    userId: "ana",
    limit: 5,
    filter: { score: { gt: 1 } },
    asOf: 3,
    validAt: new Date(0),
    minScore: 0,
    recipe: "keyword",
    graphDepth: 0,
    explain: true,
  });
  const spec = seen!.spec!;
  assert.deepEqual([spec.query, spec.scope?.userId, spec.limit, spec.recipe], ["Where?", "ana", 5, Recipe.KEYWORD]);
  assert.deepEqual([spec.minScore, spec.graphDepth, spec.explain], [0, 0, true]);
  assert.deepEqual([spec.asOf?.moment.value, spec.validAt?.seconds, spec.filter?.form.case], [3n, 0n, "compare"]);
  assert.deepEqual(result.hits.map(({ memory: { id }, score }) => [id, score]), [["c", 0.9], ["b", 0.5]]);
  assert.deepEqual(result.hits[1]!.parts, { dense: 1 });
  assert.deepEqual(result.phases.map(({ phase, outcome }) => [phase, outcome]), [["KEYWORD", "DONE"], ["DENSE", "DONE"], ["GRAPH", "FAILED"]]);
  assert.equal(result.phases[1]!.elapsed, 1.5);
  assert.equal(result.phases[2]!.error?.name, "Unavailable");
  await client().search("Where?");
  assert.deepEqual([seen!.spec!.minScore, seen!.spec!.graphDepth, seen!.spec!.scope], [undefined, undefined, undefined]);
});

test("the fold of the stream is the unary result", async (t) => {
  const { client } = await serve(t, (router) =>
    router
      .rpc(SearchService.method.searchMemories, () => UNARY)
      .rpc(SearchService.method.streamSearchMemories, async function* () {
        yield* EVENTS;
      }),
  );
  const events = await collect(client().searchStream("q"));
  assert.deepEqual(events.map(({ type }) => type), ["started", "phase", "phase", "phaseFailed", "completed"]);
  const unary = await client().search("q");
  assert.deepEqual(await fold(events), unary);
  assert.deepEqual(await fold(client().searchStream("q")), unary);
});

test("a fold shows the provisional order and leaves the events as they came", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(SearchService.method.streamSearchMemories, async function* () {
      yield* EVENTS;
    }),
  );
  const state = new SearchFold();
  const orders: string[][] = [];
  const results = [];
  for await (const event of client().searchStream("q")) {
    state.apply(event);
    results.push(state.result());
    orders.push(state.result().hits.map(({ memory: { id } }) => id));
  }
  assert.deepEqual(orders, [[], ["a", "b"], ["c", "b", "a"], ["c", "b", "a"], ["c", "b"]]);
  assert.equal(state.completed, true);
  assert.equal(results[1]!.hits[1]!.score, 0.3);
});

test("a lost event, a missing body and a missing end are noticed", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(SearchService.method.streamSearchMemories, async function* () {
      yield* EVENTS;
    }),
  );
  const events: SearchEvent[] = await collect(client().searchStream("q"));
  await assert.rejects(fold(events.toSpliced(2, 1)), /event 4 came after 2/);
  await assert.rejects(fold(events.slice(0, -1)), /the events end before "completed"/);
  await assert.rejects(fold([]), IncompleteStream);
  const state = new SearchFold();
  const orphan = structuredClone(events[2]!);
  state.apply(events[0]!);
  orphan.message.sequence = 2n;
  assert.throws(() => state.apply(orphan), /memory "b" was referred to and never sent/);
});

test("context returns cited parts", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(SearchService.method.buildContext, ({ maxTokens, neighbours }) => ({
      text: "Ana lives in Lisbon. [1]",
      parts: [{ citation: 1, text: "Ana lives in Lisbon.", memoryIds: ["m1"], tokenCount: maxTokens }],
      tokenCount: neighbours ?? -1,
      hits: [hit("m1", 0.7)],
    })),
  );
  const context = await client().context("Where?", { userId: "ana", maxTokens: 200, neighbours: 0 });
  assert.deepEqual([context.parts[0]!.memoryIds, context.parts[0]!.tokenCount, context.tokenCount], [["m1"], 200, 0]);
  assert.equal(context.hits[0]!.memory.id, "m1");
});
