"""Planning, executing and following resets. Generated from `memoir/aio/resets.py`; do not edit."""

from memoir.aio.history import RECONNECT_TIMEOUT
from memoir.filters import FilterInput
from memoir.resets import ExecutedReset, Reset, ResetPlan
from memoir.sync.base import Stream, SyncService


class Resets(SyncService):
    """Removal in two steps: a plan, then its execution."""

    def plan_reset(
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
        return self._run(
            self._core.plan_reset(
                user_id=user_id,
                agent_id=agent_id,
                session_id=session_id,
                entire_namespace=entire_namespace,
                preserve=preserve,
                include_history=include_history,
                keep_vector=keep_vector,
                keep_graph=keep_graph,
                keep_history=keep_history,
                request_id=request_id,
                timeout=timeout,
            )
        )

    def execute_reset(
        self, plan: ResetPlan, *, allow_drift: bool = False, request_id: str | None = None, timeout: float | None = None
    ) -> ExecutedReset:
        """Execute a plan. On return its memories are gone from every read; `watch_reset` follows the clean-up.

        Args:
            plan: from `plan_reset`.
            allow_drift: also remove what was written into the target after the plan.
            request_id, timeout: as in `add`.

        Raises:
            ResetPlanStale, ConfirmTokenInvalid, ResetNotFound.
        """
        return self._run(
            self._core.execute_reset(plan, allow_drift=allow_drift, request_id=request_id, timeout=timeout)
        )

    def get_reset(self, reset: Reset | ResetPlan | str, *, timeout: float | None = None) -> Reset:
        """Read a reset, given itself, its plan or its id.

        Raises:
            ResetNotFound.
        """
        return self._run(self._core.get_reset(reset, timeout=timeout))

    def watch_reset(
        self,
        reset: Reset | ResetPlan | str,
        *,
        after_sequence: int = 0,
        reconnect_timeout: float | None = RECONNECT_TIMEOUT,
        timeout: float | None = None,
    ) -> Stream[Reset]:
        """Follow a reset until it is done; attaches again after a broken connection. The last one has the receipt.

        Args:
            reset: the reset, its plan or its id.
            after_sequence: last sequence seen; 0 starts with the current state.
            reconnect_timeout: seconds without any response after which the last error is raised; None means never.
            timeout: seconds for the whole; None means one hour.

        Raises:
            ResetNotFound.
        """
        return self._stream(
            self._core.watch_reset(
                reset, after_sequence=after_sequence, reconnect_timeout=reconnect_timeout, timeout=timeout
            )
        )

    def cancel_reset(
        self, reset: Reset | ResetPlan | str, *, request_id: str | None = None, timeout: float | None = None
    ) -> Reset:
        """Discard a plan, or stop the clean-up of a running reset. What is removed or hidden stays so.

        Raises:
            ResetNotFound.
        """
        return self._run(self._core.cancel_reset(reset, request_id=request_id, timeout=timeout))
