"""Embedders: the local model, a deterministic one for tests, and what is put in front of them."""
