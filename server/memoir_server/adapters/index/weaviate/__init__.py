"""The index in Weaviate: one tenant per namespace, terms and vectors of ours, ranked by the domain."""

from memoir_server.adapters.index.weaviate.connection import WeaviateAddress, WeaviateRefused
from memoir_server.adapters.index.weaviate.store import WeaviateIndex

__all__ = ["WeaviateAddress", "WeaviateIndex", "WeaviateRefused"]
