"""Judges one step: what the driver gave and the playback server saw, against the expectation."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from golden_runner.compare import Rules, compare, compare_errors, missing_presence
from golden_runner.contract import Method, message_class
from golden_runner.fold import StreamInvalid, fold
from golden_runner.playback import Attempt
from golden_runner.variables import Variables
from memoir.v1.search_pb2 import SearchMemoriesResponse, StreamSearchMemoriesResponse
from memoir_golden_pb.golden_pb2 import DriverResponse, Expectation

DEADLINE_SHARE: Final = 0.25
# A client's timer may fire a little early against the server's clock.
BACKOFF_SLACK_SECONDS: Final = 0.01
# Two equal calls differ in these only.
SAME_IGNORES: Final = ("search_id", "phases.*.elapsed")


def rules_of(expect: Expectation, *, is_playback: bool) -> Rules:
    """The comparison rules of an expectation."""
    exact = expect.match == Expectation.MATCH_EXACT or (is_playback and expect.match == Expectation.MATCH_UNSPECIFIED)
    return Rules.from_strings(
        populated_only=not exact,
        ignore=expect.ignore_paths,
        unordered=expect.unordered_paths,
        tolerances=dict(expect.tolerances),
    )


def expected_responses(expect: Expectation, method: Method, variables: Variables) -> list[Message]:
    """The wanted responses as messages. Raises `ParseError` when one does not fit the method's response type."""
    response_class = message_class(method.response.full_name)
    return [ParseDict(variables.substitute(MessageToDict(wanted)), response_class()) for wanted in expect.responses]


def judge_call(
    expect: Expectation,
    method: Method,
    call: DriverResponse.CallResult,
    responses: Sequence[Message],
    variables: Variables,
    *,
    is_playback: bool,
) -> list[str]:
    """Compare responses and error of a call with the expectation. Returns one line per difference."""
    found: list[str] = []
    if expect.HasField("error") or call.HasField("error"):
        wanted = variables.substitute(MessageToDict(expect.error))
        error = ParseDict(wanted, type(expect.error)())
        found += [
            f"error.{d}" for d in compare_errors(error, call.error, expect.other_codes, populated_only=not is_playback)
        ]
    if expect.sdk_error != call.sdk_error:
        found.append(
            f"sdk_error: want {expect.sdk_error or 'none'}, got {call.sdk_error or 'none'}: {call.error.message}"
        )
    if expect.HasField("response_count") and len(responses) != expect.response_count:
        found.append(f"responses: want {expect.response_count}, got {len(responses)}")
    rules = rules_of(expect, is_playback=is_playback)
    try:
        wanted_responses = expected_responses(expect, method, variables)
    except (ParseError, KeyError) as error_:
        return [*found, f"the expectation does not fit {method.response.full_name}: {error_}"]
    if expect.last_only:
        responses = responses[-1:]
    if wanted_responses and len(wanted_responses) != len(responses):
        found.append(
            f"responses: want {len(wanted_responses)}, got {len(responses)}: {[str(r)[:200] for r in responses]}"
        )
    for number, (want, have) in enumerate(zip(wanted_responses, responses, strict=False)):
        found += [f"response {number}: {difference}" for difference in compare(want, have, rules)]
    for number, have in enumerate(responses):
        places = missing_presence(have, expect.present_paths, expect.empty_paths)
        found += [f"response {number}: {difference}" for difference in places]
    return found


def judge_attempts(
    expect: Expectation, method: Method, requests: Sequence[Message], attempts: Sequence[Attempt], variables: Variables
) -> list[str]:
    """Compare what the playback server saw with the expectation; `requests` are the step's request and its items.

    Returns one line per difference.
    """
    request, *items = requests
    found: list[str] = []
    if expect.HasField("attempts") and len(attempts) != expect.attempts:
        found.append(f"attempts: want {expect.attempts}, got {len(attempts)}")
    request_class = message_class(method.request.full_name)
    wanted = [ParseDict(variables.substitute(MessageToDict(item)), request_class()) for item in expect.server_requests]
    for number, attempt in enumerate(attempts):
        if attempt.method != method.name:
            found.append(f"attempt {number + 1}: want {method.name}, got {attempt.method}")
            continue
        want = (wanted[number] if number < len(wanted) else wanted[-1]) if wanted else request
        found += [f"attempt {number + 1}: request: {difference}" for difference in compare(want, attempt.request)]
        if len(attempt.items) != len(items):
            found.append(f"attempt {number + 1}: items: want {len(items)}, got {len(attempt.items)}")
        for place, (item, sent) in enumerate(zip(items, attempt.items, strict=False)):
            found += [f"attempt {number + 1}: item {place}: {difference}" for difference in compare(item, sent)]
        # The iterator over pages makes one call per page: only a repeated request is another attempt at it.
        repeats = 0 if wanted else number
        arrival = _judge_arrival(expect, attempt, repeats, is_unary=not method.server_streaming)
        found += [f"attempt {number + 1}: {line}" for line in arrival]
    found += _judge_end(expect, attempts)
    for number, pause in enumerate(expect.server_backoff, start=1):
        least = pause.ToTimedelta().total_seconds()
        if (
            number < len(attempts)
            and attempts[number].arrived - attempts[number - 1].arrived < least - BACKOFF_SLACK_SECONDS
        ):
            got = attempts[number].arrived - attempts[number - 1].arrived
            found.append(f"attempt {number + 1}: want a pause of at least {least} s, got {got:.3f} s")
    return found


def _judge_end(expect: Expectation, attempts: Sequence[Attempt]) -> list[str]:
    last = attempts[-1] if attempts else None
    found: list[str] = []
    if expect.cancelled and not (last and last.cancelled):
        found.append("cancelled: want the last attempt to be cancelled by the client, the server has not seen it")
    if expect.HasField("trailers_only") and (last is None or last.trailers_only != expect.trailers_only):
        found.append(f"trailers_only: want {expect.trailers_only}, got {last.trailers_only if last else 'no attempt'}")
    return found


def judge_connections(expect: Expectation, attempts: Sequence[Attempt]) -> list[str]:
    """Compare over how many connections the attempts of a case came with the expectation of its latest step."""
    used = len({attempt.connection for attempt in attempts})
    if expect.HasField("connections") and used != expect.connections:
        return [f"connections: want {expect.connections}, got {used}"]
    return []


def _judge_arrival(expect: Expectation, attempt: Attempt, number: int, *, is_unary: bool) -> list[str]:
    found: list[str] = []
    if number == 0 and expect.HasField("server_deadline"):
        want = expect.server_deadline.ToTimedelta().total_seconds()
        if attempt.deadline is None or abs(attempt.deadline - want) > want * DEADLINE_SHARE:
            found.append(f"deadline: want {want} s within 25 %, got {attempt.deadline}")
    previous = attempt.metadata.get("grpc-previous-rpc-attempts", "0")
    if is_unary and previous != str(number):
        found.append(f"metadata grpc-previous-rpc-attempts: want {number}, got {previous}")
    for key, value in expect.server_metadata.items():
        if key not in attempt.metadata or (value and attempt.metadata[key] != value):
            found.append(f"metadata {key}: want {value or 'any'}, got {attempt.metadata.get(key, 'none')}")
    return found


def judge_same(responses: Sequence[Message], earlier: Sequence[Message], ignore_paths: Sequence[str] = ()) -> list[str]:
    """Check that two calls gave the same answer; search streams are folded first. Returns one line per difference."""
    try:
        left, right = _folded(earlier), _folded(responses)
    except StreamInvalid as error:
        return [f"same_as_step: {error}"]
    if len(left) != len(right):
        return [f"same_as_step: {len(left)} responses then, {len(right)} now"]
    found: list[str] = []
    for want, have in zip(left, right, strict=True):
        ignore = (*ignore_paths, *(SAME_IGNORES if isinstance(want, SearchMemoriesResponse) else ()))
        found += [
            f"same_as_step: {difference}" for difference in compare(want, have, Rules.from_strings(ignore=ignore))
        ]
    return found


def _folded(responses: Sequence[Message]) -> list[Message]:
    events = [event for event in responses if isinstance(event, StreamSearchMemoriesResponse)]
    if events and len(events) == len(responses):
        return [fold(events)]
    return list(responses)
