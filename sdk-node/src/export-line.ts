import { create, fromJson, type JsonObject, type JsonValue, toJson } from "@bufbuild/protobuf";
import { HistoryEventSchema } from "./gen/memoir/v1/history_pb.js";
import * as wire from "./gen/memoir/v1/transfer_pb.js";
import { invalid, shown } from "./invalid.js";
import { type ExportRecord, exportRecordFromProto } from "./transfer.js";

// The file format of `memoir export`: one JSON object per line; a header, memories, events, a summary.

const FORMAT = "memoir-export";
const VERSION = 1;

/**
 * Write a record of an export as a line of a file (without the line feed) that `exportRecordFromLine` and
 * `memoir import` read. Nothing is lost but resume tokens, which have no meaning in a file.
 *
 * @param namespace the exported namespace, for the header
 */
export function exportLine(record: ExportRecord, namespace: string): string {
  switch (record.type) {
    case "header":
      return JSON.stringify({
        format: FORMAT,
        version: VERSION,
        namespace,
        revision: whole(record.revision),
        estimated_memories: whole(record.estimatedMemories),
      });
    case "memory":
      return JSON.stringify(toJson(wire.ExportedMemorySchema, record.message, { useProtoFieldName: true }));
    case "event":
      return JSON.stringify({
        event: toJson(HistoryEventSchema, record.event.message, { useProtoFieldName: true }),
      });
    case "summary":
      return JSON.stringify({ summary: { memories: whole(record.memories), events: whole(record.events) } });
  }
}

/**
 * Read a line of such a file; `import` takes the records. `undefined` for a kind this package does not know.
 *
 * @throws InvalidArgument it is not JSON, not of this format, or of a newer version of it
 */
export function exportRecordFromLine(line: string): ExportRecord | undefined {
  const found = objectOf(line);
  if (found["format"] !== undefined || found["version"] !== undefined) return header(found);
  const response = create(wire.ExportMemoriesResponseSchema);
  const options = { ignoreUnknownFields: true };
  try {
    if (isObject(found["memory"])) {
      response.record = { case: "memory", value: fromJson(wire.ExportedMemorySchema, found, options) };
    } else if (isObject(found["event"])) {
      response.record = { case: "event", value: fromJson(HistoryEventSchema, found["event"], options) };
    } else if (isObject(found["summary"])) {
      const { memories, events } = found["summary"];
      const value = create(wire.ExportMemoriesResponse_SummarySchema, { memories: count(memories), events: count(events) });
      response.record = { case: "summary", value };
    }
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    throw invalid("line", `${cause.message}; export it again`);
  }
  return exportRecordFromProto(response);
}

function header(found: JsonObject): ExportRecord | undefined {
  if (found["format"] !== FORMAT) {
    throw invalid("line", `format ${shown(found["format"])} is another format than ${shown(FORMAT)}`);
  }
  if (found["version"] !== VERSION) {
    throw invalid("line", `version ${shown(found["version"])} is unknown; this is a reader of version ${VERSION}`);
  }
  const value = create(wire.ExportMemoriesResponse_HeaderSchema, {
    revision: count(found["revision"]),
    estimatedMemories: count(found["estimated_memories"]),
  });
  return exportRecordFromProto(create(wire.ExportMemoriesResponseSchema, { record: { case: "header", value } }));
}

function objectOf(line: string): JsonObject {
  let found: JsonValue;
  try {
    found = JSON.parse(line) as JsonValue;
  } catch (cause) {
    throw invalid("line", `${shown(line.slice(0, 80))} is not JSON: ${String(cause)}; give one line of an export`);
  }
  if (!isObject(found)) throw invalid("line", `${shown(found)} is not an object; give one line of an export`);
  return found;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A count as JSON: a number where that is exact, else its digits. */
function whole(value: bigint): number | string {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}

function count(value: JsonValue | undefined): bigint {
  if (value === undefined) return 0n;
  if (/^\d+$/.test(String(value)) && typeof value !== "object") return BigInt(String(value));
  throw invalid("line", `${shown(value)} is not a count; export it again`);
}
