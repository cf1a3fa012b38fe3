"""How long the cache may take, and how long it keeps things."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheBounds:
    """Limits of one :class:`RedisEmbeddingCache`, all in seconds but for `failures` and `connections`.

    Attributes:
        read: The longest a `get_many` may take, waiting for a connection included.
        write: The longest a `put_many` may take.
        purge: The longest each batch of a `purge` may take. Erasure is in no hurry and must get through.
        probe: The longest a sign of life may take.
        entry: An entry that was not put again for so long is dropped by the store.
        barrier: After a purge, the keys take no new value for so long. Longer than any server takes from looking a text
            up to keeping its vector, so that none puts back what another has erased.
        first_retry: Pause before a cache that failed is tried again; doubles up to `last_retry`.
        last_retry: The longest pause between such attempts.
        failures: Failures in a row that open the breaker.
        connections: The most connections of one server.

    Raises:
        ValueError: If one of them is not above 0.
    """

    read: float = 0.05
    write: float = 0.25
    purge: float = 5.0
    probe: float = 1.0
    entry: float = 30 * 86_400.0
    barrier: float = 600.0
    first_retry: float = 0.1
    last_retry: float = 5.0
    failures: int = 3
    connections: int = 8

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"cache bound {field.name}={value}: give a number above 0")
