import assert from "node:assert/strict";
import { test } from "node:test";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import * as memoir from "@memoir/client";
import { ErrorInfoSchema } from "@memoir/client/gen/google/rpc/error_details_pb.js";
import { ErrorReasonSchema } from "@memoir/client/gen/memoir/v1/error_reason_pb.js";
import { MemoryService } from "@memoir/client/gen/memoir/v1/memory_pb.js";
import { failure, serve } from "./server.js";

const REASONS = ErrorReasonSchema.values
  .map(({ name }) => name.replace("ERROR_REASON_", ""))
  .filter((name) => name !== "UNSPECIFIED");

test("every reason of the contract has a class of the public surface", () => {
  assert.deepEqual(Object.keys(memoir.CLASS_BY_REASON).sort(), [...REASONS].sort());
  for (const Class of Object.values(memoir.CLASS_BY_REASON)) {
    assert.ok(Class.prototype instanceof memoir.MemoirError);
    assert.equal((memoir as Record<string, unknown>)[Class.name], Class);
  }
});

test("every reason comes through the wire as its class, with what it carries", async (t) => {
  const { client } = await serve(t, (router) =>
    router.rpc(MemoryService.method.getMemory, ({ memoryId }) => {
      const violations = [{ field: "a.b", description: "must be set", reason: "required" }];
      throw failure(Code.NotFound, "no: ünï", { reason: memoryId, metadata: { memory_id: "m1" }, violations, retrySeconds: 1.5 });
    }),
  );
  const client_ = client();
  for (const reason of REASONS) {
    await assert.rejects(client_.get(reason), (error: unknown) => {
      const Class = memoir.CLASS_BY_REASON[reason as keyof typeof memoir.CLASS_BY_REASON];
      assert.ok(error instanceof Class);
      assert.equal(error.name, Class.name);
      assert.equal(error.code, "NOT_FOUND");
      assert.equal(error.reason, reason);
      assert.equal(error.message, "no: ünï");
      assert.deepEqual(error.metadata, { memory_id: "m1" });
      assert.deepEqual(error.fieldViolations, [{ field: "a.b", description: "must be set", rule: "required" }]);
      assert.equal(error.retryDelay, 1.5);
      assert.equal(error.status.code, 5);
      assert.equal(anyUnpack(error.status.details[0]!, ErrorInfoSchema)?.reason, reason);
      return true;
    });
  }
});

test("without a reason of ours the class follows the code", async (t) => {
  let details = {};
  let code = Code.Unknown;
  const { client } = await serve(t, (router) =>
    router.rpc(MemoryService.method.getMemory, () => {
      throw failure(code, "x", details);
    }),
  );
  const memoir_ = client();
  const names: [Code, string, string][] = [
    [Code.Canceled, "Cancelled", "CANCELLED"],
    [Code.Unknown, "Unknown", "UNKNOWN"],
    [Code.InvalidArgument, "InvalidArgument", "INVALID_ARGUMENT"],
    [Code.DeadlineExceeded, "DeadlineExceeded", "DEADLINE_EXCEEDED"],
    [Code.NotFound, "NotFound", "NOT_FOUND"],
    [Code.AlreadyExists, "AlreadyExists", "ALREADY_EXISTS"],
    [Code.PermissionDenied, "PermissionDenied", "PERMISSION_DENIED"],
    [Code.ResourceExhausted, "ResourceExhausted", "RESOURCE_EXHAUSTED"],
    [Code.FailedPrecondition, "FailedPrecondition", "FAILED_PRECONDITION"],
    [Code.Aborted, "Aborted", "ABORTED"],
    [Code.OutOfRange, "OutOfRange", "OUT_OF_RANGE"],
    [Code.Unimplemented, "Unimplemented", "UNIMPLEMENTED"],
    [Code.Internal, "InternalError", "INTERNAL"],
    [Code.Unavailable, "Unavailable", "UNAVAILABLE"],
    [Code.DataLoss, "DataLoss", "DATA_LOSS"],
    [Code.Unauthenticated, "Unauthenticated", "UNAUTHENTICATED"],
  ];
  for (const [wire, name, text] of names) {
    code = wire;
    details = {};
    await assert.rejects(memoir_.get("m"), { name, code: text, reason: "" });
    details = { reason: "MEMORY_NOT_FOUND", domain: "proxy.example" };
    await assert.rejects(memoir_.get("m"), { name, code: text, reason: "MEMORY_NOT_FOUND" });
    details = { reason: "INVENTED_LATER" };
    await assert.rejects(memoir_.get("m"), { name, code: text, reason: "INVENTED_LATER" });
  }
});
