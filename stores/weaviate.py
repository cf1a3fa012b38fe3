"""Weaviate, built from its Go module."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from stores import cache
from stores.addresses import WeaviateAddress
from stores.commands import answer, run
from stores.errors import StoreError
from stores.ports import LOOPBACK
from stores.settings import WEAVIATE_ENVIRONMENT, WEAVIATE_VERSION
from stores.store import Launch, Record, Store

_MODULE: Final = "github.com/weaviate/weaviate"
_SUM: Final = "h1:D/cB4Lz8BIhE8s6cMUa4dRhlz356r1LRqDLgr5pKhPA="
"""Hash of the module's files; the build fails when the registry serves others."""
_PROGRAM: Final = "weaviate-server"


class Weaviate(Store[WeaviateAddress]):
    """One node, multi-tenancy and all, without modules that compute vectors.

    The server has no setting for the addresses of its gRPC interface and of its cluster data interface, which serves
    files to everybody; so it is kept on loopback from outside.
    """

    name = "weaviate"
    version = WEAVIATE_VERSION
    ports = ("http", "grpc", "gossip", "cluster_data", "raft", "raft_rpc")

    def fetch(self) -> None:
        self._program()

    def reported_version(self) -> str:
        meta = self.request("GET", "/v1/meta")
        return str(meta["version"]) if isinstance(meta, dict) else ""

    def request(self, method: str, path: str, body: object = None, *, seconds: float = 10.0) -> object:
        """Call the REST interface and return the decoded answer, None when it is empty. Raises urllib's errors."""
        return _call(self.address, method, path, body, seconds)

    def _program(self) -> Path:
        return cache.entry(self.name, self.version, self._build, self.progress) / _PROGRAM

    def _build(self, folder: Path) -> None:
        go = _go()
        with self.progress.step(
            f"weaviate {self.version}: building from its Go module, minutes the first time"
        ) as step:
            run(
                [go, "install", "-v", f"{_MODULE}/cmd/{_PROGRAM}@v{self.version}"],
                step,
                environment={"GOBIN": str(folder), "GOFLAGS": "", "GOWORK": "off"},
                counted="packages fetched or compiled",
            )
        require_pinned(answer([go, "version", "-m", str(folder / _PROGRAM)]))

    def _prepare(self, record: Record) -> Launch:
        data = self.directory / "data"
        data.mkdir(exist_ok=True, mode=0o700)
        ports = record.ports
        return Launch(
            (str(self._program()), "--host", LOOPBACK, "--port", str(ports["http"]), "--scheme", "http"),
            {
                **WEAVIATE_ENVIRONMENT,
                **self.settings,
                "AUTHENTICATION_APIKEY_ALLOWED_KEYS": record.password,
                "PERSISTENCE_DATA_PATH": str(data),
                "GRPC_PORT": str(ports["grpc"]),
                "CLUSTER_BIND_ADDR": LOOPBACK,
                "CLUSTER_ADVERTISE_ADDR": LOOPBACK,
                "CLUSTER_GOSSIP_BIND_PORT": str(ports["gossip"]),
                "CLUSTER_DATA_BIND_PORT": str(ports["cluster_data"]),
                "CLUSTER_BASIC_AUTH_USERNAME": "memoir",
                "CLUSTER_BASIC_AUTH_PASSWORD": record.password,
                "RAFT_PORT": str(ports["raft"]),
                "RAFT_INTERNAL_RPC_PORT": str(ports["raft_rpc"]),
                "RAFT_JOIN": f"{WEAVIATE_ENVIRONMENT['CLUSTER_HOSTNAME']}:{ports['raft']}",
            },
            confined=True,
        )

    def _answers(self, record: Record) -> bool:
        try:
            _call(self._address(record), "GET", "/v1/.well-known/ready", None, 2.0)
            _call(self._address(record), "GET", "/v1/schema", None, 2.0)
        except OSError:
            return False
        return True

    def _address(self, record: Record) -> WeaviateAddress:
        return WeaviateAddress(LOOPBACK, record.ports["http"], record.ports["grpc"], record.password)


def require_pinned(about: str) -> None:
    """Check what `go version -m` says of a program: built from the pinned version of the module, with the pinned sum.

    Raises StoreError otherwise.
    """
    found = re.search(rf"^\s*mod\s+{re.escape(_MODULE)}\s+(\S+)\s+(\S+)", about, re.MULTILINE)
    if found is None or found.groups() != (f"v{WEAVIATE_VERSION}", _SUM):
        source = " ".join(found.groups()) if found is not None else "an unknown module"
        raise StoreError(
            f"weaviate: built from {source}, not from v{WEAVIATE_VERSION} {_SUM}; do not use it, and find out what the "
            "registry served"
        )


def _call(address: WeaviateAddress, method: str, path: str, body: object, seconds: float) -> object:
    request = urllib.request.Request(
        address.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {address.api_key}", "Content-Type": "application/json"},
    )
    # A proxy meant for the world outside must not see calls to loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=seconds) as response:
        text = response.read()
    return json.loads(text) if text else None


def _go() -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if found is None:
        raise StoreError(
            "weaviate: Go is needed to build it and there is no `go` on the PATH; install Go 1.24 or newer "
            "(Debian: `apt-get install golang-go` from backports)"
        )
    return found
