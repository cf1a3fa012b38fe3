"""A provider's key: read from the environment or a file, shown to nobody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class KeyMissing(ValueError):
    """There is no key where the settings say. Names the place and the fix, never what was found."""


class ProviderKey:
    """A key, and where it came from. Its text never appears in its repr."""

    __slots__ = ("_text", "source")

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self.source = source
        """In words: "environment variable OPENAI_API_KEY"."""

    def __repr__(self) -> str:
        return f"ProviderKey({self.source})"

    def __reduce__(self) -> str:
        raise TypeError("a key is not written anywhere")

    def reveal(self) -> str:
        """The key itself, for the client that sends it."""
        return self._text


def find_key(
    *, variable: str, file: str, environment: Mapping[str, str], section: str, needed: bool = True
) -> ProviderKey | None:
    """The key in the file, where one is named, else in the environment variable; None where there is none and none is
    needed. White space around it is cut off.

    Args:
        section: Of the settings, for the fix.

    Raises:
        KeyMissing: If the file cannot be read or is empty, or the variable is not set and a key is needed.
    """
    if file:
        try:
            text = Path(file).expanduser().read_text(encoding="ascii").strip()
        except OSError as error:
            raise KeyMissing(f"{section}.key_file={file!r}: cannot be read ({error.strerror}); name a file") from None
        except UnicodeDecodeError:
            raise KeyMissing(f"{section}.key_file={file!r}: holds no key; write the key and nothing else") from None
        source = f"file {file}"
    else:
        text = environment.get(variable, "").strip()
        source = f"environment variable {variable}"
        if not text and not needed:
            return None
    if not text or not text.isprintable() or not text.isascii():
        problem = "holds no key" if file else "is not set"
        raise KeyMissing(
            f"{source} {problem if not text else 'holds more than a key'}; put the key there, or name another place in "
            f"{section}.key_variable or {section}.key_file"
        )
    return ProviderKey(text, source)
