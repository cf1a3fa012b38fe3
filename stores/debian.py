"""Programs that come as Debian packages."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stores.cache import cache_root, exclusive
from stores.commands import run
from stores.errors import StoreError
from stores.progress import Progress

_POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""Debian asks this program whether an installed service may be started; 101 means no."""
_installing: Final = threading.Lock()


def program(name: str, package: str, progress: Progress, *, folder: str = "") -> str:
    """Path of a program, its package being installed when it is missing and we are root.

    `folder`: a directory to look into besides PATH. Raises StoreError that says what to install when we may not.
    """
    places = os.pathsep.join(filter(None, (folder, os.environ.get("PATH", ""), "/usr/bin", "/usr/sbin")))
    found = shutil.which(name, path=places)
    if found is None:
        install(package, name, progress)
        found = shutil.which(name, path=places)
    if found is None:
        raise StoreError(f"{package} was installed, and there is still no {name} in {places}")
    return found


def install(package: str, wanted: str, progress: Progress) -> None:
    """Install a package without asking and without starting what it brings.

    Raises StoreError when we may not, or apt-get fails.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise StoreError(
            f"{wanted} is missing; install the Debian package {package}: "
            f"sudo apt-get install --no-install-recommends {package}"
        )
    cache_root().mkdir(parents=True, exist_ok=True)
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with _installing, exclusive(cache_root() / "apt.lock"), progress.step(f"installing {package} with apt-get") as step:
        run(["apt-get", "-q", "update"], step, environment=quiet)
        with _no_services():
            run(["apt-get", "-q", "-y", "--no-install-recommends", "install", package], step, environment=quiet)


@contextmanager
def _no_services() -> Iterator[None]:
    """Keep packages from starting servers of their own on the default ports."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
