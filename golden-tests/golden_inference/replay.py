"""Runs an exchange through the steps of inference, with its answers in place of a model's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from golden_inference.exchange import NAMESPACE, Answer, Exchange, instant
from memoir_server.domain.inference.asking import ask_again, ask_decisions, ask_facts
from memoir_server.domain.inference.extraction import Extraction, read_extraction
from memoir_server.domain.inference.facts import Dropped, Settled, merge, says_already, settle
from memoir_server.domain.inference.planning import InferredChange, Making, Plan, plan
from memoir_server.domain.inference.procedures import is_trace
from memoir_server.domain.inference.reconciliation import (
    Judged,
    Reconciliation,
    Refused,
    judge,
    offers_of,
    read_reconciliation,
)
from memoir_server.domain.inference.windowing import WINDOW_TOKENS, windows_of
from memoir_server.domain.reasoning import Prompt
from memoir_server.prompts import load


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an exchange. `plan` None: the answers were of no use, and the messages are kept as episodes.
    `asked` are the questions in order, without those about images."""

    plan: Plan | None
    windows: int
    asked: tuple[Prompt, ...]
    dropped: tuple[Dropped, ...] = ()
    refused: tuple[Refused, ...] = ()


class _Model:
    """Gives the answers of the exchange in their order, and insists on being asked for each."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers: Iterator[Answer] = iter(answers)
        self.asked: list[Prompt] = []

    def answer(self, to: str, prompt: Prompt | None = None) -> Answer:
        answer = next(self._answers, None)
        assert answer is not None, f"asked {to!r} after the last answer"
        assert answer.to == to, f"asked {to!r} where the exchange answers {answer.to!r}"
        if prompt is not None:
            self.asked.append(prompt)
        return answer

    def finish(self) -> None:
        left = [answer.to for answer in self._answers]
        assert not left, f"never asked for the answers to {left}"


def replay(exchange: Exchange) -> Outcome:
    """Runs the exchange. Raises AssertionError where the questions are not those it has answers to."""
    model = _Model(exchange.answers)
    seen = tuple(
        replace(
            turn, images=tuple(model.answer("describe-image").output for _ in range(exchange.images.get(turn.index, 0)))
        )
        for turn in exchange.turns
    )
    turns = exchange.policy.hide(seen)
    windows = windows_of(turns, earlier=exchange.earlier, budget=exchange.budget or WINDOW_TOKENS)
    text = load("procedure" if is_trace(exchange.scope, turns) else "extract")
    parts: list[Settled] = []
    for window in windows:
        extraction = _extract(model, ask_facts(text, window, exchange.policy), text.name)
        if extraction is None:
            model.finish()
            return Outcome(plan=None, windows=len(windows), asked=tuple(model.asked))
        parts.append(settle(extraction, window.turns, exchange.policy))
    settled = merge(parts)
    now = max(turn.said for turn in turns)
    offers = offers_of([m for m in exchange.stored if m.valid_until is None or m.valid_until > now], exchange.scope)
    known = {
        position: same
        for position, fact in enumerate(settled.facts)
        if (same := next((m for m in offers.memories if says_already(m, fact)), None)) is not None
    }
    new = [fact for position, fact in enumerate(settled.facts) if position not in known]
    judged: Judged | None = None
    if offers.memories and (new or settled.forget):
        prompt = ask_decisions(load("reconcile"), new, settled.forget, offers)
        answer = model.answer("reconcile", prompt)
        shown = tuple(memory.memory_id for memory in offers.memories)
        assert answer.offered == shown, f"offered {shown} where the exchange has {answer.offered}"
        decided = _decide(model, prompt, answer.output, len(new) + len(settled.forget))
        if decided is None:
            model.finish()
            return Outcome(plan=None, windows=len(windows), asked=tuple(model.asked), dropped=settled.dropped)
        judged = judge(decided.decisions, facts=new, forget=settled.forget, offers=offers, turns=turns)
    model.finish()
    making = Making(
        namespace=NAMESPACE,
        scope=exchange.scope,
        prompt=text.label,
        model="authored",
        ids=[f"new-{number}" for number in range(1, len(settled.facts) + 1)],
        conflicts=exchange.policy.conflicts,
    )
    return Outcome(
        plan=plan(settled.facts, known, judged, making),
        windows=len(windows),
        asked=tuple(model.asked),
        dropped=settled.dropped,
        refused=judged.refused if judged else (),
    )


def _extract(model: _Model, prompt: Prompt, to: str) -> Extraction | None:
    output = model.answer(to, prompt).output
    extraction = read_extraction(output)
    if extraction.problems:
        again = ask_again(load("repair"), prompt, output, extraction.problems)
        extraction = read_extraction(model.answer("repair", again).output)
    return None if extraction.problems else extraction


def _decide(model: _Model, prompt: Prompt, output: str, items: int) -> Reconciliation | None:
    decided = read_reconciliation(output, items=items)
    if decided.problems:
        again = ask_again(load("repair"), prompt, output, decided.problems)
        decided = read_reconciliation(model.answer("repair", again).output, items=items)
    return None if decided.problems else decided


def differences(exchange: Exchange, outcome: Outcome) -> list[str]:
    """What came otherwise than the exchange expects; empty when all is as expected."""
    expect = exchange.expect
    found = []
    if outcome.windows != expect.get("windows", 1):
        found.append(f"windows: {outcome.windows}, expected {expect.get('windows', 1)}")
    if outcome.plan is None:
        return found if expect.get("kept_as") == "episodes" else [*found, "the messages were kept as episodes"]
    if expect.get("kept_as") == "episodes":
        return [*found, "the messages were not kept as episodes"]
    changes = outcome.plan.changes
    if len(changes) != len(expect["changes"]):
        found.append(f"{len(changes)} changes, expected {len(expect['changes'])}: {[_brief(c) for c in changes]}")
    for position, (change, wanted) in enumerate(zip(changes, expect["changes"], strict=False)):
        found.extend(f"changes[{position}].{line}" for line in mismatches(_seen(change), wanted))
    dropped = [{"text": each.text, "reason": each.reason.name} for each in outcome.dropped]
    if dropped != expect.get("dropped", []):
        found.append(f"dropped: {dropped}, expected {expect.get('dropped', [])}")
    refused = [{"item": each.decision.item, "why": each.why.name} for each in outcome.refused]
    if refused != expect.get("refused", []):
        found.append(f"refused: {refused}, expected {expect.get('refused', [])}")
    return found


def _seen(change: InferredChange) -> dict[str, Any]:
    memory = change.memory
    return {
        "action": change.action.name,
        "memory": memory.memory_id,
        "text": memory.text,
        "kind": memory.kind.name.lower(),
        "quote": change.quote,
        "messages": [source.message_id for source in memory.provenance],
        "from": memory.valid_from,
        "until": memory.valid_until,
        "said": memory.create_time,
        "supersedes": list(memory.supersedes),
        "superseded_by": memory.superseded_by,
        "entities": [entity.name for entity in memory.entities],
        "relations": [[each.subject, each.predicate, each.object] for each in memory.relations],
        "reason": change.reason,
    }


def mismatches(seen: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Fields of a change that are not as the exchange expects; `seen` has times as instants."""
    return [
        f"{key}: {seen[key]!r}, expected {value!r}" for key, value in _instants(wanted).items() if seen[key] != value
    ]


def _instants(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: instant(value) if key in ("from", "until", "said") and value is not None else value
        for key, value in wanted.items()
    }


def _brief(change: InferredChange) -> str:
    return f"{change.action.name} {change.memory.text[:60]!r}"
