"""Columns of a table: those of a field, and what all their cells are."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from tinytorch_datasets.errors import DecodeError, Keys, did_you_mean
from tinytorch_datasets.plan import COLUMN_RANGE, MAX_EXACT, TEXT, Column
from tinytorch_datasets.readers.cells import has_lists
from tinytorch_datasets.readers.rows import WHITESPACE, TableText
from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.readers.table import Table
from tinytorch_datasets.readers.text import REAL, is_missing

# Where more values than this are different, they are not taken for classes; for numbers that are not counted from 0
# or 1, where more are, or where each has fewer samples.
MAX_CLASSES = 1000
MAX_COUNTED_CLASSES = 100
MAX_ODD_CLASSES, SAMPLES_A_CLASS = 20, 5

_WHOLE = re.compile(r" *[+-]?[0-9]+ *")
_ZEROS = re.compile(r" *[+-]?0[0-9].*")
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_AS_WRITTEN = re.compile(
    r"[ (]*[+-]?\s?[$\u20ac\u00a3\u00a5]?\s?[+-]?\d[\d.,' \u00a0\u202f]*(?:[eE][+-]?\d+)?"
    r"\s?(?:%|[$\u20ac\u00a3\u00a5]|[A-Z]{3})?[ )]*"
)

_SEVERAL_NUMBERS = re.compile(rf"(?:{REAL.pattern.strip(' *')})(?:[ \t]+(?:{REAL.pattern.strip(' *')}))+[ \t]*")
_IN_GROUPS = re.compile(r" *[+-]?[0-9]{1,3}(?:,[0-9]{3})* *")


class Kind(Enum):
    """What all cells of a column are, but those that are missing."""

    WHOLE = "whole numbers"
    REAL = "numbers"
    BOOL = "bools"
    TEXT = "text"
    ARRAYS = "arrays"
    EMPTY = "nothing"

    @property
    def is_number(self) -> bool:
        """Whether its cells are numbers."""
        return self in (Kind.WHOLE, Kind.REAL)


@dataclass(frozen=True)
class ColumnInfo:
    """One column: its number from 0, its name or "", and its cells, each once.

    `low` and `high` are the least and the largest of whole numbers, `missing` the cells that say that a number is not
    known, in how many rows `gaps`. `classes` are those that the file itself declares, `shape` that of each of its
    values. `is_unique` is whether no file has a number twice, where it is the first column;
    `is_stored_as_number` whether its numbers are stored as such, and not spelled.
    """

    place: int
    name: str
    cells: frozenset[str]
    kind: Kind
    dtype: str
    low: int = 0
    high: int = 0
    note: str = ""
    missing: tuple[str | None, ...] = ()
    gaps: int = 0
    shape: tuple[int | None, ...] = ()
    classes: tuple[str, ...] | None = None
    is_unique: bool = False
    is_stored_as_number: bool = False

    def __str__(self) -> str:
        return f"column {self.place + 1}" + (f" ({self.name!r})" if self.name else "")

    @property
    def fits_float(self) -> bool:
        """Whether float64 holds each of its numbers exactly, or as it holds a decimal."""
        return self.kind is Kind.REAL or max(-self.low, self.high) <= MAX_EXACT


def column_info(place: int, name: str, cells: Sequence[str], table: Table, marks: Sequence[str] = ()) -> ColumnInfo:
    """Return what a column is. No number is given up for it: what no dtype holds exactly is text.

    `marks` are cells that mean a missing value, beside those that everybody writes.

    Raises:
        DecodeError: Its numbers are written in a way that is not read. `table` is one that has the column.
    """
    distinct = frozenset(cells)
    column = ColumnInfo(place, name, distinct, Kind.TEXT, TEXT)
    values = {cell for cell in distinct if not is_missing(cell) and not (marks and is_mark(cell, marks))}
    if not values:
        return ColumnInfo(place, name, distinct, Kind.EMPTY, TEXT)
    if all(map(REAL.fullmatch, values)):
        return _number_info(column, values, cells, table)
    if {cell.strip(" ").lower() for cell in distinct} <= {"true", "false"}:
        return ColumnInfo(place, name, distinct, Kind.BOOL, "bool")
    if all(REAL.fullmatch(cell) or _INFINITE.fullmatch(cell.strip()) for cell in values):
        infinite = next(cell for cell in values if not REAL.fullmatch(cell))
        _refuse(column, f"has numbers that are not finite ({infinite!r})", table)
    if all(map(_SEVERAL_NUMBERS.fullmatch, values)):
        note = "text: several numbers in a cell; `--option cell_delimiter=whitespace` reads them"
        return ColumnInfo(place, name, distinct, Kind.TEXT, TEXT, note=note)
    if all(map(_AS_WRITTEN.fullmatch, values)):
        sample = next(cell for cell in cells if cell in values and not REAL.fullmatch(cell))
        note = f"text: its numbers are written with signs ({sample!r})"
        note += "; `--option thousands=,` reads them" if all(map(_IN_GROUPS.fullmatch, values)) else ""
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
    if not is_whole and max(-low, high) > MAX_EXACT:
        return text("text: float64 does not hold all its numbers exactly")
    if not all(math.isfinite(float(cell)) for cell in values):
        _refuse(column, "has numbers that are larger than float64 can hold", table)
    if len(values) < len(column.cells):
        gaps = sum(cell not in values for cell in cells)
        marks = tuple(sorted({cell.strip(" \t") for cell in column.cells if cell not in values}))
        if max(-low, high) > MAX_EXACT:
            what = f"has numbers, and {shown_marks(marks)} in {gaps:,} of {len(cells):,} rows, where a value is missing"
            _refuse(column, f"{what}; float64, which has NaN for it, does not hold its numbers exactly", table)
        return replace(column, kind=Kind.REAL, dtype="float64", low=low, high=high, missing=marks, gaps=gaps)
    if not is_whole:
        return ColumnInfo(column.place, column.name, column.cells, Kind.REAL, "float64", low, high)
    dtype = "int64" if low >= -(2**63) and high < 2**63 else "uint64" if low >= 0 and high < 2**64 else TEXT
    if dtype == TEXT:
        return text("text: no dtype holds its numbers exactly")
    return ColumnInfo(column.place, column.name, column.cells, Kind.WHOLE, dtype, low, high)


def with_lists(column: ColumnInfo, between: str) -> ColumnInfo:
    """Return a column of text as one whose cells are each several numbers, if that is what all of them are.

    `between` is what stands between the numbers, in the words of the option cell_delimiter.
    """
    sign = None if between == WHITESPACE else between
    cells = [cell.split(sign) for cell in column.cells]
    counts = {len(cell) for cell in cells}
    numbers = {number for cell in cells for number in cell}
    if column.kind is not Kind.TEXT or max(counts, default=0) < 2 or not all(map(REAL.fullmatch, numbers)):
        return column
    whole = all(map(_WHOLE.fullmatch, numbers))
    values = [int(number) if whole else float(number) for number in numbers]
    low, high = min(values), max(values)
    if not math.isfinite(low) or not math.isfinite(high) or not -(2**63) <= low <= high < 2**63:
        return column
    dtype = "float64" if not whole else "uint8" if low >= 0 and 1 < high < 256 and min(counts) > 16 else "int64"
    shape = (counts.pop(),) if len(counts) == 1 else (None,)
    return replace(column, kind=Kind.ARRAYS, dtype=dtype, shape=shape, note="")


def is_mark(cell: str, marks: Sequence[str]) -> bool:
    """Check whether a cell is one of some marks, as text or as a number.

    >>> is_mark("-999.0", ["-999"]), is_mark(" none ", ["none"]), is_mark("9", ["-999"])
    (True, True, False)
    """
    if cell.strip(" \t") in marks:
        return True
    return REAL.fullmatch(cell) is not None and any(REAL.fullmatch(m) and float(m) == float(cell) for m in marks)


def shown_marks(marks: Sequence[str | None]) -> str:
    """Return marks of missing values as a sentence has them.

    >>> shown_marks(["", "NA"])
    "nothing or 'NA'"
    """
    return " or ".join({"": "nothing", None: "null"}.get(mark, repr(mark)) for mark in marks)


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
    if column.missing:
        return None
    values = label_values({float(cell) for cell in column.cells}, samples)
    return tuple(map(str, values)) if values else None


def label_values(numbers: Collection[float], samples: int) -> tuple[int, ...] | None:
    """Return the numbers of classes, sorted, if that is what these are in so many samples; else None.

    >>> label_values({1, 2, 3}, 60), label_values({-1.0, 1.0}, 60), label_values({0.5, 1.0}, 60)
    ((1, 2, 3), (-1, 1), None)
    >>> label_values({3, 5}, 60), label_values({3, 5}, 6), label_values(range(70), 60)
    ((3, 5), None, None)
    """
    if len(numbers) > min(MAX_COUNTED_CLASSES, max(2, samples // 2)):
        return None
    if not all(math.isfinite(number) and float(number).is_integer() for number in numbers):
        return None
    whole = sorted(int(number) for number in numbers)
    is_counted = whole[0] in (0, 1) and whole == list(range(whole[0], whole[0] + len(whole)))
    is_few = len(whole) <= MAX_ODD_CLASSES and samples >= SAMPLES_A_CLASS * len(whole)
    return tuple(whole) if is_counted or whole == [-1, 1] or is_few else None


Wanted = Mapping[str, "str | int | list[str | int]"]


def places(table: TableText, fields: Sequence[Column], wanted: Wanted) -> dict[str, list[int]]:
    """Return, for each field, the numbers of its columns, from 0; one field may take all that are left."""
    found: dict[str, list[int]] = {}
    others: list[Column] = []
    stream, names, width = table.stream, table.names, table.width
    for column in fields:
        if column.per == "split":
            stream.fail(f"{column} belongs to the split as a whole, for which a table has no place")
        if declared := _declared_places(column, wanted, table):
            found[column.field] = [
                _place(stream, column, place, names, width, keys=_declaring(column, wanted)) for place in declared
            ]
        else:
            others.append(column)
    if len(others) > 1:
        field_names = " and ".join(repr(column.field) for column in others)
        stream.fail(
            f"which columns are {field_names} cannot be told: name them in the option columns", keys=("options",)
        )
    if others:
        taken = {place for places in found.values() for place in places}
        found[others[0].field] = [place for place in range(width) if place not in taken]
    for column in fields:
        if column.is_ragged and not table.between_numbers:
            reason = f"the samples of {column.field} differ in shape, and the columns of a table do not"
            hint = "If a cell has all numbers of a sample, say what is between them in the option cell_delimiter."
            stream.fail(reason, hint=hint, keys=("fields", column.field, "shape"))
        if column.shape.count(None) > 1:
            reason = f"{column.field} differs by sample on more than one axis, which a row of numbers does not tell"
            stream.fail(reason, keys=("fields", column.field, "shape"))
        have = len(found[column.field])
        need = 1 if has_lists(column, table, found[column.field]) else math.prod(column.sample_shape)
        if have != need:
            how = "are left for" if column in others else "are named for"
            shape = str(column.shape).replace("None", "null")
            stream.refuse(
                f"{have:,} columns {how} {column.field}, whose shape {shape} needs {need:,}",
                aspect="shape",
                expected=need,
                actual=have,
                column=str(column),
            )
    return found


def _declared_places(column: Column, wanted: Wanted, table: TableText) -> Sequence[str | int]:
    """Return the columns of a field that are declared: at its place, in the option, or by names; none if nothing is."""
    if column.columns:
        return column.columns
    if column.field in wanted:
        option = wanted[column.field]
        listed = option if isinstance(option, list) else [option]
        return [place for item in listed for place in _without_ranges(item, table, _declaring(column, wanted))]
    if column.key not in ("", column.field):
        return [column.key]
    if table.names and column.names:
        return column.names
    is_single = column.shape == () or bool(table.between_numbers)
    return [column.field] if table.names and column.field in table.names and is_single else []


def _without_ranges(place: str | int, table: TableText, keys: Keys) -> Sequence[str | int]:
    """Return the columns that are named so: of a range, each as its number; but a column that has that name is it."""
    ends = COLUMN_RANGE.fullmatch(place) if isinstance(place, str) and place not in (table.names or ()) else None
    if ends is None:
        return [place]
    # No further than one behind the last column, which is refused as any other that there is not.
    first, last = int(ends[1]), int(ends[2])
    if first > last:
        table.stream.fail(f"the range {place} of the option columns has no columns", keys=keys)
    return range(first, min(last, table.width) + 1) or [last]


def _declaring(column: Column, wanted: Wanted) -> Keys:
    """Return the path in the entry of what `_declared_places` returns."""
    if not column.columns and column.field in wanted:
        return ("options", "columns", column.field)
    in_split = column.columns or column.key not in ("", column.field) or not column.names
    return ("splits", column.split, column.field) if in_split else ("fields", column.field, "names")


def _place(
    stream: Stream, column: Column, place: str | int, names: Sequence[str] | None, width: int, *, keys: Keys
) -> int:
    named_by = "its `column`" if column.columns else "its key" if place == column.key else "the option columns"
    if isinstance(place, int):
        if not -width <= place < width:
            stream.fail(f"{column.field} is column {place} by {named_by}, but a row has {width:,}", keys=keys)
        return place % width
    if names is None:
        reason = f"{column.field} is column {place!r} by {named_by}, but without a header columns have no names"
        stream.fail(reason, keys=keys)
    if place not in names:
        reason = f"its header has no column {place!r}, which is {column.field}{did_you_mean(place, names)}"
        stream.fail(reason, keys=keys)
    if names.count(place) > 1:
        stream.fail(f"its header has the column {place!r} twice", keys=keys)
    return names.index(place)
