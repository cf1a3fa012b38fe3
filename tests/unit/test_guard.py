"""Turns, pace, patience and the breaker in front of a service that is not ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoir_server.domain.store import BreakerState
from memoir_server.service import guard as guard_module
from memoir_server.service.guard import Barred, Guard, GuardOptions, OutOfTime, Passing, Tally
from memoir_server.service.pace import Pace


class Down(Exception):
    pass


class Busy(Exception):
    pass


class Wrong(Exception):
    pass


def passing(error: Exception) -> Passing | None:
    if isinstance(error, Busy):
        return Passing(retry_after=error.args[0], busy=True)
    return Passing() if isinstance(error, Down) else None


class Service:
    """Answers what it is told to, in order; then "fine"."""

    def __init__(self, *outcomes: Exception | Callable[[], Awaitable[None]]) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0
        self.in_hand = 0
        self.most = 0

    async def __call__(self) -> str:
        self.calls += 1
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        try:
            outcome = self.outcomes.pop(0) if self.outcomes else None
            if isinstance(outcome, Exception):
                raise outcome
            if outcome is not None:
                await outcome()
            await asyncio.sleep(0)
        finally:
            self.in_hand -= 1
        return "fine"


def guard(**changes: float) -> Guard:
    usual = {"first_pause": 0.001, "longest_pause": 0.05, "breaker_threshold": 100, "seconds": 20.0}
    return Guard(GuardOptions(**(usual | changes)), jitter=lambda: 1.0)  # type: ignore[arg-type]


async def run(subject: Guard, service: Service, *, tally: Tally | None = None, deadline: float | None = None) -> str:
    return await subject.run(service, passing=passing, tally=tally or Tally(), deadline=deadline)


async def hang() -> None:
    await asyncio.Event().wait()


async def test_what_passes_is_repeated_and_counted() -> None:
    tally, service = Tally(), Service(Down(), Busy(0.0), Down())
    assert await run(guard(attempts=4), service, tally=tally) == "fine"
    assert tally.attempts == service.calls == 4


async def test_the_last_failure_is_told() -> None:
    tally, service = Tally(), Service(Down(), Busy(0.001), Down(), Down())
    with pytest.raises(Down):
        await run(guard(attempts=3), service, tally=tally)
    assert tally.attempts == 3


async def test_what_would_come_again_is_not_repeated() -> None:
    service = Service(Wrong())
    with pytest.raises(Wrong):
        await run(guard(attempts=4), service)
    assert service.calls == 1


async def test_a_timeout_of_the_calls_own_is_not_taken_for_the_guards() -> None:
    service = Service(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        await run(guard(), service)


async def test_a_longer_wait_than_allowed_is_left_to_the_caller() -> None:
    service = Service(Busy(60.0))
    with pytest.raises(Busy):
        await run(guard(attempts=4), service)
    assert service.calls == 1


async def test_no_attempt_is_begun_that_the_deadline_would_end() -> None:
    service = Service(Down())
    with pytest.raises(Down):
        await run(
            guard(attempts=4, first_pause=20.0, longest_pause=20.0),
            service,
            deadline=asyncio.get_running_loop().time() + 5,
        )
    assert service.calls == 1


async def test_the_deadline_ends_a_call_that_hangs() -> None:
    with pytest.raises(OutOfTime):
        await run(guard(), Service(hang), deadline=asyncio.get_running_loop().time() + 0.05)


async def test_the_deadline_ends_waiting_for_a_turn() -> None:
    subject, tally = guard(concurrency=1), Tally()
    first = asyncio.ensure_future(run(subject, Service(hang)))
    await asyncio.sleep(0)
    with pytest.raises(OutOfTime):
        await run(subject, Service(), tally=tally, deadline=asyncio.get_running_loop().time() + 0.05)
    assert tally.attempts == 0
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await run(subject, Service()) == "fine", "the turn was given back"


async def test_turns_go_in_the_order_of_asking() -> None:
    subject, order = guard(concurrency=1), []

    async def ask(number: int) -> None:
        async def call() -> None:
            order.append(number)
            await asyncio.sleep(0)

        await subject.run(call, passing=passing, tally=Tally())

    await asyncio.gather(*(ask(number) for number in range(20)))
    assert order == list(range(20))


async def test_no_more_than_so_many_at_once() -> None:
    subject, service = guard(concurrency=3), Service(*[lambda: asyncio.sleep(0.001)] * 12)
    await asyncio.gather(*(run(subject, service) for _ in range(12)))
    assert service.most == 3


async def test_the_breaker_opens_for_everybody_and_one_finds_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(guard_module, "_now", lambda: now)
    subject = guard(attempts=1, breaker_threshold=3, first_pause=2.0, longest_pause=2.0)

    def state() -> BreakerState:
        return subject.breaker

    service = Service(Down(), Down(), Down())
    for _ in range(3):
        with pytest.raises(Down):
            await run(subject, service)
    assert state() is BreakerState.OPEN
    with pytest.raises(Barred) as barred:
        await run(subject, service)
    assert barred.value.breaker
    assert barred.value.retry_after == 2.0
    assert service.calls == 3, "nobody waits for what is down"
    now = 102.0
    assert state() is BreakerState.HALF_OPEN
    results = await asyncio.gather(*(run(subject, service) for _ in range(5)), return_exceptions=True)
    assert [result for result in results if result == "fine"] == ["fine"]
    assert sum(isinstance(result, Barred) for result in results) == 4
    assert service.calls == 4, "one call finds out"
    assert state() is BreakerState.CLOSED


async def test_a_probe_that_is_given_up_lets_another_find_out() -> None:
    subject = guard(attempts=1, breaker_threshold=1, first_pause=0.005, longest_pause=0.005)
    with pytest.raises(Down):
        await run(subject, Service(Down()))
    await _until(lambda: subject.breaker is BreakerState.HALF_OPEN)
    probe = asyncio.ensure_future(run(subject, Service(hang)))
    await asyncio.sleep(0.001)
    with pytest.raises(Barred):
        await run(subject, Service())
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert await run(subject, Service()) == "fine"


async def test_a_busy_service_and_a_wrong_request_open_no_breaker() -> None:
    subject = guard(attempts=1, breaker_threshold=2)
    for outcome in (Down(), Busy(0.0), Down(), Wrong(), Down(), Busy(0.0)):
        with pytest.raises(type(outcome)):
            await run(subject, Service(outcome))
    assert subject.breaker is BreakerState.CLOSED


async def test_callers_with_little_time_do_not_shut_a_slow_service_off() -> None:
    subject = guard(attempts=1, breaker_threshold=1, seconds=60.0)
    with pytest.raises(OutOfTime):
        await run(subject, Service(hang), deadline=asyncio.get_running_loop().time() + 0.02)
    assert subject.breaker is BreakerState.CLOSED
    patient = guard(attempts=1, breaker_threshold=1, seconds=0.03)
    with pytest.raises(OutOfTime):
        await run(patient, Service(hang), deadline=asyncio.get_running_loop().time() + 0.02)
    assert patient.breaker is not BreakerState.CLOSED


async def test_a_service_that_hangs_opens_the_breaker() -> None:
    subject = guard(attempts=2, breaker_threshold=2, seconds=0.01, first_pause=20.0, longest_pause=0.001)
    with pytest.raises(OutOfTime):
        await run(subject, Service(hang, hang))
    assert subject.breaker is not BreakerState.CLOSED


async def test_a_busy_service_is_left_alone_by_the_others_too() -> None:
    subject = guard(attempts=1, longest_pause=20.0)
    with pytest.raises(Busy):
        await run(subject, Service(Busy(15.0)))
    with pytest.raises(Barred) as barred:
        await run(subject, Service(), deadline=asyncio.get_running_loop().time() + 5)
    assert not barred.value.breaker
    assert barred.value.retry_after > 5


async def test_the_pace_bars_what_has_no_place_before_its_deadline() -> None:
    subject, service = guard(requests_per_minute=4), Service()
    assert await run(subject, service) == "fine"
    with pytest.raises(Barred) as barred:
        await run(subject, service, deadline=asyncio.get_running_loop().time() + 5)
    assert 5 < barred.value.retry_after <= 15
    assert service.calls == 1


async def test_tokens_are_paced_and_corrected() -> None:
    subject = guard(tokens_per_minute=600)
    soon = asyncio.get_running_loop().time() + 5
    await subject.run(Service(), passing=passing, tally=Tally(), tokens=150, deadline=soon)
    with pytest.raises(Barred):
        await subject.run(Service(), passing=passing, tally=Tally(), tokens=150, deadline=soon)
    subject.used(10, 150)
    await subject.run(Service(), passing=passing, tally=Tally(), tokens=100, deadline=soon)


@given(
    per_minute=st.floats(1, 6000),
    burst=st.floats(0, 50),
    steps=st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 20)), max_size=60),
)
def test_a_pace_lets_no_more_pass_than_its_rate_and_burst(
    per_minute: float, burst: float, steps: list[tuple[float, float]]
) -> None:
    now, passed = 0.0, []
    pace = Pace(lambda: now, per_minute, burst)
    for advance, units in steps:
        now += advance
        passed.append((now + pace.take(units), units))
    assert passed == sorted(passed, key=lambda place: place[0]), "places go in the order of asking"
    for i, (start, _) in enumerate(passed):
        for j in range(i, len(passed)):
            allowed = burst + (passed[j][0] - start) * per_minute / 60
            # Whoever comes first may take more than a burst holds: it pays afterwards.
            assert sum(units for _, units in passed[i + 1 : j + 1]) <= allowed + 1e-6


def test_a_pace_without_a_rate_only_pauses() -> None:
    now = 0.0
    pace = Pace(lambda: now, 0, 1)
    assert [pace.take() for _ in range(1000)] == [0.0] * 1000
    pace.pause(3)
    pace.pause(1)
    assert pace.wait() == 3
    now = 3.0
    assert pace.take() == 0


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)
