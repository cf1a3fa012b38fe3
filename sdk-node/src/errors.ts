import { create, type Message } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "./gen/google/rpc/status_pb.js";
import type { ErrorReason } from "./gen/memoir/v1/error_reason_pb.js";

/** Domain of the reasons of this contract in google.rpc.ErrorInfo. */
export const ERROR_DOMAIN = "memoir.dev";

const CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** Canonical gRPC status code by name. */
export type ErrorCode = (typeof CODES)[number];

/** One broken rule of a request. */
export interface FieldViolation {
  /** Path of the field. */
  readonly field: string;
  /** What is wrong. */
  readonly description: string;
  /** Id of the rule; "" where there is none. */
  readonly rule: string;
}

/** What an error is made of. */
export interface ErrorParts {
  readonly code?: ErrorCode;
  readonly reason?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly fieldViolations?: readonly FieldViolation[];
  readonly retryDelay?: number | undefined;
  readonly status?: Status;
  readonly cause?: unknown;
}

/** A call that failed. Its subclass says how. */
export class MemoirError extends Error {
  /** Canonical gRPC status code, such as "NOT_FOUND". */
  readonly code: ErrorCode;
  /** Reason as on the wire, such as "MEMORY_NOT_FOUND"; "" when the server gave none. */
  readonly reason: string;
  /** What the contract promises for the reason, such as `{memory_id: "..."}`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** For invalid requests, one entry per broken rule. */
  readonly fieldViolations: readonly FieldViolation[];
  /** Seconds after which the server suggests another attempt. */
  readonly retryDelay: number | undefined;
  /** google.rpc.Status with all details as received. */
  readonly status: Status;

  constructor(message: string, parts: ErrorParts = {}) {
    super(message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = new.target.name;
    this.code = parts.code ?? "UNKNOWN";
    this.reason = parts.reason ?? "";
    this.metadata = parts.metadata ?? {};
    this.fieldViolations = parts.fieldViolations ?? [];
    this.retryDelay = parts.retryDelay;
    this.status = parts.status ?? create(StatusSchema, { code: CODES.indexOf(this.code), message });
  }
}

/** CANCELLED: the caller aborted the call, or closed the client. */
export class Cancelled extends MemoirError {}
/** UNKNOWN: a failure without a canonical code. */
export class Unknown extends MemoirError {}
/** INVALID_ARGUMENT / FIELD_INVALID: the request breaks a rule; `fieldViolations` says which. Do not retry. */
export class InvalidArgument extends MemoirError {}
/** TOKEN_INVALID: a page or resume token is malformed or belongs to other parameters. Start without it. */
export class TokenInvalid extends InvalidArgument {}
/** DEADLINE_EXCEEDED: the call's timeout passed. */
export class DeadlineExceeded extends MemoirError {}
/** FRESHNESS_TIMEOUT: the projections did not reach `minRevision` in time. */
export class FreshnessTimeout extends DeadlineExceeded {}
/** NOT_FOUND. */
export class NotFound extends MemoirError {}
/** MEMORY_NOT_FOUND: no such memory in the namespace. */
export class MemoryNotFound extends NotFound {}
/** RESET_NOT_FOUND: no such reset in the namespace. */
export class ResetNotFound extends NotFound {}
/** INGESTION_NOT_FOUND: no such ingestion in the namespace. */
export class IngestionNotFound extends NotFound {}
/** ENTITY_NOT_FOUND: no such entity in the namespace. */
export class EntityNotFound extends NotFound {}
/** ALREADY_EXISTS. */
export class AlreadyExists extends MemoirError {}
/** MEMORY_ALREADY_EXISTS: the wanted memoryId is taken. */
export class MemoryAlreadyExists extends AlreadyExists {}
/** PERMISSION_DENIED: the credential does not allow this. */
export class PermissionDenied extends MemoirError {}
/** CONFIRM_TOKEN_INVALID: not the confirm token of this reset. */
export class ConfirmTokenInvalid extends PermissionDenied {}
/** UNAUTHENTICATED. */
export class Unauthenticated extends MemoirError {}
/** CREDENTIAL_INVALID: no API key, or one the server does not accept. */
export class CredentialInvalid extends Unauthenticated {}
/** RESOURCE_EXHAUSTED; without a reason, a message over the size limit of 4 MB. */
export class ResourceExhausted extends MemoirError {}
/** RATE_LIMITED: the caller is over its rate; see `retryDelay`. */
export class RateLimited extends ResourceExhausted {}
/** OVERLOADED: the server sheds load; see `retryDelay`. */
export class Overloaded extends ResourceExhausted {}
/** FAILED_PRECONDITION. */
export class FailedPrecondition extends MemoirError {}
/** RESET_PLAN_STALE: the target changed after the plan, or the plan expired. Plan again. */
export class ResetPlanStale extends FailedPrecondition {}
/** ABORTED. */
export class Aborted extends MemoirError {}
/** ETAG_MISMATCH: the memory changed since it was read. Read again, apply the change again. */
export class EtagMismatch extends Aborted {}
/** REQUEST_ID_REUSED: the same requestId came with another payload. */
export class RequestIdReused extends Aborted {}
/** OUT_OF_RANGE. */
export class OutOfRange extends MemoirError {}
/** HISTORY_COMPACTED: the wanted start of the history is gone. List again, watch from the new token. */
export class HistoryCompacted extends OutOfRange {}
/** UNIMPLEMENTED: the server does not know the method. */
export class Unimplemented extends MemoirError {}
/** FEATURE_DISABLED: the server runs without the feature named in `metadata.feature`. */
export class FeatureDisabled extends Unimplemented {}
/** INTERNAL: a defect of the server; its log holds `metadata.trace_id`. */
export class InternalError extends MemoirError {}
/** UNAVAILABLE: no connection, or a server that cannot serve now. */
export class Unavailable extends MemoirError {}
/** STORE_UNAVAILABLE: a store the call needs does not answer. */
export class StoreUnavailable extends Unavailable {}
/** SERVER_DRAINING: the server shuts down; connect again. */
export class ServerDraining extends Unavailable {}
/** DATA_LOSS. */
export class DataLoss extends MemoirError {}
/** A stream that ended early or skipped a message, found by the client. */
export class IncompleteStream extends DataLoss {}

type ErrorClass = new (message: string, parts?: ErrorParts) => MemoirError;

/** The class of each canonical code, for errors without a reason of this contract. */
export const CLASS_BY_CODE: Readonly<Record<Exclude<ErrorCode, "OK">, ErrorClass>> = {
  CANCELLED: Cancelled,
  UNKNOWN: Unknown,
  INVALID_ARGUMENT: InvalidArgument,
  DEADLINE_EXCEEDED: DeadlineExceeded,
  NOT_FOUND: NotFound,
  ALREADY_EXISTS: AlreadyExists,
  PERMISSION_DENIED: PermissionDenied,
  UNAUTHENTICATED: Unauthenticated,
  RESOURCE_EXHAUSTED: ResourceExhausted,
  FAILED_PRECONDITION: FailedPrecondition,
  ABORTED: Aborted,
  OUT_OF_RANGE: OutOfRange,
  UNIMPLEMENTED: Unimplemented,
  INTERNAL: InternalError,
  UNAVAILABLE: Unavailable,
  DATA_LOSS: DataLoss,
};

/** The class of each reason. The type makes a reason of the contract without a class a compile error. */
export const CLASS_BY_REASON: Readonly<Record<Exclude<keyof typeof ErrorReason, "UNSPECIFIED">, ErrorClass>> = {
  FIELD_INVALID: InvalidArgument,
  TOKEN_INVALID: TokenInvalid,
  MEMORY_NOT_FOUND: MemoryNotFound,
  MEMORY_ALREADY_EXISTS: MemoryAlreadyExists,
  ETAG_MISMATCH: EtagMismatch,
  REQUEST_ID_REUSED: RequestIdReused,
  RESET_NOT_FOUND: ResetNotFound,
  RESET_PLAN_STALE: ResetPlanStale,
  CONFIRM_TOKEN_INVALID: ConfirmTokenInvalid,
  HISTORY_COMPACTED: HistoryCompacted,
  RATE_LIMITED: RateLimited,
  OVERLOADED: Overloaded,
  STORE_UNAVAILABLE: StoreUnavailable,
  CREDENTIAL_INVALID: CredentialInvalid,
  PERMISSION_DENIED: PermissionDenied,
  FRESHNESS_TIMEOUT: FreshnessTimeout,
  FEATURE_DISABLED: FeatureDisabled,
  INGESTION_NOT_FOUND: IngestionNotFound,
  ENTITY_NOT_FOUND: EntityNotFound,
  SERVER_DRAINING: ServerDraining,
  DEADLINE_EXCEEDED: DeadlineExceeded,
  INTERNAL: InternalError,
};

/** Turn a google.rpc.Status, from a trailer or from inside a response, into the exception of its reason. */
export function errorFromStatus(status: Status, cause?: unknown): MemoirError {
  const code = CODES[status.code] ?? "UNKNOWN";
  const unpack = <M extends Message>(unpacked: (detail: Status["details"][number]) => M | undefined): M | undefined => {
    for (const detail of status.details) {
      const message = unpacked(detail);
      if (message !== undefined) return message;
    }
    return undefined;
  };
  const info = unpack((detail) => anyUnpack(detail, ErrorInfoSchema));
  const bad = unpack((detail) => anyUnpack(detail, BadRequestSchema));
  const delay = unpack((detail) => anyUnpack(detail, RetryInfoSchema))?.retryDelay;
  // A reason of another domain (a proxy's) says nothing about our classes, but is kept for the reader.
  const byReason: Readonly<Record<string, ErrorClass>> = info?.domain === ERROR_DOMAIN ? CLASS_BY_REASON : {};
  const Class = byReason[info?.reason ?? ""] ?? (code === "OK" ? MemoirError : CLASS_BY_CODE[code]);
  return new Class(status.message, {
    code,
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? {},
    fieldViolations: (bad?.fieldViolations ?? []).map((violation) => ({
      field: violation.field,
      description: violation.description,
      rule: violation.reason,
    })),
    retryDelay: delay === undefined ? undefined : Number(delay.seconds) + delay.nanos / 1e9,
    status,
    cause,
  });
}
