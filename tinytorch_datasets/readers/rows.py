"""`Rows`: the rows of a table in text, one by one, or many at once.

Many where bytes show where each row and each cell ends: in quotes too, if these stand around whole cells.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.readers.text import (
    LONGEST_LINE,
    decoded_line,
    pieces,
    single_blanks,
    with_single_blanks,
    without_last,
)
from tinytorch_datasets.readers.text.grid import LONGEST_WORD, Grid, Numbers, OpenQuoteError
from tinytorch_datasets.storage.string_array import StringArray

# What the option delimiter calls runs of blanks and tabs.
WHITESPACE = "whitespace"

ROWS_A_BLOCK = 4096
BLOCK_CHARACTERS = 1 << 20
LONGEST_ROW = 2 << 20


class Dialect(NamedTuple):
    """How cells and rows are written: the sign between cells, lines that are no rows, blanks that are no text."""

    delimiter: str = ","
    skip_lines: int = 0
    comment: str = ""
    strip: bool = False
    skip_last_lines: int = 0

    @property
    def sign(self) -> str:
        """The one character between cells."""
        return " " if self.delimiter == WHITESPACE else self.delimiter


@dataclass(frozen=True)
class TableText:
    """What is known of a table before its cells are read.

    `number` turns a number as it is written there (1.234,5) into one with a decimal point alone, if that is needed;
    `decimal` is the sign of decimals, `between_numbers` what stands between the numbers of one cell, if there are
    several.
    """

    stream: Stream
    names: Sequence[str] | None
    width: int
    number: Callable[[str], str] | None = None
    decimal: str = "."
    between_numbers: str = ""


class Cells:
    """Some rows of a table, with what is needed to say where in it a cell is."""

    def __init__(self, table: TableText) -> None:
        self.table = table
        self.lines: list[int] = []
        self.rows: list[list[str]] = []
        self.characters = 0

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, line: int, row: list[str]) -> None:
        """Add one more row, which begins on that line."""
        self.lines.append(line)
        self.rows.append(row)
        self.characters += len(row) + sum(map(len, row))  # empty cells take memory too

    @property
    def is_full(self) -> bool:
        """Whether these are as many as are held at once."""
        return len(self.rows) == ROWS_A_BLOCK or self.characters > BLOCK_CHARACTERS

    def texts(self, places: Sequence[int]) -> list[str]:
        """Return the cells of some columns, row by row."""
        if len(places) == 1:
            return [row[places[0]] for row in self.rows]
        return [row[place] for row in self.rows for place in places]

    def one_by_one(self) -> Cells:
        """Return the same as rows, each with its line."""
        return self

    def find(self, places: Sequence[int], wrong: Callable[[str], bool]) -> tuple[str, str]:
        """Return the first wrong cell: where it is, and what it says."""
        for line, row in zip(self.lines, self.rows, strict=True):
            for place in places:
                if wrong(row[place]):
                    name = f" ({self.table.names[place]!r})" if self.table.names else ""
                    return f"line {line:,}, column {place + 1:,}{name}", row[place]
        raise AssertionError("no cell is wrong")  # noqa: EM101 -- a fault of ours, never shown

    def numbers_of(self, place: int, cells: Sequence[Sequence[str]]) -> Cells:
        """Return the numbers that the cells of one column are, each as a row of its own, which has its place."""
        numbers = Cells(self.table)
        for line, cell in zip(self.lines, cells, strict=True):
            numbers.lines += [line] * len(cell)
            numbers.rows += ([""] * place + [number] for number in cell)
        return numbers


class Piece:
    """Whole rows, which are looked at as bytes.

    Attributes:
        table: What they are rows of.
        data: Those of the text, up to the last row that is whole.
    """

    def __init__(self, table: TableText, dialect: Dialect, line: int, data: bytes) -> None:
        """Look for the cells of what the text has from line `line` on.

        Raises:
            OpenQuoteError: There is no whole row.
            ValueError: They cannot be told apart without looking at one line after the other.
        """
        self.table, self._dialect, self._line = table, dialect, line
        has_quotes = b'"' in data
        if len(data) > LONGEST_LINE or any(sign and sign in data for sign in (b"\0", dialect.comment.encode())):
            raise ValueError
        plain = data if data.endswith(b"\n") else data + b"\n"
        if not has_quotes:
            plain = plain.replace(b"\r\n", b"\n") if b"\r" in plain else plain
            if b"\r" in plain:
                raise ValueError
        if dialect.delimiter == WHITESPACE:
            if has_quotes:
                raise ValueError
            plain = with_single_blanks(plain)
        if not plain.isascii():
            plain.decode("utf-8")
        self._plain = b"" if has_quotes else plain
        self._grid = Grid(plain, ord(dialect.sign), table.width, strips=dialect.strip)
        if self._grid.longest > csv.field_size_limit() or self._grid.has_empty_row:
            raise ValueError
        self.data = data[: self._grid.size] if has_quotes else data

    def __len__(self) -> int:
        return self._grid.rows

    def numbers(self, places: Sequence[int], *, whole: bool) -> Numbers:
        """Return the plain numbers of some columns, row by row."""
        return self._grid.numbers(places, None if whole else ord(self.table.decimal))

    def texts(self, places: Sequence[int], which: np.ndarray | None = None) -> list[str]:
        """Return the cells of some columns, row by row; or of those only which are named by their positions."""
        of_a_row, sign = len(places) if which is None else len(which) / len(self), self._dialect.sign
        if len(places) == 1 and which is None:
            return list(self._grid.strings(places[0]))
        if 3 * of_a_row < self.table.width or not self._plain:
            at = np.arange(len(self) * len(places)) if which is None else which
            return self._grid.texts(at // len(places), np.asarray(places)[at % len(places)])
        every = self._plain[:-1].decode("utf-8").replace("\n", sign).split(sign)
        columns = [every[place :: self.table.width] for place in places]
        texts = [text for row in zip(*columns, strict=True) for text in row]
        texts = texts if which is None else [texts[at] for at in which.tolist()]
        return [text.strip(" \t") for text in texts] if self._dialect.strip else texts

    def strings(self, place: int) -> StringArray:
        """Return the cells of a column, packed."""
        return self._grid.strings(place)

    def positions(self, places: Sequence[int], words: Sequence[str]) -> np.ndarray | None:
        """Return which of some words each cell is, row by row, -1 for none; None where words are too long for that."""
        encoded = [word.encode() for word in words]
        return self._grid.positions(places, encoded) if max(map(len, encoded)) <= LONGEST_WORD else None

    def one_by_one(self) -> Cells:
        """Return the same as rows, each with its line."""
        cells = Cells(self.table)
        rows = Rows(self.table.stream, self._dialect, iter([(self._line, self.data)]))
        while row := rows.next():
            cells.add(*row)
        return cells


class _Lines:
    """The lines of a text with their numbers, of which some may be taken together."""

    def __init__(self, stream: Stream, pieces: Iterator[tuple[int, bytes]]) -> None:
        self._stream, self._pieces = stream, pieces
        self._number, self._data, self._at = 1, b"", 0
        self._split: Iterator[bytes] | None = None
        # Where the last line begins: its number, its place among those that it came with, and which those are.
        self.last = (1, 0, self._data)

    @property
    def is_at_border(self) -> bool:
        """Whether all lines of a piece have come."""
        return self._at >= len(self._data)

    def peek(self) -> tuple[int, bytes] | None:
        """Return the lines that come next together, and the number of the first; None at the end."""
        if self.is_at_border:
            self._number, self._data = next(self._pieces, (0, b""))
            self._at, self._split = 0, None
        return (self._number, self._data[self._at :]) if self._data else None

    def take(self, count: int) -> None:
        """Pass over so many bytes of what `peek` has returned, which are whole lines."""
        if self._at + count < len(self._data):
            self._number += self._data.count(b"\n", self._at, self._at + count)
        self._at, self._split = self._at + count, None

    def extend(self) -> bool:
        """Add the lines of the next piece to what `peek` returns; whether there are any."""
        more = next(self._pieces, (0, b""))[1]
        self._data, self._at, self._split = self._data[self._at :] + more, 0, None
        return bool(more)

    def back_to(self, line: tuple[int, int, bytes]) -> bool:
        """Go back to a line that was the last once, if it came with those that come now; whether it did."""
        if line[2] is not self._data:
            return False
        self._number, self._at, self._split = line[0], line[1], None
        return True

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        if self.is_at_border and self.peek() is None:
            raise StopIteration
        if self._split is None:
            self._split = iter(self._data[self._at :].removesuffix(b"\n").split(b"\n"))
        line = next(self._split)
        self.last = (self._number, self._at, self._data)
        self._at += len(line) + 1
        self._number += 1
        return self._number - 1, decoded_line(self._stream, self._number - 1, line, carriage_returns=True)


class Rows:
    """The rows of a table, of which empty lines are none: they may stand at the end only.

    Attributes:
        remarks: The lines that the sign of comments made none, if they are asked for.
    """

    def __init__(
        self,
        stream: Stream,
        dialect: Dialect,
        lines: Iterator[tuple[int, bytes]] | None = None,
        *,
        remarks: list[int] | None = None,
    ) -> None:
        self._stream, self._dialect, self.remarks = stream, dialect, remarks
        self._lines = _Lines(stream, lines or without_last(pieces(stream, bom=True), dialect.skip_last_lines))
        self._row = self._lines.last
        self._characters, self._line, self._begins = 0, 1, True
        self._empty, self._width = 0, 1
        self._reader = self._csv_reader(self._text())

    def _text(self) -> Iterator[str]:
        """Yield the lines that rows are of."""
        skip_lines, comment = self._dialect.skip_lines, self._dialect.comment
        has_blanks = self._dialect.delimiter == WHITESPACE
        for number, text in self._lines:
            if number <= skip_lines:
                continue
            if self._begins:
                if comment and text.lstrip(" \t").startswith(comment):
                    if self.remarks is not None:
                        self.remarks.append(number)
                    continue
                self._line, self._begins, self._row = number, False, self._lines.last
            line = single_blanks(text) if has_blanks else text
            self._characters += len(line)
            if self._characters > LONGEST_ROW:
                what = f"is in a row of more than {LONGEST_ROW:,} characters; is a quote open?"
                self._stream.fail(f"line {number:,} {what}")
            yield line + "\n"

    def next(self) -> tuple[int, list[str]] | None:
        """Return the next row and the number of the line that it begins on; None at the end.

        Raises:
            DecodeError: There is no telling what its cells are, or an empty line is in front of it.
        """
        while True:
            self._characters, self._begins = 0, True
            try:
                row = next(self._reader, None)
            except csv.Error as error:
                self._unreadable(str(error))
            if row is None:
                if self._empty and self._width == 1:  # which may be a cell that is empty
                    self._stream.fail(f"line {self._empty:,} is empty")
                return None
            if row:
                break
            self._empty = self._empty or self._line
        if self._empty:
            self._stream.fail(f"line {self._empty:,} is empty")
        self._width = len(row)
        return self._line, [cell.strip(" \t") for cell in row] if self._dialect.strip else row

    def blocks(self, table: TableText, most: int, first: tuple[int, list[str]] | None) -> Iterator[Cells | Piece]:
        """Yield the rows that follow, each of `table.width` cells, many at once; in front of them `first`.

        That is the row that came last. A block ends with the first row that is more than `most`.
        """
        cells = Cells(table)
        if first is not None and not self._lines.back_to(self._row):
            cells.add(*first)
        sign = self._dialect.sign
        is_plain = sign.isascii() and not sign.isdigit()
        count = 0
        while True:
            while not self._empty and not len(cells):
                piece = (self._next_piece(table) if is_plain else None) or self._next_rows(table)
                if piece is None:
                    break
                count += len(piece)
                yield piece
            while row := self.next():
                cells.add(*row)
                if len(row[1]) != table.width:
                    width = f"{len(row[1]):,}, the first row is one of {table.width:,}"
                    self._stream.fail(f"line {row[0]:,} has a row of {width}")
                if cells.is_full or count + len(cells) > most or self._lines.is_at_border:
                    break
            if not len(cells):
                return
            count += len(cells)
            yield cells
            cells = Cells(table)

    def _next_piece(self, table: TableText) -> Piece | None:
        """Return the lines that come next together as rows, if they are sure to be rows."""
        while lines := self._lines.peek():
            try:
                piece = Piece(table, self._dialect, *lines)
            except OpenQuoteError:
                if not self._lines.extend():
                    break
            except ValueError:  # UnicodeDecodeError is one
                break
            else:
                self._lines.take(len(piece.data))
                return piece
        return None

    def _next_rows(self, table: TableText) -> Cells | None:
        """Return the lines that come next together, if each of them is sure to be a row, with its quotes."""
        number, data = self._lines.peek() or (0, b"")
        doubtful = (b"\0", self._dialect.comment.encode())
        if b'"' not in data or len(data) > LONGEST_LINE or any(sign and sign in data for sign in doubtful):
            return None
        cells = Cells(table)
        try:
            lines = data.removesuffix(b"\n").decode("utf-8").split("\n")
            lines = list(map(single_blanks, lines)) if self._dialect.delimiter == WHITESPACE else lines
            cells.rows = list(self._csv_reader(lines))
        except (UnicodeDecodeError, csv.Error):
            return None
        # A row takes one line, or more: where there are as many rows as lines, none takes more.
        if len(cells.rows) != len(lines) or set(map(len, cells.rows)) != {table.width}:
            return None
        if self._dialect.strip:
            cells.rows = [[cell.strip(" \t") for cell in row] for row in cells.rows]
        cells.lines = list(range(number, number + len(lines)))
        self._lines.take(len(data))
        return cells

    def _csv_reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        skips = self._dialect.delimiter == WHITESPACE or (self._dialect.strip and self._dialect.delimiter != " ")
        return csv.reader(lines, delimiter=self._dialect.sign, skipinitialspace=skips, strict=True)

    def _unreadable(self, message: str) -> NoReturn:
        """Say what the csv module means in words that lead to the place."""
        line, fail = self._line, self._stream.fail
        if "unexpected end of data" in message:
            fail(f"a quote in the row of line {line:,} never closes")
        if "field larger than field limit" in message:
            most = csv.field_size_limit()
            fail(f"a cell in the row of line {line:,} has more than {most:,} characters; is its quote closed?")
        if "expected after" in message:
            fail(f"line {line:,} has a cell that goes on after its quote; a quote inside is written twice")
        if "new-line character" in message:
            fail(f"the row of line {line:,} has a carriage return in the middle of a cell without quotes")
        fail(f"the row of line {line:,} cannot be read: {message}")
