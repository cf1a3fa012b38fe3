"""Authored exchanges with a language model: their format, and running them through the pure part of inference."""
