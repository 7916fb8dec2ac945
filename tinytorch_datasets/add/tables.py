"""The columns of a table: which are features, which is the target; or asked.

The same for tables of every format: what a reader of one says of its columns is chosen from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytorch_datasets.add import naming
from tinytorch_datasets.errors import DecodeError, UsageError, did_you_mean, list_known
from tinytorch_datasets.formats import ArrayInfo
from tinytorch_datasets.readers.columns import MAX_CLASSES, ColumnInfo, Kind, classes_of, is_mark, shown_marks
from tinytorch_datasets.readers.text import REAL

# Names of what is to be predicted; and names that mostly are, where there is none of the former.
TARGETS = naming.LABELS - {"y"} | {"class"}
LIKELY_TARGETS = frozenset(
    {"y", "species", "kind", "category", "digit", "variety", "outcome", "diagnosis", "sentiment", "emotion", "mood"}
)

# More columns than this are joined in one field, also where one of them may be the target.
MAX_SINGLE_FIELDS = 64
# More names than this are no help to a reader of the entry.
MAX_NAMES = 1024

_UNNAMED = re.compile(r"(?:Unnamed: \d+)?")
_RANGE = re.compile(r"(\d{1,7})-(\d{1,7})")


@dataclass(frozen=True)
class Choices:
    """What a person says of the columns of tables, of arrays, and of files that are a sample each.

    `target` and `drop` are columns, each by its name or by its number from 0; -1 is the last, 256-265 a range.
    `missing` are marks that mean a missing value, beside those that everybody writes. `label` is which part of the
    names of samples is their label, `samples` whether the "first" or the "last" axis of an array counts them.
    `drop` may be files as well: of several, `files` are the names, and `passed_over` of those that are no data.
    """

    target: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    label: str | None = None
    samples: str | None = None
    files: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.target or self.drop or self.missing or self.label is not None or self.samples)

    def refuse_unknown(self, option: str, name: str, kind: str, known: Iterable[str], hint: str) -> None:
        """Refuse a name that nothing has, unless it is of a file that is left out in any case.

        Raises:
            UsageError: It is of no such file.
        """
        files = self.files if option == "--drop" else ()
        if name not in self.passed_over or option != "--drop":
            what = f"{option} {name}: there is no such {kind}{' or file' if files else ''}"
            msg = f"{what}{did_you_mean(name, [*known, *files])}"
            raise UsageError(msg, hint=hint)

    def refuse_unused_marks(self, arrays: Sequence[ArrayInfo]) -> None:
        """Refuse a mark with a slip of the pen: values that it should mean would stay numbers, and nobody would notice.

        Raises:
            UsageError: No column of numbers has it.
        """
        used = [mark for array in arrays for mark in array.missing if mark is not None]
        for mark in self.missing:
            if not any(is_mark(cell, [mark]) for cell in used):
                what = f"--missing {mark!r}: no cell of a column of numbers says so"
                hint = f"Those that do say {shown_marks(sorted(set(used)))}." if used else "Leave it out."
                raise UsageError(what, hint=hint)


@dataclass(frozen=True)
class Chosen:
    """The fields of a table, with shapes without the samples; and what is left out, and whether the target is asked."""

    arrays: tuple[ArrayInfo, ...]
    left_out: tuple[str, ...]
    asks_target: bool


class Columns:
    """The columns of files that all have the same: `samples` are the rows of each, `names` "" where there is none."""

    def __init__(self, path: Path, names: Sequence[str], samples: Sequence[int], choices: Choices) -> None:
        self.path, self.names, self.samples = path, names, samples
        self.width = len(names)
        self.choices = choices
        self._left_out = list[str]()

    def check_target(self, target: ColumnInfo) -> None:
        """Refuse labels that are not certainly labels."""

    def is_one_hot(self, columns: Sequence[ColumnInfo]) -> bool:
        """Check whether each row has one 1 among zeros in these columns."""
        raise NotImplementedError

    def dropped(self) -> set[int]:
        """Return the places of the columns that a person leaves out."""
        return {place for column in self.choices.drop for place in self._chosen(column, "--drop")}

    def choose(self, columns: Sequence[ColumnInfo]) -> Chosen:
        """Return the fields that these columns are.

        Raises:
            DecodeError: None has a value, or the target is not known in some rows.
            UsageError: There is no column that was chosen.
        """
        columns = [column for column in columns if self._has_values(column)]
        if not columns:
            raise DecodeError(self.path, "none of its columns is left", hint="Drop fewer of them.")
        targets = self._targets(columns)
        asks = not targets and len(columns) > 1
        targets = targets or self._guess(columns)
        arrays = self._arrays(columns, targets, apart=not targets)
        return Chosen(tuple(arrays), tuple(self._left_out), asks)

    def _chosen(self, column: str, option: str) -> list[int]:
        """Return the places of a column that was named or counted from 0, or of a range of them."""
        names = list(self.names)
        if column and column in names:
            if names.count(column) > 1:
                what = f"{option} {column}: two columns have that name"
                raise UsageError(what, hint="Give its number, counted from 0.")
            return [names.index(column)]
        if re.fullmatch(r"-?\d{1,9}", column) and -self.width <= int(column) < self.width:
            return [int(column) % self.width]
        if (ends := _RANGE.fullmatch(column)) and int(ends[1]) <= int(ends[2]) < self.width:
            return list(range(int(ends[1]), int(ends[2]) + 1))
        known = list(filter(None, names))
        hint = list_known(known) if known else f"It has {self.width} columns, without names."
        self.choices.refuse_unknown(option, column, "column", names, hint)
        return []

    def _has_values(self, column: ColumnInfo) -> bool:
        """Check whether a column is more than a count of the rows, or nothing; if not, it is left out."""
        if column.kind is Kind.EMPTY:
            self._left_out.append(f"{column}: has no value in any row")
            return False
        is_unnamed = any(self.names) and _UNNAMED.fullmatch(column.name)
        if column.is_unique and self.width > 1 and is_unnamed and column.kind is Kind.WHOLE:
            self._left_out.append(f"{column}: numbers the rows, and has no name of its own")
            return False
        return True

    def _targets(self, columns: Sequence[ColumnInfo]) -> list[ColumnInfo]:
        """Return the column that was chosen, or those, or the one whose name alone is one of targets."""
        chosen = list[ColumnInfo]()
        for given in self.choices.target:
            for place in self._chosen(given, "--target"):
                column = next((column for column in columns if column.place == place), None)
                if column is None:
                    what = f"--target {given}: that column is left out"
                    raise UsageError(what, hint="Name another one.")
                if column not in chosen:
                    chosen.append(column)
        if chosen:
            return chosen
        names = {column.name.strip().casefold() for column in columns}
        certain = [column for column in columns if column.name.strip().casefold() in TARGETS]
        # Beside x, y is a place.
        likely_names = LIKELY_TARGETS - {"y"} if "x" in names else LIKELY_TARGETS
        likely = [column for column in columns if column.name.strip().casefold() in likely_names]
        likely = [c for c in likely if self._classes(c) or c.name.strip().casefold() == "y"]
        return certain if len(certain) == 1 else likely if len(likely) == 1 and not certain else []

    def _guess(self, columns: Sequence[ColumnInfo]) -> list[ColumnInfo]:
        """Return the only column of words, at the end of rows of numbers without names: labels, but it is asked."""
        others = [column for column in columns if not column.kind.is_number]
        is_last = len(others) == 1 and len(columns) > 1 and others[0] in (columns[0], columns[-1])
        return others if not any(self.names) and is_last and self._classes(others[0]) else []

    def _classes(self, column: ColumnInfo) -> tuple[str, ...] | None:
        return column.classes or classes_of(column, sum(self.samples))

    def _arrays(self, columns: Sequence[ColumnInfo], targets: Sequence[ColumnInfo], *, apart: bool) -> list[ArrayInfo]:
        """Return the fields, their shapes without the samples, and their columns.

        Columns of numbers are joined, unless one of them may be the target, and has a name by which to say so.
        """
        has_names = any(
            column.kind.is_number and self._is_named(column) and not REAL.fullmatch(column.name) for column in columns
        )
        apart = apart and has_names and len(columns) <= MAX_SINGLE_FIELDS
        inputs = [column for column in columns if column not in targets]
        joined = [] if apart else self._joined([column for column in inputs if column.kind.is_number])
        arrays = [self._stacked("features", joined)] if joined else []
        single = [column for column in inputs if column not in joined]
        texts = sum(column.kind is Kind.TEXT for column in single)
        for column in single:
            field = self._field(column, texts)
            if any(field == array.field for array in arrays) or (field == "labels" and targets):
                field = f"{field}_{column.place}"  # two names that are the same one in the manifest's letters
            arrays.append(self._array(field, column))
        taken = {array.field for array in arrays}
        if len(targets) == 1:
            arrays.append(self._target_array(targets[0], taken))
        elif targets:
            arrays.append(self._targets_array(targets, taken))
        return arrays

    def _array(self, field: str, column: ColumnInfo) -> ArrayInfo:
        return ArrayInfo(
            "",
            column.dtype,
            column.shape,
            field=field,
            note=column.note,
            missing=column.missing,
            classes=column.classes,
            columns=(self._place(column),),
        )

    def _stacked(self, field: str, columns: Sequence[ColumnInfo]) -> ArrayInfo:
        """Return several columns as one field, with their names if each has one."""
        marks = {mark for column in columns for mark in column.missing}
        names = tuple(column.name for column in columns)
        has_names = len(columns) <= MAX_NAMES and all(map(self._is_named, columns)) and all(map(_can_be_name, names))
        return ArrayInfo(
            "",
            _common_dtype(columns),
            (len(columns),),
            field=field,
            missing=tuple(sorted(marks, key=lambda mark: (mark is not None, mark or ""))),
            names=names if has_names else (),
            columns=tuple(map(self._place, columns)) if has_names else tuple(column.place for column in columns),
        )

    def _joined(self, numbers: Sequence[ColumnInfo]) -> list[ColumnInfo]:
        """Return the columns that can be one array in which every cell is exact, if they are more than one."""
        if any(column.kind is Kind.REAL for column in numbers):
            numbers = [column for column in numbers if column.fits_float]
        elif any(column.dtype == "uint64" for column in numbers):
            numbers = [column for column in numbers if column.dtype != "uint64"]
        return list(numbers) if len(numbers) > 1 else []

    def _field(self, column: ColumnInfo, texts: int) -> str:
        if self._is_named(column):
            return f"column_{column.name}" if column.name.isdecimal() else naming.field_name(column.name)
        if column.kind is Kind.TEXT:
            return "texts" if texts == 1 else f"text_{column.place}"
        return "numbers" if self.width == 1 else f"column_{column.place}"

    def _target_array(self, target: ColumnInfo, taken: set[str | None]) -> ArrayInfo:
        classes, place = self._classes(target), (self._place(target),)
        if classes and not target.shape:
            self.check_target(target)
            values = tuple(map(int, classes)) if target.is_stored_as_number and target.classes is None else ()
            values = () if values == tuple(range(len(values))) else values
            return ArrayInfo("", "int64", (), field="labels", classes=classes, values=values, columns=place)
        if target.missing:
            reason = f"{target} is the target, and has {shown_marks(target.missing)} in {target.gaps:,} of "
            reason += f"{sum(self.samples):,} rows, where a value is missing"
            raise DecodeError(self.path, reason, hint="Take those rows out, or choose another --target.")
        if target.kind is Kind.TEXT and "" in target.cells and len(target.cells) <= MAX_CLASSES:
            reason = f"{target} is the target, and is empty in some rows: that is no class"
            raise DecodeError(self.path, reason, hint="Take those rows out, or choose another --target.")
        field = naming.field_name(target.name) if self._is_named(target) else "targets"
        field = "targets" if field == "labels" or field in taken else field
        return ArrayInfo("", target.dtype, target.shape, field=field, note=target.note, columns=place)

    def _targets_array(self, targets: Sequence[ColumnInfo], taken: set[str | None]) -> ArrayInfo:
        """Return several targets: labels, if each row has a 1 in one of them and zeros in the others; or quantities."""
        for column in targets:
            if not column.kind.is_number or column.missing:
                what = "is not one of numbers" if not column.kind.is_number else "has missing values"
                reason = f"several columns are the target, and {column} {what}"
                raise DecodeError(self.path, reason, hint="Name one --target, or columns of numbers.")
        stacked = self._stacked("targets_" if "targets" in taken else "targets", targets)
        if not self.is_one_hot(targets):
            return stacked
        classes = stacked.names or tuple(map(str, range(len(targets))))
        note = "stored as a 1 in one of the columns" + ("" if stacked.names else "; numbers stand for names")
        return ArrayInfo(
            "", "int64", (), field="labels", classes=classes, stored="one-hot", columns=stacked.columns, note=note
        )

    def _is_named(self, column: ColumnInfo) -> bool:
        return bool(column.name) and self.names.count(column.name) == 1

    def _place(self, column: ColumnInfo) -> str | int:
        return column.name if self._is_named(column) else column.place


def _can_be_name(name: str) -> bool:
    """Check whether the manifest can have a name of a column as it is."""
    return bool(name.strip()) and name.isprintable()


def _common_dtype(columns: Sequence[ColumnInfo]) -> str:
    """Return the dtype in which every number of these columns is exact."""
    dtypes = {column.dtype for column in columns}
    if len(dtypes) == 1 and dtypes != {"int64"}:
        return dtypes.pop()
    if dtypes <= {"float16", "float32"}:
        return "float32"
    if any(dtype.startswith("float") for dtype in dtypes):
        return "float64"
    low, high = min(column.low for column in columns), max(column.high for column in columns)
    return "uint8" if low >= 0 and 1 < high < 256 and len(columns) > 16 else "int64"


def with_ranges(columns: Sequence[int | str]) -> list[int | str] | str:
    """Return columns as the manifest has them, numbers that follow one another as a range.

    >>> with_ranges([0, 1, 2, "kind"]), with_ranges([3, 4, 5])
    (['0-2', 'kind'], '3-5')
    """
    shown, runs = list[int | str](), list[list[int | str]]()
    for column in columns:
        before = runs[-1][-1] if runs else None
        if isinstance(column, int) and isinstance(before, int) and column == before + 1:
            runs[-1].append(column)
        else:
            runs.append([column])
    for run in runs:
        shown += [f"{run[0]}-{run[-1]}"] if len(run) > 1 else run
    return shown[0] if len(shown) == 1 and isinstance(shown[0], str) else shown
