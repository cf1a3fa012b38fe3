"""Runs cases: substitutes variables, makes the calls through a driver, judges each step and keeps what was seen."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]

from golden_runner import bare
from golden_runner.contract import METHODS, message_class
from golden_runner.driver import Driver
from golden_runner.judge import judge_attempts, judge_call, judge_connections, judge_same
from golden_runner.launcher import ServerProcess
from golden_runner.others import OtherCallFailed, in_hand
from golden_runner.playback import Attempt
from golden_runner.playback_process import PlaybackProcess
from golden_runner.variables import Variables
from memoir_golden_pb.golden_pb2 import Case, DriverResponse, ScriptedAttempt, Step, Suite

NAMESPACE_LENGTH = 63


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What one step gave, and the differences from its expectation (one line each)."""

    method: str
    responses: tuple[Message, ...]
    call: DriverResponse.CallResult
    unsupported: str
    attempts: tuple[Attempt, ...]
    differences: tuple[str, ...]

    @property
    def reason(self) -> str:
        """ErrorInfo.reason of the step's error; empty when there is none."""
        for detail in self.call.error.details:
            info = ErrorInfo()
            if detail.Unpack(info):
                return str(info.reason)
        return ""


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What one case gave with one driver. `backend` is that of the server: DISTRIBUTED for whatever real one the suite
    names, when it kept its data in the real stores."""

    suite: str
    case: str
    driver: str
    backend: "Suite.Backend"
    steps: tuple[StepOutcome, ...]
    variables: Variables

    @property
    def differences(self) -> list[str]:
        """All differences, each with the number of its step."""
        return [
            f"step {number} {step.method}: {line}"
            for number, step in enumerate(self.steps, 1)
            for line in step.differences
        ]

    @property
    def unsupported(self) -> str:
        """Why the SDK cannot say one of the steps; empty when it can say all."""
        return next((step.unsupported for step in self.steps if step.unsupported), "")


def namespace_of(suite: str, case: str) -> str:
    """The fresh namespace of a case: a valid namespace name of at most 63 characters."""
    return re.sub(r"[^a-z0-9-]", "-", f"g-{suite}-{case}".lower())[:NAMESPACE_LENGTH]


def run_case(suite: Suite, case: Case, driver: Driver, server: ServerProcess | PlaybackProcess) -> CaseOutcome:
    """Run one case; a step that differs ends it, since later steps rest on it.

    Raises `DriverFailed` when the driver breaks.
    """
    profile = "distributed" if server.backend == Suite.BACKEND_DISTRIBUTED else "embedded"
    variables = Variables(namespace_of(suite.name, case.name), profile)
    outcomes: list[StepOutcome] = []
    for number, step in enumerate(case.steps, start=1):
        outcome = _run_step(f"{suite.name}/{case.name}/{number}", step, driver, server, variables, outcomes)
        outcomes.append(outcome)
        if outcome.differences or outcome.unsupported:
            break
    return CaseOutcome(suite.name, case.name, driver.name, server.backend, tuple(outcomes), variables)


def _run_step(
    step_id: str,
    step: Step,
    driver: Driver,
    server: ServerProcess | PlaybackProcess,
    variables: Variables,
    earlier: Sequence[StepOutcome],
) -> StepOutcome:
    method = METHODS[step.method]
    request_class = message_class(method.request.full_name)
    try:
        request = ParseDict(variables.substitute(MessageToDict(step.request)), request_class())
        items = [ParseDict(variables.substitute(MessageToDict(item)), request_class()) for item in step.items]
    except (ParseError, KeyError) as error:
        return _broken(step, f"the request does not fit {method.request.full_name}: {error}")
    if items and not method.client_streaming:
        return _broken(step, f"{method.name} takes one request, the step has {len(items)} items")
    time.sleep(step.pause.ToTimedelta().total_seconds())
    playback = server if isinstance(server, PlaybackProcess) else None
    if playback is not None:
        playback.load(
            [ParseDict(variables.substitute(MessageToDict(scripted)), ScriptedAttempt()) for scripted in step.script]
        )
    try:
        with in_hand(server.target, step.meanwhile, variables), _ending(step, server):
            answer = driver.call(step_id, server.target, step.method, request, step.options, items)
    except OtherCallFailed as error:
        return _broken(step, str(error))
    if answer.unsupported:
        return StepOutcome(step.method, (), DriverResponse.CallResult(), answer.unsupported, (), ())
    response_class = message_class(method.response.full_name)
    responses: list[Message] = []
    differences: list[str] = []
    for packed in answer.call.responses:
        response = response_class()
        if not packed.Unpack(response):
            differences.append(
                f"the driver returned {packed.type_url}, the method answers with {method.response.full_name}"
            )
            break
        responses.append(response)
    expect = step.expect if driver.is_sdk else bare.expectation(step.expect)
    attempts: list[Attempt] = []
    if playback is not None:
        attempts = playback.attempts_once_cancelled() if expect.cancelled else playback.attempts()
    if not differences:
        differences += judge_call(expect, method, answer.call, responses, variables, is_playback=playback is not None)
    if playback is not None:
        differences += judge_attempts(expect, method, [request, *items], attempts, variables)
        seen = [attempt for outcome in earlier for attempt in outcome.attempts]
        differences += judge_connections(expect, [*seen, *attempts])
    if expect.same_as_step and not differences:
        differences += judge_same(responses, earlier[expect.same_as_step - 1].responses, expect.ignore_paths)
    for name, path in step.bind.items():
        if not differences:
            try:
                variables.bind(name, path, responses)
            except (ValueError, KeyError) as error:
                differences.append(str(error))
    return StepOutcome(step.method, tuple(responses), answer.call, "", tuple(attempts), tuple(differences))


@contextmanager
def _ending(step: Step, server: ServerProcess | PlaybackProcess) -> Iterator[None]:
    """Tells the server to end while the body runs, where the step wants it."""
    if not step.HasField("end_server_after") or not isinstance(server, ServerProcess):
        yield
        return
    timer = threading.Timer(step.end_server_after.ToTimedelta().total_seconds(), server.drain)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def _broken(step: Step, line: str) -> StepOutcome:
    return StepOutcome(step.method, (), DriverResponse.CallResult(), "", (), (line,))
