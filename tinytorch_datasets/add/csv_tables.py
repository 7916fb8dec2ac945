"""Tables in text: their header and their signs, from all cells, or asked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinytorch_datasets.add.tables import Choices, Chosen, Columns
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import FileInfo
from tinytorch_datasets.readers.table import DECIMAL_COMMA, ColumnInfo, Kind, Table, column_info, is_number, read_table
from tinytorch_datasets.readers.text import REAL, is_missing

_WHOLE = re.compile(r" *[+-]?[0-9]{1,18} *")
_NAME = re.compile(r"[^\W\d][\w./()%#-]*")
_MAY_BE_THOUSANDS = re.compile(r" *[+-]?[1-9][0-9]{0,2},[0-9]{3} *")


def describe(files: Sequence[FileInfo], choices: Choices) -> list[FileInfo]:
    """Return what several tables hold. Labels and numbers are found in all together that have the same columns.

    Raises:
        DecodeError: The rows of one are not all as long, or what its columns are is not certain.
        UsageError: There is no column that was chosen.
    """
    tables = [read_table(info.path, **info.options) for info in files]
    of_text = {info.path: {k: info.options[k] for k in ("comment", "encoding") if k in info.options} for info in files}
    tables = _with_points(tables, of_text)
    chosen = {*choices.drop, *choices.target}
    headers = [t.first for t in tables if chosen.intersection(t.first) or _is_header(t)]
    for table in tables:
        if len(table.rows) == 1 and table.first not in headers and not any(map(REAL.fullmatch, table.first)):
            reason = "it has one row, of words: it is one of names without rows below, or one sample"
            raise DecodeError(table.path, reason, hint="Put its rows below, or leave it out.")
    groups: dict[tuple[Any, ...], list[Table]] = {}
    for table in tables:  # the same row of words at the front of several files is one of names
        header = table.first if table.first in headers else None
        groups.setdefault((table.delimiter, len(table.first), header), []).append(table)
    described = {}
    for (_, _, header), group in groups.items():
        described.update({info.path: info for info in _CsvColumns(group, header, choices).describe()})
    remarks = {table.path: table.remarks for table in tables}
    return [
        replace(
            described[info.path],
            file=info.file,
            options={**described[info.path].options, **of_text[info.path]},
            left_out=(*described[info.path].left_out, *_shown_remarks(remarks[info.path])),
        )
        for info in files
    ]


def _shown_remarks(lines: Sequence[int]) -> Iterator[str]:
    if lines:
        yield f"{len(lines):,} {'line' if len(lines) == 1 else 'lines'} of remarks, the first of them line {lines[0]:,}"


def _with_points(tables: Sequence[Table], options: dict[Path, dict[str, Any]]) -> list[Table]:
    """Return the tables with decimal points, where all their numbers have commas; and note the option decimal.

    Raises:
        DecodeError: Commas may be those of thousands, or others of the numbers have points.
    """
    groups: dict[tuple[str, int], list[Table]] = {}
    for table in tables:
        groups.setdefault((table.delimiter, len(table.first)), []).append(table)
    changed = {}
    for (delimiter, _), group in groups.items():
        rows = [row for table in group for row in (table.rows[1:] or table.rows)]
        columns = [set(column) for column in zip(*rows, strict=True)]
        numeric = [
            place
            for place, column in enumerate(columns)
            if any(map(is_number, column)) and all(is_number(cell) or is_missing(cell) for cell in column)
        ]
        cells = {cell for place in numeric for cell in columns[place]}
        commas = sorted(cell for cell in cells if DECIMAL_COMMA.fullmatch(cell))
        if delimiter == "," or not commas:
            continue
        path, hint = group[0].path, "Write all with a point, or declare it by hand, with `decimal` and `thousands`."
        if points := sorted(cell for cell in cells if REAL.fullmatch(cell) and "." in cell):
            raise DecodeError(
                path, f"it has numbers with a comma ({commas[0]!r}) and with a point ({points[0]!r})", hint=hint
            )
        if all(map(_MAY_BE_THOUSANDS.fullmatch, commas)):
            raise DecodeError(
                path, f"it has numbers with a comma ({commas[0]!r}), which may be one of thousands", hint=hint
            )
        for table in group:
            options[table.path]["decimal"] = ","
            changed[table.path] = replace(table, rows=[_row_with_points(row, numeric) for row in table.rows])
    return [changed.get(table.path, table) for table in tables]


def _row_with_points(row: Sequence[str], places: Sequence[int]) -> list[str]:
    return [
        cell.replace(",", ".") if place in places and DECIMAL_COMMA.fullmatch(cell) else cell
        for place, cell in enumerate(row)
    ]


def _is_header(table: Table) -> bool:
    """Check whether the first row names columns, by what is below it.

    Names stand above numbers; where they are numbers themselves (pandas counts columns from 0), or above words
    only, none of them may be below.

    Raises:
        DecodeError: It may be names, or a sample.
    """
    first, rest = table.first, table.rows[1:]
    if not rest:
        return False
    below = [(cell, column, _is_numeric(column)) for cell, column in zip(first, zip(*rest, strict=True), strict=True)]
    over_numbers = [cell for cell, _, numeric in below if numeric]
    over_words = [(cell, column) for cell, column, numeric in below if not numeric and any(map(str.strip, column))]
    given = [cell for cell in over_numbers if cell]
    named = [cell for cell in given if not REAL.fullmatch(cell) and not is_missing(cell)]
    only_above = all(cell and cell not in column and not REAL.fullmatch(cell) for cell, column in over_words)
    if named:  # years among names are names, too; numbers around a word are a sample of which one is not known
        numbers = [cell for cell in given if cell not in named]
        return not numbers or (len(named) > len(numbers) and only_above and all(map(_WHOLE.fullmatch, numbers)))
    if not over_numbers:
        return only_above and len(set(first) - {""}) == len([cell for cell in first if cell]) and _words_above(table)
    if not given:  # an index has no name, and the others are words
        return only_above and bool(over_words)
    counts = _WHOLE.fullmatch(given[0]) and given == [str(int(given[0]) + i) for i in range(len(given))]
    if not over_words:
        return bool(counts) and given[0] in ("0", "1") and len(given) > 2
    if not only_above or not any(len(set(column)) < len(column) for _, column in over_words):
        return False
    if counts and (len(given) > 2 or given[0] in ("0", "1")):  # places, or the years of a table that is wide
        return True
    raise _uncertain(table)


def _is_numeric(column: Sequence[str]) -> bool:
    return any(map(REAL.fullmatch, column)) and all(REAL.fullmatch(cell) or is_missing(cell) for cell in set(column))


def _words_above(table: Table) -> bool:
    """Check whether words above words are names: what is below repeats, or is of another kind."""
    columns = list(zip(*table.rows[1:], strict=True))
    if any(len(set(column)) < len(column) for column in columns):
        return True
    if not all(map(_NAME.fullmatch, filter(None, table.first))):
        return False
    if any(len(column) > 2 and not any(map(_NAME.fullmatch, column)) for column in columns):
        return True
    raise _uncertain(table)


def _uncertain(table: Table) -> DecodeError:
    shown = ", ".join(map(repr, table.first[:3]))
    reason = f"line 1 ({shown}) may be the columns' names, or a sample, and nothing below says which"
    hint = "Name one with --target or --drop, if they are names; else declare it by hand, with `header: false`."
    return DecodeError(table.path, reason, hint=hint)


class _CsvColumns(Columns):
    """The columns of files of text that all have the same."""

    def __init__(self, tables: Sequence[Table], header: Sequence[str] | None, choices: Choices) -> None:
        self._tables, self._header = tables, header
        rows = [table.rows[1:] if header else table.rows for table in tables]
        for table, one in zip(tables, rows, strict=True):
            if not one:
                reason = "it has a row of names, and no other" if header else "it is empty"
                raise DecodeError(table.path, reason, hint="Leave it out, or put its rows below.")
        self._cells = [
            tuple(itertools.chain(*column)) for column in zip(*(zip(*one, strict=True) for one in rows), strict=True)
        ]
        names = header or [""] * len(self._cells)
        super().__init__(tables[0].path, names, list(map(len, rows)), choices)

    def describe(self) -> Iterator[FileInfo]:
        """Return what each of them holds."""
        dropped = self.dropped()
        infos = (self._info(place) for place in range(self.width) if place not in dropped)
        chosen = self.choose(list(infos))
        delimiter = self._tables[0].delimiter
        options: dict[str, Any] = {"delimiter": delimiter} if delimiter != "," else {}
        options |= {} if self._header else {"header": False}
        wanted = dict(self._wanted(chosen))
        options |= {"columns": wanted} if wanted else {}
        for table, samples in zip(self._tables, self.samples, strict=True):
            its = tuple(replace(array, shape=(samples, *array.shape), columns=()) for array in chosen.arrays)
            asks = chosen.asks_target
            yield FileInfo(table.path, "csv", its, options, left_out=chosen.left_out, asks_target=asks, is_table=True)

    def _info(self, place: int) -> ColumnInfo:
        cells = self._cells[place]
        column = column_info(place, self.names[place], cells, self._tables[0])
        if place or column.kind is not Kind.WHOLE:
            return column
        ends = list(itertools.accumulate(self.samples))
        files = [cells[end - samples : end] for end, samples in zip(ends, self.samples, strict=True)]
        return replace(column, is_unique=all(len(set(one)) == len(one) for one in files))

    def _wanted(self, chosen: Chosen) -> Iterator[tuple[str, Any]]:
        """Yield the columns of each field as the option has them, unless its name or its `names` say as much."""
        takes_rest = [array for array in chosen.arrays if len(array.columns) > 1 and not array.names]
        everything = sum(len(array.columns) for array in chosen.arrays) == self.width
        for array in chosen.arrays:
            if array.names or (everything and takes_rest[:1] == [array]):
                continue
            if len(array.columns) > 1:
                yield array.field or "", list(array.columns)
            elif array.columns[0] != array.field:
                yield array.field or "", array.columns[0]

    def check_target(self, target: ColumnInfo) -> None:
        """Refuse a class of the first row alone, which may be a name."""
        cells = self._cells[target.place]
        if self._header is None and not target.kind.is_number and cells.count(cells[0]) == 1:
            reason = f"line 1 has {cells[0]!r} in column {target.place + 1}, and no other line has: "
            hint = "Give each column a name in line 1; or, if it is a class, let another row be the first."
            raise DecodeError(self._tables[0].path, reason + "is it a class, or a name?", hint=hint)

    def is_one_hot(self, columns: Sequence[ColumnInfo]) -> bool:
        """Check whether each row has one 1 among zeros in these columns."""
        picked = [[float(cell) for cell in self._cells[column.place]] for column in columns]
        return all(sorted(row) == [0.0] * (len(row) - 1) + [1.0] for row in zip(*picked, strict=True))
