"""Embedded and distributed indexes."""
