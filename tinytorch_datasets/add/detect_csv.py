"""Detection of a CSV file's delimiter, header and label column."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinytorch_datasets.add import naming
from tinytorch_datasets.add.fileinfo import MOST_CLASSES, Look, Seen
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import TEXT
from tinytorch_datasets.readers.text import REAL, lines, opened_text

DELIMITERS = ",\t;|"
ENDINGS = (".csv", ".tsv", ".data")
LOOKED_AT = 200
LABEL_NAMES = naming.LABELS | {"class", "species", "kind", "category", "digit", "variety", "outcome", "diagnosis"}

# What stands where a value is not known; no column is called so.
MISSING = frozenset({"nan", "na", "n/a", "null", "none", "?", "-", ""})

_WHOLE = re.compile(r" *[+-]?[0-9]{1,18} *")
_DECIMAL_COMMA = re.compile(r" *[+-]?[0-9]+,[0-9]+ *")
_NUMBER = re.compile(f"(?:{REAL.pattern})|(?:{_DECIMAL_COMMA.pattern})")


def delimiter_of(text: str, name: str) -> str | None:
    """The delimiter by which the rows of a text all have the same number of cells, two or more; None if none does.

    Where several do, it is the one that makes the most columns of numbers, or else the one that the name says.
    """
    rows = [line for line in text.lstrip("\ufeff").split("\n")[:LOOKED_AT] if line.strip()]
    if text.count("\n") < LOOKED_AT and not text.endswith("\n"):
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
            numbers = sum(all(map(_NUMBER.fullmatch, column)) for column in columns)
            fitting.append((numbers, name.endswith(".tsv") and delimiter == "\t", delimiter))
    return max(fitting, key=lambda one: one[:2])[2] if fitting else None


def calls_itself_one(text: str, name: str) -> bool:
    """Whether a text is a table by its name and has cells: if its rows are uneven, that is a fault, and no prose."""
    return name.lower().removesuffix(".gz").endswith((".csv", ".tsv")) and any(c in text for c in DELIMITERS)


@dataclass(frozen=True)
class Table:
    """The cells of one file: its rows as they are, `first` among them, and the line on which each begins."""

    path: Path
    file: str
    delimiter: str
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]

    @property
    def first(self) -> tuple[str, ...]:
        """The first row, which may be one of names."""
        return tuple(self.rows[0])


def read(path: Path, file: str) -> Table:
    """The cells of a CSV file.

    Raises:
        DecodeError: Its rows cannot be told apart, or have not all as many cells.
    """
    with opened_text(path, ()) as stream:
        text = (line + "\n" for line in lines(stream, bom=True, carriage_returns=True))
        begun = list(itertools.islice(text, LOOKED_AT))
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
    return Table(path, file, delimiter, rows, begins)


def looks(tables: Sequence[Table]) -> list[Look]:
    """What several files hold. What is a label, and what a number, is told from all that have the same columns."""
    alike: dict[tuple[Any, ...], list[Table]] = {}
    headers = {table.file: table.first for table in tables if _is_header(table.first, table.rows[1:])}
    for table in tables:  # the same row of words at the front of several files is one of names
        header = table.first if table.first in headers.values() else None
        alike.setdefault((table.delimiter, len(table.first), header), []).append(table)
    found = {}
    for (_, _, header), group in alike.items():
        found.update({one.file: one for one in _Columns(group, header).looks()})
    return [found[table.file] for table in tables]


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

    def looks(self) -> Iterator[Look]:
        """What each of them holds."""
        for table, samples in zip(self._tables, self._samples, strict=True):
            if not samples:
                reason = "it has a row of names, and no other" if self._header else "it is empty"
                raise DecodeError(table.path, reason, hint="Leave it out, or put its rows below.")
        self._refuse_decimal_commas()
        numbers = [i for i, kinds in enumerate(self._kinds) if all(map(REAL.fullmatch, kinds))]
        label = self._label(numbers)
        seen, wanted = self._seen(numbers, label)
        delimiter = self._tables[0].delimiter
        options: dict[str, Any] = {"delimiter": delimiter} if delimiter != "," else {}
        options |= {} if self._header else {"header": False}
        options |= {"columns": wanted} if wanted else {}
        for table, samples in zip(self._tables, self._samples, strict=True):
            its = tuple(replace(one, shape=(samples, *one.shape)) for one in seen)
            yield Look(table.file, table.path, "csv", its, options)

    def _seen(self, numbers: Sequence[int], label: int | None) -> tuple[list[Seen], dict[str, Any]]:
        """The fields, their shapes without the samples; and where they are, as the option has it."""
        texts = [i for i in range(len(self._columns)) if i not in numbers and i != label]
        rest = [i for i in numbers if i != label]
        seen, wanted = list[Seen](), dict[str, Any]()
        if rest:
            named = len(rest) == 1 and self._is_named(rest[0])
            field = naming.field_name(self._name(rest[0])) if named else "features"
            seen.append(Seen("", self._dtype(rest), (len(rest),) if len(rest) > 1 else (), field=field))
            if len(rest) == 1:
                wanted[field] = self._place(rest[0])
        for i in texts:
            field = (
                naming.field_name(self._name(i)) if self._is_named(i) else "texts" if len(texts) == 1 else f"text_{i}"
            )
            if any(field == one.field for one in seen) or (field == "labels" and label is not None):
                field = f"{field}_{i}"  # two names that are the same one in the manifest's letters
            seen.append(Seen("", TEXT, (), field=field))
            wanted[field] = self._place(i)
        if label is not None:
            self._refuse_a_class_of_the_first_row(label, numbers)
            whole = all(_WHOLE.fullmatch(cell) for cell in self._kinds[label])
            classes = tuple(sorted(self._kinds[label], key=lambda cell: (int(cell), cell) if whole else (0, cell)))
            seen.append(Seen("", "int64", (), field="labels", classes=classes))
            wanted["labels"] = self._place(label)
        return seen, wanted

    def _refuse_decimal_commas(self) -> None:
        for i, kinds in enumerate(self._kinds):
            decimal = next((cell for cell in self._columns[i] if _DECIMAL_COMMA.fullmatch(cell)), None)
            if decimal and self._tables[0].delimiter != "," and all(map(_NUMBER.fullmatch, kinds)):
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
        most = min(MOST_CLASSES, max(2, sum(self._samples) // 2))
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
