"""The files of `golden-tests/inference`, read. The format is described in the README there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from memoir_server.domain.inference.planning import CONFIDENCE_KEY
from memoir_server.domain.inference.policy import INFERRED_KINDS, ConflictRule, DataRule, Policy
from memoir_server.domain.inference.turns import Turn
from memoir_server.domain.memory import Memory, MemoryKind, Role, Scope
from memoir_server.domain.time import Instant, from_datetime

FOLDER: Final = Path(__file__).parent.parent / "inference"
NAMESPACE: Final = "exchanges"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model's API would send back to one question. `offered` are the ids of the memories that the question
    has to offer, in the order of their numbers; only for `reconcile`."""

    to: str
    output: str
    offered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One exchange: what was said, what is stored, what the model answers, and what has to come of it."""

    name: str
    category: str
    scope: Scope
    policy: Policy
    budget: int | None
    turns: tuple[Turn, ...]
    images: Mapping[int, int]
    earlier: tuple[Turn, ...]
    stored: tuple[Memory, ...]
    answers: tuple[Answer, ...]
    expect: Mapping[str, Any]


def load_all(folder: Path = FOLDER) -> tuple[Exchange, ...]:
    """Every exchange, by file and then in the order of the file. Raises ValueError for a name that is used twice."""
    found: dict[str, Exchange] = {}
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for item in document["exchanges"]:
            exchange = _exchange(item, document["category"])
            if exchange.name in found:
                raise ValueError(f"{path.name}: the name {exchange.name!r} is used twice")
            found[exchange.name] = exchange
    return tuple(found.values())


def content(value: str | Mapping[str, Any]) -> str:
    """A message's text: as it stands, or made by the rule that the file gives."""
    if isinstance(value, str):
        return value
    inserted = {int(at): text for at, text in value["insert"].items()}
    parts = []
    for number in range(1, int(value["times"]) + 1):
        parts.append(value["repeat"].replace("{i}", str(number)))
        parts.append(inserted.get(number, ""))
    return "".join(parts)


def instant(text: str) -> Instant:
    """A moment as the files write it: `2026-03-01` or `2026-03-01T09:30`, UTC."""
    return from_datetime(datetime.fromisoformat(text + ("T00:00" if "T" not in text else "") + "+00:00"))


def _exchange(item: Mapping[str, Any], category: str) -> Exchange:
    return Exchange(
        name=item["name"],
        category=category,
        scope=Scope(**item.get("scope", {"user_id": "user"})),
        policy=_policy(item.get("policy", {})),
        budget=item.get("window_tokens"),
        turns=tuple(_turn(each, index) for index, each in enumerate(item["messages"])),
        images={index: each["images"] for index, each in enumerate(item["messages"]) if each.get("images")},
        earlier=tuple(_turn(each, -1) for each in item.get("earlier", [])),
        stored=tuple(_memory(each, item, revision) for revision, each in enumerate(item.get("stored", []), start=1)),
        answers=tuple(
            Answer(
                to=each["to"],
                output=each["text"] if "text" in each else json.dumps(each["input"], ensure_ascii=False),
                offered=tuple(each.get("offered", ())),
            )
            for each in item["answers"]
        ),
        expect=item["expect"],
    )


def _turn(item: Mapping[str, Any], index: int) -> Turn:
    return Turn(
        index=index,
        role=Role[item.get("role", "user").upper()],
        text=content(item["content"]),
        said=instant(item["time"]),
        actor_id=item.get("actor", ""),
        message_id=item.get("id", f"m{index + 1}"),
    )


def _memory(item: Mapping[str, Any], exchange: Mapping[str, Any], revision: int) -> Memory:
    said = instant(item["said"])
    begin = item.get("from", item["said"])
    return Memory(
        namespace=NAMESPACE,
        memory_id=item["id"],
        text=item["text"],
        kind=MemoryKind[item.get("kind", "fact").upper()],
        scope=Scope(**item.get("scope", exchange.get("scope", {"user_id": "user"}))),
        metadata={CONFIDENCE_KEY: item["confidence"]} if "confidence" in item else {},
        valid_from=instant(begin),
        valid_until=instant(item["until"]) if "until" in item else None,
        create_time=said,
        revision=revision,
    )


def _policy(item: Mapping[str, Any]) -> Policy:
    return Policy(
        instructions=tuple(item.get("instructions", ())),
        kinds=frozenset(MemoryKind[kind.upper()] for kind in item["kinds"]) if "kinds" in item else INFERRED_KINDS,
        language=item.get("language", ""),
        personal=DataRule(item.get("personal", "keep")),
        secrets=DataRule(item.get("secrets", "drop")),
        conflicts=ConflictRule(item.get("conflicts", "newest")),
    )
