"""Keeps a program on loopback that has no setting for it.

The program starts under a seccomp filter that hands each bind(2) to us. One for "every address" is made for loopback in
its place, on the very same socket; all others go on as they were. Nothing else about the program changes, and no other
system call is looked at. Linux 5.6 or newer on x86-64 or arm64; needs no privilege.

    python -m stores.loopback FD PROGRAM ARGUMENT...    installs the filter, sends its listener through FD, runs PROGRAM
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import platform
import select
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stores.ports import LOOPBACK

# System calls and architectures, from the kernel's headers: name of the machine, audit number, bind, seccomp.
_MACHINES: Final = {"x86_64": (0xC000003E, 49, 317), "aarch64": (0xC00000B7, 200, 277)}
_PIDFD_GETFD: Final = 438
_PR_SET_NO_NEW_PRIVS: Final = 38
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE: Final = 1
_QUESTION: Final = struct.Struct("=QIIiIQ6Q")
"""id, thread, flags; then number, architecture, instruction and arguments of the call."""
_ANSWER: Final = struct.Struct("=QqiI")

_libc: Final = ctypes.CDLL(None, use_errno=True)


def possible() -> bool:
    """Whether this machine is one whose numbers are known here."""
    return sys.platform == "linux" and platform.machine() in _MACHINES


def command(argv: Sequence[str], descriptor: int) -> list[str]:
    """The command that runs `argv` under the filter and sends its listener through the socket `descriptor`."""
    return [sys.executable, "-m", "stores.loopback", str(descriptor), *argv]


class Keeper:
    """Answers a program's binds, in a thread, until it is closed. From then on its binds fail."""

    def __init__(self, ours: socket.socket, pid: int) -> None:
        """`ours`: the other end of the socket given to `command`; `pid`: the program. Raises OSError when the filter
        cannot be had; the program has not been run then."""
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        if not descriptors:
            raise OSError(errno.ENOSYS, "the kernel gives no listener for system calls")
        self._listener = descriptors[0]
        self._process = os.pidfd_open(pid)
        self._pid = pid
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._answer_all, name="loopback", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        os.close(self._end)
        self._thread.join()
        for descriptor in (self._listener, self._process, self._ended):
            os.close(descriptor)

    def _answer_all(self) -> None:
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._ended, select.POLLIN)
        while True:
            events = dict(poll.poll())
            if self._ended in events or events.get(self._listener, 0) & (select.POLLHUP | select.POLLERR):
                return
            question = bytearray(_QUESTION.size)
            try:
                fcntl.ioctl(self._listener, _RECEIVE, question)
                identifier, *_, descriptor, address, size, _, _, _ = _QUESTION.unpack(question)
                failure = self._bind(descriptor, address, size)
                code, flags = (0, _CONTINUE) if failure is None else (-failure, 0)
                fcntl.ioctl(self._listener, _SEND, bytearray(_ANSWER.pack(identifier, 0, code, flags)))
            except OSError as error:
                # The thread that asked has been killed meanwhile.
                if error.errno not in (errno.ENOENT, errno.EINTR):
                    raise

    def _bind(self, descriptor: int, address: int, size: int) -> int | None:
        """Makes a bind to every address one to loopback; returns its errno, 0 for success. None: not such a bind."""
        with Path(f"/proc/{self._pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            place = memory.read(min(size, 128))
        family = int.from_bytes(place[:2], sys.byteorder)
        if family == socket.AF_INET and place[4:8] == bytes(4):
            local = place[:4] + socket.inet_aton(LOOPBACK) + place[8:]
        elif family == socket.AF_INET6 and place[8:24] == bytes(16):
            # A socket for both families, which "every address" makes it, takes IPv4 in this form.
            local = place[:8] + ipaddress.IPv6Address(f"::ffff:{LOOPBACK}").packed + place[24:]
        else:
            return None
        copy = _libc.syscall(_PIDFD_GETFD, self._process, descriptor, 0)
        if copy < 0:
            return ctypes.get_errno()
        try:
            return ctypes.get_errno() if _libc.bind(copy, local, len(local)) else 0
        finally:
            os.close(copy)


def _install() -> int:
    """Puts the filter on this process and returns its listener. Raises OSError."""
    architecture, bind, seccomp = _MACHINES[platform.machine()]
    steps = (
        (_LOAD, 0, 0, 4), (_JUMP_EQUAL, 0, 3, architecture),
        (_LOAD, 0, 0, 0), (_JUMP_EQUAL, 0, 1, bind),
        (_RETURN, 0, 0, _NOTIFY), (_RETURN, 0, 0, _ALLOW),
    )  # fmt: skip
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    described = struct.pack("@HP", len(steps), ctypes.addressof(program))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    listener = int(_libc.syscall(seccomp, _SET_MODE_FILTER, _NEW_LISTENER, described))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def main(arguments: Sequence[str]) -> None:
    """The program's side: becomes the program, or ends with status 1 when there can be no filter."""
    with socket.socket(fileno=int(arguments[0])) as theirs:
        listener = _install()
        socket.send_fds(theirs, [b"."], [listener])
        os.close(listener)
    os.execv(arguments[1], list(arguments[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
