"""The authored exchanges over the wire: a server as users start it, its model the double of a provider."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from golden_inference.exchange import Answer, Exchange, load_all
from golden_inference.replay import mismatches
from memoir.v1 import common_pb2, memory_pb2
from memoir_conformance.reasoner_suite import IMAGE
from memoir_server.domain.inference.planning import CONFIDENCE_KEY
from memoir_server.domain.inference.policy import INFERRED_KINDS, ConflictRule, DataRule, Policy
from memoir_server.domain.memory import Memory, Scope
from memoir_server.domain.time import Instant
from memoir_server.rpc.convert.memory import write_scope
from memoir_server.rpc.convert.time import write_time
from tests.integration.harness import TIMEOUT, Client
from tests.provider_double import ProviderDouble

CORPUS: Sequence[Exchange] = [
    # Windows have one size per server.
    exchange
    for exchange in load_all()
    if exchange.budget is None
]
FORMS: Mapping[str, str] = {"extract": "remember", "procedure": "remember", "reconcile": "reconcile"}
"""Name of the tool that a prompt asks with."""
_REPAIR = "Your answer to the question above could not be used."


@dataclass(slots=True)
class Counts:
    """Questions that reached the provider, by how many an add took: repairs and descriptions of images apart."""

    adds: Counter[int] = field(default_factory=Counter)
    repairs: int = 0
    images: int = 0
    input_tokens: int = 0


def settings_of(double: ProviderDouble, directory: Path, *, adapter: str = "anthropic") -> dict[str, str]:
    """Settings of a server whose model is the double, with the policies that the exchanges ask for."""
    key = directory / "provider-key"
    key.write_text(double.key, encoding="utf-8")
    return {
        "reasoner__adapter": adapter,
        "reasoner__model": "double-1",
        "reasoner__url": double.url if adapter == "anthropic" else f"{double.url}/v1",
        "reasoner__key_file": str(key),
        "reasoner__attempts": "1",
        # One after the other: the double answers in the order of the exchange.
        "reasoner__concurrency": "1",
        # Whatever is stored is offered: the hash embedder knows no meaning.
        "inference__cosine": "-1",
        "inference__namespaces": json.dumps(policies_of(CORPUS)),
    }


def policies_of(exchanges: Sequence[Exchange]) -> dict[str, dict[str, object]]:
    """Settings of the namespaces in which exchanges take place."""
    return {namespace_of(each): written for each in exchanges if (written := _written(each.policy))}


def namespace_of(exchange: Exchange) -> str:
    """Where an exchange takes place."""
    return f"x-{exchange.name}"


async def differences(exchange: Exchange, client: Client, double: ProviderDouble, counts: Counts) -> list[str]:
    """Runs an exchange; what came otherwise than it expects."""
    namespace = namespace_of(exchange)
    for memory in exchange.stored:
        await client.memory.CreateMemory(creation(namespace, memory), timeout=TIMEOUT)
    double.script.clear()
    for said in exchange.answers:
        _say(double, said)
    before = len(double.calls)

    answer = await client.memory.AddMemories(addition(namespace, exchange), timeout=60)

    asked = [call.asked for call in double.calls[before:] if call.asked is not None]
    repairs = sum(_REPAIR in each.text for each in asked)
    images = sum(bool(each.images) for each in asked)
    counts.adds[len(asked) - repairs - images] += 1
    counts.images += images
    counts.repairs += repairs
    counts.input_tokens += answer.usage.prompt_tokens
    found = []
    if len(asked) != len(exchange.answers):
        found.append(f"{len(asked)} questions, expected {len(exchange.answers)}")
    if answer.usage.llm_calls != len(asked):
        found.append(f"usage tells of {answer.usage.llm_calls} questions")
    if exchange.expect.get("kept_as") == "episodes":
        kinds = {change.memory.kind for change in answer.changes}
        if answer.mode != memory_pb2.ADD_MODE_VERBATIM or kinds != {memory_pb2.MEMORY_KIND_EPISODE}:
            found.append("the messages were not kept as episodes")
        return found
    wanted = exchange.expect["changes"]
    if len(answer.changes) != len(wanted):
        return [*found, f"{len(answer.changes)} changes, expected {len(wanted)}"]
    names = _new_names(answer)
    for position, (change, expected) in enumerate(zip(answer.changes, wanted, strict=True)):
        found.extend(f"changes[{position}].{line}" for line in mismatches(_seen(change, names), expected))
    return found


def _say(double: ProviderDouble, answer: Answer) -> None:
    from tests.provider_double.exchange import Exchange as Said
    from tests.provider_double.exchange import Match
    from tests.provider_double.exchange import Said as Words

    form = FORMS.get(answer.to, "")
    contains = {"repair": (_REPAIR,), "describe-image": ("Describe this image.",)}.get(answer.to, ())
    double.script.add(Said(answers=[Words(output=answer.output)], match=Match(form=form, contains=contains), once=True))


def creation(namespace: str, memory: Memory) -> memory_pb2.CreateMemoryRequest:
    """The request that stores a memory of an exchange."""
    request = memory_pb2.CreateMemoryRequest(
        namespace=namespace,
        memory_id=memory.memory_id,
        memory=memory_pb2.Memory(text=memory.text, kind=int(memory.kind)),  # type: ignore[arg-type]
    )
    write_scope(request.memory.scope, memory.scope)
    write_time(request.memory.create_time, memory.create_time)
    if memory.valid_from is not None:
        write_time(request.memory.valid_from, memory.valid_from)
    if memory.valid_until is not None:
        write_time(request.memory.valid_until, memory.valid_until)
    if CONFIDENCE_KEY in memory.metadata:
        request.memory.metadata[CONFIDENCE_KEY].double_value = memory.metadata[CONFIDENCE_KEY]  # type: ignore[assignment]
    return request


def addition(namespace: str, exchange: Exchange) -> memory_pb2.AddMemoriesRequest:
    """The request that sends the conversation of an exchange."""
    request = memory_pb2.AddMemoriesRequest(namespace=namespace, mode=memory_pb2.ADD_MODE_INFER)
    _scoped(request.scope, exchange.scope)
    for turn in exchange.turns:
        message = request.messages.add(
            role=int(turn.role),
            content=turn.text,
            actor_id=turn.actor_id,
            message_id=turn.message_id,
        )
        write_time(message.create_time, turn.said)
        for _ in range(exchange.images.get(turn.index, 0)):
            message.images.add(data=IMAGE)
    return request


def _scoped(target: common_pb2.Scope, scope: Scope) -> None:
    write_scope(target, scope)


def _written(policy: Policy) -> dict[str, object]:
    written: dict[str, object] = {}
    if policy.instructions:
        written["instruction"] = " ".join(policy.instructions)
    if policy.kinds != INFERRED_KINDS:
        written["kinds"] = [kind.name.lower() for kind in sorted(policy.kinds)]
    if policy.language:
        written["language"] = policy.language
    if policy.personal is not DataRule.KEEP:
        written["personal"] = policy.personal.value
    if policy.secrets is not DataRule.DROP:
        written["secrets"] = policy.secrets.value
    if policy.conflicts is not ConflictRule.NEWEST:
        written["conflicts"] = policy.conflicts.value
    return written


_OF_A_FACT = (
    memory_pb2.MemoryChange.ACTION_ADDED,
    memory_pb2.MemoryChange.ACTION_UPDATED,
    memory_pb2.MemoryChange.ACTION_UNCHANGED,
)


def _new_names(answer: memory_pb2.AddMemoriesResponse) -> dict[str, str]:
    """The names that exchanges give to new memories: by the position of their fact."""
    facts = [change for change in answer.changes if change.action in _OF_A_FACT]
    return {
        change.memory.memory_id: f"new-{at}"
        for at, change in enumerate(facts, start=1)
        if change.action == memory_pb2.MemoryChange.ACTION_ADDED
    }


def _seen(change: memory_pb2.MemoryChange, names: Mapping[str, str]) -> dict[str, Any]:
    memory = change.memory
    return {
        "action": memory_pb2.MemoryChange.Action.Name(change.action).removeprefix("ACTION_"),
        "memory": memory.memory_id,
        "text": memory.text,
        "kind": memory_pb2.MemoryKind.Name(memory.kind).removeprefix("MEMORY_KIND_").lower(),
        "quote": change.source_quote,
        "messages": [source.message_id for source in memory.provenance],
        "from": _instant(memory, "valid_from"),
        "until": _instant(memory, "valid_until"),
        "said": _instant(memory, "create_time"),
        "supersedes": list(memory.supersedes),
        "superseded_by": names.get(memory.superseded_by, memory.superseded_by),
        "entities": [entity.name for entity in memory.entities],
        "relations": [[each.subject, each.predicate, each.object] for each in memory.relations],
        "reason": change.reason,
    }


def _instant(memory: memory_pb2.Memory, field_: str) -> Instant | None:
    if not memory.HasField(field_):
        return None
    stamp = getattr(memory, field_)
    return int(stamp.seconds) * 1_000_000 + int(stamp.nanos) // 1000
