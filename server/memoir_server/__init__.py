"""Memoir: a memory service for AI assistants and agents."""
