# ruff: noqa: INP001 (a program, not a package)
"""Exit status 0 when the Memoir server at HOST:PORT is ready: the health check of the container."""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]


def main(target: str) -> int:
    """Ask once, waiting at most three seconds."""
    with grpc.insecure_channel(target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="memoir.readiness"), timeout=3.0
            )
        except grpc.RpcError as error:
            sys.stderr.write(f"{target}: {error}\n")
            return 1
    return 0 if answer.status == health_pb2.HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
