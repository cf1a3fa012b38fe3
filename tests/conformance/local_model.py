"""The real local model for tests: fetched through the project's own fetch, once, into the user's cache."""

from __future__ import annotations

import functools

from memoir_server.adapters.embedder import models
from memoir_server.adapters.embedder.model_files import ModelFiles


@functools.cache
def local_model() -> ModelFiles:
    return models.fetch(models.DEFAULT_MODEL)
