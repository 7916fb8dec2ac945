"""Tables in text: their header and their signs, from all cells, or asked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinytorch_datasets.add.tables import Choices, Chosen, Columns
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import FileInfo
from tinytorch_datasets.formats.csv import number_reader
from tinytorch_datasets.plan import ByteSource
from tinytorch_datasets.readers.columns import ColumnInfo, Kind, column_info, with_lists
from tinytorch_datasets.readers.stream import encoding_of, utf8_with_lf
from tinytorch_datasets.readers.table import DECIMAL_COMMA, Table, is_number, read_table, words_before_numbers
from tinytorch_datasets.readers.text import REAL, is_missing, lines, opened_text

_WHOLE = re.compile(r" *[+-]?[0-9]{1,18} *")
_NAME = re.compile(r"[^\W\d][\w./()%#-]*")
_MAY_BE_POINTS = re.compile(r" *[+-]?[1-9][0-9]{0,2}\.[0-9]{3} *")
_MAY_BE_THOUSANDS = re.compile(r" *[+-]?[1-9][0-9]{0,2},[0-9]{3} *")


def describe(files: Sequence[FileInfo], choices: Choices) -> list[FileInfo]:
    """Return what several tables hold. Labels and numbers are found in all together that have the same columns.

    Their options are those by which they are read; what else they need is found out.

    Raises:
        DecodeError: The rows of one are not all as long, or what its columns are is not certain.
        UsageError: There is no column that was chosen, or no cell says what was given for a missing value.
    """
    tables = [read_table(info.path, info.options) for info in files]
    options = {info.path: dict(info.options) for info in files}
    tables = _with_points(tables, options)
    chosen = {*choices.drop, *choices.target}
    headers = [t.first for t in tables if chosen.intersection(t.first) or _is_header(t, options[t.path].get("header"))]
    for table in tables:
        if len(table.rows) == 1 and table.first not in headers and not any(map(REAL.fullmatch, table.first)):
            reason = "it has one row, of words: it is one of names without rows below, or one sample"
            raise DecodeError(table.path, reason, hint="Put its rows below, or leave it out.")
        _refuse_other_rows(table, options[table.path], is_named=table.first in headers)
    groups: dict[tuple[Any, ...], list[Table]] = {}
    for table in tables:  # the same row of words at the front of several files is one of names
        header = table.first if table.first in headers else None
        groups.setdefault((table.delimiter, len(table.first), header), []).append(table)
    described = {}
    for (_, _, header), group in groups.items():
        between = options[group[0].path].get("cell_delimiter", "")
        described.update({info.path: info for info in _CsvColumns(group, header, choices, between).describe()})
    choices.refuse_unused_marks([array for info in described.values() for array in info.arrays])
    remarks = {table.path: table for table in tables}
    apart = ("delimiter", "header")
    return [
        replace(
            described[info.path],
            file=info.file,
            inside=info.inside,
            options={
                **described[info.path].options,
                **{key: value for key, value in options[info.path].items() if key not in apart},
            },
            left_out=(*described[info.path].left_out, *_shown_remarks(remarks[info.path], info.options)),
        )
        for info in files
    ]


def _shown_remarks(table: Table, options: Mapping[str, Any]) -> Iterator[str]:
    """Say how many remarks there are, and whether the one above the rows may be the columns' names."""
    remarks = table.remarks
    if not remarks:
        return
    many = "lines" if len(remarks) > 1 else "line"
    yield f"{len(remarks):,} {many} of remarks, the first of them line {remarks[0]:,}"
    above = [line for line in remarks if line < table.lines[0]][-1:]
    if above:
        with opened_text(ByteSource(table.path), ()) as stream:
            text = utf8_with_lf(stream, encoding_of(options.get("encoding", "utf-8")) or "utf-8")
            remark = next(itertools.islice(lines(text, bom=True, carriage_returns=True), above[0] - 1, None), "")
        words = remark.lstrip(" \t" + options.get("comment", "")).split(None if table.is_blank else table.delimiter)
        names = [word.strip() for word in words]
        if len(names) == len(table.first) and len(set(names)) > 1 and not any(map(REAL.fullmatch, names)):
            yield f"line {above[0]:,}, which may be the columns' names: {', '.join(names)}"


# How numbers are written that are no plain ones: signs between groups of three digits, each with one of decimals.
_GROUPED = ((",", "."), (".", ","), ("'", "."), ("'", ","), (" ", ","), ("\u00a0", ","), ("\u202f", ","), ("_", "."))
AS_POINTS = "Say which: --option decimal=. (as it is), or --option thousands=. --option decimal=, (whole numbers)."
AS_OPTIONS = "Say how: --option decimal=, or --option thousands=, (or another sign)."


def _with_points(tables: Sequence[Table], options: dict[Path, dict[str, Any]]) -> list[Table]:
    """Return the tables with plain numbers, where theirs are written with other signs; and note the options.

    Raises:
        DecodeError: It is not certain what their signs mean.
    """
    groups: dict[tuple[str, int], list[Table]] = {}
    for table in tables:
        groups.setdefault((table.delimiter, len(table.first)), []).append(table)
    changed = {}
    for group in groups.values():
        rows = [row for table in group for row in (table.rows[1:] or table.rows)]
        columns = [frozenset(column) for column in zip(*rows, strict=True)]
        first = options[group[0].path]
        signs: dict[str, str] = {key: first[key] for key in ("decimal", "thousands") if key in first}
        signs = signs or _signs(group[0], columns)
        read = number_reader(signs.get("decimal", "."), signs.get("thousands"))
        if not signs or read is None:
            continue
        places = [place for place, column in enumerate(columns) if _are_numbers(map(read, filter(_is_value, column)))]
        for table in group:
            options[table.path].update(signs)
            changed[table.path] = replace(table, rows=[_plain(row, places, read) for row in table.rows])
    return [changed.get(table.path, table) for table in tables]


def _plain(row: Sequence[str], places: Sequence[int], read: Callable[[str], str]) -> list[str]:
    """Return a row with plain numbers in some of its columns; a name above them stays."""
    plain = list(row)
    for place in places:
        number = read(row[place])
        plain[place] = number if REAL.fullmatch(number) else row[place]
    return plain


def _is_value(cell: str) -> bool:
    return not is_missing(cell)


def _are_numbers(cells: Iterable[str]) -> bool:
    """Check whether cells, of which there is one or more, are all plain numbers."""
    matches = [REAL.fullmatch(cell) is not None for cell in cells]
    return bool(matches) and all(matches)


def _signs(table: Table, columns: Sequence[Collection[str]]) -> dict[str, str]:
    """Return the signs that numbers are surely written with, as options; none if they are plain.

    Raises:
        DecodeError: They may be, or others of the numbers have other signs.
    """
    for thousands, decimal in _GROUPED:
        if found := _grouped(table, columns, thousands, decimal):
            return found
    numeric = [
        column
        for column in columns
        if any(map(is_number, column)) and all(is_number(cell) or is_missing(cell) for cell in column)
    ]
    cells = {cell for column in numeric for cell in column}
    points = sorted(cell for cell in cells if "." in cell)
    if table.delimiter == ";" and points and all(map(_MAY_BE_POINTS.fullmatch, points)):
        reason = f"it has numbers with a point ({points[0]!r}), which may be one of thousands where ; is between cells"
        raise DecodeError(table.path, reason, hint=AS_POINTS)
    commas = sorted(cell for cell in cells if DECIMAL_COMMA.fullmatch(cell))
    if table.delimiter == "," or not commas:
        return {}
    if points := sorted(cell for cell in cells if REAL.fullmatch(cell) and "." in cell):
        reason = f"it has numbers with a comma ({commas[0]!r}) and with a point ({points[0]!r})"
        raise DecodeError(table.path, reason, hint=AS_OPTIONS)
    if all(map(_MAY_BE_THOUSANDS.fullmatch, commas)):
        reason = f"it has numbers with a comma ({commas[0]!r}), which may be one of thousands"
        raise DecodeError(table.path, reason, hint=AS_OPTIONS)
    return {"decimal": ","}


def _grouped(table: Table, columns: Sequence[Collection[str]], thousands: str, decimal: str) -> dict[str, str]:
    """Return the two signs as options, if a number has several groups, or a group and decimals, and no other says no.

    Raises:
        DecodeError: One has, and other numbers have these signs with another meaning.
    """
    sign, point = re.escape(thousands), re.escape(decimal)
    certain = re.compile(
        rf" *[+-]?[0-9]{{1,3}}(?:(?:{sign}[0-9]{{3}}){{2,}}(?:{point}[0-9]*)?|{sign}[0-9]{{3}}{point}[0-9]+) *"
    )
    read = number_reader(decimal, thousands)
    assert read is not None
    evidence = ""
    for column in columns:
        values = list(filter(_is_value, column))
        if any(map(certain.fullmatch, values)) and _are_numbers(map(read, values)):
            evidence = min(filter(certain.fullmatch, values))
    if not evidence:
        return {}
    for column in columns:
        values = list(filter(_is_value, column))
        if _are_numbers(values) and not _are_numbers(map(read, values)):
            other = min(value for value in values if not REAL.fullmatch(read(value)))
            reason = f"it has numbers written in two ways: {evidence!r} and {other!r}"
            raise DecodeError(table.path, reason, hint="Write all alike.")
    return {"thousands": thousands} | ({"decimal": decimal} if decimal != "." else {})


def _is_header(table: Table, declared: bool | None) -> bool:
    """Check whether the first row names columns, by what is below it.

    Names stand above numbers; where they are numbers themselves (pandas counts columns from 0), or above words
    only, none of them may be below.

    Raises:
        DecodeError: It may be names, or a sample.
    """
    first, rest = table.first, table.rows[1:]
    if declared is not None:
        return declared
    if not rest:
        return False
    below = [(cell, column, _is_numeric(column)) for cell, column in zip(first, zip(*rest, strict=True), strict=True)]
    if _counts_columns(first):
        return _is_counted(table, below)
    over_numbers = [cell for cell, _, numeric in below if numeric]
    over_words = [(cell, column) for cell, column, numeric in below if not numeric and any(map(str.strip, column))]
    given = [cell for cell in over_numbers if cell]
    named = [cell for cell in given if not REAL.fullmatch(cell) and not is_missing(cell)]
    only_above = all(cell and cell not in column and not REAL.fullmatch(cell) for cell, column in over_words)
    if named:  # years among names are names, too; numbers around a word are a sample of which one is not known
        numbers = [cell for cell in given if cell not in named]
        if not numbers or not only_above:
            return not numbers
        if len(named) + len(over_words) > len(numbers) and all(map(_WHOLE.fullmatch, numbers)):
            return True
        raise _uncertain(table)
    if not over_numbers:
        return only_above and len(set(first) - {""}) == len([cell for cell in first if cell]) and _words_above(table)
    if not given:  # an index has no name, and the others are words
        return only_above and bool(over_words)
    if not over_words:
        return False
    counts = _WHOLE.fullmatch(given[0]) and given == [str(int(given[0]) + i) for i in range(len(given))]
    if not only_above or not any(len(set(column)) < len(column) for _, column in over_words):
        return False
    if counts and (len(given) > 2 or given[0] in ("0", "1")):  # places, or the years of a table that is wide
        return True
    raise _uncertain(table)


def _refuse_other_rows(table: Table, options: Mapping[str, Any], *, is_named: bool) -> None:
    """Refuse lines that are no rows: words in the first above numbers in all others, nothing in the last.

    Raises:
        DecodeError: There are such.
    """
    rows, lines = table.rows[is_named:], table.lines[is_named:]
    ends = next((at for at, row in enumerate(reversed(rows)) if any(map(str.strip, row))), 0)
    if ends and len(table.first) > 1:
        past = ends + options.get("skip_last_lines", 0)
        reason = f"from line {lines[-ends]:,} on, its rows have nothing in any cell"
        raise DecodeError(table.path, reason, hint=f"If they are no samples: --option skip_last_lines={past}.")
    if options.get("header") is False:
        return
    above = [at for at in map(words_before_numbers, zip(*rows, strict=True)) if at is not None]
    if len(above) < 2 or 0 in above:  # of one column they may be its values
        return
    last = lines[max(above) - 1]
    cell = next(cell for cell in rows[max(above) - 1] if cell.strip())
    reason = f"line {last:,} has {cell!r}, and in its columns that are not all words only numbers are below"
    hint = f"If the names stand there, pass over the lines above: --option skip_lines={last - 1}; else take it out."
    raise DecodeError(table.path, reason, hint=hint)


def _counts_columns(first: Sequence[str]) -> bool:
    """Check whether a row counts the columns, as pandas does where they have no names, with or without its index."""
    counted = list(map(str.strip, first[1:] if len(first) > 1 and not first[0] else first))
    is_from_0 = counted == list(map(str, range(len(counted))))
    return is_from_0 or (len(counted) > 2 and counted == list(map(str, range(1, len(counted) + 1))))


def _is_counted(table: Table, below: Sequence[tuple[str, Sequence[str], bool]]) -> bool:
    """Check that a row that counts the columns is no sample: one column below it is of words, or of decimals alone.

    Raises:
        DecodeError: It may be one, as the first rows of `numpy.arange(20).reshape(4, 5)` are.
    """
    if not table.first[0]:
        return True
    of_words = [column for _, column, numeric in below if not numeric and any(map(str.strip, column))]
    numbers = [list(filter(REAL.fullmatch, set(column))) for _, column, numeric in below if numeric]
    if len(below) > 1 and any(not any(map(REAL.fullmatch, column)) for column in of_words):
        return True
    if len(below) > 2 and any(not any(map(_WHOLE.fullmatch, column)) for column in numbers):
        return True
    if len(below) > 2 and max((float(cell) for column in numbers for cell in column), default=0) < len(below) - 1:
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
    hint = "Say which: --option header=true, or --option header=false."
    return DecodeError(table.path, reason, hint=hint)


class _CsvColumns(Columns):
    """The columns of files of text that all have the same."""

    def __init__(
        self, tables: Sequence[Table], header: Sequence[str] | None, choices: Choices, between: str = ""
    ) -> None:
        self._tables, self._header, self._between_numbers = tables, header, between
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
        # Many are written as ranges, at the place of the field.
        apart = {field for field, columns in wanted.items() if isinstance(columns, list)}
        wanted = {field: columns for field, columns in wanted.items() if field not in apart}
        options |= {"columns": wanted} if wanted else {}
        for table, samples in zip(self._tables, self.samples, strict=True):
            its = tuple(
                replace(array, shape=(samples, *array.shape), columns=array.columns if array.field in apart else ())
                for array in chosen.arrays
            )
            asks = chosen.asks_target
            yield FileInfo(table.path, "csv", its, options, left_out=chosen.left_out, asks_target=asks, is_table=True)

    def _info(self, place: int) -> ColumnInfo:
        cells = self._cells[place]
        column = column_info(place, self.names[place], cells, self._tables[0], self.choices.missing)
        if self._between_numbers:
            column = with_lists(column, self._between_numbers)
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
        """Refuse a class of the first row alone, which may be a name, and classes that differ in blanks alone."""
        cells = self._cells[target.place]
        stripped = dict[str, str]()
        for name in sorted(target.cells):
            if (other := stripped.setdefault(name.strip(" \t"), name)) != name and not target.kind.is_number:
                reason = f"{target} is the target, and its classes {other!r} and {name!r} differ in blanks alone"
                raise DecodeError(self._tables[0].path, reason, hint="To pass over them: --option strip=true.")
        if self._header is None and not target.kind.is_number and cells.count(cells[0]) == 1:
            reason = f"line 1 has {cells[0]!r} in column {target.place + 1}, and no other line has: "
            hint = "Give each column a name in line 1; or, if it is a class, let another row be the first."
            raise DecodeError(self._tables[0].path, reason + "is it a class, or a name?", hint=hint)

    def is_one_hot(self, columns: Sequence[ColumnInfo]) -> bool:
        """Check whether each row has one 1 among zeros in these columns."""
        picked = [[float(cell) for cell in self._cells[column.place]] for column in columns]
        return all(sorted(row) == [0.0] * (len(row) - 1) + [1.0] for row in zip(*picked, strict=True))
