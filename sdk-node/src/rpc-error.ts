import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorFromStatus, MemoirError } from "./errors.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

/** Messages of the transport for a connection that went away in the middle of a response. */
const BROKEN_OFF = /^http\/2 stream closed|^protocol error: (missing status|missing output|promised|incomplete)/;

/**
 * Turn a failed call into the exception of its reason, or of its code when no details came.
 *
 * The transport reports a lost connection in many ways (aborted, canceled, internal); all of them are UNAVAILABLE here,
 * as in every other gRPC client.
 */
export function errorFromCall(cause: unknown): MemoirError {
  if (cause instanceof MemoirError) return cause;
  const error = ConnectError.from(cause);
  const fromServer = error.metadata.has("grpc-status");
  return errorFromStatus(
    create(StatusSchema, {
      code: fromServer || !isLostConnection(error) ? error.code : Code.Unavailable,
      message: error.rawMessage,
      details: error.details.flatMap((detail) =>
        "type" in detail
          ? [create(AnySchema, { typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value })]
          : [],
      ),
    }),
    error,
  );
}

function isLostConnection(error: ConnectError): boolean {
  switch (error.code) {
    case Code.Canceled:
    case Code.Aborted:
    case Code.Unavailable:
      return true;
    case Code.Internal:
    case Code.Unknown:
    case Code.InvalidArgument:
    case Code.DataLoss:
      return BROKEN_OFF.test(error.rawMessage) || isSystemError(error.cause);
    default:
      return false;
  }
}

/** Node marks errors of sockets and HTTP/2 sessions with a code. */
function isSystemError(cause: unknown): boolean {
  for (let error = cause; error instanceof Error; error = error.cause) {
    if ("code" in error && typeof error.code === "string" && /^(E[A-Z]+$|ERR_HTTP2_)/.test(error.code)) return true;
  }
  return false;
}
