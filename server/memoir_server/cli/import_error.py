"""The error of a file that cannot be imported."""

from __future__ import annotations


class ImportFileError(ValueError):
    """A file to import breaks its format: place, field, value as found, fix."""
