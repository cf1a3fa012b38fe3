import { createRegistry, create, fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Memoir, MemoirError } from "@memoir/client";
import { file_google_rpc_error_details } from "@memoir/client/gen/google/rpc/error_details_pb.js";
import { file_memoir_v1_admin } from "@memoir/client/gen/memoir/v1/admin_pb.js";
import { file_memoir_v1_common } from "@memoir/client/gen/memoir/v1/common_pb.js";
import { file_memoir_v1_graph } from "@memoir/client/gen/memoir/v1/graph_pb.js";
import { file_memoir_v1_history } from "@memoir/client/gen/memoir/v1/history_pb.js";
import { file_memoir_v1_memory } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { file_memoir_v1_reset } from "@memoir/client/gen/memoir/v1/reset_pb.js";
import { file_memoir_v1_search } from "@memoir/client/gen/memoir/v1/search_pb.js";
import { file_memoir_v1_transfer, ImportMemoriesRequestSchema } from "@memoir/client/gen/memoir/v1/transfer_pb.js";
import * as a from "./arguments.js";
import { CALLS } from "./calls.js";
import { frame, readFrames } from "./framing.js";
import {
  type CallOptions,
  CallOptionsSchema,
  type DriverRequest,
  type DriverRequest_Call,
  type DriverRequest_RoundTrip,
  DriverRequestSchema,
  type DriverResponse,
  type DriverResponse_CallResult,
  DriverResponse_CallResultSchema,
  type DriverResponse_RoundTripResult,
  DriverResponse_RoundTripResultSchema,
  DriverResponseSchema,
} from "./gen/memoir/testing/v1/golden_pb.js";
import { view } from "./views.js";

// The Node driver: makes the calls of the golden corpus through the public surface of @memoir/client. It asserts nothing.
// It reads DriverRequests from stdin and answers on stdout until stdin ends; frames only, nothing else may be printed.

const registry = createRegistry(
  file_google_rpc_error_details,
  file_memoir_v1_admin,
  file_memoir_v1_common,
  file_memoir_v1_graph,
  file_memoir_v1_history,
  file_memoir_v1_memory,
  file_memoir_v1_reset,
  file_memoir_v1_search,
  file_memoir_v1_transfer,
);

// The clients made so far, by target and credential: a user makes one and keeps it.
const clients = new Map<string, Memoir>();

function client(target: string, namespace: string, options: CallOptions): Memoir {
  const key = `${target} ${options.apiKey}`;
  const made = clients.get(key) ?? new Memoir({ target, apiKey: options.apiKey || undefined });
  clients.set(key, made);
  return made.inNamespace(namespace || options.defaultNamespace || "default");
}

function namespaceOf({ request }: DriverRequest_Call): string {
  if (request === undefined) return "";
  const bulk = anyUnpack(request, ImportMemoriesRequestSchema);
  if (bulk !== undefined) return bulk.part.case === "header" ? bulk.part.value.namespace : "";
  const message = anyUnpack(request, registry);
  return message !== undefined && "namespace" in message ? String(message.namespace) : "";
}

async function makeCall(request: DriverRequest_Call): Promise<DriverResponse_CallResult> {
  const result = create(DriverResponse_CallResultSchema);
  const { options = create(CallOptionsSchema), method } = request;
  const call = CALLS.get(method);
  if (call === undefined || request.request === undefined) throw new Error(`the driver has no call for ${method}`);
  const limit = options.cancel.case === "cancelAfterResponses" ? options.cancel.value : Infinity;
  const window = options.cancel.case === "cancelAfter" ? a.seconds(options.cancel.value) : undefined;
  const signal = window === undefined ? undefined : AbortSignal.timeout(window * 1_000);
  try {
    const memoir = client(request.target, namespaceOf(request), options);
    for await (const { response, value } of call(memoir, request.request, { options, signal, items: request.items })) {
      result.responses.push(response);
      result.views.push(view(value));
      if (result.responses.length >= limit) break;
    }
  } catch (error) {
    if (!(error instanceof MemoirError)) throw error;
    // An abort the case wanted: what had arrived is the outcome.
    if (signal?.aborted) return result;
    result.error = error.status;
    result.sdkError = error.constructor.name;
  }
  return result;
}

function roundTrip({ typeName, input }: DriverRequest_RoundTrip): DriverResponse_RoundTripResult {
  const schema = registry.getMessage(typeName);
  if (schema === undefined) throw new Error(`the registry has no ${typeName}`);
  try {
    const message =
      input.case === "binary" ? fromBinary(schema, input.value) : fromJsonString(schema, input.value ?? "", { registry });
    return create(DriverResponse_RoundTripResultSchema, {
      binary: toBinary(schema, message),
      json: toJsonString(schema, message, { registry }),
    });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return create(DriverResponse_RoundTripResultSchema, { error: error.constructor.name });
  }
}

async function answer(request: DriverRequest): Promise<DriverResponse> {
  const response = create(DriverResponseSchema, { id: request.id });
  try {
    switch (request.command.case) {
      case "call":
        response.outcome = { case: "call", value: await makeCall(request.command.value) };
        break;
      case "roundTrip":
        response.outcome = { case: "roundTrip", value: roundTrip(request.command.value) };
        break;
      default:
        throw new Error("the runner sent a request without a command");
    }
  } catch (error) {
    // Whatever breaks here is a fault of the driver or of the SDK; the runner fails the run with it.
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    response.outcome = { case: "driverError", value: text };
  }
  return response;
}

for await (const request of readFrames(DriverRequestSchema, process.stdin)) {
  process.stdout.write(frame(DriverResponseSchema, await answer(request)));
}
for (const made of clients.values()) made.close();
