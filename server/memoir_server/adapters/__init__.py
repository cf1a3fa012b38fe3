"""Implementations of the ports: stores, models, caches. Each knows ports and domain only."""
