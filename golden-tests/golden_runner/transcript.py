"""Transcripts: what a suite gave, scrubbed of what differs between runs. Every driver must produce the same file."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from golden_runner import bare
from golden_runner.corpus import TRANSCRIPTS
from golden_runner.driver import KINDS
from golden_runner.execute import CaseOutcome, StepOutcome
from golden_runner.scrub import canonical_json, scrub, scrub_view
from golden_runner.variables import Variables
from memoir_golden_pb.golden_pb2 import Suite

_COUNTING_ID: Final = re.compile(r"00000000-0000-7000-8000-[0-9a-f]{12}")

# A progress watch may skip reports, never the last: only that one is the same in every run.
LAST_ONLY: Final = frozenset({"memoir.v1.ResetService/WatchReset"})


def case_transcript(outcome: CaseOutcome) -> list[dict[str, Any]]:
    """The record of one case: one JSON object per step, scrubbed unless the answers came from a script."""
    return _ids_of_the_case(
        [
            _step(step, outcome.variables, is_scripted=outcome.backend == Suite.BACKEND_PLAYBACK)
            for step in outcome.steps
        ]
    )


def _ids_of_the_case(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Number the ids that the server's counting id source made from the first of the case on: which ids they are
    depends on the cases that ran before on the same server, that they are equal or different does not."""
    numbers: dict[str, str] = {}
    text = _COUNTING_ID.sub(
        lambda found: numbers.setdefault(found[0], f"<id {len(numbers) + 1}>"), json.dumps(steps, sort_keys=True)
    )
    renamed: list[dict[str, Any]] = json.loads(text)
    return renamed


def _step(step: StepOutcome, variables: Variables, *, is_scripted: bool) -> dict[str, Any]:
    def clean(message: Message) -> Any:
        value = variables.restore(MessageToDict(message))
        return value if is_scripted else scrub(message.DESCRIPTOR, value)

    def clean_view(text: str) -> Any:
        value = variables.restore(json.loads(text))
        return value if is_scripted else scrub_view(value)

    responses, views = list(step.responses), list(step.call.views)
    if step.method in LAST_ONLY:
        responses, views = responses[-1:], views[-1:]
    record: dict[str, Any] = {"method": step.method}
    if responses:
        record["responses"] = [clean(response) for response in responses]
    if views:
        record["views"] = [clean_view(view) for view in views]
    if step.call.HasField("error"):
        record["error"] = _error(clean(step.call.error))
    if step.call.sdk_error:
        record["sdkError"] = step.call.sdk_error
    if step.attempts:
        record["attempts"] = len(step.attempts)
    return record


def _error(error: dict[str, Any]) -> dict[str, Any]:
    if "details" not in error:
        return {"code": error["code"]}  # without details the text is the language's own, not the server's
    return {**error, "details": sorted(error["details"], key=lambda detail: str(detail["@type"]))}


def path_of(suite: str, directory: Path = TRANSCRIPTS) -> Path:
    """The transcript file of a suite."""
    return directory / f"{suite}.json"


def write(suite: Suite, outcomes: Sequence[CaseOutcome], directory: Path = TRANSCRIPTS) -> None:
    """Write the transcript of a whole suite."""
    cases = {outcome.case: case_transcript(outcome) for outcome in outcomes}
    directory.mkdir(exist_ok=True)
    path_of(suite.name, directory).write_text(canonical_json({"suite": suite.name, "cases": cases}), encoding="utf-8")


def differences(outcome: CaseOutcome, directory: Path = TRANSCRIPTS) -> list[str]:
    """Compare one case with the recorded transcript. Returns one line per difference, or one when there is none."""
    path = path_of(outcome.suite, directory)
    advice = f"record it with: python -m golden_runner --record --suite {outcome.suite}"
    if not path.exists():
        return [f"no transcript {path.name}; {advice}"]
    recorded = json.loads(path.read_text(encoding="utf-8"))["cases"]
    if outcome.case not in recorded:
        return [f"{path.name} has no case {outcome.case}; {advice}"]
    wanted, given = recorded[outcome.case], case_transcript(outcome)
    if not KINDS[outcome.driver].is_sdk:
        wanted, given = bare.transcript(wanted), bare.transcript(given)
    return list(json_differences(wanted, given))


def json_differences(want: Any, have: Any, path: str = "transcript") -> list[str]:
    """Where two JSON values differ, one line per place. Numbers are equal when they are equal as numbers."""
    if isinstance(want, dict) and isinstance(have, dict):
        found: list[str] = []
        for key in sorted(want.keys() | have.keys()):
            place = f"{path}.{key}"
            if key not in have:
                found.append(f"{place}: want {_short(want[key])}, got nothing")
            elif key not in want:
                found.append(f"{place}: want nothing, got {_short(have[key])}")
            else:
                found += json_differences(want[key], have[key], place)
        return found
    if isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        return [
            line
            for number, pair in enumerate(zip(want, have, strict=True))
            for line in json_differences(*pair, f"{path}.{number}")
        ]
    if isinstance(want, bool) != isinstance(have, bool) or want != have:
        return [f"{path}: want {_short(want)}, got {_short(have)}"]
    return []


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}..."
