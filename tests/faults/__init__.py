"""Crash tests: what was acknowledged survives, whatever moment the server is killed at."""
