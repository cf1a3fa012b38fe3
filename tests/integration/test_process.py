"""A server in a process of its own: port file, signals, exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from memoir.v1 import admin_pb2, admin_pb2_grpc

START = """
import os, sys
from pathlib import Path
from memoir_server.app.server import run
from memoir_server.app.settings import Settings

run(Settings.load(None, os.environ), port_file=Path(sys.argv[1]), ready=lambda address: print(address, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_clean_when_told(tmp_path: Path, number: signal.Signals) -> None:
    environment = {
        "MEMOIR_SERVER__LISTEN": "127.0.0.1:0",
        "MEMOIR_SERVER__DATA": str(tmp_path / "data"),
        "MEMOIR_EMBEDDER__MODEL": "hash",
    }
    port_file = tmp_path / "port"
    with subprocess.Popen(
        [sys.executable, "-c", START, str(port_file)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert port_file.read_text() == address
            with grpc.insecure_channel(address) as channel:
                stub = admin_pb2_grpc.AdminServiceStub(channel)
                assert stub.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=10).profile == "embedded"
            began = time.monotonic()
            process.send_signal(number)
            assert process.wait(15) == 0
            assert time.monotonic() - began < 5, "nothing was in hand, so there was nothing to wait for"
        finally:
            process.kill()
