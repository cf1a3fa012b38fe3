"""What refusals of providers mean, and where keys come from."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.adapters.provider.failures import read_failure
from memoir_server.adapters.provider.key import KeyMissing, ProviderKey, find_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "code", "type", "message", "detail"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"error": {"message": "Incorrect API key: sk-a", "code": "invalid_api_key"}}, "invalid_api_key"),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded_error"),
        (400, {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, "BadRequestError"),
        (424, {"error": "Model is overloaded", "error_type": "overloaded"}, ""),
        (404, {"error": 'model "llama" not found, try pulling it first'}, ""),
        (503, {"detail": {"type": "unavailable"}}, "unavailable"),
        (502, "<html>Bad Gateway</html>", ""),
        (500, None, ""),
    ],
)
def test_the_word_for_it(status: int, body: Any, code: str) -> None:
    failure = read_failure(status, {}, body)
    assert failure.code == code
    assert failure.reason == f"answered HTTP {status}" + (f" {code}" if code else "")
    assert failure.fix(key="file k", section="reasoner")


@pytest.mark.parametrize(
    ("status", "passes"),
    [
        *((status, False) for status in (400, 401, 402, 403, 404, 413, 422, 501)),
        *((status, True) for status in (408, 409, 429, 500, 502, 503, 504, 529)),
    ],
)
def test_what_passes(status: int, *, passes: bool) -> None:
    assert read_failure(status, {}, None).passes == passes


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}},
        {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}},
    ],
)
def test_without_credit_nothing_passes(body: Any) -> None:
    failure = read_failure(429, {"retry-after": "1"}, body)
    assert failure.no_credit
    assert not failure.passes
    assert "credit" in failure.fix(key="file k", section="reasoner")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert read_failure(429, headers, None).retry_after == seconds


def test_a_date_to_come_back_at() -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    seconds = read_failure(429, {"retry-after": header}, None).retry_after
    assert seconds is not None
    assert 500 < seconds <= 600


@given(status=st.integers(400, 599), body=JSON)
def test_no_body_is_too_strange(status: int, body: Any) -> None:
    failure = read_failure(status, {"retry-after": str(body)[:20]}, body)
    assert len(failure.reason) < 100
    assert failure.fix(key="k", section="reasoner")


def test_a_key_from_the_environment() -> None:
    key = find_key(variable="KEY", file="", environment={"KEY": " sk-1 \n"}, section="reasoner")
    assert key is not None
    assert key.reveal() == "sk-1"
    assert key.source == "environment variable KEY"


def test_a_key_from_a_file_goes_before_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-2\n")
    key = find_key(variable="KEY", file=str(tmp_path / "key"), environment={"KEY": "sk-1"}, section="reasoner")
    assert key is not None
    assert key.reveal() == "sk-2"


def test_a_key_nobody_needs() -> None:
    assert find_key(variable="KEY", file="", environment={}, section="reasoner", needed=False) is None


@pytest.mark.parametrize("content", [b"", b"  \n", b"sk-1\nsk-2", "schlüssel".encode(), None])
def test_a_file_without_a_key(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(KeyMissing) as missing:
        find_key(variable="KEY", file=str(file), environment={"KEY": "sk-1"}, section="embedder", needed=False)
    assert str(file) in str(missing.value)
    assert "sk-" not in str(missing.value)


def test_a_variable_without_a_key() -> None:
    with pytest.raises(KeyMissing, match=r"environment variable KEY is not set.*reasoner.key_file"):
        find_key(variable="KEY", file="", environment={"KEY": ""}, section="reasoner")


def test_a_key_is_not_written_anywhere() -> None:
    key = ProviderKey("sk-secret", "file k")
    assert "secret" not in f"{key} {key!r}"
    with pytest.raises(TypeError):
        pickle.dumps(key)
