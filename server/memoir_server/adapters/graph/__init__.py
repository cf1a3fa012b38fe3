"""Embedded and distributed graphs."""
