"""Wire vectors: runs them through a driver, and judges the bytes and the ProtoJSON that come back."""

import json

from google.protobuf.json_format import MessageToDict

from golden_runner import bare
from golden_runner.driver import Driver
from golden_runner.transcript import json_differences
from memoir_golden_pb.golden_pb2 import DriverResponse, Vector, VectorSet


def run_vector(vectors: VectorSet, vector: Vector, driver: Driver) -> list[str]:
    """Run one vector in every direction it covers. Returns one line per difference."""
    call_id = f"{vectors.name}/{vector.name}"
    wanted = vector if driver.is_sdk else bare.vector(vector)
    found: list[str] = []
    if vector.direction in (Vector.DIRECTION_BOTH, Vector.DIRECTION_FROM_BINARY):
        answer = driver.round_trip(call_id, vector.type_name, vector.binary).round_trip
        found += _judge("binary", wanted, answer)
    if vector.direction in (Vector.DIRECTION_BOTH, Vector.DIRECTION_FROM_JSON):
        text = json.dumps(MessageToDict(vector.json))
        answer = driver.round_trip(call_id, vector.type_name, text).round_trip
        found += _judge("json", wanted, answer)
    if vector.direction == Vector.DIRECTION_REJECT_BINARY:
        found += _judge_refusal(driver.round_trip(call_id, vector.type_name, vector.binary).round_trip)
    if vector.direction == Vector.DIRECTION_REJECT_JSON:
        text = json.dumps(MessageToDict(vector.json))
        found += _judge_refusal(driver.round_trip(call_id, vector.type_name, text).round_trip)
    return found


def _judge(source: str, vector: Vector, answer: DriverResponse.RoundTripResult) -> list[str]:
    if answer.error:
        return [f"from {source}: refused: {answer.error}"]
    found: list[str] = []
    canonical = vector.canonical or vector.binary
    if answer.binary != canonical:
        found.append(f"from {source}: want bytes {canonical.hex()}, got {answer.binary.hex()}")
    if vector.direction != Vector.DIRECTION_FROM_JSON:
        found += json_differences(MessageToDict(vector.json), _numbers(json.loads(answer.json)), f"from {source}: json")
    return found


def _judge_refusal(answer: DriverResponse.RoundTripResult) -> list[str]:
    return [] if answer.error else [f"accepted, and gave {answer.json}"]


def _numbers(value: object) -> object:
    """Integers as floats: a Struct, which holds the wanted JSON, knows only those."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
