"""Fields as they will be declared: their dtype, range, classes, from all values.

A header says how values are stored. What they may be, and whether they are classes, only the values say.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytorch_datasets.plan import RaggedBlock
from tinytorch_datasets.readers.columns import MAX_CLASSES, label_values, shown_marks
from tinytorch_datasets.readers.text import is_missing

MOST_WRITTEN_OUT = 1e15


@dataclass
class Field:
    """A field as it will be declared; `sha256` are its values' digests by split, `note` the comment beside it.

    `missing` are the cells that mean a missing value, of which there are as many as `gaps`. `values`, `stored`,
    `names` and `axes` are as in the manifest. `may_have_classes` is whether its values decide if they are classes.
    """

    dtype: str
    shape: tuple[int | None, ...] = ()
    range: tuple[Any, Any] | None = None
    classes: tuple[str, ...] | None = None
    values: tuple[str | int | float, ...] = ()
    per: str = "sample"
    sha256: dict[str, str] = field(default_factory=dict)
    note: str = ""
    missing: tuple[str | None, ...] = ()
    gaps: int = 0
    may_have_classes: bool = False
    stored: str = ""
    names: tuple[str, ...] = ()
    axes: tuple[int, ...] = ()

    def may_be_named(self, names: Sequence[str]) -> bool:
        """Check whether names may be those of its classes, which are numbers from 0, or as many from 1."""
        classes = self.classes or ()
        if not classes or not all(map(str.isdigit, classes)) or len(set(names)) < len(names) or "" in names:
            return False
        return len(names) >= len(classes) if not self.values else self.values == tuple(range(1, len(names) + 1))


class Survey:
    """What all values of a field are, gathered block by block."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._span: list[Any] | None = None
        self._is_one_hot = True
        self._distinct: set[Any] | None = set() if field.may_have_classes and field.classes is None else None

    def add(self, values: Any) -> None:
        """Take in the next values."""
        field = self._field
        if isinstance(values, RaggedBlock):
            values, self._distinct = values.values, None
        if not isinstance(values, np.ndarray):
            self._collect(values)
            return
        if field.missing:
            field.gaps += int(np.isnan(values).sum())
            values = values[~np.isnan(values)]
        if not values.size or values.dtype.kind not in "iufb":
            return
        if self._distinct is not None:
            if values[0].size == 1:
                self._collect(np.unique(values).tolist())
            self._is_one_hot = self._is_one_hot and _is_one_hot(values)
        if values.dtype.kind != "b":
            low, high = values.min().item(), values.max().item()
            self._span = self._span or [low, high]
            # NaN is neither less nor more, and stays once it is there.
            self._span = [min(low, self._span[0]), max(high, self._span[1])]
            if math.isnan(low):
                self._span = [math.nan, math.nan]

    def _collect(self, values: Iterable[Any]) -> None:
        if self._distinct is not None:
            self._distinct.update(values)
            if len(self._distinct) > MAX_CLASSES:
                self._distinct = None

    def settle(self, samples: int) -> None:
        """Give the field its range, or the classes that its values are; `samples` are those of the largest split."""
        one, span = self._field, self._span
        if one.classes is not None:
            one.dtype = "int64"
            one.note = _note_of(one.classes)
        elif self._distinct is not None and len(one.shape) < 2 and self._has_classes(samples):
            one.dtype, one.shape = "int64", ()
        elif span is None or not all(map(math.isfinite, span)):
            one.note = one.note if span is None else "holds values that are not finite, so it has no range"
        elif one.dtype == "uint8" and one.shape:
            one.range = (0, 255)
        else:
            one.range = (_rounded(span[0], math.floor), _rounded(span[1], math.ceil))
            found = "as found: widen it to what a value may be"
            one.note = f"{found}; {one.note}" if one.note else found

    def _has_classes(self, samples: int) -> bool:
        """Give the field classes, if its values are few names or numbers that name them, or one-hot."""
        one, distinct = self._field, self._distinct or set()
        if math.prod(length or 0 for length in one.shape) > 1:
            width = one.shape[0] or 0
            if not self._is_one_hot or samples <= width:
                return False
            one.classes, one.stored = tuple(map(str, range(width))), "one-hot"
            one.note = "stored as a 1 in one of the columns; numbers stand for names that the file does not have"
            return True
        if not distinct:
            return False
        if all(isinstance(value, str) for value in distinct):
            if "" in distinct or len(distinct) > max(2, samples // 2):
                return False
            one.classes = tuple(sorted(distinct))
            one.note = _note_of(one.classes)
            return True
        if distinct <= {False, True} and one.dtype == "bool":
            one.classes, one.note = ("false", "true"), "stored as bools"
            return True
        if not (values := _label_values(distinct, samples, is_whole=one.dtype[:1] in "iu")):
            return False
        one.classes = tuple(map(str, values))
        one.values = () if values == tuple(range(len(values))) else values
        one.note = "numbers stand for names that the file does not have"
        return True


def _label_values(distinct: Collection[Any], samples: int, *, is_whole: bool) -> tuple[int, ...] | None:
    """Return the numbers of classes that an array of labels has; of whole ones also such as no sample has."""
    low, high = min(distinct), max(distinct)
    is_counted = is_whole and low in (0, 1) and high < min(MAX_CLASSES, samples)
    if is_counted and len(distinct) > (high - low) / 2:
        return tuple(range(low, high + 1))
    values = label_values(distinct, samples)
    return values if values or not is_whole or low < 0 or high >= min(MAX_CLASSES, samples) else tuple(range(high + 1))


def _is_one_hot(values: np.ndarray) -> bool:
    """Check whether each row has one 1 among zeros."""
    if values.ndim != 2 or not ((values == 0) | (values == 1)).all():
        return False
    return bool((np.count_nonzero(values, axis=1) == 1).all())


def _rounded(value: Any, toward: Callable[[float], int]) -> Any:
    """Return a bound to four digits that still holds the value; whole numbers as they are.

    So are the largest and the least of floats: the one is no whole number that anybody writes out (a raster's
    -3.4028235e+38 where it has no data), and next to the other there is no room for digits.
    """
    if isinstance(value, int):
        return value
    if value == int(value):
        return int(value) if abs(value) < MOST_WRITTEN_OUT else value
    digits = 3 - math.floor(math.log10(abs(value)))
    if digits > sys.float_info.max_10_exp:
        return value
    step = 10.0**-digits
    return round(toward(value / step) * step, max(digits, 0))


def _note_of(classes: Sequence[str]) -> str:
    """Return what a reader of the entry should know of classes: whether one of them may be no class."""
    marks = list(filter(is_missing, classes))
    doubt = f"; {shown_marks(marks)} may mean a missing value, and is a class here" if marks else ""
    return f"a label is a position in this list{doubt}"
