"""Embedding cache shared between servers, in whatever speaks the Redis protocol: Redis, Valkey, Dragonfly."""

from memoir_server.adapters.cache.redis.bounds import CacheBounds
from memoir_server.adapters.cache.redis.store import RedisEmbeddingCache

__all__ = ["CacheBounds", "RedisEmbeddingCache"]
