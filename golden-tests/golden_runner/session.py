"""One run of the corpus: starts drivers and servers when first needed, and ends what it started."""

from collections.abc import Sequence
from contextlib import ExitStack

from golden_runner import bare
from golden_runner.corpus import load_known_gaps
from golden_runner.driver import KINDS, Driver
from golden_runner.execute import CaseOutcome, run_case
from golden_runner.launcher import ServerProcess
from golden_runner.playback_process import PlaybackProcess
from memoir_golden_pb.golden_pb2 import Case, Suite


def cases_for(driver: str, suite: Suite) -> list[Case]:
    """The cases of a suite that a driver runs: all of them with an SDK."""
    return list(suite.cases) if KINDS[driver].is_sdk else bare.cases(suite)


class Session:
    """Runs suites on demand and remembers their outcomes; a context manager that ends every process it started."""

    def __init__(self, suites: Sequence[Suite]) -> None:
        self.suites = {suite.name: suite for suite in suites}
        self.gaps = {(gap.driver, gap.case): gap for gap in load_known_gaps()}
        self._resources = ExitStack()
        self._drivers: dict[str, Driver] = {}
        self._servers: dict[tuple[str, Suite.Backend], ServerProcess] = {}
        self._playback: PlaybackProcess | None = None
        self._outcomes: dict[tuple[str, str], list[CaseOutcome]] = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def driver(self, name: str) -> Driver:
        """The running driver of one SDK."""
        if name not in self._drivers:
            self._drivers[name] = self._resources.enter_context(Driver(KINDS[name]))
        return self._drivers[name]

    def outcomes(self, driver: str, suite: str) -> list[CaseOutcome]:
        """The outcomes of all cases of a suite with one driver, in order; run at the first call."""
        key = (driver, suite)
        if key not in self._outcomes:
            found = self.suites[suite]
            cases = cases_for(driver, found)
            if not cases:
                return []
            target, playback = self._target(driver, found.backend)
            self._outcomes[key] = [run_case(found, case, self.driver(driver), target, playback) for case in cases]
        return self._outcomes[key]

    def outcome(self, driver: str, suite: str, case: str) -> CaseOutcome:
        """The outcome of one case."""
        return next(found for found in self.outcomes(driver, suite) if found.case == case)

    def all_outcomes(self, drivers: Sequence[str] = tuple(KINDS)) -> list[CaseOutcome]:
        """The outcomes of the whole corpus."""
        return [outcome for driver in drivers for suite in self.suites for outcome in self.outcomes(driver, suite)]

    def _target(self, driver: str, backend: "Suite.Backend") -> tuple[str, PlaybackProcess | None]:
        if backend == Suite.BACKEND_PLAYBACK:
            if self._playback is None:
                self._playback = self._resources.enter_context(PlaybackProcess())
            return self._playback.target, self._playback
        # A server of its own for each driver: they use the same namespaces, so that their transcripts can be equal.
        key = (driver, backend)
        if key not in self._servers:
            self._servers[key] = self._resources.enter_context(ServerProcess(backend))
        return self._servers[key].target, None
