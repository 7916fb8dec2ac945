"""When are two arrays the same, whatever file they came from?

When they have one sum: the sha256 of a line that says dtype and shape (``uint8 60000x28x28``), then of the values in
C order, little end first. Of text, each string is its length in UTF-8 bytes, as 8 bytes, and those bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tinytorch_datasets.plan import Column

# How much of an array is looked at a time, in bytes, and how many strings.
BYTES_AT_ONCE = 2**24
STRINGS_AT_ONCE = 4096


class Sum:
    """The sum of one column, taken block by block, in whichever order the blocks come.

    A block that comes before its turn is held until then; who cannot hold it asks `next` first.
    """

    def __init__(self, dtype: str, shape: Sequence[int]) -> None:
        self._digest = hashlib.sha256(header(dtype, shape).encode())
        self._count = shape[0]
        self._early: dict[int, Any] = {}
        self.next = 0  # the sample whose turn it is

    @classmethod
    def of(cls, column: Column) -> Sum:
        """The sum to be of what a column declares."""
        return cls(column.dtype, (column.count, *column.shape))

    def add(self, start: int, values: np.ndarray | Sequence[str]) -> None:
        """Take in the values from sample `start` on."""
        self._early[start] = values
        while self.next in self._early:
            block = self._early.pop(self.next)
            self._digest.update(_bytes(block))
            self.next += len(block)
            if not len(block):
                return

    @property
    def sha256(self) -> str | None:
        """The sum as 64 hex digits; None while samples are missing."""
        return self._digest.hexdigest() if self.next == self._count else None


def header(dtype: str, shape: Sequence[int]) -> str:
    """The line that a sum begins with.

    >>> header("uint8", (60000, 28, 28))
    'uint8 60000x28x28\\n'
    """
    return f"{dtype} {'x'.join(map(str, shape))}\n"


def sum_of(values: np.ndarray | Sequence[str]) -> str:
    """The sum of a whole field, as `get` hands it over; a str is the text of a split.

    >>> sum_of(np.arange(3, dtype=np.uint8)) == sum_of(np.arange(3, dtype=np.uint8)[:])
    True
    >>> sum_of("no") == sum_of(["no"])
    True
    """
    if isinstance(values, str):
        values = [values]
    if isinstance(values, np.ndarray):
        taken = Sum(values.dtype.name, values.shape)
        step = max(1, BYTES_AT_ONCE // max(1, values.nbytes // max(1, len(values))))
    else:
        taken, step = Sum("str", (len(values),)), STRINGS_AT_ONCE
    for start in range(0, len(values), step):
        taken.add(start, values[start : start + step])
    return taken.sha256 or ""


def _bytes(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data
    return b"".join(len(text).to_bytes(8, "little") + text for text in (value.encode() for value in values))
