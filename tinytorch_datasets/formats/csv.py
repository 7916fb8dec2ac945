"""CSV: rows of cells in text, with a delimiter, with or without a header."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import Problems, did_you_mean
from tinytorch_datasets.formats import FIRST_ROWS, HEAD_BYTES, Certainty, Detection, FileInfo, decodes
from tinytorch_datasets.plan import COLUMN_RANGE, Block, Column, Split
from tinytorch_datasets.readers.cells import values
from tinytorch_datasets.readers.columns import places
from tinytorch_datasets.readers.rows import WHITESPACE, Cells, Dialect, Rows, TableText
from tinytorch_datasets.readers.stream import Stream, encoding_of, utf8_with_lf
from tinytorch_datasets.readers.table import sniff
from tinytorch_datasets.readers.text import is_text, opened_text, pieces
from tinytorch_datasets.storage.string_array import StringArray

# A control code that separates units, and stands in no text. It takes the place of delimiters where others are none.
REST = "\x1f"

THOUSANDS = (None, ".", ",", "'", " ", "\u00a0", "\u202f", "_")

# How many pieces of a table are decoded before their values are passed on, as each block waits for other threads.
PIECES_A_BLOCK = 8

# They are held in memory until more lines come.
MOST_LAST_LINES = 100

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """Refuse a delimiter that is none, and columns of no field."""
    for option in ("delimiter", "cell_delimiter"):
        if options.get(option) is not None and (wrong := _no_delimiter(options[option])):
            yield (option,), wrong
    yield from _wrong_text_options(options)
    for field, wanted in (options.get("columns") or {}).items():
        if field not in fields:
            yield ("columns", field), f"no field of that name{did_you_mean(field, fields)}"
        for item in wanted if isinstance(wanted, list) else [wanted]:
            ends = COLUMN_RANGE.fullmatch(item) if isinstance(item, str) else None
            if ends and int(ends[1]) > int(ends[2]):
                yield ("columns", field), f"the range {ends[0]} has no columns"


def _no_delimiter(delimiter: str) -> str | None:
    if delimiter == WHITESPACE or (len(delimiter) == 1 and delimiter not in '"\r\n\0'):
        return None
    return f"must be one character and no quote, or the word {WHITESPACE}, is {delimiter!r}"


def _wrong_text_options(options: Mapping[str, Any]) -> Problems:
    """Yield what is wrong with the options that say how the text is written."""
    if options.get("skip_lines", 0) < 0:
        yield ("skip_lines",), f"must be 0 or more, is {options['skip_lines']}"
    if not 0 <= (last := options.get("skip_last_lines", 0)) <= MOST_LAST_LINES:
        yield ("skip_last_lines",), f"must be from 0 to {MOST_LAST_LINES}, is {last}"
    if len(options.get("comment") or "#") != 1 or options.get("comment") in tuple('"\r\n\0 \t'):
        yield ("comment",), f"must be one character and no quote, is {options['comment']!r}"
    if encoding_of(options.get("encoding", "utf-8")) is None:
        yield ("encoding",), f"no encoding of text is called {options['encoding']!r}"
    decimal, thousands = options.get("decimal", "."), options.get("thousands")
    if decimal not in (".", ","):
        yield ("decimal",), f"must be '.' or ',', is {decimal!r}"
    if thousands not in THOUSANDS:
        wish = ", ".join(repr(sign) for sign in THOUSANDS[1:])
        yield ("thousands",), f"must be one of {wish}, is {thousands!r}"
    delimiter = options.get("delimiter", ",")
    marks = {"decimal": decimal, "thousands": thousands, "comment": options.get("comment")}
    marks["cell_delimiter"] = options.get("cell_delimiter")
    for option, sign in marks.items():
        # A number with the delimiter in it stands between quotes.
        if sign and sign == delimiter and option in options and option not in ("decimal", "thousands"):
            yield (option,), f"is {sign!r}, and so is the delimiter"
    if options.get("most_cells") is not None and options["most_cells"] < 2:
        yield ("most_cells",), f"must be 2 or more, is {options['most_cells']}"
    if options.get("strip") and delimiter == " ":
        yield ("strip",), f"leaves out blanks, and the delimiter is one; if runs of them are, it is {WHITESPACE}"
    within = options.get("cell_delimiter")
    if within is not None and (within in "+-0123456789eE" or within in (options.get("decimal", "."), thousands)):
        yield ("cell_delimiter",), f"is {within!r}, which numbers are written with"
    if thousands is not None and thousands == decimal:
        yield ("thousands",), f"is {thousands!r}, and so is the sign of decimals"


def with_rest(text: Stream, delimiter: str, cells: int) -> Stream:
    """Return lines in which the first delimiters alone are such, as `REST`; what is behind them is one cell."""
    rest, is_blanks = REST.encode(), delimiter == WHITESPACE

    def cells_of(line: bytes) -> list[bytes]:
        if is_blanks:
            return re.split(rb"[ \t]+", line.strip(b" \t\r"), maxsplit=cells - 1)
        return line.split(delimiter.encode(), cells - 1)

    def lines() -> Iterator[bytes]:
        for first, piece in pieces(text, bom=True):
            if (at := piece.find(rest)) >= 0:
                line = first + piece.count(b"\n", 0, at)
                text.fail(f"line {line:,} has the control code {REST!r}")
            yield b"\n".join(rest.join(cells_of(line)) for line in piece.split(b"\n"))

    made, left = lines(), b""

    def read(most: int) -> bytes:
        nonlocal left
        while not left and (piece := next(made, b"")):
            left = piece
        out, left = left[:most], left[most:]
        return out

    return Stream(text.path, read, member=text.member)


def number_reader(decimal: str, thousands: str | None) -> Callable[[str], str] | None:
    """Return what turns a number as it is written into one with a decimal point; what is none is left as it is.

    >>> read = number_reader(",", ".")
    >>> read("1.234,5"), read("12,5"), read("1.23"), read("1,2,3")
    ('1234.5', '12.5', '1,23', '1,2,3')
    """
    if decimal == "." and thousands is None:
        return None
    group = re.escape(thousands or "")
    whole = rf"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+" if thousands else "[0-9]+"
    shape = re.compile(
        rf" *([+-]?)({whole}|(?={re.escape(decimal)}[0-9]))(?:{re.escape(decimal)}([0-9]*))?((?:[eE][+-]?[0-9]+)?) *"
    )

    def read(cell: str) -> str:
        written = shape.fullmatch(cell)
        if written is None:
            return cell.replace(".", ",")  # so that a point that is no decimal sign does not pass for one
        sign, before, after, exponent = written.groups()
        before = before.replace(thousands, "") if thousands else before
        return f"{sign}{before}" + (f".{after}" if after is not None else "") + exponent

    return read


def _detect(head: bytes, path: Path) -> Detection | None:
    """Recognize a table. What its columns are depends on the other files of a data set: see `add.csv_tables`."""
    encoding = "utf-16" if head.startswith(UTF16_MARKS) else "utf-8"
    if encoding == "utf-8" and not is_text(head):
        return None
    text = head.decode(encoding, "ignore")
    text = text if "\n" in text else text.replace("\r", "\n")
    sniffed = sniff(text, path.name, whole=len(head) < HEAD_BYTES)
    if sniffed is None or "\0" in text:
        return None
    options = {"delimiter": sniffed.delimiter}
    options |= {"comment": sniffed.comment} if sniffed.comment else {}
    options |= {"encoding": encoding} if encoding != "utf-8" else {}

    def inspect(**given: Any) -> FileInfo:
        return FileInfo(path, "csv", options={**options, **given})

    return Detection(Certainty.LIKELY if sniffed.is_certain else Certainty.POSSIBLE, inspect, takes_options=True)


@decodes(
    "csv",
    layout="file per split",
    joins_members=True,
    names_classes=True,
    missing=("text",),
    check=_check,
    detect=_detect,
    first_rows=lambda column, options: _first_rows(column, options),
)
def delimited(
    splits: Sequence[Split],
    *,
    delimiter: str = ",",
    header: bool = True,
    columns: dict[str, str | int | list[str | int]] | None = None,
    skip_lines: int = 0,
    comment: str | None = None,
    encoding: str = "utf-8",
    decimal: str = ".",
    thousands: str | None = None,
    strip: bool = False,
    cell_delimiter: str | None = None,
    skip_last_lines: int = 0,
    most_cells: int | None = None,
) -> Iterator[Block]:
    r"""Tables in text, plain or compressed, one row a line, quoted with " where needed (RFC 4180).

    Lines may end in LF, CRLF or CR, and a byte order mark at the front is dropped: spreadsheets write both. Numbers
    may have spaces around them. A cell of a field with classes holds the name of a class. A cell of text may be
    empty; one of numbers only where its field has `missing: [""]`. Empty lines may stand at the end of a table of
    several columns, and nowhere else.

    Args:
        splits: What to decode.
        delimiter: The one character between cells; "\t" is a tab. The word `whitespace` is any run of blanks and
            tabs; those at the ends of a line are then passed over.
        header: Whether the first row is the columns' names.
        columns: The column or columns of each field, by name, or by number from 0 (-1 is the last), or a range of
            numbers ("0-12", both ends included). A field of single values that is not named here takes the column
            of its own name, and one that has `names` the columns of those. One more field may be left out: it takes
            all columns that remain, in order.
        skip_lines: How many lines stand before the header, or before the first row if there is no header. They
            are passed over whatever they hold.
        comment: The sign at the front of lines that are passed over wherever a row could begin, between rows as
            well as before them. A sign further on in a line is a part of its cell.
        encoding: The text's encoding, as Python calls it: utf-8, utf-16, latin-1, cp1252.
        decimal: The sign of decimals, "." or ",".
        thousands: The sign between groups of three digits: one of . , ' and blank, or _; None for none.
        strip: Whether blanks and tabs around each cell are left out, of text, names of classes and of columns too,
            in quotes and in front of them; else they are a part of the cell.
        cell_delimiter: What stands between numbers, where one cell holds all numbers of a sample: one character,
            or the word `whitespace`. Cells of a field whose shape has a null may hold any number of them.
        skip_last_lines: How many lines at the end of the text are no rows, as where it says its source there.
        most_cells: How many cells a row has, the last of which takes all that is left of its line, with the
            delimiters in it: 2 where a name with blanks stands behind a number.

    Raises:
        DecodeError: It is not such a table; the reason names line and column.
        ContentError: A cell or a row is not what is declared.
    """
    dialect = Dialect(REST if most_cells else delimiter, skip_lines, comment or "", strip, skip_last_lines)
    for split in splits:
        for source, fields in split.by_source():
            with opened_text(source, fields) as stream:
                if wrong := _no_delimiter(delimiter):
                    stream.fail(f"the option delimiter {wrong}")
                text = utf8_with_lf(stream, encoding_of(encoding) or "utf-8")
                rows = Rows(with_rest(text, delimiter, most_cells) if most_cells else text, dialect)
                number = number_reader(decimal, thousands)
                first = rows.next()
                if first is None:
                    text.fail("it is empty")
                table = TableText(
                    text, first[1] if header else None, len(first[1]), number, decimal, cell_delimiter or ""
                )
                yield from _decode(table, rows, None if header else first, split, fields, columns or {})


def _first_rows(column: Column, options: Mapping[str, Any]) -> list[dict[str | int, str | int]]:
    """Return the cells of the first rows, by the names of their columns if there is a header."""
    dialect = Dialect(
        REST if options.get("most_cells") else options.get("delimiter", ","),
        options.get("skip_lines", 0),
        options.get("comment") or "",
        options.get("strip", False),
    )
    with opened_text(column.source, (column,)) as stream:
        text = utf8_with_lf(stream, encoding_of(options.get("encoding", "utf-8")) or "utf-8")
        if options.get("most_cells"):
            text = with_rest(text, options.get("delimiter", ","), options["most_cells"])
        rows = Rows(text, dialect)
        names = rows.next() if options.get("header", True) else None
        first = [row[1] for _ in range(FIRST_ROWS) if (row := rows.next())]
    is_named = names is not None and len(set(names[1])) == len(names[1])
    return [dict(zip(names[1] if names and is_named else range(len(cells)), cells, strict=False)) for cells in first]


def _decode(
    table: TableText,
    rows: Rows,
    first: tuple[int, list[str]] | None,
    split: Split,
    fields: Sequence[Column],
    wanted: Mapping[str, str | int | list[str | int]],
) -> Iterator[Block]:
    """Yield the values of the fields that one file holds; `first` is a row that has come already."""
    where = places(table, fields, wanted)
    start, held = 0, list[list[Any]]()
    for cells in rows.blocks(table, split.samples, first):
        done = start + sum(len(values[0]) for values in held)
        if done + len(cells) > split.samples:
            line = cells.one_by_one().lines[split.samples - done]
            table.stream.refuse_more("rows", split, f"line {line:,}")
        held.append([values(column, cells, where[column.field]) for column in fields])
        if len(held) == PIECES_A_BLOCK:
            yield from _joined_blocks(fields, start, held)
            start, held = done + len(cells), []
    if held or not start:
        held = held or [[values(column, Cells(table), where[column.field]) for column in fields]]
        yield from _joined_blocks(fields, start, held)


def _joined_blocks(fields: Sequence[Column], start: int, held: Sequence[Sequence[Any]]) -> Iterator[Block]:
    """Yield the values of some pieces as one block a field; of a field whose arrays cannot be joined, as several."""
    for column, parts in zip(fields, zip(*held, strict=True), strict=True):
        if all(isinstance(part, np.ndarray) for part in parts):
            yield Block(column, start, np.concatenate(parts) if len(parts) > 1 else parts[0])
        elif all(isinstance(part, StringArray) for part in parts):
            yield Block(column, start, _concatenated(parts) if len(parts) > 1 else parts[0])
        else:
            at = start
            for part in parts:
                yield Block(column, at, part)
                at += len(part)


def _concatenated(parts: Sequence[StringArray]) -> StringArray:
    """Return arrays of strings as one."""
    buffers, offsets, end = [], [np.zeros(1, np.int64)], 0
    for part in parts:
        buffer, places = part.utf8()
        buffers.append(buffer[places[0] : places[-1]])
        offsets.append(places[1:] + (end - places[0]))
        end = int(offsets[-1][-1]) if len(places) > 1 else end
    return StringArray.mapped(np.concatenate(buffers), np.concatenate(offsets))
