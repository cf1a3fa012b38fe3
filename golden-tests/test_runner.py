"""The runner's own parts: frames, paths, variables, scrubbing, transcripts, folding, judging, the matrix."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from golden_runner import matrix, transcript
from golden_runner.completeness import missing_response_fields
from golden_runner.contract import ERROR_REASONS, METHODS, contract_messages
from golden_runner.corpus import CorpusInvalid, NotYet, load_known_gaps, load_suites
from golden_runner.driver import Driver, DriverFailed, DriverKind
from golden_runner.edges import edge_vectors
from golden_runner.execute import CaseOutcome, StepOutcome, namespace_of
from golden_runner.filter_forms import misjudged_forms, wanted
from golden_runner.fold import StreamInvalid, fold
from golden_runner.framing import read_frame, write_frame
from golden_runner.judge import judge_attempts, judge_call, judge_connections, judge_same
from golden_runner.others import OtherCallFailed, in_hand
from golden_runner.paths import parse, select
from golden_runner.playback import Attempt
from golden_runner.samples import contract_vectors
from golden_runner.scrub import SCRUBBED, scrub, scrub_view
from golden_runner.variables import Variables
from memoir.v1.history_pb2 import ListHistoryResponse
from memoir.v1.memory_pb2 import GetMemoryRequest, GetMemoryResponse, ListMemoriesResponse, Memory
from memoir.v1.reset_pb2 import PlanResetResponse, Reset
from memoir.v1.search_pb2 import SearchHit, SearchMemoriesResponse, StreamSearchMemoriesResponse
from memoir.v1.transfer_pb2 import ImportMemoriesRequest
from memoir_golden_pb.golden_pb2 import Case, DriverRequest, DriverResponse, Expectation, OtherCall, Step, Suite, Vector

GET = METHODS["memoir.v1.MemoryService/GetMemory"]
IMPORT = METHODS["memoir.v1.TransferService/ImportMemories"]


def test_frames_survive_a_round_trip_and_refuse_noise() -> None:
    stream = io.BytesIO()
    sent = [DriverRequest(id="x" * size) for size in (0, 1, 200, 70_000)]
    for message in sent:
        write_frame(stream, message)
    stream.seek(0)
    assert [read_frame(stream, DriverRequest) for _ in sent] == sent
    assert read_frame(stream, DriverRequest) is None
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(b"\x05ab"), DriverRequest)
    with pytest.raises(ValueError, match="not a frame"):
        read_frame(io.BytesIO(b"\xff\xff\xff\xff\x7f"), DriverRequest)


def test_paths_reach_lists_maps_and_wildcards() -> None:
    message = SearchMemoriesResponse(hits=[SearchHit(parts={"a": 1.0, "b": 2.0}), SearchHit()])
    assert [value for _, value in select(message, parse("hits.*.parts.b"))] == [2.0]
    assert [place for place, _ in select(message, parse("hits.*.score"))] == [
        ("hits", "0", "score"),
        ("hits", "1", "score"),
    ]
    assert [value for _, value in select(message, parse("revision"))] == [None]
    with pytest.raises(ValueError, match="empty segment"):
        parse("hits..score")


def test_variables_bind_substitute_and_restore() -> None:
    variables = Variables("g-x")
    plan = PlanResetResponse(reset=Reset(reset_id="reset-0001"), confirm_token="secret-token")
    variables.bind("r", "0.reset.reset_id", [plan])
    variables.bind("t", "-1.confirm_token", [plan])
    assert variables.substitute({"a": ["${r}", "${namespace}/x"]}) == {"a": ["reset-0001", "g-x/x"]}
    assert variables.restore({"text": "reset-0001 is gone", "n": 7}) == {"text": "${r} is gone", "n": 7}
    with pytest.raises(ValueError, match="names response 1 of 1"):
        variables.bind("u", "1.confirm_token", [plan])
    with pytest.raises(ValueError, match="has 0 values"):
        variables.bind("u", "0.reset.namespace", [plan])
    with pytest.raises(KeyError, match="not bound"):
        variables.substitute("${nothing}")


def test_now_is_fixed_within_a_case() -> None:
    variables = Variables("g-x")
    assert variables["now+2"] == variables["now+2"] != variables["now+3"]
    assert variables["now+1.5"].endswith(".500Z")
    assert variables.restore(variables["now+2"]) == "${now+2}"


def test_scrubbing_marks_what_differs_between_runs_and_keeps_what_variables_stand_for() -> None:
    message = PlanResetResponse(reset=Reset(reset_id="r-17", planned_revision=4), confirm_token="s")
    marked = scrub(message.DESCRIPTOR, MessageToDict(message))
    assert marked == {"confirmToken": "<confirmToken>", "reset": {"resetId": "<resetId>", "plannedRevision": "4"}}
    bound = scrub(message.DESCRIPTOR, {"reset": {"resetId": "${r}"}})
    assert bound == {"reset": {"resetId": "${r}"}}
    assert scrub_view({"searchId": "x", "hits": [{"score": 1}]}) == {"searchId": "<searchId>", "hits": [{"score": 1}]}
    assert scrub_view({"id": "m", "createTime": "t"}) == {"id": "m", "createTime": "t"}


def test_scrubbed_fields_exist() -> None:
    fields = {field.full_name for descriptor in contract_messages() for field in descriptor.fields}
    assert {name for name in SCRUBBED if name.startswith("memoir.")} <= fields


def events() -> list[StreamSearchMemoriesResponse]:
    memory = Memory(memory_id="m-1", text="t")
    report = {"phase": 1, "outcome": 1}
    return [
        StreamSearchMemoriesResponse(sequence=1, started={"search_id": "s", "phases": [1]}),
        StreamSearchMemoriesResponse(
            sequence=2, phase_hits={"report": report, "new_hits": [{"memory": memory, "score": 0.5}]}
        ),
        StreamSearchMemoriesResponse(sequence=3, completed={"order": ["m-1"], "revision": 4, "phases": [report]}),
    ]


def test_the_fold_is_the_unary_answer() -> None:
    unary = SearchMemoriesResponse(
        hits=[SearchHit(memory=Memory(memory_id="m-1", text="t"), score=0.5)],
        phases=[{"phase": 1, "outcome": 1}],
        revision=4,
        search_id="another",
    )
    assert judge_same(events(), [unary]) == []
    unary.hits[0].score = 0.25
    assert judge_same(events(), [unary]) == ["same_as_step: hits.0.score: want 0.25, got 0.5"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda found: found.pop(), "ended before completed"),
        (lambda found: found.pop(0), "has the sequence 2"),
        (lambda found: found[1].ClearField("phase_hits"), "completed before the phases"),
        (lambda found: found[2].completed.order.append("m-2"), "without a body"),
        (lambda found: setattr(found[1].phase_hits.report, "phase", 2), "out of the declared order"),
    ],
)
def test_a_broken_stream_is_not_folded(break_it: object, message: str) -> None:
    found = events()
    break_it(found)  # type: ignore[operator]
    with pytest.raises(StreamInvalid, match=message):
        fold(found)


def call(*responses: Message, error: Status | None = None, sdk_error: str = "") -> DriverResponse.CallResult:
    result = DriverResponse.CallResult(sdk_error=sdk_error)
    if error is not None:
        result.error.CopyFrom(error)
    return result


def judged(expect: Expectation, result: DriverResponse.CallResult, *responses: Message) -> list[str]:
    return judge_call(expect, GET, result, responses, Variables("g"), is_playback=True)


def test_an_error_that_was_not_wanted_is_a_difference() -> None:
    failed = call(error=Status(code=5), sdk_error="NotFound")
    assert len(judged(Expectation(), failed)) == 2
    assert judged(Expectation(error=Status(code=5), sdk_error="NotFound"), failed) == []
    assert judged(Expectation(error=Status(code=5), sdk_error="Gone"), failed)
    assert judged(Expectation(error=Status(code=5), sdk_error="NotFound"), call())


def test_responses_are_counted() -> None:
    one = GetMemoryResponse(memory=Memory(memory_id="m-1"))
    assert judged(Expectation(response_count=1), call(), one) == []
    assert judged(Expectation(response_count=2), call(), one)
    expect = Expectation()
    expect.responses.add().update({"memory": {"memoryId": "m-1"}})
    assert judged(expect, call(), one) == []
    assert judged(expect, call(), one, one)
    assert judged(expect, call(), GetMemoryResponse())
    expect.responses[0].update({"noSuchField": 1})
    assert "does not fit" in judged(expect, call(), one)[0]


def attempt(number: int = 0, deadline: float | None = 10.0, arrived: float = 0.0, **metadata: str) -> Attempt:
    if number:
        metadata["grpc-previous-rpc-attempts"] = str(number)
    return Attempt(GET.name, GetMemoryRequest(memory_id="m-1"), deadline, metadata, arrived)


def attempts_judged(expect: Expectation, *attempts: Attempt) -> list[str]:
    return judge_attempts(expect, GET, [GetMemoryRequest(memory_id="m-1")], attempts, Variables("g"))


def test_attempts_deadlines_pauses_and_headers_are_judged() -> None:
    expect = Expectation(attempts=2, server_metadata={"traceparent": ""})
    expect.server_deadline.FromJsonString("10s")
    expect.server_backoff.add().FromJsonString("0.300s")
    good = (attempt(traceparent="x"), attempt(1, arrived=0.31, traceparent="x"))
    assert attempts_judged(expect, *good) == []
    assert attempts_judged(expect, good[0])
    assert attempts_judged(expect, attempt(deadline=7.4, traceparent="x"), good[1])
    assert attempts_judged(expect, attempt(deadline=None, traceparent="x"), good[1])
    assert attempts_judged(expect, good[0], attempt(1, arrived=0.2, traceparent="x"))
    assert attempts_judged(expect, attempt(), good[1])
    assert attempts_judged(expect, good[0], attempt(0, arrived=0.31, traceparent="x")), "a retry says that it is one"


def test_a_request_that_differs_is_noticed() -> None:
    other = Attempt(GET.name, GetMemoryRequest(memory_id="m-2"), 10.0, {}, 0.0)
    assert attempts_judged(Expectation(), other)


def outcome(*steps: StepOutcome, backend: "Suite.Backend" = Suite.BACKEND_DETERMINISTIC) -> CaseOutcome:
    return CaseOutcome("suite", "case", "python", backend, steps, Variables("g-suite-case"))


def step(*responses: Message, error: Status | None = None, differences: tuple[str, ...] = ()) -> StepOutcome:
    return StepOutcome(GET.name, responses, call(error=error), "", (), differences)


def test_a_cell_is_green_with_a_full_reply_and_an_error_only() -> None:
    full = step(GetMemoryResponse(memory=Memory(memory_id="m-1")))
    empty, failed = step(GetMemoryResponse()), step(error=Status(code=5))
    key = (GET.name, "python", "embedded")
    assert not matrix.tally([outcome(full)])[key].is_green
    assert not matrix.tally([outcome(empty, failed)])[key].is_green
    assert not matrix.tally([outcome(step(GetMemoryResponse(memory=Memory(text="t")), differences=("x",)), failed)])[
        key
    ].is_green
    assert matrix.tally([outcome(full, failed)])[key].is_green
    row = next(
        line for line in matrix.render(matrix.tally([outcome(full, failed)]), {}).splitlines() if "/GetMemory" in line
    )
    assert row.split(" | ")[1:] == ["-", "-", "-", "**ok**", "-", "-", "-", "-", "- |"]
    row = next(line for line in matrix.render({}, {}).splitlines() if "/WatchReset" in line)
    assert row.split(" | ")[1:] == ["-", "-", "-", "-", "-", "-", "n/a", "-", "- |"]


def test_transcripts_are_written_and_compared(tmp_path: Path) -> None:
    first = outcome(step(GetMemoryResponse(memory=Memory(memory_id="m-1", revision=1, namespace="g-suite-case"))))
    suite = Suite(name="suite")
    assert "no transcript" in transcript.differences(first, tmp_path)[0]
    transcript.write(suite, [first], tmp_path)
    assert transcript.differences(first, tmp_path) == []
    recorded = json.loads((tmp_path / "suite.json").read_text(encoding="utf-8"))
    assert recorded["cases"]["case"][0]["responses"][0]["memory"]["namespace"] == "${namespace}"
    second = outcome(step(GetMemoryResponse(memory=Memory(memory_id="m-1", revision=2, namespace="g-suite-case"))))
    found = transcript.differences(second, tmp_path)
    assert found == ['transcript.0.responses.0.memory.revision: want "1", got "2"']


def test_namespaces_are_valid_and_short() -> None:
    assert namespace_of("search", "as-of") == "g-search-as-of"
    assert len(namespace_of("s" * 50, "c" * 50)) == 63


def test_the_corpus_refuses_misnamed_and_malformed_suites(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text, message in [
        ('{"name": "b", "backend": "BACKEND_PLAYBACK"}', "name and file name"),
        ('{"name": "a", "backend": "BACKEND_PLAYBACK", "cases": [{"name": "x"}, {"name": "x"}]}', "same name"),
        ('{"name": "a"}', "needs a server"),
        ('{"name": "a", "colour": 1}', "colour"),
    ]:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(CorpusInvalid, match=message):
            load_suites(tmp_path)
    path.write_text('[{"driver": "node", "case": "a/b", "reason": ""}]', encoding="utf-8")
    with pytest.raises(CorpusInvalid, match="reason"):
        load_known_gaps(path)


def test_the_items_of_an_attempt_are_judged() -> None:
    header, item = ImportMemoriesRequest(), ImportMemoriesRequest(item=ImportMemoriesRequest.Item(sequence=1))
    other = ImportMemoriesRequest(item=ImportMemoriesRequest.Item(sequence=2))

    def judged(*sent: Message) -> list[str]:
        attempt = Attempt(IMPORT.name, header, 10.0, {}, 0.0, sent)
        return judge_attempts(Expectation(), IMPORT, [header, item], [attempt], Variables("g"))

    assert judged(item) == []
    assert judged() == ["attempt 1: items: want 1, got 0"]
    assert judged(other) == ["attempt 1: item 0: item.sequence: want 1, got 2"]


def test_how_an_attempt_ended_is_judged() -> None:
    seen, left = attempt(), replace(attempt(), cancelled=True, trailers_only=True)
    assert attempts_judged(Expectation(cancelled=True), left) == []
    assert "cancelled" in attempts_judged(Expectation(cancelled=True), seen)[0]
    assert attempts_judged(Expectation(trailers_only=True), left) == []
    assert attempts_judged(Expectation(trailers_only=False), left) == ["trailers_only: want False, got True"]
    assert attempts_judged(Expectation(trailers_only=True)) == ["trailers_only: want True, got no attempt"]


def test_connections_are_counted_over_the_case() -> None:
    seen = [replace(attempt(), connection=number) for number in (4, 4, 7)]
    assert judge_connections(Expectation(), seen) == []
    assert judge_connections(Expectation(connections=2), seen) == []
    assert judge_connections(Expectation(connections=1), seen) == ["connections: want 1, got 2"]


def listing(filter_: dict[str, Any], *, refused: bool = False) -> Suite:
    step = Step(method="memoir.v1.MemoryService/ListMemories")
    step.request.update({"filter": filter_})
    if refused:
        step.expect.error.code = 3
    return Suite(name="s", backend=Suite.BACKEND_DETERMINISTIC, cases=[Case(name="c", steps=[step])])


def compared(operator: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"compare": {"field": "metadata.x", "operator": f"OPERATOR_{operator}", "value": value}}


def test_forms_of_requests_are_found_where_they_stand() -> None:
    nothing, less = NotYet({}, {}, {}, {}), compared("LESS", {"intValue": "1"})
    assert misjudged_forms([], nothing) == [f"{form}: occurs in no request" for form in wanted()]
    nested = {"and": {"filters": [{"not": less}]}}
    missing = {line.removesuffix(": occurs in no request") for line in misjudged_forms([listing(nested)], nothing)}
    place = "memoir.v1.ListMemoriesRequest.filter: and"
    assert set(wanted()) - missing == {"and of not", "not of compare", "not: OPERATOR_LESS int_value", place}
    form = "alone: OPERATOR_LESS int_value"
    listed = NotYet({}, {}, {}, {form: "Some reason."})
    assert f"{form}: occurs in no request" not in misjudged_forms([], listed)
    assert f"{form}: occurs, but not-yet.json lists it" in misjudged_forms([listing(less)], listed)


def test_a_comparison_that_is_refused_need_not_stand_everywhere() -> None:
    nothing, odd = NotYet({}, {}, {}, {}), compared("CONTAINS", {"boolValue": True})
    refused = misjudged_forms([listing(odd, refused=True)], nothing)
    assert not [line for line in refused if "OPERATOR_CONTAINS bool_value" in line]
    answered = misjudged_forms([listing(odd)], nothing)
    assert "and: OPERATOR_CONTAINS bool_value: occurs in no request" in answered


def test_a_response_field_that_no_script_sets_is_missing() -> None:
    name = "memoir.v1.MemoryService/GetMemory"
    assert f"{name}: no script answers with memory" in missing_response_fields([])
    step = Step(method=name)
    step.script.add().responses.add().Pack(GetMemoryResponse(memory=Memory(text="t")))
    suite = Suite(name="s", backend=Suite.BACKEND_PLAYBACK, cases=[Case(name="c", steps=[step])])
    assert f"{name}: no script answers with memory" not in missing_response_fields([suite])


def test_calls_of_others_that_cannot_be_held_are_reported() -> None:
    for call, message in [
        (OtherCall(method=GET.name), "cannot be held"),
        (OtherCall(method="memoir.v1.HistoryService/WatchHistory"), "ended before it was needed"),
    ]:
        with pytest.raises(OtherCallFailed, match=message), in_hand("127.0.0.1:1", [call], Variables("g")):
            pass


def test_a_driver_that_dies_or_babbles_is_reported() -> None:
    scripts = {"raise SystemExit(3)": "status 3", "print('hello world ' * 9, flush=True)": "driver at"}
    for script, message in scripts.items():
        kind = DriverKind("fake", "fake", (sys.executable, "-c", f"import sys; sys.stdin.buffer.read(1); {script}"))
        with Driver(kind) as driver, pytest.raises(DriverFailed, match=message):
            driver.round_trip("a/b", "memoir.v1.Scope", b"")


def test_the_vectors_on_disk_follow_from_the_contract() -> None:
    from golden_runner.corpus import load_vectors

    assert load_vectors() == [edge_vectors(), contract_vectors()], "run: python -m golden_runner --write-vectors"


def test_every_message_has_vectors_and_every_arm_one() -> None:
    names = {vector.type_name for vector in contract_vectors().vectors}
    assert names == {descriptor.full_name for descriptor in contract_messages()}
    assert {Vector.DIRECTION_REJECT_BINARY, Vector.DIRECTION_REJECT_JSON} <= {
        v.direction for v in edge_vectors().vectors
    }


def test_the_contract_is_read_from_descriptors() -> None:
    assert len(METHODS) == 31
    assert "MEMORY_NOT_FOUND" in ERROR_REASONS
    assert METHODS["memoir.v1.HistoryService/WatchHistory"].server_streaming
    assert ListMemoriesResponse.DESCRIPTOR.full_name in {method.response.full_name for method in METHODS.values()}
    assert ListHistoryResponse.DESCRIPTOR in {method.response for method in METHODS.values()}
