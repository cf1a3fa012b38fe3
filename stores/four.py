"""The four stores together."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from stores.addresses import Neo4jAddress, PostgresqlAddress, RedisAddress, WeaviateAddress
from stores.neo4j import Neo4j
from stores.postgresql import Postgresql
from stores.progress import Progress
from stores.redis import Redis
from stores.store import Store, write_private
from stores.watchdog import Watchdog
from stores.weaviate import Weaviate

ADDRESS_FILE: Final = "stores.json"
NAMES: Final = ("weaviate", "neo4j", "postgresql", "redis")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where each store is."""

    weaviate: WeaviateAddress
    neo4j: Neo4jAddress
    postgresql: PostgresqlAddress
    redis: RedisAddress


class Stores:
    """The four stores of one directory."""

    def __init__(self, directory: Path, *, progress: Progress | None = None, watchdog: Watchdog | None = None) -> None:
        """As for a single store, which lives in `directory`/NAME."""
        self.directory = directory.absolute()
        self.weaviate = Weaviate(self.directory / "weaviate", progress=progress, watchdog=watchdog)
        self.neo4j = Neo4j(self.directory / "neo4j", progress=progress, watchdog=watchdog)
        self.postgresql = Postgresql(self.directory / "postgresql", progress=progress, watchdog=watchdog)
        self.redis = Redis(self.directory / "redis", progress=progress, watchdog=watchdog)

    @property
    def each(self) -> tuple[Store[Any], ...]:
        """All four, slowest to start first."""
        return self.weaviate, self.neo4j, self.postgresql, self.redis

    @property
    def addresses(self) -> Addresses:
        """Where they are. Raises StoreError for one never started."""
        return Addresses(self.weaviate.address, self.neo4j.address, self.postgresql.address, self.redis.address)

    def fetch(self, names: Sequence[str] = NAMES) -> None:
        """Bring the programs of these stores into the cache, one after the other: each takes the whole machine."""
        for store in self._named(names):
            store.fetch()

    def start(self, names: Sequence[str] = NAMES) -> None:
        """Start these stores side by side and write the addresses of all that run. When one fails, those that this call
        started are stopped again; raises StoreError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o711)
        self.fetch(names)
        before = {store.name for store in self.each if store.running}
        try:
            _together([store.start for store in self._named(names)])
        except BaseException:
            _together([store.stop for store in self.each if store.name not in before])
            raise
        self.write_addresses()

    def stop(self) -> None:
        """Stop all that run, and remove the file of addresses."""
        try:
            _together([store.stop for store in self.each])
        finally:
            self.write_addresses()

    def write_addresses(self) -> None:
        """Write addresses and credentials of what runs to ADDRESS_FILE, for its owner only; nothing runs, no file."""
        running = [store for store in self.each if store.running]
        file = self.directory / ADDRESS_FILE
        if not running:
            file.unlink(missing_ok=True)
            return
        document = {
            store.name: {
                "version": store.version,
                "pid": store.pid,
                "url": store.address.url,
                **asdict(store.address),
            }
            for store in running
        }
        write_private(file, json.dumps(document, indent=2) + "\n")

    def _named(self, names: Sequence[str]) -> list[Store[Any]]:
        return [store for store in self.each if store.name in names]


@contextmanager
def bounded_stores(
    names: Sequence[str] = NAMES, *, seconds: float = 3600.0, progress: Progress | None = None
) -> Iterator[Stores]:
    """Stores in a fresh temporary directory, started, and gone with it at the end.

    They also end when this process dies in whatever way, and after `seconds`. Names left out are not started; start
    them by hand if need be.
    """
    directory = temporary_directory()
    watchdog = Watchdog(seconds, directory)
    stores = Stores(directory, progress=progress, watchdog=watchdog)
    try:
        stores.start(names)
        yield stores
    finally:
        # Nothing of it is wanted any more, so nothing is lost by not asking.
        for store in stores.each:
            store.kill()
        watchdog.close()
        shutil.rmtree(directory, ignore_errors=True)


def temporary_directory() -> Path:
    """A new directory that a server which drops root can pass through, unlike those of `tempfile` and pytest."""
    directory = Path(tempfile.gettempdir()) / f"memoir-stores-{secrets.token_hex(8)}"
    directory.mkdir(mode=0o711)
    directory.chmod(0o711)
    return directory


def _together(calls: Sequence[Callable[[], object]]) -> None:
    """Make the calls side by side; wait for all, then raise the first failure."""
    if not calls:
        return
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
    for future in futures:
        future.result()
