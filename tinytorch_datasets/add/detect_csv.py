"""The header of tables and their target column, from all cells, or asked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinytorch_datasets.add import naming
from tinytorch_datasets.errors import DecodeError, UsageError, did_you_mean
from tinytorch_datasets.formats import ArrayInfo, FileInfo
from tinytorch_datasets.readers.table import (
    DECIMAL_COMMA,
    MAX_CLASSES,
    ColumnInfo,
    Kind,
    Table,
    classes_of,
    column_info,
    is_number,
    read_table,
    shown_marks,
)
from tinytorch_datasets.readers.text import REAL, is_missing

# Names of what is to be predicted; and names that mostly are, where there is none of the former.
TARGETS = naming.LABELS - {"y"} | {"class"}
LIKELY_TARGETS = frozenset(
    {"y", "species", "kind", "category", "digit", "variety", "outcome", "diagnosis", "sentiment", "emotion", "mood"}
)

# More columns than this are joined in one field, also where one of them may be the target.
MAX_SINGLE_FIELDS = 64

_WHOLE = re.compile(r" *[+-]?[0-9]{1,18} *")
_NAME = re.compile(r"[^\W\d][\w./()%#-]*")
_MAY_BE_THOUSANDS = re.compile(r" *[+-]?[1-9][0-9]{0,2},[0-9]{3} *")
_UNNAMED = re.compile(r"(?:Unnamed: \d+)?")


@dataclass(frozen=True)
class Choices:
    """What a person says of the columns of tables, each by its name or by its number from 0; -1 is the last."""

    target: str | None = None
    drop: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.target is not None or bool(self.drop)


def describe_columns(files: Sequence[FileInfo], choices: Choices) -> list[FileInfo]:
    """Return what several tables hold. Labels and numbers are found in all together that have the same columns.

    Raises:
        DecodeError: The rows of one are not all as long, or what its columns are is not certain.
        UsageError: There is no column that was chosen.
    """
    tables = [read_table(info.path, **info.options) for info in files]
    of_text = {info.path: {k: info.options[k] for k in ("comment", "encoding") if k in info.options} for info in files}
    tables = _with_points(tables, of_text)
    chosen = {*choices.drop, choices.target} - {None}
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
        described.update({info.path: info for info in _Columns(group, header, choices).describe()})
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


class _Columns:
    """The columns of files that all have the same."""

    def __init__(self, tables: Sequence[Table], header: Sequence[str] | None, choices: Choices) -> None:
        self._tables, self._header, self._choices = tables, header, choices
        rows = [table.rows[1:] if header else table.rows for table in tables]
        self._samples = [len(one) for one in rows]
        for table, samples in zip(tables, self._samples, strict=True):
            if not samples:
                reason = "it has a row of names, and no other" if header else "it is empty"
                raise DecodeError(table.path, reason, hint="Leave it out, or put its rows below.")
        self._cells = [
            tuple(itertools.chain(*column)) for column in zip(*(zip(*one, strict=True) for one in rows), strict=True)
        ]
        self._width = len(self._cells)
        self._left_out = list[str]()

    def describe(self) -> Iterator[FileInfo]:
        """Return what each of them holds."""
        dropped = {self._chosen(column, "--drop") for column in self._choices.drop}
        names = self._header or [""] * self._width
        infos = (
            column_info(i, names[i], self._cells[i], self._tables[0]) for i in range(self._width) if i not in dropped
        )
        columns = [column for column in infos if self._has_values(column)]
        if not columns:
            reason = "none of its columns is left"
            raise DecodeError(self._tables[0].path, reason, hint="Drop fewer of them.")
        target = self._target(columns)
        asks = target is None and len(columns) > 1
        target = target or self._guess(columns)
        arrays, wanted = self._arrays(columns, target, apart=target is None)
        delimiter = self._tables[0].delimiter
        options: dict[str, Any] = {"delimiter": delimiter} if delimiter != "," else {}
        options |= {} if self._header else {"header": False}
        options |= {"columns": wanted} if wanted else {}
        for table, samples in zip(self._tables, self._samples, strict=True):
            its = tuple(replace(array, shape=(samples, *array.shape)) for array in arrays)
            left_out = tuple(self._left_out)
            yield FileInfo(table.path, "csv", its, options, left_out=left_out, asks_target=asks, is_table=True)

    def _chosen(self, column: str, option: str) -> int:
        """Return the place of a column that was named, or counted from 0."""
        names = list(self._header or ())
        if column in names:
            if names.count(column) > 1:
                what = f"{option} {column}: two columns have that name"
                raise UsageError(what, hint="Give its number, counted from 0.")
            return names.index(column)
        if re.fullmatch(r"-?\d{1,9}", column) and -self._width <= int(column) < self._width:
            return int(column) % self._width
        what = f"{option} {column}: there is no such column{did_you_mean(column, names)}"
        hint = (
            f"There are: {', '.join(filter(None, names[:12]))}."
            if names
            else f"It has {self._width} columns, without names."
        )
        raise UsageError(what, hint=hint)

    def _has_values(self, column: ColumnInfo) -> bool:
        """Check whether a column is more than a count of the rows, or nothing; if not, it is left out."""
        if column.kind is Kind.EMPTY:
            self._left_out.append(f"{column}: has no value in any row")
            return False
        is_unnamed = self._header is not None and _UNNAMED.fullmatch(column.name)
        if column.place == 0 and self._width > 1 and is_unnamed and column.kind is Kind.WHOLE:
            ends = list(itertools.accumulate(self._samples))
            files = [self._cells[0][end - samples : end] for end, samples in zip(ends, self._samples, strict=True)]
            if all(len(set(cells)) == len(cells) for cells in files):
                self._left_out.append(f"{column}: numbers the rows, and has no name of its own")
                return False
        return True

    def _target(self, columns: Sequence[ColumnInfo]) -> ColumnInfo | None:
        """Return the column that was chosen, or whose name alone is one of targets."""
        if self._choices.target is not None:
            place = self._chosen(self._choices.target, "--target")
            chosen = next((column for column in columns if column.place == place), None)
            if chosen is None:
                what = f"--target {self._choices.target}: that column is left out"
                raise UsageError(what, hint="Name another one.")
            return chosen
        names = {column.name.strip().casefold() for column in columns}
        certain = [column for column in columns if column.name.strip().casefold() in TARGETS]
        # Beside x, y is a place.
        likely_names = LIKELY_TARGETS - {"y"} if "x" in names else LIKELY_TARGETS
        likely = [column for column in columns if column.name.strip().casefold() in likely_names]
        likely = [c for c in likely if self._classes(c) or c.name.strip().casefold() == "y"]
        return certain[0] if len(certain) == 1 else likely[0] if len(likely) == 1 and not certain else None

    def _guess(self, columns: Sequence[ColumnInfo]) -> ColumnInfo | None:
        """Return the only column of words, at the end of rows of numbers without names: labels, but it is asked."""
        others = [column for column in columns if not column.kind.is_number]
        is_last = len(others) == 1 and len(columns) > 1 and others[0] in (columns[0], columns[-1])
        return others[0] if self._header is None and is_last and self._classes(others[0]) else None

    def _classes(self, column: ColumnInfo) -> tuple[str, ...] | None:
        return classes_of(column, sum(self._samples))

    def _arrays(
        self, columns: Sequence[ColumnInfo], target: ColumnInfo | None, *, apart: bool
    ) -> tuple[list[ArrayInfo], dict[str, Any]]:
        """Return the fields, their shapes without the samples; and where they are, as the option has it.

        Columns of numbers are joined, unless one of them may be the target, and has a name by which to say so.
        """
        has_names = any(
            column.kind.is_number and self._is_named(column) and not REAL.fullmatch(column.name) for column in columns
        )
        apart = apart and has_names and len(columns) <= MAX_SINGLE_FIELDS
        inputs = [column for column in columns if column is not target]
        joined = [] if apart else self._joined([column for column in inputs if column.kind.is_number])
        single = [column for column in inputs if column not in joined]
        arrays, wanted = list[ArrayInfo](), dict[str, Any]()
        if joined:
            marks = tuple(sorted({mark for column in joined for mark in column.missing}))
            arrays.append(ArrayInfo("", _common_dtype(joined), (len(joined),), field="features", missing=marks))
            if len(columns) < self._width:
                wanted["features"] = [self._place(column) for column in joined]
        texts = sum(column.kind is Kind.TEXT for column in single)
        for column in single:
            field = self._field(column, texts)
            if any(field == array.field for array in arrays) or (field == "labels" and target is not None):
                field = f"{field}_{column.place}"  # two names that are the same one in the manifest's letters
            arrays.append(ArrayInfo("", column.dtype, (), field=field, note=column.note, missing=column.missing))
            if field != column.name or not self._is_named(column):
                wanted[field] = self._place(column)
        if target is not None:
            arrays.append(self._target_array(target, {array.field for array in arrays}))
            if arrays[-1].field != target.name or not self._is_named(target):
                wanted[arrays[-1].field or ""] = self._place(target)
        return arrays, wanted

    def _joined(self, numbers: Sequence[ColumnInfo]) -> list[ColumnInfo]:
        """Return the columns that can be one array in which every cell is exact, if they are more than one."""
        if any(column.kind is Kind.REAL for column in numbers):
            numbers = [column for column in numbers if column.fits_float]
        elif any(column.dtype == "uint64" for column in numbers):
            numbers = [column for column in numbers if column.dtype != "uint64"]
        return list(numbers) if len(numbers) > 1 else []

    def _field(self, column: ColumnInfo, texts: int) -> str:
        if self._is_named(column):
            return naming.field_name(column.name)
        if column.kind is Kind.TEXT:
            return "texts" if texts == 1 else f"text_{column.place}"
        return "numbers" if self._width == 1 else f"column_{column.place}"

    def _target_array(self, target: ColumnInfo, taken: set[str | None]) -> ArrayInfo:
        classes = self._classes(target)
        if classes:
            self._refuse_a_class_of_the_first_row(target)
            return ArrayInfo("", "int64", (), field="labels", classes=classes)
        if target.missing:
            reason = f"{target} is the target, and has {shown_marks(target.missing)} in {target.gaps:,} of "
            reason += f"{sum(self._samples):,} rows, where a value is missing"
            raise DecodeError(self._tables[0].path, reason, hint="Take those rows out, or choose another --target.")
        if target.kind is Kind.TEXT and "" in target.cells and len(target.cells) <= MAX_CLASSES:
            reason = f"{target} is the target, and is empty in some rows: that is no class"
            raise DecodeError(self._tables[0].path, reason, hint="Take those rows out, or choose another --target.")
        field = naming.field_name(target.name) if self._is_named(target) else "targets"
        field = "targets" if field == "labels" or field in taken else field
        return ArrayInfo("", target.dtype, (), field=field, note=target.note)

    def _refuse_a_class_of_the_first_row(self, target: ColumnInfo) -> None:
        cells = self._cells[target.place]
        if self._header is None and not target.kind.is_number and cells.count(cells[0]) == 1:
            reason = f"line 1 has {cells[0]!r} in column {target.place + 1}, and no other line has: "
            hint = "Give each column a name in line 1; or, if it is a class, let another row be the first."
            raise DecodeError(self._tables[0].path, reason + "is it a class, or a name?", hint=hint)

    def _is_named(self, column: ColumnInfo) -> bool:
        return bool(column.name) and self._header is not None and self._header.count(column.name) == 1

    def _place(self, column: ColumnInfo) -> str | int:
        return column.name if self._is_named(column) else column.place


def _common_dtype(columns: Sequence[ColumnInfo]) -> str:
    if any(column.dtype == "float64" for column in columns):
        return "float64"
    low, high = min(column.low for column in columns), max(column.high for column in columns)
    return "uint8" if low >= 0 and 1 < high < 256 and len(columns) > 16 else "int64"
