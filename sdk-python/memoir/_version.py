"""Version of the package."""

from typing import Final

#: Semantic version, the one in the package's metadata.
VERSION: Final = "0.1.0"
