"""The processes of a benchmark: servers with a bounded life, ended by their own process id."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import Job, Result

START_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server."""

    address: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time spent so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mib(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def server(command: Sequence[str], port_file: Path, environment: Mapping[str, str]) -> Iterator[ServerProcess]:
    """Starts a server that writes its address to `port_file`; ends it with the block.

    Raises RuntimeError when it does not come up in START_SECONDS.
    """
    log = port_file.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not port_file.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()}")
                time.sleep(0.02)
            yield ServerProcess(port_file.read_text().strip(), process.pid)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def memoir_server(folder: Path, environment: Mapping[str, str]) -> Iterator[ServerProcess]:
    """Memoir, on the data directory `data` below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    port_file = folder / "memoir.port"
    command = [sys.executable, "-m", "memoir_server.cli.main", "serve", "--data", str(folder / "data")]
    with server([*command, "--listen", "127.0.0.1:0", "--port-file", str(port_file)], port_file, environment) as found:
        yield found


def load(job: Job) -> Result:
    """Runs one job in a client process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        timeout=job.seconds + job.warmup + 60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the client failed:\n{done.stderr}")
    result = json.loads(done.stdout)
    return Result(**{**result, "latencies_ms": tuple(result["latencies_ms"])})
