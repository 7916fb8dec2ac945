"""Cache entries that somebody has written to: with a checksum that fits, or it alone would give them away."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def plain_entry(path: Path) -> Any:
    """What a cache entry says."""
    return json.loads(_text_of(path))


def write_entry(path: Path, plain: Any) -> None:
    """Let a cache entry say something else."""
    write_text_entry(path, json.dumps(plain))


def replace_in_entry(path: Path, replaced: Mapping[str, str]) -> None:
    """Replace words of a cache entry by others."""
    text = _text_of(path)
    for old, new in replaced.items():
        text = text.replace(old, new)
    write_text_entry(path, text)


def write_text_entry(path: Path, text: str) -> None:
    """Let a cache entry have any text behind its checksum."""
    path.write_bytes(b"%08x\n%s" % (zlib.crc32(text.encode()), text.encode()))


def _text_of(path: Path) -> str:
    return path.read_bytes().partition(b"\n")[2].decode()
