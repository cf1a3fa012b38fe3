"""One run of the corpus: starts drivers and servers when first needed, and ends what it started."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Final, TypeVar

from golden_runner import bare
from golden_runner.corpus import load_known_gaps
from golden_runner.driver import KINDS, Driver
from golden_runner.execute import CaseOutcome, run_case
from golden_runner.launcher import ServerProcess
from golden_runner.playback_process import PlaybackProcess
from memoir_golden_pb.golden_pb2 import Case, Suite

T = TypeVar("T")
# A suite is mostly pauses and deadlines: drivers side by side wait at the same time.
AT_ONCE: Final = len(KINDS)


def cases_for(driver: str, suite: Suite) -> list[Case]:
    """The cases of a suite that a driver runs: all of them with an SDK."""
    return list(suite.cases) if KINDS[driver].is_sdk else bare.cases(suite)


class Session:
    """Runs suites on demand and remembers their outcomes; a context manager that ends every process it started."""

    def __init__(self, suites: Sequence[Suite], drivers: Sequence[str] = tuple(KINDS)) -> None:
        self.suites = {suite.name: suite for suite in suites}
        self.gaps = {(gap.driver, gap.case): gap for gap in load_known_gaps()}
        self._names = tuple(drivers)
        self._resources = ExitStack()
        self._lock = threading.Lock()
        self._drivers: dict[str, Driver] = {}
        self._servers: dict[tuple[str, Suite.Backend], ServerProcess | PlaybackProcess] = {}
        self._outcomes: dict[tuple[str, str], list[CaseOutcome]] = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def driver(self, name: str) -> Driver:
        """The running driver of one SDK."""
        if name not in self._drivers:
            self._drivers[name] = self._entered(Driver(KINDS[name]))
        return self._drivers[name]

    def outcomes(self, driver: str, suite: str) -> list[CaseOutcome]:
        """The outcomes of all cases of a suite with one driver, in order; run at the first call, with every driver."""
        if (driver, suite) not in self._outcomes:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                found = pool.map(lambda name: self._run(name, self.suites[suite]), self._names)
                self._outcomes |= dict(zip([(name, suite) for name in self._names], found, strict=True))
        return self._outcomes[driver, suite]

    def outcome(self, driver: str, suite: str, case: str) -> CaseOutcome:
        """The outcome of one case."""
        return next(found for found in self.outcomes(driver, suite) if found.case == case)

    def all_outcomes(self) -> list[CaseOutcome]:
        """The outcomes of the whole corpus."""
        return [outcome for driver in self._names for suite in self.suites for outcome in self.outcomes(driver, suite)]

    def _run(self, driver: str, suite: Suite) -> list[CaseOutcome]:
        cases = cases_for(driver, suite)
        if not cases:
            return []
        with self._server(driver, suite) as server:
            return [run_case(suite, case, self.driver(driver), server) for case in cases]

    def _server(self, driver: str, suite: Suite) -> AbstractContextManager[ServerProcess | PlaybackProcess]:
        # Servers of its own for each driver: they use the same namespaces, so that their transcripts can be equal.
        if suite.server_settings:
            return ServerProcess(suite.backend, dict(suite.server_settings))
        key = (driver, suite.backend)
        if key not in self._servers:
            if suite.backend == Suite.BACKEND_PLAYBACK:
                self._servers[key] = self._entered(PlaybackProcess())
            else:
                self._servers[key] = self._entered(ServerProcess(suite.backend))
        return nullcontext(self._servers[key])

    def _entered(self, resource: AbstractContextManager[T]) -> T:
        entered = resource.__enter__()
        with self._lock:
            self._resources.push(resource)
        return entered
