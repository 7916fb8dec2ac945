"""When are two arrays the same, whatever file they came from?

When they have one sum: the sha256 of a line that says dtype and shape (``uint8 60000x28x28``), then of the values in
C order, little end first. Of text, each string is its length in UTF-8 bytes, as 8 bytes, and those bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch_datasets.plan import Column

ROWS_AT_ONCE = 2**24


class Sum:
    """The sum of one column, taken block by block, in whichever order the blocks come."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self._digest = hashlib.sha256(header(column).encode())
        self._at = 0
        self._early: dict[int, Any] = {}

    def add(self, start: int, values: np.ndarray | Sequence[str]) -> None:
        """Take in the values from sample `start` on."""
        self._early[start] = values
        while self._at in self._early:
            block = self._early.pop(self._at)
            self._digest.update(_bytes(block))
            self._at += len(block)
            if not len(block):
                return

    @property
    def sha256(self) -> str | None:
        """The sum as 64 hex digits; None while samples are missing."""
        return self._digest.hexdigest() if self._at == self._column.count else None


def header(column: Column) -> str:
    """The line that a sum begins with.

    >>> from pathlib import Path
    >>> header(Column("train", "images", "uint8", 60000, Path(), "", shape=(28, 28)))
    'uint8 60000x28x28\\n'
    """
    return f"{column.dtype} {'x'.join(map(str, (column.count, *column.shape)))}\n"


def sum_of(column: Column, values: Any) -> str:
    """The sum of a whole column, as `get` hands it over."""
    taken = Sum(column)
    if isinstance(values, str):
        values = [values]
    step = max(1, ROWS_AT_ONCE // max(1, column.nbytes // column.count)) if not column.is_text else 4096
    for start in range(0, column.count, step):
        taken.add(start, values[start : start + step])
    return taken.sha256 or ""


def _bytes(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data
    return b"".join(len(text).to_bytes(8, "little") + text for text in (value.encode() for value in values))
