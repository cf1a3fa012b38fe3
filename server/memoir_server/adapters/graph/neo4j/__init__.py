"""The graph in Neo4j: entities, relations and mentions that several servers share."""

from memoir_server.adapters.graph.neo4j.connection import GraphRefused, Neo4jLogin
from memoir_server.adapters.graph.neo4j.store import Neo4jGraph

__all__ = ["GraphRefused", "Neo4jGraph", "Neo4jLogin"]
