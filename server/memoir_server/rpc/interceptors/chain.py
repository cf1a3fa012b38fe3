"""The chain around every handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf.message import Message

from memoir_server.rpc.contract import Contract, Method
from memoir_server.rpc.draining import Draining
from memoir_server.rpc.errors import STATUS_DETAILS_KEY, Failure, describe, to_status
from memoir_server.rpc.incoming import Incoming, make_incoming
from memoir_server.rpc.interceptors.auth import REQUIRED, Authenticator, Principal
from memoir_server.rpc.interceptors.limits import Limits
from memoir_server.rpc.interceptors.metadata import read_metadata
from memoir_server.rpc.interceptors.trace import CallRecord, Tracing
from memoir_server.rpc.interceptors.validate import RequestValidator
from memoir_server.rpc.refusals import DeadlinePassed, Defect, RequestInvalid, ServerDraining, Violation
from memoir_server.service.call import DEFAULT_DEADLINE_SECONDS
from memoir_server.service.deadlines import Deadline, Deadlines

logger = logging.getLogger(__name__)

WATCHES = frozenset({"WatchHistory", "WatchReset", "ExportMemories", "ImportMemories"})
"""Streams that stay open: they have no deadline of their own and a limit apart from the calls'."""
ENDS_ITSELF_WHEN_DRAINING = frozenset({"WatchHistory"})
"""Not refused while the server drains: it answers with the token to resume from."""
ANSWER_SECONDS = 0.02
"""Kept of the caller's deadline, so that the answer that it passed still arrives with its reason."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Unary: TypeAlias = Callable[[Any, Incoming], Awaitable[Message]]
Streaming: TypeAlias = Callable[[Any, Incoming], AsyncIterator[Message]]


class Chain:
    """Wraps the methods of a servicer: plain objects with one method per RPC that take the request and an Incoming, and
    return a response, or an async iterator of responses."""

    def __init__(
        self,
        *,
        contract: Contract,
        tracing: Tracing,
        authenticator: Authenticator,
        limits: Limits,
        validator: RequestValidator,
        draining: Draining,
    ) -> None:
        self._contract = contract
        self._tracing = tracing
        self._authenticator = authenticator
        self._limits = limits
        self._validator = validator
        self._draining = draining
        self._deadlines = Deadlines()

    def handler(self, service: str, servicer: object) -> grpc.GenericRpcHandler:
        """Handlers for all methods of a service. Raises AttributeError when the servicer lacks one."""
        wrapped = {
            name: self._wrap(method, getattr(servicer, name))
            for name, method in self._contract.methods[service].items()
        }
        return grpc.method_handlers_generic_handler(service, wrapped)

    def _wrap(self, method: Method, handle: Any) -> grpc.RpcMethodHandler[Any, Any]:
        # Bytes in, bytes out: authentication comes before decoding, and a malformed request gets a proper answer.
        if method.client_streams:
            return grpc.stream_stream_rpc_method_handler(self._streaming(method, handle))
        if method.server_streams:
            return grpc.unary_stream_rpc_method_handler(self._streaming(method, handle))
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handle))

    def _unary(self, method: Method, handle: Unary) -> Callable[[bytes, Context], Awaitable[bytes]]:
        tracing, limits, authenticator = self._tracing, self._limits, self._authenticator
        deadlines = self._deadlines

        async def serve(data: bytes, context: Context) -> bytes:
            metadata = read_metadata(context.invocation_metadata())
            record = tracing.begin(method, metadata)
            timer: Deadline | None = None
            entered = False
            try:
                self._refuse_when_draining(method)
                principal = authenticator.authenticate(metadata.authorization)
                limits.enter(principal.actor.principal, watch=False)
                entered = True
                remaining = _remaining(context)
                deadline = deadlines.now() + (DEFAULT_DEADLINE_SECONDS if remaining is None else remaining)
                request, incoming = self._prepare(method, data, principal, record, deadline)
                timer = deadlines.enter(_cut_off(deadline, remaining))
                response = await handle(request, incoming)
                payload = response.SerializeToString()
            except asyncio.CancelledError:
                if timer is None or not timer.expired:
                    self._cancelled(record, context)
                    raise
                failure = self._failure(method, DeadlinePassed(), record)
            except Exception as problem:  # noqa: BLE001  # answered, and logged where it is a defect
                failure = self._failure(method, problem, record)
            else:
                record.finish(grpc.StatusCode.OK)
                return payload
            finally:
                if timer is not None:
                    deadlines.leave(timer)
                if entered:
                    limits.leave(watch=False)
            await _abort(context, failure)
            raise AssertionError("abort raises")

        return serve

    def _streaming(self, method: Method, handle: Streaming) -> Callable[[Any, Context], Awaitable[None]]:
        watch = method.name in WATCHES

        async def serve(data: Any, context: Context) -> None:
            metadata = read_metadata(context.invocation_metadata())
            record = self._tracing.begin(method, metadata)
            timer: Deadline | None = None
            entered = False
            try:
                self._refuse_when_draining(method)
                principal = self._authenticator.authenticate(metadata.authorization)
                self._limits.enter(principal.actor.principal, watch=watch)
                entered = True
                remaining = _remaining(context)
                deadline = self._deadlines.now() + (DEFAULT_DEADLINE_SECONDS if remaining is None else remaining)
                request, incoming = self._prepare(method, data, principal, record, deadline)
                if remaining is not None or not watch:
                    timer = self._deadlines.enter(_cut_off(deadline, remaining))
                async with aclosing(handle(request, incoming)) as responses:  # type: ignore[type-var]
                    async for response in responses:
                        await context.write(response.SerializeToString())
            except asyncio.CancelledError:
                if timer is None or not timer.expired:
                    self._cancelled(record, context)
                    raise
                failure = self._failure(method, DeadlinePassed(), record)
            except Exception as problem:  # noqa: BLE001  # answered, and logged where it is a defect
                failure = self._failure(method, problem, record)
            else:
                record.finish(grpc.StatusCode.OK)
                return
            finally:
                if timer is not None:
                    self._deadlines.leave(timer)
                if entered:
                    self._limits.leave(watch=watch)
            await _abort(context, failure)

        return serve

    def _refuse_when_draining(self, method: Method) -> None:
        if self._draining.active and method.name not in ENDS_ITSELF_WHEN_DRAINING:
            raise ServerDraining

    def _prepare(
        self, method: Method, data: Any, principal: Principal, record: CallRecord, deadline: float
    ) -> tuple[Any, Incoming]:
        """Decodes, authorises and validates. A stream of requests is handed on as it is."""
        request: Any = data if method.client_streams else self._validator.decode(method, data)

        def permit(asked: str) -> str:
            namespace = principal.namespace(asked, REQUIRED[method.name])
            record.locate(namespace, principal.actor.principal)
            return namespace

        namespace = permit("" if method.client_streams else request.namespace)
        violations = () if method.client_streams else self._validator.violations(request)
        refused = _refused_items(method, request, violations) if violations else {}
        return request, make_incoming(
            method=method.name,
            namespace=namespace,
            actor=principal.actor,
            deadline=deadline,
            permit=permit,
            traceparent=record.traceparent,
            refused_items=refused,
        )

    def _cancelled(self, record: CallRecord, context: Context) -> None:
        """gRPC cancels a handler when the client goes away, and when the deadline has passed."""
        remaining = _remaining(context)
        if remaining is not None and remaining <= 0:
            record.finish(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        else:
            record.finish(grpc.StatusCode.CANCELLED, "CANCELLED")

    def _failure(self, method: Method, problem: Exception, record: CallRecord) -> Failure:
        failure = describe(problem)
        if failure is None:
            trace_id = record.trace_id
            logger.error("%s failed, trace_id %s", method.path, trace_id, exc_info=problem)
            failure = describe(Defect(trace_id))
            assert failure is not None
        record.finish(failure.code, failure.reason, failure.message)
        return failure


def _remaining(context: Context) -> float | None:
    """Seconds until the caller's deadline; None when it set none, which the type stubs do not know of."""
    return cast("float | None", context.time_remaining())


def _cut_off(deadline: float, remaining: float | None) -> float:
    """When to give up: a little before the caller does, but never by more than a tenth of the caller's time."""
    return deadline - (ANSWER_SECONDS if remaining is None else min(ANSWER_SECONDS, remaining / 10))


def _refused_items(method: Method, request: Any, violations: Any) -> dict[int, RequestInvalid]:
    """Violations of a partial batch by item. Raises RequestInvalid when the call as a whole is at fault."""
    by_item: dict[int, list[Violation]] = {}
    if method.name != "BatchCreateMemories" or not request.allow_partial:
        raise RequestInvalid(violations)
    for violation in violations:
        if not violation.field.startswith("items["):
            raise RequestInvalid(violations)
        position = int(violation.field[len("items[") : violation.field.index("]")])
        by_item.setdefault(position, []).append(violation)
    return {position: RequestInvalid(found) for position, found in by_item.items()}


async def _abort(context: Context, failure: Failure) -> None:
    status = to_status(failure)
    await context.abort(failure.code, failure.message, ((STATUS_DETAILS_KEY, status.SerializeToString()),))
