"""Tells what a run starts from, so that it can be repeated."""

from __future__ import annotations

from tests.fuzz.seeds import SEED_VARIABLE, seed


def pytest_report_header() -> str:
    return f"fuzz: {SEED_VARIABLE}={seed()} repeats this run"
