"""The real stores of the distributed profile, run on this machine: Weaviate, Neo4j, PostgreSQL and Redis.

`python -m stores start` runs them for a developer; `stores.four.bounded_stores` runs them for a test, which they never
outlive. Everything listens on loopback, has a password, and comes from the package registries.
"""
