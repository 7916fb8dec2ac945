"""Tables of cells in text: their delimiter, and all their cells."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.readers.text import REAL, lines, opened_text

DELIMITERS = ",\t;|"
ENDINGS = (".csv", ".tsv", ".tab", ".data", ".dat")
COMPRESSED = (".gz", ".bz2", ".xz")

# How many rows are looked at, and how many make a table of what nobody calls one.
SAMPLED_ROWS = 200
ENOUGH_ROWS = 4
# Where as large a part of the rows has as many cells, the others may be a fault.
USUAL_WIDTH = 0.8

# What stands where a value is not known, folded; no column is called so.
MISSING = frozenset({"", "?", "-", "--", ".", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none"})

DECIMAL_COMMA = re.compile(r" *[+-]?[0-9]+,[0-9]+ *")
_NUMBER = re.compile(f"(?:{REAL.pattern})|(?:{DECIMAL_COMMA.pattern})")


class Sniffed(NamedTuple):
    """How a text is a table: what stands between cells, and whether it surely is one. "" is a run of blanks."""

    delimiter: str
    is_certain: bool


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


def is_missing(cell: str) -> bool:
    """Check whether a cell says that its value is not known."""
    return cell.strip().casefold() in MISSING


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
        return Sniffed(delimiter, is_certain)
    texts = [line.rstrip("\r") for line in text.split("\n")]
    texts = [line for line in (texts if whole else texts[:-1])[:SAMPLED_ROWS] if line.strip()]
    words = [line.split() for line in texts]
    if _width(words) > 1 and (_numbers(words) == 1 or (claimed and _numbers(words))):
        single = all(line.split(" ") == row for line, row in zip(texts, words, strict=True))
        return Sniffed(" " if single else "", claimed or len(words) > 2)
    if words and _width(words) == 1 and _numbers(words) and not any(d in text for d in DELIMITERS):
        return Sniffed(",", claimed or len(words) > 2)  # numbers, one below the other
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
    """The cells of one file: its rows as they are, `first` among them, and the line on which each begins."""

    path: Path
    delimiter: str
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]

    @property
    def first(self) -> tuple[str, ...]:
        """The first row, which may be one of names."""
        return tuple(self.rows[0])


def read_table(path: Path, delimiter: str) -> Table:
    """Return the cells of a CSV file.

    Raises:
        DecodeError: Its rows cannot be told apart, or have not all as many cells.
    """
    with opened_text(path, ()) as stream:
        text: Iterable[str] = (line + "\n" for line in lines(stream, bom=True, carriage_returns=True))
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        rows, begins, line = list[list[str]](), list[int](), 1
        try:
            for row in reader:
                rows.append(row)
                begins.append(line)
                line = reader.line_num + 1
        except csv.Error as error:
            raise DecodeError(path, f"its rows cannot be told apart: {error}", hint="Is a quote left open?") from error
    while len(rows) > 1 and not rows[-1] and len(rows[0]) > 1:  # as the decoder passes over them
        rows.pop()
    for line, row in zip(begins, rows, strict=False):
        if not row:
            raise DecodeError(path, f"line {line:,} is empty", hint="Take it out; empty lines may stand at the end.")
        if len(row) != len(rows[0]):
            reason = f"line {line:,} has another number of cells than the first row"
            raise DecodeError(path, reason, hint=f"A cell that has a {delimiter!r} in it stands between quotes.")
    return Table(path, delimiter, rows, begins)
