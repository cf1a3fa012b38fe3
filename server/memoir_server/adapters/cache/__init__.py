"""Caches of vectors."""
