"""Benchmarks: Memoir side by side, in one run, with something real."""
