"""The columns of tables: names, numbers, texts and labels, from all cells."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tinytorch_datasets.add import naming
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats import ArrayInfo, FileInfo
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.readers.table import DECIMAL_COMMA, NUMBER, Table, read_table
from tinytorch_datasets.readers.text import REAL

# Where more values than this are different, they are not taken for labels.
MAX_CLASSES = 1000
LABEL_NAMES = naming.LABELS | {"class", "species", "kind", "category", "digit", "variety", "outcome", "diagnosis"}

# What stands where a value is not known; no column is called so.
MISSING = frozenset({"nan", "na", "n/a", "null", "none", "?", "-", ""})

_WHOLE = re.compile(r" *[+-]?[0-9]{1,18} *")


def describe_columns(files: Sequence[FileInfo]) -> list[FileInfo]:
    """Return what several tables hold. Labels and numbers are found in all together that have the same columns.

    Raises:
        DecodeError: The rows of one are not all as long, or what its columns are is not certain.
    """
    tables = [read_table(info.path) for info in files]
    headers = [table.first for table in tables if _is_header(table.first, table.rows[1:])]
    groups: dict[tuple[Any, ...], list[Table]] = {}
    for table in tables:  # the same row of words at the front of several files is one of names
        header = table.first if table.first in headers else None
        groups.setdefault((table.delimiter, len(table.first), header), []).append(table)
    described = {}
    for (_, _, header), group in groups.items():
        described.update({info.path: info for info in _Columns(group, header).describe()})
    return [replace(described[info.path], file=info.file) for info in files]


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns, told from what is below it.

    Names stand above numbers; where they are numbers themselves (pandas counts columns from 0), or above words
    only, none of them may be below.
    """
    if not rest:
        return False
    below = [
        (cell, column, all(map(REAL.fullmatch, column)))
        for cell, column in zip(first, zip(*rest, strict=True), strict=True)
    ]
    over_numbers = [cell for cell, _, numbers in below if numbers]
    over_words = [(cell, column) for cell, column, numbers in below if not numbers]
    given = [cell for cell in over_numbers if cell]
    named = [cell for cell in given if not REAL.fullmatch(cell) and cell.strip().casefold() not in MISSING]
    only_above = all(cell and cell not in column and not REAL.fullmatch(cell) for cell, column in over_words)
    if named:  # years among names are names, too; numbers around a word are a sample of which one is not known
        numbers = [cell for cell in given if cell not in named]
        return not numbers or (len(named) > len(numbers) and only_above and all(map(_WHOLE.fullmatch, numbers)))
    if not over_numbers:
        return only_above and len(set(first)) == len(first)
    if not given:  # an index has no name, and the others are words
        return only_above and bool(over_words)
    counted = [str(int(given[0]) + i) for i in range(len(given))] if given[0] in ("0", "1") else None
    if given != counted or not only_above:
        return False
    return any(len(set(column)) < len(column) for _, column in over_words) if over_words else len(given) > 2


class _Columns:
    """The columns of files that all have the same."""

    def __init__(self, tables: Sequence[Table], header: Sequence[str] | None) -> None:
        self._tables, self._header = tables, header
        rows = [table.rows[1:] if header else table.rows for table in tables]
        self._samples = [len(one) for one in rows]
        self._columns = [
            tuple(itertools.chain(*column))
            for column in zip(*(zip(*one, strict=True) for one in rows if one), strict=True)
        ]
        self._kinds = [set(column) for column in self._columns]

    def describe(self) -> Iterator[FileInfo]:
        """Return what each of them holds."""
        for table, samples in zip(self._tables, self._samples, strict=True):
            if not samples:
                reason = "it has a row of names, and no other" if self._header else "it is empty"
                raise DecodeError(table.path, reason, hint="Leave it out, or put its rows below.")
        self._refuse_decimal_commas()
        numbers = [i for i, kinds in enumerate(self._kinds) if all(map(REAL.fullmatch, kinds))]
        label = self._label(numbers)
        arrays, wanted = self._arrays(numbers, label)
        delimiter = self._tables[0].delimiter
        options: dict[str, Any] = {"delimiter": delimiter} if delimiter != "," else {}
        options |= {} if self._header else {"header": False}
        options |= {"columns": wanted} if wanted else {}
        for table, samples in zip(self._tables, self._samples, strict=True):
            its = tuple(replace(array, shape=(samples, *array.shape)) for array in arrays)
            yield FileInfo(table.path, "csv", its, options)

    def _arrays(self, numbers: Sequence[int], label: int | None) -> tuple[list[ArrayInfo], dict[str, Any]]:
        """The fields, their shapes without the samples; and where they are, as the option has it."""
        texts = [i for i in range(len(self._columns)) if i not in numbers and i != label]
        rest = [i for i in numbers if i != label]
        arrays, wanted = list[ArrayInfo](), dict[str, Any]()
        if rest:
            named = len(rest) == 1 and self._is_named(rest[0])
            field = naming.field_name(self._name(rest[0])) if named else "features"
            arrays.append(ArrayInfo("", self._dtype(rest), (len(rest),) if len(rest) > 1 else (), field=field))
            if len(rest) == 1:
                wanted[field] = self._place(rest[0])
        for i in texts:
            field = (
                naming.field_name(self._name(i)) if self._is_named(i) else "texts" if len(texts) == 1 else f"text_{i}"
            )
            if any(field == array.field for array in arrays) or (field == "labels" and label is not None):
                field = f"{field}_{i}"  # two names that are the same one in the manifest's letters
            arrays.append(ArrayInfo("", TEXT, (), field=field))
            wanted[field] = self._place(i)
        if label is not None:
            self._refuse_a_class_of_the_first_row(label, numbers)
            whole = all(_WHOLE.fullmatch(cell) for cell in self._kinds[label])
            classes = tuple(sorted(self._kinds[label], key=lambda cell: (int(cell), cell) if whole else (0, cell)))
            arrays.append(ArrayInfo("", "int64", (), field="labels", classes=classes))
            wanted["labels"] = self._place(label)
        return arrays, wanted

    def _refuse_decimal_commas(self) -> None:
        for i, kinds in enumerate(self._kinds):
            decimal = next((cell for cell in self._columns[i] if DECIMAL_COMMA.fullmatch(cell)), None)
            if decimal and self._tables[0].delimiter != "," and all(map(NUMBER.fullmatch, kinds)):
                reason = f"column {i + 1} has numbers with a comma ({decimal!r}), which are read as text"
                raise DecodeError(self._tables[0].path, reason, hint="Write them with a point.")

    def _refuse_a_class_of_the_first_row(self, label: int, numbers: Sequence[int]) -> None:
        cell = self._columns[label][0]
        if self._header is None and label not in numbers and self._columns[label].count(cell) == 1:
            reason = f"line 1 has {cell!r} in column {label + 1}, and no other line has: is it a class, or a name?"
            hint = "Give each column a name in line 1; or, if it is a class, let another row be the first."
            raise DecodeError(self._tables[0].path, reason, hint=hint)

    def _label(self, numbers: Sequence[int]) -> int | None:
        """The column of labels: the one whose name says so, else the one of words where few are told apart."""
        most = min(MAX_CLASSES, max(2, sum(self._samples) // 2))
        few = [i for i, kinds in enumerate(self._kinds) if len(kinds) <= most and "" not in kinds]
        named = [i for i in few if self._name(i).casefold() in LABEL_NAMES]
        words = [i for i in few if i not in numbers]
        found = named or words
        return found[-1] if found and (named or len(words) == 1) else None

    def _dtype(self, places: Sequence[int]) -> str:
        cells = set().union(*(self._kinds[i] for i in places))
        if not all(map(_WHOLE.fullmatch, cells)):
            return "float32"
        low, high = min(map(int, cells)), max(map(int, cells))
        return "uint8" if low >= 0 and 1 < high < 256 and len(places) > 16 else "int64"

    def _name(self, place: int) -> str:
        return self._header[place] if self._header else ""

    def _is_named(self, place: int) -> bool:
        return self._header is not None and bool(self._name(place)) and self._header.count(self._name(place)) == 1

    def _place(self, place: int) -> str | int:
        return self._name(place) if self._is_named(place) else place
