"""A program that would listen everywhere is kept on loopback, and notices nothing else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from stores.loopback import Keeper, command
from stores.ports import LOOPBACK, free_ports

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import json, socket, sys
said = []
for family, host, port in json.loads(sys.argv[1]):
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listener.bind((host, port))
        listener.listen()
        said.append(listener.getsockname()[0])
    except OSError as error:
        said.append(error.errno)
    globals()["keep%d" % len(said)] = listener
print(json.dumps(said), flush=True)
sys.stdin.read()
"""


def bound(places: Sequence[tuple[int, str, int]]) -> tuple[list[str | int], subprocess.Popen[str], Keeper]:
    """Runs the program under a keeper; what its sockets say they are bound to, or the errors it got."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = command([sys.executable, "-c", PROGRAM, json.dumps(places)], theirs.fileno())
        child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(theirs.fileno(),), cwd=ROOT
        )
        theirs.close()
        keeper = Keeper(ours, child.pid)
    assert child.stdout is not None
    return json.loads(child.stdout.readline()), child, keeper


def test_every_address_becomes_loopback_and_the_rest_stays() -> None:
    first, second, third = free_ports(3)
    said, child, keeper = bound(
        [(socket.AF_INET, "", first), (socket.AF_INET6, "::", second), (socket.AF_INET, "127.0.0.2", third)]
    )
    with child:
        assert said == [LOOPBACK, f"::ffff:{LOOPBACK}", "127.0.0.2"]
        for port in (first, second):
            socket.create_connection((LOOPBACK, port), timeout=10).close()
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.2", port), timeout=10)
        keeper.close()
        child.communicate()
        assert child.returncode == 0


def test_a_port_in_use_is_still_an_error_to_the_program() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        said, child, keeper = bound([(socket.AF_INET, "", other.getsockname()[1])])
    with child:
        assert said == [98]
        keeper.close()
        child.communicate()


def test_a_program_that_ends_ends_the_watch() -> None:
    _, child, keeper = bound([])
    with child:
        child.kill()
        child.wait()
        keeper._thread.join(timeout=60)
        assert not keeper._thread.is_alive()
        keeper.close()


def test_without_a_filter_there_is_no_program() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(OSError, match="listener"):
            Keeper(ours, os.getpid())
