"""Neo4j Community, from its Maven artefacts."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from stores import cache, debian
from stores.addresses import Neo4jAddress
from stores.bolt import Bolt, Value
from stores.commands import answer, run
from stores.errors import StoreError
from stores.ports import LOOPBACK
from stores.settings import NEO4J_CONFIGURATION, NEO4J_USER, NEO4J_VERSION
from stores.store import Launch, Record, Store, listening, write_private

_PINS: Final = Path(__file__).with_name("neo4j.sha256")
"""SHA-256 of every jar: the server's own and all it needs."""
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_PROJECT: Final = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>memoir.stores</groupId>
  <artifactId>neo4j-jars</artifactId>
  <version>0</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{NEO4J_VERSION}</version></dependency>
  </dependencies>
</project>
"""
_JAVA_VERSIONS: Final = (17, 21)
"""Those the 5.26 series runs on."""
_OPENED: Final = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch")
"""Packages of the JDK whose internals its page cache and network code reach into."""


class Neo4j(Store[Neo4jAddress]):
    """One server with one database, which is all the Community edition has."""

    name = "neo4j"
    version = NEO4J_VERSION
    ports = ("bolt",)

    def fetch(self) -> None:
        self._java()
        self._jars()

    def reported_version(self) -> str:
        with Bolt(self.address) as bolt:
            return bolt.server.removeprefix("Neo4j/")

    def query(self, statement: str, **parameters: Value) -> list[list[Value]]:
        """Run one Cypher statement and return its rows."""
        with Bolt(self.address) as bolt:
            return bolt.run(statement, parameters)

    def _jars(self) -> Path:
        return cache.entry(self.name, self.version, self._download, self.progress)

    def _download(self, folder: Path) -> None:
        maven = debian.program("mvn", "maven", self.progress)
        with (
            self.progress.step(f"neo4j {self.version}: fetching its jars with Maven") as step,
            tempfile.TemporaryDirectory() as project,
        ):
            pom = Path(project) / "pom.xml"
            pom.write_text(_PROJECT, encoding="utf-8")
            run(
                [maven, "-B", "-f", str(pom), _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"],
                step,
                counts=lambda line: "Downloaded" in line,
                counted="files downloaded",
            )
        found = cache.difference(pins(), cache.hashes(folder))
        if found is not None:
            raise StoreError(
                f"neo4j: the jars Maven brought are not those of {_PINS.name}: {found}; remove that file's folder "
                "from Maven's local repository and try again"
            )

    def _java(self) -> str:
        java = debian.program("java", "openjdk-17-jre-headless", self.progress)
        home = os.environ.get("JAVA_HOME", "")
        for candidate in filter(None, (java, f"{home}/bin/java" if home else "", *_debian_javas())):
            if Path(candidate).exists() and _java_version(candidate) in _JAVA_VERSIONS:
                return candidate
        raise StoreError(
            f"neo4j: {java} is Java {_java_version(java)} and Neo4j {self.version} needs Java 17 or 21; "
            "install the Debian package openjdk-17-jre-headless"
        )

    def _prepare(self, record: Record) -> Launch:
        java, jars = self._java(), self._jars()
        configuration = {
            **NEO4J_CONFIGURATION,
            **self.settings,
            "server.bolt.listen_address": listening(record.ports, "bolt"),
            "server.bolt.advertised_address": listening(record.ports, "bolt"),
            # The network library waits for stragglers otherwise, ten seconds at each stop.
            "internal.dbms.bolt.netty_server_shutdown_quiet_period": "0",
        }
        folder = self.directory / "conf"
        folder.mkdir(exist_ok=True, mode=0o700)
        write_private(folder / "neo4j.conf", "".join(f"{key}={value}\n" for key, value in configuration.items()))
        if not (self.directory / "data" / "dbms").exists():
            self._set_password(java, jars, folder, record.password)
        return Launch(
            (
                java,
                f"-Xms{configuration['server.memory.heap.initial_size']}",
                f"-Xmx{configuration['server.memory.heap.max_size']}",
                "-XX:+UseG1GC",
                "-XX:+ExitOnOutOfMemoryError",
                "-XX:-OmitStackTraceInFastThrow",
                "-Dfile.encoding=UTF-8",
                "-Dlog4j2.disable.jmx=true",
                *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED),
                "-cp",
                f"{jars}/*",
                "org.neo4j.server.CommunityEntryPoint",
                f"--home-dir={self.directory}",
                f"--config-dir={folder}",
            )
        )

    def _set_password(self, java: str, jars: Path, folder: Path, password: str) -> None:
        """Sets the first password, which the tool reads from a file: arguments can be seen by everybody."""
        file = self.directory / "password"
        write_private(file, password)
        home = {"NEO4J_HOME": str(self.directory), "NEO4J_CONF": str(folder)}
        try:
            with self.progress.step("neo4j: setting the password"):
                answer(
                    [java, "-Xmx128m", "-cp", f"{jars}/*", "org.neo4j.server.startup.Neo4jAdminCommand",
                     "dbms", "set-initial-password", f"@{file}"],
                    environment=home,
                    seconds=self.start_seconds,
                )  # fmt: skip
        finally:
            file.unlink()
        # The tool ends well even when it has written elsewhere.
        if not (self.directory / "data" / "dbms").exists():
            raise StoreError(f"neo4j: setting the password left nothing in {self.directory / 'data'}")

    def _answers(self, record: Record) -> bool:
        try:
            with Bolt(self._address(record), seconds=5.0) as bolt:
                return bolt.run("RETURN 1") == [[1]]
        except (OSError, StoreError):
            return False

    def _address(self, record: Record) -> Neo4jAddress:
        return Neo4jAddress(LOOPBACK, record.ports["bolt"], NEO4J_USER, record.password)


def pins() -> dict[str, str]:
    """The SHA-256 each jar must have, by name."""
    lines = _PINS.read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _debian_javas() -> list[str]:
    return [str(path) for version in _JAVA_VERSIONS for path in Path("/usr/lib/jvm").glob(f"java-{version}-*/bin/java")]


def _java_version(java: str) -> int:
    shown = subprocess.run([java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r"^\s*java\.specification\.version = (\d+)", shown.stderr, re.MULTILINE)
    return int(found.group(1)) if found else 0
