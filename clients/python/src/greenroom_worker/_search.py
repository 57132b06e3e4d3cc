"""Looking for a phrase in whatever a store may hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Deeper than this nothing is looked for, and it counts as found: what is not known is not clean.
DEPTH_MAX = 64
FILE_BYTES_MAX = 64 << 20


def holds(value: Any, phrase: str, depth: int = 0, seen: set[int] | None = None) -> bool:  # noqa: ANN401, PLR0911
    """Whether the phrase is anywhere in the value: text, bytes, keys, items, attributes."""
    if isinstance(value, str):
        return phrase in value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return phrase.encode() in bytes(value)
    if value is None or isinstance(value, (int, float, complex)):
        return False
    seen = set() if seen is None else seen
    if id(value) in seen:
        return False
    if depth > DEPTH_MAX:
        return True
    seen.add(id(value))
    inner: list[Any] = []
    if isinstance(value, dict):
        inner += value.keys()
        inner += value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner += value
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        inner += attributes.values()
    elif not inner:
        return phrase in repr(value)
    return any(holds(item, phrase, depth + 1, seen) for item in list(inner))


def directory_holds(directory: Path, phrase: str) -> bool:
    """Whether a file below the directory holds the phrase, in its name or in itself."""
    for parent, directories, files in os.walk(directory):
        if any(phrase in name for name in directories + files):
            return True
        for name in files:
            path = Path(parent, name)
            try:
                if path.is_symlink() or not path.is_file():
                    continue
                if path.stat().st_size > FILE_BYTES_MAX or phrase.encode() in path.read_bytes():
                    return True
            except OSError:
                if path.exists():
                    return True
    return False
