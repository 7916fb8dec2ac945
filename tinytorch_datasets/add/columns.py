"""Columns of a table by their cells: numbers, bools or text, and classes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.readers.table import DECIMAL_COMMA, Table, is_missing, is_number
from tinytorch_datasets.readers.text import REAL

# Where more values than this are different, they are not taken for classes; for numbers that are not counted from 0
# or 1, where more are, or where each has fewer samples.
MAX_CLASSES = 1000
MAX_COUNTED_CLASSES = 100
MAX_ODD_CLASSES, SAMPLES_A_CLASS = 20, 5

# Whole numbers of which float64 holds each.
EXACT_IN_FLOAT64 = 2**53

_WHOLE = re.compile(r" *[+-]?[0-9]+ *")
_ZEROS = re.compile(r" *[+-]?0[0-9].*")
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_AS_WRITTEN = re.compile(
    r"[ (]*[+-]?\s?[$\u20ac\u00a3\u00a5]?\s?[+-]?\d[\d.,' \u00a0\u202f]*\s?(?:%|[$\u20ac\u00a3\u00a5]|[A-Z]{3})?[ )]*"
)


class Kind(Enum):
    """What all cells of a column are, but those that are missing."""

    WHOLE = "whole numbers"
    REAL = "numbers"
    BOOL = "bools"
    TEXT = "text"
    EMPTY = "nothing"

    @property
    def is_number(self) -> bool:
        """Whether its cells are numbers."""
        return self in (Kind.WHOLE, Kind.REAL)


@dataclass(frozen=True)
class ColumnInfo:
    """One column: its number from 0, its name or "", and its cells, each once.

    `low` and `high` are the least and the largest of whole numbers.
    """

    place: int
    name: str
    cells: frozenset[str]
    kind: Kind
    dtype: str
    low: int = 0
    high: int = 0
    note: str = ""

    def __str__(self) -> str:
        return f"column {self.place + 1}" + (f" ({self.name!r})" if self.name else "")

    @property
    def fits_float(self) -> bool:
        """Whether float64 holds each of its numbers exactly, or as it holds a decimal."""
        return self.kind is Kind.REAL or max(-self.low, self.high) <= EXACT_IN_FLOAT64


def column_info(place: int, name: str, cells: Sequence[str], table: Table) -> ColumnInfo:
    """Return what a column is. No number is given up for it: what no dtype holds exactly is text.

    Raises:
        DecodeError: Its numbers are written in a way that is not read. `table` is one that has the column.
    """
    distinct = frozenset(cells)
    column = ColumnInfo(place, name, distinct, Kind.TEXT, TEXT)
    values = {cell for cell in distinct if not is_missing(cell)}
    if not values:
        return ColumnInfo(place, name, distinct, Kind.EMPTY, TEXT)
    if all(map(REAL.fullmatch, values)):
        return _number_info(column, values, cells, table)
    if {cell.strip(" ").lower() for cell in distinct} <= {"true", "false"}:
        return ColumnInfo(place, name, distinct, Kind.BOOL, "bool")
    if all(REAL.fullmatch(cell) or _INFINITE.fullmatch(cell.strip()) for cell in values):
        infinite = next(cell for cell in values if not REAL.fullmatch(cell))
        _refuse(column, f"has numbers that are not finite ({infinite!r})", table)
    if table.delimiter != "," and all(map(is_number, values)):
        comma = next(cell for cell in cells if DECIMAL_COMMA.fullmatch(cell))
        reason = f"column {place + 1} has numbers with a comma ({comma!r}), which are read as text"
        raise DecodeError(table.path, reason, hint="Write them with a point.")
    if all(map(_AS_WRITTEN.fullmatch, values)):
        sample = next(cell for cell in cells if cell in values and not REAL.fullmatch(cell))
        note = f"text: its numbers are written with signs ({sample!r})"
        return ColumnInfo(place, name, distinct, Kind.TEXT, TEXT, note=note)
    return column


def _number_info(column: ColumnInfo, values: set[str], cells: Sequence[str], table: Table) -> ColumnInfo:
    def text(note: str) -> ColumnInfo:
        return ColumnInfo(column.place, column.name, column.cells, Kind.TEXT, TEXT, note=note)

    whole = [int(cell) for cell in values if _WHOLE.fullmatch(cell)]
    low, high = min(whole, default=0), max(whole, default=0)
    is_whole = len(whole) == len(values)
    if zeros := next((cell for cell in values if _ZEROS.fullmatch(cell)), None):
        return text(f"text: zeros lead its numbers ({zeros!r})")
    if not is_whole and max(-low, high) > EXACT_IN_FLOAT64:
        return text("text: float64 does not hold all its numbers exactly")
    if not all(math.isfinite(float(cell)) for cell in values):
        _refuse(column, "has numbers that are larger than float64 can hold", table)
    if len(values) < len(column.cells):
        count = sum(cell not in values for cell in cells)
        marks = sorted({cell for cell in column.cells if cell not in values})
        shown = ", ".join("nothing" if not mark.strip() else repr(mark) for mark in marks[:4])
        _refuse(
            column, f"has numbers, and {shown} in {count:,} of {len(cells):,} rows, where a value is missing", table
        )
    if not is_whole:
        return ColumnInfo(column.place, column.name, column.cells, Kind.REAL, "float64", low, high)
    dtype = "int64" if low >= -(2**63) and high < 2**63 else "uint64" if low >= 0 and high < 2**64 else TEXT
    if dtype == TEXT:
        return text("text: no dtype holds its numbers exactly")
    return ColumnInfo(column.place, column.name, column.cells, Kind.WHOLE, dtype, low, high)


def _refuse(column: ColumnInfo, what: str, table: Table) -> None:
    which = column.name if column.name and "," not in column.name else column.place
    raise DecodeError(table.path, f"{column} {what}", hint=f"Leave it out with --drop {which}, or replace them.")


def classes_of(column: ColumnInfo, samples: int) -> tuple[str, ...] | None:
    """Return the classes that a column has if it is the target, or None if it is no column of classes.

    Words are classes if there are few of them. Numbers are compared as values, so that 1 and 1.0 are one class; they
    are classes if they count from 0 or 1, or are -1 and 1, or are very few for that many samples.
    """
    most = max(2, samples // 2)
    if not column.kind.is_number:
        is_few = len(column.cells) <= min(MAX_CLASSES, most) and column.kind is not Kind.EMPTY
        return tuple(sorted(column.cells)) if is_few and "" not in column.cells else None
    values = {float(cell) for cell in column.cells}
    if len(values) > min(MAX_COUNTED_CLASSES, most) or not all(value.is_integer() for value in values):
        return None
    whole = sorted(int(value) for value in values)
    is_counted = whole[0] in (0, 1) and whole == list(range(whole[0], whole[0] + len(whole)))
    is_few = len(whole) <= MAX_ODD_CLASSES and samples >= SAMPLES_A_CLASS * len(whole)
    return tuple(map(str, whole)) if is_counted or whole == [-1, 1] or is_few else None
