"""What does a CSV file hold: which delimiter, a header or none, which column is the label?"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinytorch_datasets.adding import names
from tinytorch_datasets.adding.seen import MOST_CLASSES, Look, Seen
from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.formats._cells import REAL
from tinytorch_datasets.formats._text import lines, opened_text
from tinytorch_datasets.plan import TEXT

DELIMITERS = ",\t;|"
ENDINGS = (".csv", ".tsv", ".data")
LOOKED_AT = 200
LABEL_NAMES = names.LABELS | {"class", "species", "kind", "category", "digit", "variety", "outcome", "diagnosis"}

_WHOLE = re.compile(r" *[+-]?[0-9]{1,18} *")


def delimiter_of(text: str, name: str) -> str | None:
    """The delimiter by which the rows of a text all have the same number of cells, two or more; None if none does."""
    rows = [line for line in text.lstrip("\ufeff").split("\n")[:LOOKED_AT] if line.strip()]
    if text.count("\n") < LOOKED_AT and not text.endswith("\n"):
        rows = rows[:-1] if len(rows) > 2 else rows
    plausible = name.lower().removesuffix(".gz").endswith(ENDINGS)
    for delimiter in DELIMITERS:
        try:
            widths = {len(row) for row in csv.reader((row.rstrip("\r") for row in rows), delimiter=delimiter)}
        except csv.Error:
            continue
        # Three lines of prose with a comma each are no table, unless their name says so.
        if len(widths) == 1 and widths.pop() > 1 and (plausible or len(rows) >= 4):
            return delimiter
    return None


def calls_itself_one(text: str, name: str) -> bool:
    """Whether a text is a table by its name and has cells: if its rows are uneven, that is a fault, and no prose."""
    return name.lower().removesuffix(".gz").endswith((".csv", ".tsv")) and any(c in text for c in DELIMITERS)


def look(path: Path, file: str) -> Look:
    """What a CSV file holds, told from all of its rows."""
    with opened_text(path, ()) as stream:
        text = (line + "\n" for line in lines(stream, bom=True, carriage_returns=True))
        begun = list(itertools.islice(text, LOOKED_AT))
        delimiter = delimiter_of("".join(begun), path.name) or ","
        try:
            rows = list(csv.reader(itertools.chain(begun, text), delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise DecodeError(path, f"its rows cannot be told apart: {error}", mend="Is a quote left open?") from error
    header = rows[0] if _is_header(rows) else None
    rows = rows[1:] if header else rows
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        at = next((i for i, row in enumerate(rows, 2 if header else 1) if len(row) != len(rows[0])), 1)
        reason = f"line {at:,} has another number of cells than the first row"
        raise DecodeError(path, reason, mend=f"A cell that has a {delimiter!r} in it stands between quotes.")
    columns = list(zip(*rows, strict=True))
    return _Table(path, file, header, columns, delimiter).look()


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns: no number in it, and each name once, where numbers or other words follow."""
    first, rest = rows[0], rows[1:]
    if not rest or any(REAL.fullmatch(cell) for cell in first) or len(set(first)) < len(first) or "" in first:
        return False
    columns = list(zip(*rest, strict=False))
    numbers = any(all(REAL.fullmatch(cell) for cell in column) for column in columns)
    return numbers or all(cell not in column for cell, column in zip(first, columns, strict=False))


class _Table:
    def __init__(
        self, path: Path, file: str, header: Sequence[str] | None, columns: Sequence[Sequence[str]], delimiter: str
    ) -> None:
        self._path, self._file, self._header, self._delimiter = path, file, header, delimiter
        self._columns, self._samples = columns, len(columns[0])

    def look(self) -> Look:
        numbers = [i for i, column in enumerate(self._columns) if all(map(REAL.fullmatch, column))]
        label = self._label(numbers)
        texts = [i for i in range(len(self._columns)) if i not in numbers and i != label]
        rest = [i for i in numbers if i != label]
        seen, wanted = list[Seen](), dict[str, Any]()
        if rest:
            one = len(rest) == 1 and self._header is not None
            field = names.field_name(self._name(rest[0])) if one else "features"
            shape = (self._samples,) if len(rest) == 1 else (self._samples, len(rest))
            seen.append(Seen("", self._dtype(rest), shape, field=field))
            if len(rest) == 1:
                wanted[field] = self._place(rest[0])
        for i in texts:
            field = names.field_name(self._name(i)) if self._header else "texts" if len(texts) == 1 else f"text_{i}"
            seen.append(Seen("", TEXT, (self._samples,), field=field))
            wanted[field] = self._place(i)
        if label is not None:
            cells = set(self._columns[label])
            whole = all(_WHOLE.fullmatch(cell) for cell in cells)
            classes = tuple(sorted(cells, key=lambda cell: (int(cell), cell) if whole else (0, cell)))
            seen.append(Seen("", "int64", (self._samples,), field="labels", classes=classes))
            wanted["labels"] = self._place(label)
        options: dict[str, Any] = {"delimiter": self._delimiter} if self._delimiter != "," else {}
        options |= {} if self._header else {"header": False}
        return Look(self._file, self._path, "csv", tuple(seen), options | ({"columns": wanted} if wanted else {}))

    def _label(self, numbers: Sequence[int]) -> int | None:
        """The column of labels: the one whose name says so, else the one of words where few are told apart."""
        few = [
            i
            for i, column in enumerate(self._columns)
            if len(set(column)) <= min(MOST_CLASSES, max(2, self._samples // 2)) and "" not in column
        ]
        named = [i for i in few if self._name(i).casefold() in LABEL_NAMES]
        words = [i for i in few if i not in numbers]
        found = named or words
        return found[-1] if found and (named or len(words) == 1) else None

    def _dtype(self, places: Sequence[int]) -> str:
        cells = [cell for i in places for cell in self._columns[i]]
        if not all(map(_WHOLE.fullmatch, cells)):
            return "float32"
        low, high = min(map(int, cells)), max(map(int, cells))
        return "uint8" if low >= 0 and 1 < high < 256 and len(places) > 16 else "int64"

    def _name(self, place: int) -> str:
        return self._header[place] if self._header else ""

    def _place(self, place: int) -> str | int:
        return self._header[place] if self._header else place
