"""Requests that are let pass at a glance are requests that the validator lets pass."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.rpc.contract import load_contract
from memoir_server.rpc.interceptors.plain_search import GLANCES, plain_search
from memoir_server.rpc.interceptors.validate import RequestValidator

CONTRACT = load_contract()


class Deaf:
    """Rules that find nothing to say, and count how often they are asked."""

    def __init__(self) -> None:
        self.asked = 0

    def collect_violations(self, message: Any, /, *, fail_fast: bool = False) -> list[Any]:
        self.asked += 1
        return []


@pytest.fixture(scope="module")
def validator() -> RequestValidator:
    validator = RequestValidator()
    validator.self_test(CONTRACT)
    return validator


texts = st.text(max_size=4) | st.sampled_from(("", "q", "x" * 8_192, "x" * 8_193, "\U0001f600" * 8_192))
ids = (
    st.none()
    | st.text(max_size=3)
    | st.sampled_from(("", "ana", "a\n", "a\x00", "\x7f", "é" * 256, "é" * 257, "\u2028", "a b"))
)
namespaces = st.text(max_size=3) | st.sampled_from(("", "default", "a-1", "1a", "A", "a\n", "a" * 63, "a" * 64, "é"))
numbers = st.sampled_from((0, 1, 2, 3, 4, 5, 6, 100, -1, 2**31 - 1, -(2**31)))


@st.composite
def searches(draw: st.DrawFn) -> Any:
    """Searches of all kinds; most of them plain but for one thing or two."""
    request: Any = CONTRACT.message(draw(st.sampled_from(sorted(GLANCES))))()
    if draw(st.booleans()):
        request.namespace = draw(namespaces)
    if draw(st.integers(0, 9)):
        request.spec.query = draw(texts)
    for name in ("user_id", "agent_id", "session_id"):
        if (value := draw(ids)) is not None and draw(st.booleans()):
            setattr(request.spec.scope, name, value)
    for name in ("limit", "recipe", "fusion", "view", "min_revision", "graph_depth"):
        if not draw(st.integers(0, 4)):
            setattr(request.spec, name, draw(numbers))
    for name in ("rerank", "include_superseded", "explain"):
        setattr(request.spec, name, draw(st.booleans()))
    if not draw(st.integers(0, 6)):
        request.spec.min_score = draw(st.sampled_from((0.0, 1.0, 1.5, float("nan"))))
    for name in ("filter", "create_time_range", "as_of", "valid_at"):
        if not draw(st.integers(0, 9)):
            getattr(request.spec, name).SetInParent()
    if not draw(st.integers(0, 9)):
        request.spec.filter.compare.field = "Not a field"
    return request


@given(request=searches())
def test_a_glance_lets_nothing_pass_that_breaks_a_rule(validator: RequestValidator, request: Any) -> None:
    if plain_search(request):
        # The class is one that glances do not know, so that the rules judge.
        assert not validator._rules.collect_violations(request)


def test_common_searches_are_plain() -> None:
    rules = Deaf()
    validator = RequestValidator(rules)
    for name in sorted(GLANCES):
        request: Any = CONTRACT.message(name)()
        request.spec.query = "where does Ana live?"
        assert not validator.violations(request)
        request.namespace = "bench"
        request.spec.scope.user_id, request.spec.limit, request.spec.view = "ana", 10, 1
        assert not validator.violations(request)
    assert rules.asked == 0


def test_what_is_not_plain_is_judged_by_the_rules(validator: RequestValidator) -> None:
    request: Any = CONTRACT.message("memoir.v1.SearchMemoriesRequest")(namespace="No")
    request.spec.query = "q"
    request.spec.scope.user_id = ""
    assert {violation.field for violation in validator.violations(request)} == {"namespace", "spec.scope.user_id"}
    assert [violation.field for violation in validator.violations(type(request)())] == ["spec"]
