"""What a driver without an SDK is asked, and how it is compared with those that have one."""

from golden_runner import bare
from golden_runner.edges import edge_vectors
from memoir.v1.common_pb2 import MetadataValue
from memoir_golden_pb.golden_pb2 import CallOptions, Case, Step, Suite


def test_without_an_sdk_times_are_judged_to_the_microsecond() -> None:
    fine = next(found for found in edge_vectors().vectors if found.name == "time/2026-01-01T00:00:00.123456789Z")
    cut = bare.vector(fine)
    assert cut.binary == fine.binary
    assert cut.json["timestampValue"] == "2026-01-01T00:00:00.123456Z"
    assert MetadataValue.FromString(cut.canonical).timestamp_value.nanos == 123_456_000
    negative = bare.vector(next(found for found in edge_vectors().vectors if found.name == "duration/-0.000000001s"))
    assert negative.json["latency"] == "0s"
    coarse = next(found for found in edge_vectors().vectors if found.name == "time/2026-01-01T00:00:00.000001Z")
    assert bare.vector(coarse) == coarse


def test_a_driver_without_an_sdk_runs_the_cases_that_need_none() -> None:
    get, watch = (
        Step(method=f"memoir.v1.{name}") for name in ("MemoryService/GetMemory", "HistoryService/WatchHistory")
    )
    patient = Step(method=get.method, options=CallOptions(all_pages=True))
    made = [Case(name="get", steps=[get]), Case(name="watch", steps=[get, watch]), Case(name="all", steps=[patient])]
    suite = Suite(name="s", backend=Suite.BACKEND_DETERMINISTIC, cases=made)
    assert [case.name for case in bare.cases(suite)] == ["get"]
    suite.backend = Suite.BACKEND_PLAYBACK
    assert bare.cases(suite) == []
    steps = [{"method": "m", "responses": [{"changes": []}], "views": [{}], "sdkError": "NotFound"}]
    assert bare.transcript(steps) == [{"method": "m", "responses": [{"changes": []}]}]
