"""Planning, executing and following resets."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from memoir import methods
from memoir.aio.base import AsyncService, request_id_or_new
from memoir.aio.history import RECONNECT_TIMEOUT
from memoir.errors import invalid
from memoir.filters import FilterInput, filter_to_proto
from memoir.resets import ExecutedReset, Reset, ResetPlan, executed_from_proto, reset_from_proto
from memoir.resume import resumed
from memoir.streams import AsyncStream
from memoir.transport import LONG_TIMEOUT
from memoir.v1 import reset_pb2
from memoir.values import scope_to_proto

_TERMINAL = frozenset({reset_pb2.Reset.STATE_SUCCEEDED, reset_pb2.Reset.STATE_FAILED, reset_pb2.Reset.STATE_CANCELLED})


class AsyncResets(AsyncService):
    """Removal in two steps: a plan, then its execution."""

    async def plan_reset(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        entire_namespace: str | None = None,
        preserve: FilterInput | None = None,
        include_history: bool = False,
        keep_vector: bool = False,
        keep_graph: bool = False,
        keep_history: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ResetPlan:
        """Compute what a reset would remove. Nothing is changed.

        Args:
            user_id, agent_id, session_id: whose memories to remove; at least one, unless
            entire_namespace: the name of the client's namespace, spelled again, to remove everything in it.
            preserve: memories that match this filter are left alone.
            include_history: also erase their history; the reset ends with a receipt. Refuses the keep flags.
            keep_vector: only graph facts go. keep_graph: relations stay. keep_history: states that history stays.
            request_id, timeout: as in `add`.

        Raises:
            InvalidArgument: an empty scope, another namespace's name, or flags that contradict each other.
        """
        scope = scope_to_proto(user_id, agent_id, session_id)
        if scope is not None and entire_namespace is not None:
            raise invalid("target", "a scope and entire_namespace were both given; give one")
        request = reset_pb2.PlanResetRequest(
            namespace=self._namespace,
            target=reset_pb2.ResetTarget(
                scope=scope,
                entire_namespace=entire_namespace,
                preserve=filter_to_proto(preserve, "preserve"),
                include_history=include_history,
                keep_vector=keep_vector,
                keep_graph=keep_graph,
                keep_history=keep_history,
            ),
            request_id=request_id_or_new(request_id),
        )
        response = await self._transport.unary(methods.PLAN_RESET, request, timeout)
        return ResetPlan(reset_from_proto(response.reset), response.confirm_token)

    async def execute_reset(
        self,
        plan: ResetPlan,
        *,
        allow_drift: bool = False,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ExecutedReset:
        """Execute a plan. On return its memories are gone from every read; `watch_reset` follows the clean-up.

        Args:
            plan: from `plan_reset`.
            allow_drift: also remove what was written into the target after the plan.
            request_id, timeout: as in `add`.

        Raises:
            ResetPlanStale, ConfirmTokenInvalid, ResetNotFound.
        """
        request = reset_pb2.ExecuteResetRequest(
            namespace=self._namespace,
            reset_id=plan.reset.id,
            confirm_token=plan.confirm_token,
            allow_drift=allow_drift,
            request_id=request_id_or_new(request_id),
        )
        return executed_from_proto(await self._transport.unary(methods.EXECUTE_RESET, request, timeout))

    async def get_reset(self, reset: Reset | ResetPlan | str, *, timeout: float | None = None) -> Reset:
        """Read a reset, given itself, its plan or its id.

        Raises:
            ResetNotFound.
        """
        request = reset_pb2.GetResetRequest(namespace=self._namespace, reset_id=reset_id_of(reset))
        return reset_from_proto((await self._transport.unary(methods.GET_RESET, request, timeout)).reset)

    def watch_reset(
        self,
        reset: Reset | ResetPlan | str,
        *,
        after_sequence: int = 0,
        reconnect_timeout: float | None = RECONNECT_TIMEOUT,
        timeout: float | None = None,
    ) -> AsyncStream[Reset]:
        """Follow a reset until it is done; attaches again after a broken connection. The last one has the receipt.

        Args:
            reset: the reset, its plan or its id.
            after_sequence: last sequence seen; 0 starts with the current state.
            reconnect_timeout: seconds without any response after which the last error is raised; None means never.
            timeout: seconds for the whole; None means one hour.

        Raises:
            ResetNotFound.
        """
        request = reset_pb2.WatchResetRequest(
            namespace=self._namespace, reset_id=reset_id_of(reset), after_sequence=after_sequence
        )

        def open_stream(left: float | None, failures: int) -> AsyncGenerator[reset_pb2.WatchResetResponse]:
            return self._transport.server_stream(methods.WATCH_RESET, request, left, failures=failures, watch=True)

        async def states() -> AsyncGenerator[Reset]:
            stream = resumed(
                open_stream,
                timeout=LONG_TIMEOUT if timeout is None else timeout,
                reconnect_timeout=reconnect_timeout,
                is_last=lambda response: response.reset.state in _TERMINAL,
            )
            async with aclosing(stream) as responses:
                async for response in responses:
                    request.after_sequence = response.sequence
                    yield reset_from_proto(response.reset)

        return AsyncStream(states())

    async def cancel_reset(
        self,
        reset: Reset | ResetPlan | str,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Reset:
        """Discard a plan, or stop the clean-up of a running reset. What is removed or hidden stays so.

        Raises:
            ResetNotFound.
        """
        request = reset_pb2.CancelResetRequest(
            namespace=self._namespace, reset_id=reset_id_of(reset), request_id=request_id_or_new(request_id)
        )
        return reset_from_proto((await self._transport.unary(methods.CANCEL_RESET, request, timeout)).reset)


def reset_id_of(reset: Reset | ResetPlan | str) -> str:
    """Return the id of a reset given in any of its forms."""
    if isinstance(reset, ResetPlan):
        return reset.reset.id
    return reset if isinstance(reset, str) else reset.id
