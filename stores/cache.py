"""Where built and downloaded programs are kept between checkouts, and how damage to them is noticed.

An entry is a folder `<name>-<version>` with a manifest of every file's SHA-256. It appears by one rename, so it is
whole or not there, and it is compared with its manifest before each use.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stores.progress import Progress

MANIFEST = "manifest.json"


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/memoir/stores`, or `~/.cache/memoir/stores`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "memoir" / "stores"


def entry(name: str, version: str, build: Callable[[Path], None], progress: Progress) -> Path:
    """The folder of a program, ready for use.

    `build` fills an empty folder; it runs when there is no entry or the entry differs from its manifest. Several
    processes may ask at once: one builds, the others wait. Raises what `build` raises, and then keeps nothing.
    """
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{name}-{version}"
    with exclusive(root / f"{path.name}.lock"):
        if path.exists():
            found = damage(path)
            if found is None:
                return path
            progress.line(f"{name} {version}: the cached copy is damaged ({found}); it is made again")
            shutil.rmtree(path)
        partial = root / f"{path.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            build(partial)
            (partial / MANIFEST).write_text(json.dumps(hashes(partial), indent=0), encoding="utf-8")
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return path


def damage(path: Path) -> str | None:
    """What differs between an entry and its manifest, in words; None when nothing does."""
    try:
        expected = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "its manifest cannot be read"
    return difference(expected, hashes(path))


def difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """The first difference between two tables of file to SHA-256, in words; None when they are equal."""
    for file, digest in sorted(expected.items()):
        if file not in found:
            return f"{file} is missing"
        if found[file] != digest:
            return f"{file} has other contents"
    unknown = sorted(found.keys() - expected.keys())
    return f"{unknown[0]} does not belong there" if unknown else None


def hashes(path: Path) -> dict[str, str]:
    """SHA-256 in hex of every file below `path` but the manifest, by relative name."""
    return {
        str(file.relative_to(path)): digest(file)
        for file in sorted(path.rglob("*"))
        if file.is_file() and file != path / MANIFEST
    }


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Holds the lock `path` stands for; waits for whoever holds it. The system frees it when a process dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
