"""Keys and sentinels of the tables.

A row of `events` or `versions` is found by one integer, its namespace's number and its revision: integer keys are the
fastest that SQLite has, and revisions of one namespace lie side by side.
"""

from __future__ import annotations

from typing import Final

REVISION_BITS: Final = 40
MAX_REVISION: Final = 2**REVISION_BITS - 1
"""Revisions one namespace can have: a thousand per second for 34 years."""

NOT_EXPIRING: Final = 2**63 - 1
"""`gone` of a memory without expire_time."""
REMOVED: Final = -(2**63)
"""`gone` of a memory that was deleted or whose expiry is recorded: hidden at every instant."""

LIST_ITEM: Final = 6
"""Family, in the table `metadata`, of the single strings of a list; the other numbers are those of Family."""


def key_of(ns: int, revision: int) -> int:
    """Key of a revision in namespace number `ns`; revisions beyond the largest are clamped to it."""
    return ns << REVISION_BITS | min(revision, MAX_REVISION)


def revision_of(key: int) -> int:
    """Revision part of a key."""
    return key & MAX_REVISION
