"""What detection found in a file, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What a compressed file, and a pickle, may come to before anyone has said how large they are.
INFLATED_BYTES = 2**31
INSTRUCTIONS = 2**24

# Where more values than this are told apart, they are not taken for labels.
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Seen:
    """One array, or one column of texts, in a file. `shape` has the samples first.

    `key` is its name inside the file, "" where it is the file; `member` the archive's part that it is in. `field` and
    `split` are what the format itself says; where it says nothing, names decide.
    """

    key: str
    dtype: str
    shape: tuple[int, ...]
    field: str | None = None
    split: str | None = None
    member: str = ""
    per: str = "sample"
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Look:
    """What one file was found to be."""

    file: str
    path: Path
    format: str
    seen: tuple[Seen, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
