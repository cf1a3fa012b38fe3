"""What all paged methods share."""

from __future__ import annotations

from typing import Any

from memoir_server.rpc.incoming import Incoming
from memoir_server.rpc.tokens import fingerprint

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


def page_size(asked: int) -> int:
    """Entries of a page; the contract has refused a negative number."""
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def parameters_of(request: Any, incoming: Incoming) -> tuple[str, bytes]:
    """The request's page_token, and the fingerprint of everything else that must be the same on every page.

    Both paging fields of the request are cleared.
    """
    token: str = request.page_token
    request.page_token = ""
    request.page_size = 0
    request.namespace = incoming.namespace
    return token, fingerprint(incoming.method.encode(), request.SerializeToString(deterministic=True))
