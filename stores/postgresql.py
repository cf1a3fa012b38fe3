"""PostgreSQL, from Debian's package."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from stores import debian
from stores.addresses import PostgresqlAddress
from stores.commands import answer
from stores.errors import StoreError
from stores.ports import LOOPBACK
from stores.progress import Progress
from stores.settings import DATABASE, POSTGRESQL_INITIALISATION, POSTGRESQL_PARAMETERS, POSTGRESQL_SERIES, USER
from stores.store import Launch, Record, Store

_FOLDER: Final = f"/usr/lib/postgresql/{POSTGRESQL_SERIES}/bin"
_PACKAGE: Final = f"postgresql-{POSTGRESQL_SERIES}"
_ACCOUNT: Final = "postgres"
"""Made by the Debian package; the server refuses to run as root."""


class Postgresql(Store[PostgresqlAddress]):
    """A server with one database, owned by a role that may make more."""

    name = "postgresql"
    version = POSTGRESQL_SERIES
    ports = ("postgresql",)
    # "Fast": ends sessions instead of waiting for them.
    stop_signal = signal.SIGINT

    def fetch(self) -> None:
        for name in ("postgres", "initdb", "pg_isready", "psql"):
            self._program(name)

    def reported_version(self) -> str:
        return self.query("SHOW server_version").split()[0]

    def query(self, statement: str, *, database: str = DATABASE) -> str:
        """Run SQL through psql and return the rows, columns apart by "|". Raises StoreError with the server's words."""
        address = self.address
        return answer(
            [self._program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", address.host, "-p", str(address.port),
             "-U", address.username, "-d", database, "-c", statement],
            environment={"PGPASSWORD": address.password},
        ).rstrip("\n")  # fmt: skip

    def create_database(self, name: str) -> PostgresqlAddress:
        """Make an empty database, dropping one of that name, and return its address. `name`: lower case letters, digits
        and underscores; raises StoreError otherwise."""
        if re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name) is None:
            raise StoreError(
                f"postgresql: {name!r} is no database name; use lower case letters, digits and underscores"
            )
        self.query(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.query(f"CREATE DATABASE {name} TEMPLATE template0")
        return replace(self.address, database=name)

    def _program(self, name: str) -> str:
        # Only the pinned series counts, whatever else is on the PATH.
        found = Path(_FOLDER) / name
        return str(found) if found.exists() else debian.program(name, _PACKAGE, self.progress, folder=_FOLDER)

    def _prepare(self, record: Record) -> Launch:
        user = _account(self.progress)
        data = self.directory / "data"
        if not data.exists():
            with self.progress.step("postgresql: initialising the data directory"):
                self._initialise(data, record.password, user)
        parameters = {
            **POSTGRESQL_PARAMETERS,
            **self.settings,
            "listen_addresses": LOOPBACK,
            "port": str(record.ports["postgresql"]),
            "unix_socket_directories": "",
        }
        arguments = [part for key, value in parameters.items() for part in ("-c", f"{key}={value}")]
        return Launch((self._program("postgres"), "-D", str(data), *arguments), user=user)

    def _initialise(self, data: Path, password: str, user: tuple[int, int] | None) -> None:
        """Lays the data out in a folder that becomes `data` when it is whole."""
        partial = data.with_name("data.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        file = partial.with_name("password")
        with ExitStack() as cleaning:
            cleaning.callback(file.unlink, missing_ok=True)
            file.touch(mode=0o600)
            file.write_text(password + "\n", encoding="ascii")
            if user is not None:
                os.chown(partial, *user)
                os.chown(file, *user)
                self._require_reachable(partial, user)
            initdb = [
                self._program("initdb"), "-D", str(partial), "-U", USER, f"--pwfile={file}", "--no-instructions",
                *POSTGRESQL_INITIALISATION,
            ]  # fmt: skip
            _as_user(initdb, user, self.directory, "")
            single = [self._program("postgres"), "--single", "-D", str(partial), "postgres"]
            _as_user(single, user, self.directory, f"CREATE DATABASE {DATABASE} TEMPLATE template0\n")
        partial.rename(data)

    def _require_reachable(self, folder: Path, user: tuple[int, int]) -> None:
        test = subprocess.run(
            ["/usr/bin/test", "-w", str(folder)], user=user[0], group=user[1], extra_groups=[], cwd="/", check=False
        )
        if test.returncode:
            raise StoreError(
                f"postgresql: the account {_ACCOUNT}, which the server runs as because root may not, cannot reach "
                f"{folder}; keep the stores in a directory whose parents others may enter (--data DIR)"
            )

    def _answers(self, record: Record) -> bool:
        where = ["-h", LOOPBACK, "-p", str(record.ports["postgresql"]), "-t", "2"]
        return subprocess.run([self._program("pg_isready"), "-q", *where], check=False).returncode == 0

    def _address(self, record: Record) -> PostgresqlAddress:
        return PostgresqlAddress(LOOPBACK, record.ports["postgresql"], USER, record.password, DATABASE)


def _account(progress: Progress) -> tuple[int, int] | None:
    """uid and gid to run as; None: as we are."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_ACCOUNT)
    except KeyError:
        debian.install(_PACKAGE, f"the account {_ACCOUNT}", progress)
        entry = pwd.getpwnam(_ACCOUNT)
    return entry.pw_uid, entry.pw_gid


def _as_user(argv: list[str], user: tuple[int, int] | None, directory: Path, text: str) -> None:
    identity = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
    done = subprocess.run(argv, input=text, capture_output=True, text=True, cwd=directory, check=False, **identity)  # type: ignore[call-overload]
    if done.returncode:
        raise StoreError(f"postgresql: {argv[0]} failed: {(done.stderr or done.stdout).strip()}")
