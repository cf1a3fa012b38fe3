"""What stands in front of a service that is not ours: turns, pace, patience and a circuit breaker.

The calls themselves, and what their failures mean, belong to whoever runs them through a guard.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from memoir_server.domain.store import BreakerState
from memoir_server.service.breaker import Breaker
from memoir_server.service.pace import Pace

Result = TypeVar("Result")

_PROBE_SECONDS = 1.0
"""When to come back while another call finds out whether the service answers again."""
_PATIENCE = 0.5
"""Part of the longest time of a request from which giving up on it counts as a failure of the service. A caller with a
short deadline must not shut it off for others."""
_BURST_SHARE = 4
"""A quarter of what a minute allows may pass at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardOptions:
    """How much is asked of a service, and how patiently.

    Attributes:
        concurrency: Requests in hand at once, at least 1.
        attempts: Requests per call at most, at least 1.
        seconds: The longest one request may take.
        requests_per_minute: Requests that may begin in a minute; 0: any number.
        tokens_per_minute: The same of tokens.
        first_pause: Longest pause before the second attempt, in seconds; doubles with each further one.
        longest_pause: Longest pause before an attempt. A service that asks for a longer one is not asked again by
            the same call.
        breaker_threshold: Failures in a row that open the breaker.
    """

    concurrency: int = 8
    attempts: int = 4
    seconds: float = 60.0
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    first_pause: float = 0.5
    longest_pause: float = 30.0
    breaker_threshold: int = 5


@dataclass(frozen=True, slots=True)
class Passing:
    """What a failure that passes says: when to come back, and whether the service is there at all."""

    retry_after: float | None = None
    busy: bool = False


@dataclass(slots=True)
class Tally:
    """Requests that a call made, kept also where it failed."""

    attempts: int = 0


class Barred(Exception):
    """The call was not made: the breaker is open, or the pace has no place before the deadline.

    Attributes:
        retry_after: Seconds until it makes sense to come back.
        breaker: True for the breaker, False for the pace.
    """

    def __init__(self, retry_after: float, *, breaker: bool) -> None:
        super().__init__(f"barred for {retry_after:.1f} s")
        self.retry_after = retry_after
        self.breaker = breaker


class OutOfTime(Exception):
    """The deadline came, or every attempt took too long."""


class Guard:
    """Runs calls of one service. Belongs to one event loop."""

    def __init__(self, options: GuardOptions, *, jitter: Callable[[], float] = random.random) -> None:
        self._options = options
        self._jitter = jitter
        self._slots = asyncio.Semaphore(options.concurrency)
        requests, tokens = options.requests_per_minute, options.tokens_per_minute
        self._requests = Pace(_now, requests, max(1.0, requests / _BURST_SHARE))
        self._tokens = Pace(_now, tokens, tokens / _BURST_SHARE)
        self._breaker = Breaker(
            _now,
            threshold=options.breaker_threshold,
            first_delay=options.first_pause,
            max_delay=options.longest_pause,
            jitter=jitter,
        )
        self._probing = False

    @property
    def breaker(self) -> BreakerState:
        """State of the circuit breaker."""
        return self._breaker.state

    async def run(
        self,
        call: Callable[[], Awaitable[Result]],
        *,
        passing: Callable[[Exception], Passing | None],
        tally: Tally,
        tokens: float = 0.0,
        deadline: float | None = None,
    ) -> Result:
        """Makes the call, again where it failed in a way that passes.

        Args:
            passing: What an error of the call means; None for one that would come again.
            tally: Counts the requests.
            tokens: Estimate of the tokens of one request.
            deadline: A reading of the event loop's clock, in seconds.

        Raises:
            Barred: If no request was made.
            OutOfTime: At the deadline, or if the last attempt took longer than `seconds`.
            Exception: What the last attempt raised.
        """
        scope = asyncio.timeout_at(deadline)
        try:
            async with scope:
                return await self._run(call, passing, tally, tokens, deadline)
        except TimeoutError:
            if scope.expired():
                raise OutOfTime from None
            raise

    def used(self, tokens: float, estimate: float) -> None:
        """Tells how many tokens a request really took."""
        self._tokens.correct(tokens - estimate)

    async def _run(
        self,
        call: Callable[[], Awaitable[Result]],
        passing: Callable[[Exception], Passing | None],
        tally: Tally,
        tokens: float,
        deadline: float | None,
    ) -> Result:
        while True:
            self._look_at_breaker()
            failure: Exception
            async with self._slots:
                await self._wait_for_pace(tokens, deadline)
                probe = self._look_at_breaker()
                self._probing = self._probing or probe
                tally.attempts += 1
                began = _now()
                limit = asyncio.timeout(self._options.seconds)
                try:
                    async with limit:
                        result = await call()
                except TimeoutError:
                    if not limit.expired():
                        raise
                    failure, meaning = OutOfTime(), Passing()
                except asyncio.CancelledError:
                    if _now() - began >= _PATIENCE * self._options.seconds:
                        self._breaker.failed()
                    raise
                except Exception as error:
                    found = passing(error)
                    if found is None:
                        # It answered, if not what was hoped for.
                        self._breaker.succeeded()
                        raise
                    failure, meaning = error, found
                else:
                    self._breaker.succeeded()
                    return result
                finally:
                    if probe:
                        self._probing = False
            pause = self._after(meaning, tally.attempts)
            if tally.attempts >= self._options.attempts or pause > self._options.longest_pause:
                raise failure
            if deadline is not None and _now() + pause >= deadline:
                raise failure
            if self._breaker.state is BreakerState.OPEN:
                raise failure
            await asyncio.sleep(pause)

    def _look_at_breaker(self) -> bool:
        """Whether the call now allowed is the one that finds out. Raises Barred."""
        state = self._breaker.state
        if state is BreakerState.CLOSED:
            return False
        if state is BreakerState.OPEN:
            raise Barred(self._breaker.delay(), breaker=True)
        if self._probing:
            raise Barred(_PROBE_SECONDS, breaker=True)
        return True

    async def _wait_for_pace(self, tokens: float, deadline: float | None) -> None:
        seconds = max(self._requests.wait(), self._tokens.wait(tokens))
        if deadline is not None and _now() + seconds >= deadline:
            raise Barred(seconds, breaker=False)
        self._requests.take()
        self._tokens.take(tokens)
        if seconds:
            await asyncio.sleep(seconds)

    def _after(self, meaning: Passing, attempts: int) -> float:
        """Notes the failure; seconds to wait before the next attempt."""
        if meaning.busy:
            self._breaker.succeeded()
        else:
            self._breaker.failed()
        if meaning.retry_after is not None and meaning.busy:
            # It holds for the others too.
            self._requests.pause(min(meaning.retry_after, self._options.longest_pause))
        ceiling = min(self._options.longest_pause, self._options.first_pause * 2.0 ** (attempts - 1))
        return max(meaning.retry_after or 0.0, ceiling * self._jitter())


def _now() -> float:
    return asyncio.get_running_loop().time()
