"""Drivers of the golden corpus, one per SDK."""
