"""Tables of cells in text: delimiter, cells, and the dtype of each column."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import TEXT, ByteSource
from tinytorch_datasets.readers.cells import EXACT_IN_FLOAT64
from tinytorch_datasets.readers.rows import WHITESPACE, Dialect, Rows
from tinytorch_datasets.readers.stream import encoding_of, utf8_with_lf
from tinytorch_datasets.readers.text import REAL, is_missing, opened_text

DELIMITERS = ",\t;|"
ENDINGS = (".csv", ".tsv", ".tab", ".data", ".dat")
COMPRESSED = (".gz", ".bz2", ".xz")

# How many rows are looked at, and how many make a table of what nobody calls one.
SAMPLED_ROWS = 200
ENOUGH_ROWS = 4
# Where as large a part of the rows has as many cells, the others may be a fault.
USUAL_WIDTH = 0.8

DECIMAL_COMMA = re.compile(r" *[+-]?[0-9]+,[0-9]+ *")
_NUMBER = re.compile(f"(?:{REAL.pattern})|(?:{DECIMAL_COMMA.pattern})")


class Sniffed(NamedTuple):
    """How a text is a table: what stands between cells, and whether it surely is one; the sign before remarks."""

    delimiter: str
    is_certain: bool
    comment: str = ""


def claims_table(name: str) -> bool:
    """Check whether a file's name says that it is a table.

    >>> claims_table("iris.data"), claims_table("A.CSV.xz"), claims_table("iris.txt")
    (True, True, False)
    """
    return without_compression(name).endswith(ENDINGS)


def without_compression(name: str) -> str:
    """Return a file's name in lowercase, without the ending that says how it is compressed."""
    name = name.lower()
    return next((name.removesuffix(end) for end in COMPRESSED if name.endswith(end)), name)


def is_number(cell: str) -> bool:
    """Check whether a cell is a number, with a decimal point or a decimal comma."""
    return _NUMBER.fullmatch(cell) is not None


def sniff(text: str, name: str, *, whole: bool) -> Sniffed | None:
    """Return how a text is a table, or None if it is none.

    The sample is of rows, not of lines: a quoted cell may go over several. Of the delimiters by which all rows
    have as many cells, two or more, it is the one that makes numbers of the largest part of the columns; then the
    one that the name says; then the one that leaves the fewest blanks around cells.

    Args:
        text: The first characters of the file.
        name: The file's name, which may say that it is a table.
        whole: Whether these are all of its characters; else the last row is not looked at.
    """
    claimed = claims_table(name)
    text = text.removeprefix("\ufeff")
    by_delimiter = {delimiter: _rows(text, delimiter, whole) for delimiter in DELIMITERS}
    fitting = [(d, rows) for d, rows in by_delimiter.items() if _width(rows) > 1]
    if fitting:
        delimiter, rows = max(fitting, key=lambda one: _quality(one[0], one[1], without_compression(name)))
        has_numbers = _numbers(rows) > 0
        if not claimed and (len(rows) < ENOUGH_ROWS or "\n\n" in text.rstrip("\n")) and not has_numbers:
            return None  # two lines of prose with a comma each
        is_certain = claimed or (len(rows) >= ENOUGH_ROWS and (has_numbers or delimiter != ","))
        is_certain = is_certain or (len(rows) > 2 and has_numbers and not any(map(is_number, rows[0])))
        return Sniffed(delimiter, is_certain)
    texts = [line.rstrip("\r") for line in text.split("\n")]
    texts = [line for line in (texts if whole else texts[:-1])[:SAMPLED_ROWS] if line.strip()]
    words = [line.split() for line in texts]
    if _width(words) > 1 and (_numbers(words) == 1 or (claimed and _numbers(words))):
        single = all(line.split(" ") == row for line, row in zip(texts, words, strict=True))
        return Sniffed(" " if single else WHITESPACE, claimed or len(words) > 2)
    if words and _width(words) == 1 and _numbers(words) and not any(d in text for d in DELIMITERS):
        return Sniffed(",", claimed or len(words) > 2)  # numbers, one below the other
    comment = next((line.lstrip()[0] for line in texts if line.lstrip().startswith(("#", "%"))), None)
    if comment:
        data = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip(" \t").startswith(comment))
        below = sniff(data, name, whole=whole)
        if below and below.is_certain:  # a table below remarks, as np.savetxt writes it
            return below._replace(is_certain=claimed, comment=comment)
    if claimed:
        return Sniffed(max(DELIMITERS, key=lambda d: _usual(by_delimiter[d])), True)
    if max(_usual(rows, at_least=3) for rows in by_delimiter.values()) >= USUAL_WIDTH:
        return Sniffed(max(DELIMITERS, key=lambda d: _usual(by_delimiter[d], at_least=3)), False)
    return None


def _rows(text: str, delimiter: str, whole: bool) -> list[list[str]]:
    """Return the first rows, as far as they can be told apart."""
    rows = list[list[str]]()
    reader = csv.reader((line + "\n" for line in text.split("\n")), delimiter=delimiter, strict=True)
    try:
        for row in itertools.islice(reader, SAMPLED_ROWS + 1):
            rows.append(row)
    except csv.Error as error:
        if whole or "unexpected end of data" not in str(error):
            return []
    else:
        if not whole and len(rows) <= SAMPLED_ROWS:
            rows = rows[:-1]
    return [row for row in rows[:SAMPLED_ROWS] if row]


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return how many cells each row has, or 0 if they are not as many in each."""
    widths = {len(row) for row in rows}
    return widths.pop() if len(widths) == 1 else 0


def _numbers(rows: Sequence[Sequence[str]]) -> float:
    """Return which part of the columns is numbers, below a first row that may be names."""
    columns = list(zip(*(rows[1:] or rows), strict=True))
    numeric = [c for c in columns if any(map(is_number, c)) and all(is_number(x) or is_missing(x) for x in c)]
    return len(numeric) / len(columns)


def _quality(delimiter: str, rows: Sequence[Sequence[str]], name: str) -> tuple[float, bool, int]:
    by_name = {".tsv": "\t", ".tab": "\t"}.get(name[-4:])
    blanks = sum(cell != cell.strip(" ") for row in rows for cell in row)
    return _numbers(rows), delimiter == by_name, -blanks


def _usual(rows: Sequence[Sequence[str]], at_least: int = 2) -> float:
    """Return which part of the rows has the number of cells that most have, if those are so many."""
    widths = [len(row) for row in rows]
    usual = max(set(widths), key=widths.count, default=0)
    return widths.count(usual) / len(widths) if usual >= at_least and len(rows) >= ENOUGH_ROWS else 0


@dataclass(frozen=True)
class Table:
    """The cells of one file: its rows as they are, `first` among them, and the line on which each begins.

    `remarks` are the lines that are none.
    """

    path: Path
    delimiter: str
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    remarks: Sequence[int] = ()

    @property
    def first(self) -> tuple[str, ...]:
        """The first row, which may be one of names."""
        return tuple(self.rows[0])


def read_table(path: Path, *, delimiter: str = ",", comment: str = "", encoding: str = "utf-8") -> Table:
    """Return the cells of a CSV file, by the options of the format.

    Raises:
        DecodeError: Its rows cannot be told apart, or have not all as many cells.
    """
    rows, begins, remarks = list[list[str]](), list[int](), list[int]()
    with opened_text(ByteSource(path), ()) as stream:
        text = utf8_with_lf(stream, encoding_of(encoding) or encoding)
        reader = Rows(text, Dialect(delimiter, comment=comment), remarks=remarks)
        try:
            while numbered := reader.next():
                begins.append(numbered[0])
                rows.append(numbered[1])
        except DecodeError as error:
            if error.reason.endswith("is empty"):
                error.hint = "Take it out; empty lines may stand at the end."
            raise
    if not rows:
        raise DecodeError(path, "it has no rows", hint="Leave it out, or put its rows below.")
    for line, row in zip(begins, rows, strict=True):
        if len(row) != len(rows[0]):
            raise _uneven(path, delimiter, rows, line, len(row))
    return Table(path, delimiter, rows, begins, tuple(remarks))


def _uneven(path: Path, delimiter: str, rows: Sequence[Sequence[str]], line: int, width: int) -> DecodeError:
    """Return what is wrong with rows of which one, on that line, has another width than the first."""
    first = len(rows[0])
    sign = {"\t": "tab", " ": "blank", WHITESPACE: "blank"}.get(delimiter, repr(delimiter))
    if len(rows) > 2 and all(len(row) == first + 1 for row in rows[1:]):
        if all(not row[-1] for row in rows[1:]):
            reason = f"each row below the first ends in one {sign} more than the first, and nothing behind it"
            return DecodeError(path, reason, hint=f"Put a {sign} at the end of line 1, or take it out of the others.")
        reason = f"each row below the first has {first + 1:,} cells, and the first has {first:,}: one name is missing"
        return DecodeError(path, reason, hint="Write it in line 1; in front of the others, if it is the row's own.")
    if len(rows) > 2 and len({len(row) for row in rows[1:]}) == 1:
        reason = f"the first row has {first:,} cells, and each of the {len(rows) - 1:,} rows below it has {width:,}"
        hint = "If it is no part of the table, write the entry by hand, with options: {header: false, skip_lines: 1}."
        return DecodeError(path, reason, hint=hint)
    reason = f"line {line:,} has another number of cells than the first row: {width:,}, and not {first:,}"
    return DecodeError(path, reason, hint=f"A cell that has a {sign} in it stands between quotes.")


# Where more values than this are different, they are not taken for classes; for numbers that are not counted from 0
# or 1, where more are, or where each has fewer samples.
MAX_CLASSES = 1000
MAX_COUNTED_CLASSES = 100
MAX_ODD_CLASSES, SAMPLES_A_CLASS = 20, 5

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
        gaps = sum(cell not in values for cell in cells)
        marks = tuple(sorted({cell.strip(" \t") for cell in column.cells if cell not in values}))
        if max(-low, high) > EXACT_IN_FLOAT64:
            what = f"has numbers, and {shown_marks(marks)} in {gaps:,} of {len(cells):,} rows, where a value is missing"
            _refuse(column, f"{what}; float64, which has NaN for it, does not hold its numbers exactly", table)
        return replace(column, kind=Kind.REAL, dtype="float64", low=low, high=high, missing=marks, gaps=gaps)
    if not is_whole:
        return ColumnInfo(column.place, column.name, column.cells, Kind.REAL, "float64", low, high)
    dtype = "int64" if low >= -(2**63) and high < 2**63 else "uint64" if low >= 0 and high < 2**64 else TEXT
    if dtype == TEXT:
        return text("text: no dtype holds its numbers exactly")
    return ColumnInfo(column.place, column.name, column.cells, Kind.WHOLE, dtype, low, high)


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
