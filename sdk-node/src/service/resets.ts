import { create } from "@bufbuild/protobuf";
import { type FilterInput, filterToProto } from "../filter.js";
import * as wire from "../gen/memoir/v1/reset_pb.js";
import { given, refuseUnknown } from "../given.js";
import { invalid } from "../invalid.js";
import { ExecutedReset, Reset, ResetPlan } from "../reset.js";
import { RECONNECT_TIMEOUT, resumed } from "../resume.js";
import { int64, type RevisionInput, type ScopeOptions, scopeToProto } from "../scope.js";
import { type CallOptions, LONG_TIMEOUT } from "../transport.js";
import { Histories } from "./histories.js";
import { type MutationOptions, requestIdOrNew } from "./service.js";

/** Options of `planReset`: whose memories to remove (at least one id), or `entireNamespace`. */
export interface PlanResetOptions extends ScopeOptions, MutationOptions {
  /** The name of the client's namespace, spelled again, to remove everything in it. */
  entireNamespace?: string | undefined;
  /** Memories that match this filter are left alone. */
  preserve?: FilterInput | undefined;
  /** Also erase their history; the reset ends with a receipt. Refuses the keep flags. */
  includeHistory?: boolean | undefined;
  /** Only graph facts go, the memories stay. */
  keepVector?: boolean | undefined;
  /** Memories go, relations stay. */
  keepGraph?: boolean | undefined;
  /** States that the history stays. */
  keepHistory?: boolean | undefined;
}

/** Options of `executeReset`. */
export interface ExecuteResetOptions extends MutationOptions {
  /** Also remove what was written into the target after the plan. */
  allowDrift?: boolean | undefined;
}

/** Options of `watchReset`; the timeout is for the whole, one hour when absent. */
export interface WatchResetOptions extends CallOptions {
  /** Last sequence seen; absent starts with the current state. */
  afterSequence?: RevisionInput | undefined;
  /** Seconds without any response after which the last error is thrown; `null` means never. 60 when absent. */
  reconnectTimeout?: number | null | undefined;
}

/** A reset as the methods take it: itself, its plan or its id. */
export type ResetInput = Reset | ResetPlan | string;

/** Removal in two steps: a plan, then its execution. */
export abstract class Resets extends Histories {
  /**
   * Compute what a reset would remove. Nothing is changed.
   *
   * @throws InvalidArgument an empty scope, another namespace's name, or flags that contradict each other
   */
  async planReset(options: PlanResetOptions): Promise<ResetPlan> {
    const { timeout, signal, requestId, userId, agentId, sessionId, entireNamespace, preserve, ...rest } = options;
    const { includeHistory, keepVector, keepGraph, keepHistory, ...unknown } = rest;
    refuseUnknown("planReset", unknown);
    const scope = scopeToProto({ userId, agentId, sessionId });
    if (scope !== undefined && entireNamespace !== undefined) {
      throw invalid("target", "a scope and entireNamespace were both given; give one");
    }
    const extent: wire.ResetTarget["extent"] | undefined =
      scope !== undefined
        ? { case: "scope", value: scope }
        : entireNamespace !== undefined
          ? { case: "entireNamespace", value: entireNamespace }
          : undefined;
    const request = create(wire.PlanResetRequestSchema, {
      namespace: this.namespace,
      target: create(
        wire.ResetTargetSchema,
        given({
          extent,
          preserve: filterToProto(preserve, "preserve"),
          includeHistory,
          keepVector,
          keepGraph,
          keepHistory,
        }),
      ),
      requestId: requestIdOrNew(requestId),
    });
    const method = wire.ResetService.method.planReset;
    return new ResetPlan(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Execute a plan. On return its memories are gone from every read; `watchReset` follows the clean-up.
   *
   * @throws ResetPlanStale, ConfirmTokenInvalid, ResetNotFound
   */
  async executeReset(plan: ResetPlan, options: ExecuteResetOptions = {}): Promise<ExecutedReset> {
    const { timeout, signal, requestId, allowDrift, ...unknown } = options;
    refuseUnknown("executeReset", unknown);
    const request = create(
      wire.ExecuteResetRequestSchema,
      given({
        namespace: this.namespace,
        resetId: plan.reset.id,
        confirmToken: plan.confirmToken,
        allowDrift,
        requestId: requestIdOrNew(requestId),
      }),
    );
    const method = wire.ResetService.method.executeReset;
    return new ExecutedReset(await this.transport.unary(method, request, { timeout, signal }));
  }

  /**
   * Read a reset.
   *
   * @throws ResetNotFound
   */
  async getReset(reset: ResetInput, options: CallOptions = {}): Promise<Reset> {
    const { timeout, signal, ...unknown } = options;
    refuseUnknown("getReset", unknown);
    const request = create(wire.GetResetRequestSchema, { namespace: this.namespace, resetId: resetIdOf(reset) });
    const response = await this.transport.unary(wire.ResetService.method.getReset, request, { timeout, signal });
    return new Reset(response.reset);
  }

  /**
   * Follow a reset until it is done; attaches again after a broken connection. The last one has the receipt.
   *
   * @throws ResetNotFound
   */
  watchReset(reset: ResetInput, options: WatchResetOptions = {}): AsyncGenerator<Reset, void, undefined> {
    const { timeout = LONG_TIMEOUT, signal, afterSequence, reconnectTimeout = RECONNECT_TIMEOUT, ...unknown } = options;
    refuseUnknown("watchReset", unknown);
    const request = create(wire.WatchResetRequestSchema, {
      namespace: this.namespace,
      resetId: resetIdOf(reset),
      afterSequence: int64(afterSequence, "afterSequence"),
    });
    return this.#follow(request, { timeout, signal }, reconnectTimeout);
  }

  async *#follow(
    request: wire.WatchResetRequest,
    { timeout, signal }: CallOptions,
    reconnectTimeout: number | null,
  ): AsyncGenerator<Reset, void, undefined> {
    const method = wire.ResetService.method.watchReset;
    const scope = this.transport.scope(signal);
    try {
      const responses = resumed({
        open: (left, failures) =>
          this.transport.serverStream(method, request, { timeout: left, signal: scope.signal, failures, watch: true }),
        timeout,
        reconnectTimeout,
        isLast: (response) => new Reset(response.reset).done,
        signal: scope.signal,
      });
      for await (const response of responses) {
        request.afterSequence = response.sequence;
        yield new Reset(response.reset);
      }
    } finally {
      scope.end();
    }
  }

  /**
   * Discard a plan, or stop the clean-up of a running reset. What is removed or hidden stays so.
   *
   * @throws ResetNotFound
   */
  async cancelReset(reset: ResetInput, options: MutationOptions = {}): Promise<Reset> {
    const { timeout, signal, requestId, ...unknown } = options;
    refuseUnknown("cancelReset", unknown);
    const request = create(wire.CancelResetRequestSchema, {
      namespace: this.namespace,
      resetId: resetIdOf(reset),
      requestId: requestIdOrNew(requestId),
    });
    const response = await this.transport.unary(wire.ResetService.method.cancelReset, request, { timeout, signal });
    return new Reset(response.reset);
  }
}

function resetIdOf(reset: ResetInput): string {
  if (typeof reset === "string") return reset;
  return "reset" in reset ? reset.reset.id : reset.id;
}
