"""What every part of the asynchronous client has: a transport and a namespace."""

import uuid

from memoir.transport import Transport


class AsyncService:
    """Part of the client that calls one service."""

    _transport: Transport
    _namespace: str


def request_id_or_new(request_id: str | None) -> str:
    """Return the given id, or a new UUID: every mutation is then safe to retry."""
    return str(uuid.uuid4()) if request_id is None else request_id
