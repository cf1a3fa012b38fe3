"""What resets plan, remove and leave behind, as far as the ledger's answers show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.fuzz.model_filter import check, holds
from tests.fuzz.model_log import SYSTEM, Done, Draft, Event, Life, Namespace, Origin, memory_of
from tests.fuzz.model_memory import Memory, Refused

PLAN_LIFE_US = 15 * 60 * 1_000_000
KEEP_FLAGS = ("keep_vector", "keep_graph", "keep_history")


@dataclass(slots=True)
class Plan:
    """One reset. `state` is that of the contract, in lower case."""

    reset_id: str
    token: str
    target: Any
    planned_revision: int
    expires: int
    state: str = "planned"
    fence: int = 0
    memories: int = 0
    erased: int = 0


class Resets:
    """The resets of one namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self._ns = namespace

    def plan(self, request: Any) -> list[str]:
        """PlanReset: ids of the memories that would be removed, lowest first."""
        target = request.target
        if target.WhichOneof("extent") == "entire_namespace" and target.entire_namespace != self._ns.name:
            raise Refused("FIELD_INVALID", "target.entire_namespace")
        for flag in KEEP_FLAGS:
            if target.include_history and getattr(target, flag):
                raise Refused("FIELD_INVALID", f"target.{flag}")
        if target.keep_vector and target.keep_graph:
            raise Refused("FIELD_INVALID", "target.keep_graph")
        if target.HasField("preserve"):
            check(target.preserve, "target.preserve", self._ns.families)
        return sorted(life.memory_id for life in self._existing(target))

    def execute(self, plan: Plan, request: Any, now: int) -> None:
        """ExecuteReset, all but the RESET event that ends it. Does nothing for a reset that was executed before."""
        if request.confirm_token != plan.token:
            raise Refused("CONFIRM_TOKEN_INVALID", reset_id=plan.reset_id)

        def act() -> Done:
            self._execute(plan, request, now)
            return Done([], plan.fence)

        self._ns.once("ExecuteReset", request, now, act)

    def _execute(self, plan: Plan, request: Any, now: int) -> None:
        ns, target = self._ns, plan.target
        if plan.state == "succeeded":
            return
        drifted = self._changed(target) > plan.planned_revision
        if plan.state == "cancelled" or plan.expires <= now or (drifted and not request.allow_drift):
            ns.seen("reset refused as stale")
            raise Refused(
                "RESET_PLAN_STALE",
                reset_id=plan.reset_id,
                planned_revision=str(plan.planned_revision),
                current_revision=str(ns.head),
            )
        if drifted:
            ns.seen("reset in spite of drift")
        existing = sorted(self._existing(target), key=lambda life: life.memory_id)
        removed = [life for life in ns.removed if self._targets(target, life)]
        origin = Origin(request_id=request.request_id, reset_id=plan.reset_id)
        if target.keep_vector:
            existing = [life for life in existing if life.latest.entities or life.latest.relations]
            for life in existing:
                ns.append(_without_facts(life), now, origin)
            ns.seen("reset of facts only")
        else:
            for life in existing:
                life.facts_kept = target.keep_graph and bool(life.latest.entities or life.latest.relations)
                draft = Draft(type=Event.EVENT_TYPE_DELETED, memory_id=life.memory_id, reason="reset")
                ns.append(draft, now, origin)
        lives = existing
        if target.include_history:
            lives = [*existing, *removed]
            for life in lives:
                if life.facts_kept:
                    ns.seen("erasure of facts that a reset had kept")
                    life.events.append(ns.append(Draft(type=Event.EVENT_TYPE_DELETED, memory_id=""), now, origin))
            plan.erased = sum(len(life.events) for life in lives)
            ns.erase(lives)
            ns.seen("erasure")
        if removed and target.include_history:
            ns.seen("erasure of what had been removed")
        if target.HasField("preserve") and existing:
            ns.seen("reset with a preserve filter")
        plan.memories = len({life.memory_id for life in lives})
        plan.fence, plan.state = ns.head, "succeeded"

    def finish(self, plan: Plan, digest: str, now: int) -> int:
        """The RESET event; returns its revision."""
        draft = Draft(type=Event.EVENT_TYPE_RESET, memory_id="", reason=f"receipt sha-256 {digest}")
        return self._ns.append(draft, now, Origin("memoir", SYSTEM, reset_id=plan.reset_id))

    def _existing(self, target: Any) -> list[Life]:
        """What has expired and is not recorded as such is still there to be removed."""
        return [life for life in self._ns.current.values() if self._targets(target, life)]

    def _targets(self, target: Any, life: Life) -> bool:
        inside = target.WhichOneof("extent") == "entire_namespace" or life in self._ns.covered(target.scope)
        return inside and not (target.HasField("preserve") and holds(target.preserve, life.latest))

    def _changed(self, target: Any) -> int:
        """Newest revision at which something of the target's scope was changed, as far as it is still known."""
        everything = target.WhichOneof("extent") == "entire_namespace"
        inside = {r for life in self._ns.covered(target.scope) for r in life.events}
        known = [
            e.revision for e in self._ns.events if memory_of(e) is not None and (everything or e.revision in inside)
        ]
        return max(known, default=0)


def _without_facts(life: Life) -> Draft:
    after = Memory()
    after.CopyFrom(life.latest)
    after.ClearField("entities")
    after.ClearField("relations")
    reason = "reset: entities and relations removed"
    return Draft(type=Event.EVENT_TYPE_UPDATED, memory_id=life.memory_id, after=after, reason=reason)
