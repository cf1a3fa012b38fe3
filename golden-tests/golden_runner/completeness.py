"""Whether the corpus is complete: it meets every method, reason and oneof arm, or says why not."""

from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from golden_runner.contract import ERROR_REASONS, METHODS, contract_messages, message_class
from golden_runner.corpus import NotYet
from golden_runner.execute import CaseOutcome
from golden_runner.matrix import FEATURE_DISABLED
from golden_runner.paths import is_map, is_populated
from golden_runner.requests import REAL, Anything, requests
from golden_runner.samples import real_oneof
from memoir_golden_pb.golden_pb2 import Step, Suite


def missing_methods(suites: Iterable[Suite]) -> list[str]:
    """Methods of the contract that no case calls on a real server, and those that no case plays back."""
    called = {(suite.backend in REAL, step.method) for suite in suites for case in suite.cases for step in case.steps}
    return [
        f"{method}: no case {'on a real server' if is_real else 'on playback'}"
        for method in METHODS
        for is_real in (True, False)
        if (is_real, method) not in called
    ]


def missing_response_fields(suites: Iterable[Suite]) -> list[str]:
    """Fields of responses that no script sets: whether an SDK hands them on is not shown."""
    played: dict[str, set[str]] = {method: set() for method in METHODS}
    for suite in suites:
        for step in (step for case in suite.cases for step in case.steps):
            for response in _played(step):
                played[step.method] |= {field.name for field, _ in response.ListFields()}
    return [
        f"{name}: no script answers with {field.name}"
        for name, method in METHODS.items()
        for field in method.response.fields
        if field.name not in played[name]
    ]


def misjudged_reasons(outcomes: Sequence[CaseOutcome], not_yet: NotYet) -> list[str]:
    """Reasons that neither occur on a real server nor are listed as not yet possible, and listed ones that do occur."""
    seen = {step.reason for outcome in outcomes if outcome.backend in REAL for step in outcome.steps}
    played = {
        step.reason for outcome in outcomes if outcome.backend == Suite.BACKEND_PLAYBACK for step in outcome.steps
    }
    found = [
        f"{reason}: occurs in no case"
        for reason in ERROR_REASONS
        if reason not in seen and reason not in not_yet.reasons
    ]
    found += [f"{reason}: is never played back" for reason in ERROR_REASONS if reason not in played]
    found += [f"{reason}: occurs, but not-yet.json lists it" for reason in not_yet.reasons if reason in seen]
    return found + [
        f"{reason}: not-yet.json lists it, the contract does not"
        for reason in not_yet.reasons
        if reason not in ERROR_REASONS
    ]


def misjudged_methods(outcomes: Sequence[CaseOutcome], not_yet: NotYet) -> list[str]:
    """Methods that answer FEATURE_DISABLED without being listed as not built, and listed ones that answer otherwise."""
    disabled: dict[str, bool] = {}
    for outcome in outcomes:
        if outcome.backend in REAL:
            for step in outcome.steps:
                disabled[step.method] = disabled.get(step.method, True) and step.reason == FEATURE_DISABLED
    found = [
        f"{method}: answers FEATURE_DISABLED only, and not-yet.json does not list it"
        for method, off in disabled.items()
        if off and method not in not_yet.methods
    ]
    return found + [
        f"{method}: is built, but not-yet.json lists it" for method in not_yet.methods if not disabled.get(method, True)
    ]


def misjudged_arms(suites: Iterable[Suite], not_yet: NotYet) -> list[str]:
    """Oneof arms that neither occur in a request, script or expectation nor are listed, and listed ones that do."""
    seen: set[str] = set()
    for suite in suites:
        for message in _messages(suite):
            seen |= set(_arms(message))
    wanted = [
        field.full_name
        for descriptor in contract_messages()
        for field in descriptor.fields
        if real_oneof(field) is not None
    ]
    found = [f"{arm}: occurs in no suite" for arm in wanted if arm not in seen and arm not in not_yet.arms]
    return found + [f"{arm}: occurs, but not-yet.json lists it" for arm in not_yet.arms if arm in seen]


def _messages(suite: Suite) -> Iterator[Message]:
    variables = Anything("completeness")
    for case in suite.cases:
        for step in case.steps:
            response = message_class(METHODS[step.method].response.full_name)
            yield from requests(step)
            yield from _played(step)
            for wanted in step.expect.responses:
                yield ParseDict(variables.substitute(MessageToDict(wanted)), response())


def _played(step: Step) -> Iterator[Message]:
    for scripted in step.script:
        for packed in scripted.responses:
            played = message_class(packed.type_url.rpartition("/")[2])()
            if packed.Unpack(played):
                yield played


def _arms(message: Message) -> Iterator[str]:
    for field in message.DESCRIPTOR.fields:
        if not is_populated(message, field):
            continue
        if real_oneof(field) is not None:
            yield field.full_name
        if field.message_type is None:
            continue
        value = getattr(message, field.name)
        if not field.is_repeated:
            value = [value]
        for item in value.values() if is_map(field) else value:
            if isinstance(item, Message):
                yield from _arms(item)
