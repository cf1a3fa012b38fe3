import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorFromStatus, MemoirError } from "./errors.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

/** Messages of the transport for a connection that went away in the middle of a response. */
const BROKEN_OFF = /^http\/2 stream closed|^protocol error: (missing status|missing output|promised|incomplete)/;

/** Codes that Node gives to errors of sockets, HTTP/2 sessions and TLS; for certificates it keeps OpenSSL's names. */
const SYSTEM_CODE = /^(E[A-Z]+$|ERR_(HTTP2|SSL|TLS)_)/;
const CERTIFICATE_CODE =
  /^((CERT|CRL|DEPTH_ZERO|ERROR_IN_CERT|INVALID_CA|SELF_SIGNED|UNABLE_TO)_|(HOSTNAME_MISMATCH|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED)$)/;

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

function isSystemError(cause: unknown): boolean {
  for (let error = cause; error instanceof Error; error = error.cause) {
    const code = "code" in error && typeof error.code === "string" ? error.code : "";
    if (SYSTEM_CODE.test(code) || CERTIFICATE_CODE.test(code)) return true;
  }
  return false;
}
