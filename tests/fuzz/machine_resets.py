"""Rules that plan, execute and cancel resets."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from memoir.v1 import memory_pb2, reset_pb2
from tests.fuzz.drawing import targets
from tests.fuzz.machine_core import PICKS, SPACES, TIMEOUT, Space, crowded, holding, step
from tests.fuzz.machine_writes import WriteRules
from tests.fuzz.model_filter import cut_times
from tests.fuzz.model_memory import at
from tests.fuzz.model_resets import PLAN_LIFE_US, Plan

Reset = reset_pb2.Reset
SAMPLE = 100


class ResetRules(WriteRules):
    """Resets of every kind. Each is followed to its end before the next step."""

    @step(crowded(3), space=SPACES, data=st.data(), at_once=st.sampled_from((True, True, False)))
    def plan(self, space: int, data: Any, at_once: bool) -> None:
        """Plans a reset, and perhaps executes it."""
        known = self.spaces[space]
        planned = self.plan_for(known, data.draw(targets(known.name)))
        if planned is not None and at_once:
            self._execute(known, planned, drift=False, token=planned.token, key="")

    @step(crowded(3), space=SPACES, pick=PICKS, keep=st.sampled_from(("keep_graph", "keep_graph", "keep_vector")))
    def reset_then_erase(self, space: int, pick: int, keep: str) -> None:
        """Resets the scope of a memory that states facts, where there is one, keeping something; then erases it."""
        known = self.spaces[space]
        there = [life.latest for life in known.log.current.values()]
        chosen = [memory for memory in there if memory.entities or memory.relations] or there
        if not chosen:
            return
        scope = chosen[pick % len(chosen)].scope
        for flag in (keep, "include_history"):
            target = reset_pb2.ResetTarget(scope=scope)
            setattr(target, flag, True)
            planned = self.plan_for(known, target)
            assert planned is not None
            self._execute(known, planned, drift=False, token=planned.token, key="")

    @step(crowded(3), space=SPACES, pick=PICKS, drift=st.booleans())
    def plan_then_change(self, space: int, pick: int, drift: bool) -> None:
        """Executes a plan after a memory of its target has been deleted."""
        known = self.spaces[space]
        there = sorted(known.log.current)
        if not there:
            return
        memory = known.log.current[there[pick % len(there)]].latest
        planned = self.plan_for(known, reset_pb2.ResetTarget(scope=memory.scope))
        assert planned is not None
        gone = memory_pb2.DeleteMemoryRequest(memory_id=memory.memory_id, allow_missing=True)
        self.write(known, "DeleteMemory", gone)
        self._execute(known, planned, drift=drift, token=planned.token, key="")

    def plan_for(self, known: Space, target: Any) -> Plan | None:
        """Plans a reset; None where that is refused."""
        request = reset_pb2.PlanResetRequest(namespace=known.name, target=target)
        actual = self.ask(self.server.reset.PlanReset, request)

        def predict() -> Any:
            ids = known.resets.plan(request)
            expected = reset_pb2.PlanResetResponse()
            expected.CopyFrom(actual)
            reset = expected.reset
            del reset.sample_memory_ids[:]
            reset.sample_memory_ids.extend(ids[:SAMPLE])
            reset.namespace, reset.state, reset.planned_revision = known.name, Reset.STATE_PLANNED, known.log.head
            reset.target.CopyFrom(target)
            if target.HasField("preserve"):
                cut_times(reset.target.preserve)
            reset.create_time.CopyFrom(at(self.now))
            reset.expire_time.CopyFrom(at(self.now + PLAN_LIFE_US))
            return expected

        if not self.compare("PlanReset", actual, predict):
            return None
        planned = Plan(actual.reset.reset_id, actual.confirm_token, target, known.log.head, self.now + PLAN_LIFE_US)
        known.plans.append(planned)
        return planned

    @step(
        holding("plans"),
        pick=PICKS,
        drift=st.sampled_from((True, True, False)),
        form=st.sampled_from(("execute", "execute", "execute", "guess", "cancel")),
        key=st.sampled_from(("", "x1", "x2")),
    )
    def go_on(self, pick: int, drift: bool, form: str, key: str) -> None:
        """Executes or cancels a plan, perhaps after its target has changed, perhaps not for the first time."""
        known, planned = self.among("plans", pick)
        if form == "cancel":
            self._cancel(known, planned)
        else:
            token = planned.token if form == "execute" else form
            self._execute(known, planned, drift=drift, token=token, key=key)

    def _cancel(self, known: Space, planned: Plan) -> None:
        request = reset_pb2.CancelResetRequest(namespace=known.name, reset_id=planned.reset_id)
        actual = self.ask(self.server.reset.CancelReset, request)
        if planned.state == "planned":
            planned.state = "cancelled"
        self.saw("reset cancelled")
        assert actual.reset.state == Reset.State.Value(f"STATE_{planned.state.upper()}")

    def _execute(self, space: Space, plan: Plan, *, drift: bool, token: str, key: str) -> None:
        request = reset_pb2.ExecuteResetRequest(
            namespace=space.name, reset_id=plan.reset_id, confirm_token=token, allow_drift=drift, request_id=key
        )
        again = plan.state == "succeeded"
        actual = self.ask(self.server.reset.ExecuteReset, request)
        space.touched = True

        def predict() -> Any:
            space.resets.execute(plan, request, self.now)
            expected = reset_pb2.ExecuteResetResponse()
            expected.CopyFrom(actual)
            expected.revision = expected.reset.fence_revision = plan.fence
            assert actual.reset.state in (Reset.STATE_RUNNING, Reset.STATE_SUCCEEDED)
            return expected

        if not self.compare("ExecuteReset", actual, predict):
            return
        if again:
            self.saw("reset executed again")
            return
        watch = reset_pb2.WatchResetRequest(namespace=space.name, reset_id=plan.reset_id)
        *_, last = self.server.reset.WatchReset(watch, timeout=TIMEOUT)
        done = last.reset
        assert done.state == Reset.STATE_SUCCEEDED, done
        revision = space.resets.finish(plan, done.receipt.digest, self.now)
        receipt = done.receipt
        assert (receipt.revision, receipt.memories, receipt.events_erased) == (revision, plan.memories, plan.erased)
        assert len(receipt.digest) == 64
        assert not any(store.remaining for store in receipt.stores)
        self.saw("reset executed")
