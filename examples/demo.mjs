// The demo's questions from Node: node examples/demo.mjs --target HOST:PORT --user ID --questions FILE
// FILE is JSON: {"questions": [{"question": "...", "evidence": ["message id", ...]}, ...]}. Prints one line per question.
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { Memoir, SearchFold } from "../sdk-node/dist/esm/index.js";

const { values } = parseArgs({
  options: {
    target: { type: "string", default: "127.0.0.1:7600" },
    user: { type: "string" },
    questions: { type: "string" },
  },
});
if (values.user === undefined || values.questions === undefined) {
  console.error("usage: node examples/demo.mjs --target HOST:PORT --user ID --questions FILE");
  process.exit(2);
}

const SHOWN = 5;
const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const cited = (hit) => hit.memory.provenance.map((source) => source.messageId);

/** Ask one question; returns its line and whether the evidence is among the first hits. */
async function ask(memoir, { question, evidence }) {
  const started = performance.now();
  const state = new SearchFold();
  let firstHits;
  for await (const event of memoir.searchStream(question, { userId: values.user, limit: SHOWN })) {
    if (event.type === "phase" && event.newHits.length > 0) firstHits ??= performance.now() - started;
    state.apply(event);
  }
  const total = performance.now() - started;
  const { hits } = state.result();
  const rank = hits.findIndex((hit) => cited(hit).some((id) => evidence.includes(id)));
  const hit = hits[Math.max(rank, 0)];
  const times = `first ${(firstHits ?? total).toFixed(0)} ms, all ${total.toFixed(0)} ms`;
  const where = rank >= 0 ? `#${rank + 1}` : "--";
  const source = hit?.memory.provenance[0];
  const quote = hit ? `${source?.messageId ?? hit.memory.id} ${source?.actorId ?? ""}: ${hit.memory.text}` : "no hits";
  return { found: rank >= 0, line: `${where}  ${cut(question, 48).padEnd(48)}  ${times.padEnd(24)}  ${cut(quote, 60)}` };
}

const memoir = new Memoir({ target: values.target });
try {
  const { questions } = JSON.parse(await readFile(values.questions, "utf8"));
  let found = 0;
  for (const item of questions) {
    const answer = await ask(memoir, item);
    found += answer.found ? 1 : 0;
    console.log(answer.line);
  }
  console.log(`evidence among the first ${SHOWN}: ${found} of ${questions.length} questions`);
} catch (error) {
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
} finally {
  memoir.close();
}
