"""`Rows`: the rows of a table in text, one by one, or many at once.

Many where no quote is among them, so that bytes show where each row and each cell ends.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.readers.text import LONGEST_LINE, Grid, Numbers, decoded_line, pieces
from tinytorch_datasets.storage.string_array import StringArray

# What the option delimiter calls runs of blanks and tabs.
WHITESPACE = "whitespace"
_TAB_OUTSIDE_QUOTES = re.compile(r'("(?:[^"]|"")*")|\t')

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
    """Whole rows without quotes, which are looked at as bytes. `data` are those of the text, from line `line` on."""

    def __init__(self, table: TableText, dialect: Dialect, line: int, data: bytes) -> None:
        """Look for the cells.

        Raises:
            ValueError: They cannot be told apart without looking at one line after the other.
        """
        self.table, self._dialect, self._line, self._data = table, dialect, line, data
        doubtful = (b'"', b"\0", dialect.comment.encode())
        if len(data) > LONGEST_LINE or any(sign and sign in data for sign in doubtful):
            raise ValueError
        plain = data if data.endswith(b"\n") else data + b"\n"
        plain = plain.replace(b"\r\n", b"\n") if b"\r" in plain else plain
        if b"\r" in plain:
            raise ValueError
        if dialect.delimiter == WHITESPACE:
            plain = _with_single_blanks(plain)
        if not plain.isascii():
            plain.decode("utf-8")
        self._plain = plain
        self._grid = Grid(plain, ord(dialect.sign), table.width)
        longest = int((self._grid.ends[:, -1] - self._grid.starts[:, 0]).max())
        if longest > csv.field_size_limit() or (table.width == 1 and (self._grid.starts == self._grid.ends).any()):
            raise ValueError

    def __len__(self) -> int:
        return self._grid.rows

    def numbers(self, places: Sequence[int], *, whole: bool) -> Numbers:
        """Return the plain numbers of some columns, row by row."""
        return self._grid.numbers(places, None if whole else ord(self.table.decimal))

    def texts(self, places: Sequence[int], which: np.ndarray | None = None) -> list[str]:
        """Return the cells of some columns, row by row; or of those only which are named by their positions."""
        of_a_row, sign = len(places) if which is None else len(which) / len(self), self._dialect.sign
        if len(places) == 1 and which is None:
            texts = list(self._grid.strings(places[0]))
        elif 3 * of_a_row >= self.table.width:
            every = self._plain[:-1].decode("utf-8").replace("\n", sign).split(sign)
            columns = [every[place :: self.table.width] for place in places]
            texts = [text for row in zip(*columns, strict=True) for text in row]
            texts = texts if which is None else [texts[at] for at in which.tolist()]
        else:
            at = np.arange(len(self) * len(places)) if which is None else which
            texts = self._grid.texts(at // len(places), np.asarray(places)[at % len(places)])
        return [text.strip(" \t") for text in texts] if self._dialect.strip else texts

    def strings(self, place: int) -> StringArray:
        """Return the cells of a column, packed."""
        return StringArray.of(self.texts([place])) if self._dialect.strip else self._grid.strings(place)

    def one_by_one(self) -> Cells:
        """Return the same as rows, each with its line."""
        cells = Cells(self.table)
        rows = Rows(self.table.stream, self._dialect, iter([(self._line, self._data)]))
        while row := rows.next():
            cells.add(*row)
        return cells


def single_blanks(line: str) -> str:
    """Return a line in which tabs are blanks, but in quotes, and none stands at an end."""
    return _TAB_OUTSIDE_QUOTES.sub(lambda tab: tab[1] or " ", line).strip(" \t\r")


def _with_single_blanks(data: bytes) -> bytes:
    """Return lines without quotes in which each run of blanks and tabs is one blank, and none stands at an end."""
    data = data.replace(b"\t", b" ")
    text = np.frombuffer(data, np.uint8)
    is_blank = text == ord(" ")
    is_more = is_blank.copy()
    is_more[1:] &= is_blank[:-1] | (text[:-1] == ord("\n"))
    single: bytes = text[~is_more].tobytes()
    return single.replace(b" \n", b"\n")


def _without_last(pieces: Iterator[tuple[int, bytes]], count: int) -> Iterator[tuple[int, bytes]]:
    """Yield all lines but the last ones, of which so many are held back until more come."""
    held = b""
    for number, data in pieces if count else ():
        first, data = number - held.count(b"\n"), held + data
        end = len(data) - data.endswith(b"\n")  # the last line of a text may end in nothing
        for _ in range(count):
            end = data.rfind(b"\n", 0, max(end, 0))
        if end >= 0:
            yield first, data[: end + 1]
        held = data[end + 1 :]
    yield from () if count else pieces


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

    def take(self) -> None:
        """Pass over what `peek` has returned."""
        self._at = len(self._data)

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
        self._lines = _Lines(stream, lines or _without_last(pieces(stream, bom=True), dialect.skip_last_lines))
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
        if (lines := self._lines.peek()) is None:
            return None
        try:
            piece = Piece(table, self._dialect, *lines)
        except ValueError:  # UnicodeDecodeError is one
            return None
        self._lines.take()
        return piece

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
        self._lines.take()
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
