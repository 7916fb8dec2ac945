"""Tables whose columns have types of their own: Parquet, Arrow, JSON, ARFF.

Their formats say what each column is. What is read here are all values of it, for what no type says: whether numbers
are those of classes, and which numbers there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinytorch_datasets import formats
from tinytorch_datasets.add.tables import Choices, Columns
from tinytorch_datasets.errors import DecodeError, UsageError
from tinytorch_datasets.formats import ArrayInfo, FileInfo, arff
from tinytorch_datasets.plan import COLUMN_RANGE, MAX_EXACT, TEXT, Block, Column, Split, spell
from tinytorch_datasets.readers.columns import MAX_CLASSES, ColumnInfo, Kind
from tinytorch_datasets.readers.text import REAL

# Formats that say which words a column has, as if they were its classes; whether they are is decided here.
_LISTS_WORDS = frozenset({"parquet", "arrow"})

# What stands for a value that is not known, in formats that have no null.
MARKS = {"arff": arff.MISSING}


def describe(infos: Sequence[FileInfo], choices: Choices) -> list[FileInfo]:
    """Return what several tables hold. Those that have the same columns are described together.

    Raises:
        DecodeError: Columns of one name are of several types, or the target is not known in some rows.
        UsageError: There is no column that was chosen.
    """
    if choices.missing and "text" not in formats.of(infos[0].format).missing:
        what = f"--missing is for cells of text, and {infos[0].file} is {infos[0].format}, which has null for them"
        raise UsageError(what, hint="Leave it out.")
    groups: dict[tuple[str, ...], list[FileInfo]] = {}
    for info in infos:
        if not info.arrays:
            reason = "none of its columns can be read" + "".join(f"; {what}" for what in info.left_out)
            raise DecodeError(info.path, reason, hint="Save what is to be learned from as numbers or as text.")
        groups.setdefault(tuple(array.key for array in info.arrays), []).append(info)
    described = {info.path: info for group in groups.values() for info in _TypedColumns(group, choices).describe()}
    choices.refuse_unused_marks([array for info in described.values() for array in info.arrays])
    return [described[info.path] for info in infos]


class _TypedColumns(Columns):
    """The columns of files that all have the same."""

    def __init__(self, infos: Sequence[FileInfo], choices: Choices) -> None:
        self._infos = infos
        samples = [info.arrays[0].shape[0] or 0 for info in infos]
        self._keys = keys = [array.key for array in infos[0].arrays]
        # Records that are lists have places, and no names.
        names = [""] * len(keys) if keys == list(map(str, range(len(keys)))) else keys
        super().__init__(infos[0].path, names, samples, choices)

    def describe(self) -> Iterator[FileInfo]:
        """Return what each of them holds."""
        dropped = self.dropped()
        kept = [place for place in range(self.width) if place not in dropped and self._keys[place]]
        nameless = tuple(f"column {place + 1} has no name" for place in range(self.width) if not self._keys[place])
        surveys = {place: _Values(self.choices.missing, may_number_rows=not place) for place in kept}
        for info in self._infos:
            for place, block in _decoded(info, kept):
                surveys[place].add(block.values)
            for survey in surveys.values():
                survey.end_file()
        chosen = self.choose([self._column(place, surveys[place]) for place in kept])
        for info, samples in zip(self._infos, self.samples, strict=True):
            its = tuple(replace(self._placed(array), shape=(samples, *array.shape)) for array in chosen.arrays)
            left_out = (*info.left_out, *nameless, *chosen.left_out)
            yield replace(info, arrays=its, left_out=left_out, asks_target=chosen.asks_target)

    def _column(self, place: int, values: _Values) -> ColumnInfo:
        """Return what a column is, in all files.

        Raises:
            DecodeError: It is of several types.
        """
        arrays = [info.arrays[place] for info in self._infos]
        name, first = self.names[place], arrays[0]
        classes = tuple(dict.fromkeys(known for array in arrays for known in array.classes or ())) or None
        if first.classes and values.has_words and first.shape[1:] == () and self._infos[0].format in _LISTS_WORDS:
            classes = None
        dtypes = {TEXT if array.classes and classes is None else array.dtype for array in arrays}
        shapes = {array.shape[1:] for array in arrays}
        dtype = dtypes.pop() if len(dtypes) == 1 else _joint(dtypes, values)
        if dtype is None or len({len(shape) for shape in shapes}) > 1:
            shown = " and ".join(sorted(f"{array.dtype} {list(array.shape[1:])}" for array in arrays))
            reason = f"its column {first.key!r} is not the same in each file: {shown}"
            raise DecodeError(self.path, reason, hint="Save them alike, or add them one by one.")
        axes = map(set[int | None], zip(*shapes, strict=True))
        shape = tuple(lengths.pop() if len(lengths) == 1 else None for lengths in axes)
        marks = dict.fromkeys([*(mark for array in arrays for mark in array.missing), *values.marks])
        if values.marks and dtype[:1] in "iu" and max(-values.low, values.high) <= MAX_EXACT:
            dtype = "float64"
        kind = _kind(dtype, shape, classes, values)
        return ColumnInfo(
            place,
            name,
            frozenset({"false", "true"} if dtype == "bool" else values.cells),
            kind,
            dtype,
            low=values.low,
            high=values.high,
            note=first.note,
            missing=tuple(marks),
            gaps=values.gaps,
            shape=shape,
            classes=classes,
            is_unique=not place and values.is_unique,
            is_stored_as_number=kind.is_number,
        )

    def _joined(self, numbers: Sequence[ColumnInfo]) -> list[ColumnInfo]:
        # In a list of columns, a name such as 0-12 would mean a range of them.
        return super()._joined([column for column in numbers if not COLUMN_RANGE.fullmatch(column.name)])

    def _placed(self, array: ArrayInfo) -> ArrayInfo:
        """Return where the manifest says that an array is: by its key, by the names of its columns, or by a list."""
        keys = [column if isinstance(column, str) else self._keys[column] for column in array.columns]
        if len(keys) == 1:
            return replace(array, key=keys[0], columns=())
        if array.names == tuple(keys) and array.field not in array.names:
            return replace(array, columns=())
        return replace(array, columns=tuple(key if any(self.names) else int(key) for key in keys))

    def check_target(self, target: ColumnInfo) -> None:
        """Refuse a target that is not known in some rows, where the format itself says so."""
        mark = MARKS.get(self._infos[0].format)
        if mark in target.cells:
            reason = f"{target} is the target, and has {mark!r} in some rows, where a value is missing"
            raise DecodeError(self.path, reason, hint="Take those rows out, or choose another --target.")

    def is_one_hot(self, columns: Sequence[ColumnInfo]) -> bool:
        """Check whether each row has one 1 among zeros in these columns."""
        places = [column.place for column in columns]
        for info in self._infos:
            ones = np.zeros(info.arrays[0].shape[0] or 0, np.int64)
            for _, block in _decoded(info, places):
                values = np.asarray(block.values)
                if not ((values == 0) | (values == 1)).all():
                    return False
                ones[block.start : block.start + len(values)] += values == 1
            if not (ones == 1).all():
                return False
        return True


def _decoded(info: FileInfo, places: Sequence[int]) -> Iterator[tuple[int, Block]]:
    """Yield the values of some columns, each with its place."""
    columns = {str(place): _column_of(info, place) for place in places if info.arrays[place].shape[1:] == ()}
    if columns:
        split = Split("all", info.arrays[0].shape[0] or 0, columns, file=info.path)
        for block in formats.of(info.format).decode((split,), **info.options):
            yield int(block.column.field), block


def _column_of(info: FileInfo, place: int) -> Column:
    array = info.arrays[place]
    return Column(
        split="all",
        field=str(place),
        dtype=array.dtype,
        samples=array.shape[0] or 0,
        file=info.path,
        key=array.key,
        classes=array.classes,
        values=array.values,
        missing=array.missing,
    )


class _Values:
    """All values of a column, as far as they are needed to say what it is."""

    def __init__(self, marks: Sequence[str] = (), *, may_number_rows: bool = False) -> None:
        self.cells = set[str]()
        self.marks = dict[str, None]()  # numbers that a person says mean a missing value, of those that there are
        self._numbers = {float(mark): mark for mark in marks if REAL.fullmatch(mark)}
        self.low, self.high, self.gaps = 0, 0, 0
        self.has_words, self.is_unique = False, may_number_rows
        self._of_file: list[np.ndarray] | None = [] if may_number_rows else None
        self._is_begun = False

    def add(self, values: Any) -> None:
        """Take in the next values."""
        if not isinstance(values, np.ndarray):
            self.has_words = True
            self._collect(set(values))
            return
        if values.dtype.kind == "f":
            self.gaps += int(np.isnan(values).sum())
            values = values[np.isfinite(values)]
        for number, mark in self._numbers.items():
            if (count := int(np.count_nonzero(values == number))) and values.dtype.kind != "b":
                self.marks[mark], self.gaps = None, self.gaps + count
                values = values[values != number]
        if not values.size:
            return
        if values.dtype.kind in "iu":
            low, high = int(values.min()), int(values.max())
            self.low, self.high = (min(low, self.low), max(high, self.high)) if self._is_begun else (low, high)
            self._is_begun = True
            if self._of_file is not None:
                self._of_file.append(values)
        if len(self.cells) <= MAX_CLASSES:
            self._collect(map(spell, np.unique(values).tolist()))

    def _collect(self, cells: Any) -> None:
        if len(self.cells) <= MAX_CLASSES:
            self.cells.update(cells)

    def end_file(self) -> None:
        """Look whether a file has a number twice."""
        if self._of_file:
            whole = np.concatenate(self._of_file)
            self.is_unique = self.is_unique and len(np.unique(whole)) == len(whole)
        self._of_file = [] if self.is_unique else None


def _joint(dtypes: set[str], values: _Values) -> str | None:
    """Return the dtype that holds the numbers of columns of several, or None if they are not all numbers."""
    if TEXT in dtypes or "bool" in dtypes:
        return None
    if any(dtype.startswith("float") for dtype in dtypes):
        return "float64"
    return "uint64" if values.low >= 0 and values.high >= 2**63 else "int64"


def _kind(dtype: str, shape: Sequence[int | None], classes: tuple[str, ...] | None, values: _Values) -> Kind:
    if shape:
        return Kind.ARRAYS
    if dtype == TEXT or (classes is not None and values.has_words):
        return Kind.TEXT
    if dtype == "bool" or classes is not None:
        return Kind.BOOL
    return Kind.REAL if dtype.startswith("float") else Kind.WHOLE
