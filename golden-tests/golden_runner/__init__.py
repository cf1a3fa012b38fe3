"""Runs the golden corpus: one comparator and one runner for every SDK and every storage profile.

The corpus is data (`golden-tests/suites`, `golden-tests/vectors`); drivers call the public surface of one SDK and
assert nothing; everything that judges is here.
"""
