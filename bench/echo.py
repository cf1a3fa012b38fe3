"""The yardstick: a bare grpc.aio server in a process of its own that answers every call with bytes it was given.

    python -m bench.echo PORT_FILE REPLY_FILE...

The reply to method /echo/N is the content of the N-th file. It ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
import uvloop


class _Replies(grpc.GenericRpcHandler):
    def __init__(self, replies: Sequence[bytes]) -> None:
        self._handlers = {f"/echo/{i}": self._handler(reply) for i, reply in enumerate(replies)}

    @staticmethod
    def _handler(reply: bytes) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return reply

        return grpc.unary_unary_rpc_method_handler(answer)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._handlers.get(handler_call_details.method)


async def _serve(port_file: Path, replies: Sequence[bytes]) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Replies(replies),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    temporary = port_file.with_suffix(".new")
    temporary.write_text(f"127.0.0.1:{port}")
    temporary.replace(port_file)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), [Path(name).read_bytes() for name in sys.argv[2:]]))
