"""What reads of any moment check first: that the moment has been, and that the filter fits what is stored."""

from __future__ import annotations

from memoir_server.domain.errors import FieldInvalid
from memoir_server.domain.filter import Filter, check, metadata_keys
from memoir_server.domain.search import AsOf
from memoir_server.ports.ledger import Ledger


async def revision_of(ledger: Ledger, namespace: str, as_of: AsOf, path: str) -> int:
    """The revision that a moment stands for. Raises FieldInvalid for one beyond the namespace's newest."""
    if as_of.time is not None:
        return await ledger.revision_at(namespace, as_of.time)
    revision = as_of.revision or 0
    head = (await ledger.head(namespace)).revision
    if revision > head:
        raise FieldInvalid(f"{path}.revision", f"{revision} is beyond the namespace's newest revision {head}")
    return revision


async def check_filter(ledger: Ledger, namespace: str, filter_: Filter, path: str) -> None:
    """Raises FieldInvalid, with the path of the term, for a filter that cannot be used."""
    keys = metadata_keys(filter_)
    stored = await ledger.metadata_families(namespace, keys) if keys else {}
    check(filter_, path=path, stored=stored)
