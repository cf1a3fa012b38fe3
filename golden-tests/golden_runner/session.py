"""One run of the corpus: starts drivers and servers when first needed, and ends what it started."""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Final, TypeVar

from golden_runner import bare, matrix
from golden_runner.corpus import load_known_gaps
from golden_runner.driver import KINDS, Driver
from golden_runner.execute import CaseOutcome, run_case
from golden_runner.launcher import ServerProcess
from golden_runner.playback_process import PlaybackProcess
from golden_runner.requests import REAL
from memoir_golden_pb.golden_pb2 import Case, Suite
from stores.deployment import deployment
from stores.four import Stores

T = TypeVar("T")
# A suite is mostly pauses and deadlines: drivers side by side wait at the same time.
AT_ONCE: Final = len(KINDS)


def cases_for(driver: str, suite: Suite) -> list[Case]:
    """The cases of a suite that a driver runs: all of them with an SDK."""
    return list(suite.cases) if KINDS[driver].is_sdk else bare.cases(suite)


def on_stores(stores: Stores, suites: Sequence[Suite], drivers: Sequence[str] = tuple(KINDS)) -> "Session":
    """A session of servers that keep their data in the real stores: the suites that need a real server, with one driver
    per language."""
    real = [suite for suite in suites if suite.backend in REAL]
    return Session(real, [name for name in matrix.ON_STORES if name in drivers], stores=stores)


class Session:
    """Runs suites on demand and remembers their outcomes; a context manager that ends every process it started."""

    def __init__(
        self, suites: Sequence[Suite], drivers: Sequence[str] = tuple(KINDS), *, stores: Stores | None = None
    ) -> None:
        """Prepare one. `stores`: the real stores for servers of the distributed profile; None: embedded servers."""
        self.suites = {suite.name: suite for suite in suites}
        self.gaps = {(gap.driver, gap.case): gap for gap in load_known_gaps()}
        self.drivers = tuple(drivers)
        self.profile = "embedded" if stores is None else "distributed"
        self._stores = stores
        self._numbers = itertools.count()
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
                found = pool.map(lambda name: self._run(name, self.suites[suite]), self.drivers)
                self._outcomes |= dict(zip([(name, suite) for name in self.drivers], found, strict=True))
        return self._outcomes[driver, suite]

    def outcome(self, driver: str, suite: str, case: str) -> CaseOutcome:
        """The outcome of one case."""
        return next(found for found in self.outcomes(driver, suite) if found.case == case)

    def all_outcomes(self) -> list[CaseOutcome]:
        """The outcomes of the whole corpus."""
        return [outcome for driver in self.drivers for suite in self.suites for outcome in self.outcomes(driver, suite)]

    def _run(self, driver: str, suite: Suite) -> list[CaseOutcome]:
        cases = cases_for(driver, suite)
        if not cases:
            return []
        with self._server(driver, suite) as server:
            return [run_case(suite, case, self.driver(driver), server) for case in cases]

    def _server(self, driver: str, suite: Suite) -> AbstractContextManager[ServerProcess | PlaybackProcess]:
        # Servers of its own for each driver: they use the same namespaces, so that their transcripts can be equal.
        if suite.server_settings:
            return self._process(suite)
        key = (driver, suite.backend)
        if key not in self._servers:
            if suite.backend == Suite.BACKEND_PLAYBACK:
                self._servers[key] = self._entered(PlaybackProcess())
            else:
                self._servers[key] = self._entered(self._process(suite))
        return nullcontext(self._servers[key])

    def _process(self, suite: Suite) -> ServerProcess:
        """A server of the suite's backend, with data of its own."""
        if self._stores is None:
            return ServerProcess(suite.backend, dict(suite.server_settings))
        with self._lock:
            own = deployment(self._stores, f"golden{next(self._numbers)}")
        # The transcripts say INDEXED: on a busy machine four stores may take longer than a caller would wait.
        patient = {"limits.indexed_seconds": "20"}
        return ServerProcess(suite.backend, {**own.settings, **patient, **suite.server_settings})

    def _entered(self, resource: AbstractContextManager[T]) -> T:
        entered = resource.__enter__()
        with self._lock:
            self._resources.push(resource)
        return entered
