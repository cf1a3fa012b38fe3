"""What the client repeats from the contract stays equal to it."""

import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

import memoir
from memoir import enums, methods, retry
from memoir._contract import CONTRACT_SHA256

ROOT = Path(__file__).resolve().parents[2]
IDEMPOTENCY = descriptor_pb2.MethodOptions.IdempotencyLevel


def method_descriptors() -> dict[str, Any]:
    """Return the descriptor of each method of the contract by its full name."""
    files = {method.request.DESCRIPTOR.file for method in methods.ALL_METHODS}
    return {
        f"{service.full_name}/{method.name}": method
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


def test_methods_are_those_of_the_contract() -> None:
    descriptors = method_descriptors()
    assert {method.name for method in methods.ALL_METHODS} == set(descriptors)
    for method in methods.ALL_METHODS:
        descriptor = descriptors[method.name]
        assert (descriptor.input_type, descriptor.output_type) == (
            method.request.DESCRIPTOR,
            method.response.DESCRIPTOR,
        )
        kind = (
            methods.BidiStream
            if descriptor.client_streaming
            else methods.ServerStream
            if descriptor.server_streaming
            else methods.Unary
        )
        assert isinstance(method, kind)


def test_retry_policy_follows_from_the_contract() -> None:
    expected = {}
    for name, descriptor in method_descriptors().items():
        level = descriptor.GetOptions().idempotency_level
        if descriptor.client_streaming:
            expected[name] = "never"
        elif level == IDEMPOTENCY.NO_SIDE_EFFECTS:
            expected[name] = "always"
        elif level == IDEMPOTENCY.IDEMPOTENT and "request_id" in descriptor.input_type.fields_by_name:
            expected[name] = "with_request_id"
        else:
            expected[name] = "never"
    assert dict(retry.POLICY.methods) == expected


def test_the_package_ships_the_shared_policy() -> None:
    assert retry.POLICY_FILE.read_bytes() == (ROOT / "proto" / "retry-policy.json").read_bytes()


def test_the_contract_s_digest_is_current() -> None:
    image = ROOT / "server" / "memoir_server" / "rpc" / "contract.binpb"
    assert hashlib.sha256(image.read_bytes()).hexdigest() == CONTRACT_SHA256


def test_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "sdk-python" / "pyproject.toml").read_text(encoding="utf-8"))
    assert memoir.__version__ == project["project"]["version"]


def test_the_synchronous_face_is_current() -> None:
    script = ROOT / "sdk-python" / "sync_face.py"
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


CODECS = sorted(name for name, value in vars(enums).items() if isinstance(value, enums.EnumCodec))


@pytest.mark.parametrize("name", CODECS)
def test_enumerations_have_every_value(name: str) -> None:
    codec = getattr(enums, name)
    assert {codec.decode(number).value for number in codec._numbers.values()} == set(codec._enum)
    for member in codec._enum:
        assert codec.decode(codec.encode(member, "field")) is member
    assert codec.decode(917) == "917"
    assert codec.encode(codec.decode(917), "field") == 917


def test_every_enumeration_has_a_codec() -> None:
    public = {getattr(enums, name) for name in enums.__all__}
    assert {getattr(enums, name)._enum for name in CODECS} == public
