"""What the demo asks and states: the files beside the sample, or material made from any other transcript."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memoir_server.cli.transcript import Transcript, TranscriptMessage

QUESTIONS: Final = 10
LONG_WORDS: Final = 9


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the ids of the messages that answer it."""

    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """What a caller who extracts facts itself sends with `create`; `sources` are message ids."""

    memory_id: str
    text: str
    kind: str
    valid_from: str
    entities: tuple[dict[str, Any], ...]
    relations: tuple[dict[str, str], ...]
    sources: tuple[str, ...]
    supersedes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """Everything the demo needs. `remarks` say what was made up because no file gives it."""

    questions: tuple[Question, ...]
    facts: tuple[Fact, ...]
    dated_question: str
    graph_question: str
    remarks: tuple[str, ...]


def read_material(path: Path, transcript: Transcript) -> Material:
    """Looks for questions.json and facts.json that name this transcript, in its folder and the one above."""
    asked, stated = _beside(path, "questions"), _beside(path, "facts")
    name = speaker(transcript)
    remarks = []
    if asked is not None:
        questions = tuple(Question(item["question"], tuple(item["evidence"])) for item in asked)
    else:
        questions = made_questions(transcript)
        remarks.append(
            "No questions.json names this transcript: the questions are the first words of the user's own messages, "
            "and the message they come from is the evidence to find."
        )
    if stated is not None:
        facts = tuple(_fact(item) for item in stated)
        dated, graph = f"Where does {name} live?", "Who works at the Ghent city archive?"
    else:
        facts = _invented_facts(name)
        dated, graph = f"Where is {name}'s bicycle?", "What is known about the workshop in Mill Lane?"
        remarks.append("No facts.json names this transcript: two invented facts about a bicycle stand in.")
    return Material(questions, facts, dated, graph, tuple(remarks))


def speaker(transcript: Transcript) -> str:
    """The user's name, or the user's id."""
    return next(
        (turn.actor_id for turn in transcript.messages if turn.role == "user" and turn.actor_id), transcript.user_id
    )


def made_questions(transcript: Transcript) -> tuple[Question, ...]:
    """The first words of up to ten evenly spaced longer messages of the user (of anybody, when the user wrote none)."""
    own = [turn for turn in transcript.messages if turn.role == "user"] or list(transcript.messages)
    long = [turn for turn in own if len(turn.content.split()) >= LONG_WORDS]
    pool = long if len(long) >= QUESTIONS else own
    count = min(QUESTIONS, len(pool))
    chosen: list[TranscriptMessage] = [pool[index * len(pool) // count] for index in range(count)]
    return tuple(Question(" ".join(turn.content.split()[:LONG_WORDS])[:200], (turn.message_id,)) for turn in chosen)


def _beside(path: Path, name: str) -> list[dict[str, Any]] | None:
    for folder in (path.parent, path.parent.parent):
        file = folder / f"{name}.json"
        if not file.is_file():
            continue
        document = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(document, dict) and (folder / str(document.get("transcript"))).resolve() == path.resolve():
            found: list[dict[str, Any]] = document[name]
            return found
    return None


def _fact(item: dict[str, Any]) -> Fact:
    return Fact(
        memory_id=item["memory_id"],
        text=item["text"],
        kind=item["kind"],
        valid_from=item["valid_from"],
        entities=tuple(item["entities"]),
        relations=tuple(item["relations"]),
        sources=tuple(item["sources"]),
        supersedes=tuple(item.get("supersedes", ())),
    )


def _invented_facts(name: str) -> tuple[Fact, ...]:
    def bicycle(memory_id: str, text: str, since: str, place: str, supersedes: tuple[str, ...] = ()) -> Fact:
        return Fact(
            memory_id=memory_id,
            text=text,
            kind="FACT",
            valid_from=since,
            entities=({"name": f"{name}'s bicycle", "type": "thing"}, {"name": place, "type": "place"}),
            relations=({"subject": f"{name}'s bicycle", "predicate": "IS_AT", "object": place},),
            sources=(),
            supersedes=supersedes,
        )

    return (
        bicycle(
            "demo-bicycle-1", f"{name}'s bicycle is at the workshop in Mill Lane.", "2026-02-01T00:00:00Z", "Mill Lane"
        ),
        bicycle(
            "demo-bicycle-2",
            f"{name}'s bicycle is back in the shed.",
            "2026-06-01T00:00:00Z",
            "shed",
            supersedes=("demo-bicycle-1",),
        ),
    )
