"""Tables of cells in text: their delimiter, and all their cells."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.readers.text import REAL, lines, opened_text

DELIMITERS = ",\t;|"
ENDINGS = (".csv", ".tsv", ".data")
SAMPLED_ROWS = 200

DECIMAL_COMMA = re.compile(r" *[+-]?[0-9]+,[0-9]+ *")
NUMBER = re.compile(f"(?:{REAL.pattern})|(?:{DECIMAL_COMMA.pattern})")


def delimiter_of(text: str, name: str) -> str | None:
    """Return the delimiter by which all rows of a text have the same number of cells, two or more, or None.

    Where several do, it is the one that makes the most columns of numbers, or else the one that the name says.
    """
    rows = [line for line in text.lstrip("\ufeff").split("\n")[:SAMPLED_ROWS] if line.strip()]
    if text.count("\n") < SAMPLED_ROWS and not text.endswith("\n"):
        rows = rows[:-1] if len(rows) > 2 else rows
    name = name.lower().removesuffix(".gz")
    fitting: list[tuple[int, bool, str]] = []
    for delimiter in DELIMITERS:
        try:
            cells = list(csv.reader((row.rstrip("\r") for row in rows), delimiter=delimiter))
        except csv.Error:
            continue
        # Three lines of prose with a comma each are no table, unless their name says so.
        if len({len(row) for row in cells}) == 1 < len(cells[0]) and (name.endswith(ENDINGS) or len(rows) >= 4):
            columns = zip(*(cells[1:] or cells), strict=True)
            numbers = sum(all(map(NUMBER.fullmatch, column)) for column in columns)
            fitting.append((numbers, name.endswith(".tsv") and delimiter == "\t", delimiter))
    return max(fitting, key=lambda one: one[:2])[2] if fitting else None


def is_named_table(text: str, name: str) -> bool:
    """Check whether a text is a table by its name and has cells: uneven rows are then a fault, and no prose."""
    return name.lower().removesuffix(".gz").endswith((".csv", ".tsv")) and any(c in text for c in DELIMITERS)


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


def read_table(path: Path) -> Table:
    """Return the cells of a CSV file.

    Raises:
        DecodeError: Its rows cannot be told apart, or have not all as many cells.
    """
    with opened_text(path, ()) as stream:
        text = (line + "\n" for line in lines(stream, bom=True, carriage_returns=True))
        begun = list(itertools.islice(text, SAMPLED_ROWS))
        delimiter = delimiter_of("".join(begun), path.name) or ","
        reader = csv.reader(itertools.chain(begun, text), delimiter=delimiter, strict=True)
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
