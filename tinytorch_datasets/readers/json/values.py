"""The values of columns from records, each exact, in the declared dtype.

Labels come as they are stored: what stands for which class is of a later stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from typing import Any, NoReturn

import numpy as np

from tinytorch_datasets.errors import Aspect, did_you_mean
from tinytorch_datasets.plan import MAX_EXACT, Column, RaggedBlock
from tinytorch_datasets.readers.json.records import MOST_DIGITS, Absent, Records, follow, json_type, shown
from tinytorch_datasets.readers.text import REAL


def values(column: Column, records: Records) -> np.ndarray | list[str] | RaggedBlock:
    """Return the values of one field in all of these records, in its declared dtype and shape.

    Labels come as they are stored: as numbers, bools, or a list of texts.

    Raises:
        ContentError: A record has no such value, or one of another type, or one that the dtype does not hold exactly.
    """
    cells = _Cells(column, records)
    if column.classes is not None:
        flat: Any = _labels(cells)
    elif column.is_text:
        return _texts(cells)
    else:
        flat = _numbers(cells)
    if cells.shapes is not None:
        return RaggedBlock(flat, cells.shapes)
    return flat if isinstance(flat, list) else flat.reshape(cells.samples, *cells.shape)


def _keys(column: Column, records: Records) -> Sequence[int | str]:
    """Return the keys of a field's columns, if it has several: at its place, or by names that are no other's."""
    if column.columns or not column.names or column.key not in ("", column.field):
        return column.columns
    first = records.items[0] if records.items else None
    return () if isinstance(first, dict) and column.field in first else column.names


class _Cells:
    """The single values of a field in some records, one after the other, and where each of them is."""

    def __init__(self, column: Column, records: Records) -> None:
        self.column, self._records = column, records
        self.samples = len(records.items)
        self.shape: tuple[int | None, ...] = column.shape
        self.shapes: np.ndarray | None = None
        if column.per == "split":
            records.stream.fail(f"{column} belongs to the split as a whole, for which records have no place")
        self._keys = _keys(column, records)
        if column.field in records.above:
            self.flat: list[Any] = list(records.above[column.field])
        elif self._keys:
            if math.prod(column.sample_shape) != len(self._keys):
                records.stream.refuse(
                    f"{len(self._keys):,} columns are named for {column.field}, whose shape {column.shape} needs "
                    f"{math.prod(column.sample_shape):,}",
                    aspect="shape",
                    expected=math.prod(column.sample_shape),
                    actual=len(self._keys),
                    column=str(column),
                )
            rows = zip(*(self._picked(str(key)) for key in self._keys), strict=True)
            self.flat = list(chain.from_iterable(rows))
            return
        else:
            self.flat = self._picked(column.key)
        self._flatten()

    def _picked(self, key: str) -> list[Any]:
        """Return what each record has at a path of keys; None for nothing, where that means a missing value."""
        items = self._records.items
        try:
            return list(map(itemgetter(key), items))
        except (LookupError, TypeError):  # not by that name alone
            if key.isdecimal() and len(key) < MOST_DIGITS and set(map(type, items)) == {list}:
                with suppress(LookupError):
                    return list(map(itemgetter(int(key)), items))
        picked = list[Any]()
        for at, record in enumerate(items):
            try:
                picked.append(follow(record, key))
            except Absent:
                if None not in self.column.missing:
                    self._refuse_absent(at, key)
                picked.append(None)
        return picked

    def _refuse_absent(self, at: int, key: str) -> NoReturn:
        record = self._records.items[at]
        what = (
            f"has nothing at {key!r}" if isinstance(record, dict | list) else f"is {json_type(record)}, not an object"
        )
        guess = did_you_mean(key, list(record)[:1000]) if isinstance(record, dict) else ""
        self._records.stream.refuse(
            f"{self._records.place(at)} {what}, which is {self.column.field}{guess}",
            aspect="dtype",
            expected=self.column.dtype,
            actual="nothing",
            column=str(self.column),
            hint=self._null_hint(),
        )

    def _flatten(self) -> None:
        """Take the values out of lists, which must be as long as declared."""
        if None in self.shape:
            self.shapes = np.empty((self.samples, len(self.shape)), np.int64)
        self._counts = np.ones(self.samples, np.int64)
        for axis, length in enumerate(self.shape):
            if wrong := set(map(type, self.flat)) - {list}:
                at = next(at for at, value in enumerate(self.flat) if type(value) in wrong)
                self._refuse_shape(at, f"{shown(self.flat[at])} is not a list")
            lengths = np.fromiter(map(len, self.flat), np.int64, len(self.flat))
            if length is None:
                starts = np.cumsum(self._counts) - self._counts
                of_samples = np.zeros(self.samples, np.int64)
                of_samples[self._counts > 0] = lengths[starts[self._counts > 0]]
                wanted = np.repeat(of_samples, self._counts)
            else:
                of_samples = np.full(self.samples, length, np.int64)
                wanted = np.full(len(lengths), length, np.int64)
            if (wrong_ones := np.flatnonzero(lengths != wanted)).size:
                at = int(wrong_ones[0])
                others = "others before it have" if length is None else f"the shape {list(self.shape)} has"
                self._refuse_shape(at, f"a list has {lengths[at]:,} values, where {others} {wanted[at]:,}")
            if self.shapes is not None:
                self.shapes[:, axis] = of_samples
            self.flat = list(chain.from_iterable(self.flat))
            self._counts = self._counts * of_samples

    def _refuse_shape(self, at: int, what: str) -> NoReturn:
        self.refuse(at, what, aspect="shape", hint=None)

    def refuse(self, at: int, what: str, *, aspect: Aspect = "dtype", hint: str | None = None) -> NoReturn:
        """Say what is wrong with the value at that position."""
        if self._keys and self.column.field not in self._records.above:
            sample, of_sample = divmod(at, len(self._keys))
            key = str(self._keys[of_sample])
        else:
            sample = int(np.searchsorted(np.cumsum(self._counts), at, "right"))
            key = self.column.key
        value = self.flat[at]
        expected: Any = self.column.dtype if aspect == "dtype" else list(self.shape)
        self._records.stream.refuse(
            f"{self._records.place(sample)}, {key!r}: {what}",
            aspect=aspect,
            expected=expected,
            actual=shown(value),
            column=str(self.column),
            hint=self._null_hint() if value is None and aspect == "dtype" else hint,
        )

    def _null_hint(self) -> str | None:
        column = self.column
        if column.is_text:
            return "A field of text has no mark of a missing value: leave it out, or take another."
        if column.classes is not None or column.dtype == "bool":
            return None
        if column.missing:
            return f"If it means a missing value, add null to `missing` of {column.field}."
        value = "" if np.dtype(column.dtype).kind == "f" else ", and a `missing_value` that is no value of the data"
        return f"If it means a missing value, declare `missing: [null]` for {column.field}{value}."

    def first(self, wrong: Callable[[Any], bool]) -> int:
        """Return the position of the first wrong value."""
        return next(at for at, value in enumerate(self.flat) if wrong(value))

    def refuse_first(self, wrong: Callable[[Any], bool], says: str) -> NoReturn:
        """Say of the first wrong value what it is."""
        at = self.first(wrong)
        self.refuse(at, f"{shown(self.flat[at])} is {says}")


def _texts(cells: _Cells) -> list[str]:
    if set(map(type, cells.flat)) - {str}:
        cells.refuse_first(lambda value: type(value) is not str, "not a text")
    try:
        "".join(cells.flat).encode()
    except UnicodeEncodeError:
        cells.refuse_first(_is_half_a_character, "no text: it has half of a surrogate pair")
    return cells.flat


def _is_half_a_character(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _labels(cells: _Cells) -> np.ndarray | list[str]:  # noqa: RET503 -- it ends in what never returns
    """Return labels as they are stored, all of one type."""
    types = set(map(type, cells.flat))
    if types <= {str}:
        return _texts(cells)
    if types == {bool}:
        return np.array(cells.flat, np.bool_)
    if types <= {int, float}:
        try:
            return np.array(cells.flat, np.float64 if float in types else np.int64)
        except OverflowError:
            cells.refuse_first(lambda value: not -(2**63) <= value < 2**63, "no label: it does not fit 64 bits")
    if wrong := types - {int, float, str, bool}:
        cells.refuse_first(lambda value: type(value) in wrong, "no label: neither a number nor a text")
    first = type(cells.flat[0])
    cells.refuse_first(lambda value: type(value) is not first, f"not {json_type(cells.flat[0])}, as the label before")


def _numbers(cells: _Cells) -> np.ndarray:
    column, flat = cells.column, cells.flat
    dtype = np.dtype(column.dtype)
    absent = _absent(column, flat)
    for at in absent:
        flat[at] = 0
    if dtype.kind == "b":
        is_other: Callable[[Any], bool] = lambda v: type(v) is not bool and (type(v) is not int or v not in (0, 1))  # noqa: E731
        if set(map(type, flat)) - {bool} and any(map(is_other, flat)):
            cells.refuse_first(is_other, "neither true nor false")
        return np.array(flat, np.bool_)
    if wrong := set(map(type, flat)) - ({int, float, bool} if column.stored == "one-hot" else {int, float}):
        cells.refuse_first(lambda value: type(value) in wrong, "not a number")
    made = _real(cells, dtype) if dtype.kind == "f" else _whole(cells, dtype)
    if absent and dtype.kind == "f":
        made[absent] = np.nan
    elif column.missing and dtype.kind != "f":
        value = column.missing_value
        assert value is not None, "the manifest refuses whole numbers without it"
        if np.count_nonzero(made == value) > (len(absent) if value == 0 else 0):
            gaps = set(absent)
            at = next(at for at, number in enumerate(flat) if number == value and at not in gaps)
            cells.refuse(at, f"{value} is the `missing_value`, and no mark of a missing value")
        made[absent] = value
    return made


def _absent(column: Column, flat: Sequence[Any]) -> list[int]:
    """Return the positions of what means a missing value: a null, the same text, or for a number, the same number."""
    if not column.missing:
        return []
    texts = {mark for mark in column.missing if mark is not None}
    marks: set[Any] = {*column.missing, *(float(mark) for mark in texts if REAL.fullmatch(mark))}
    return [
        at for at, value in enumerate(flat) if (value is None or type(value) in (str, int, float)) and value in marks
    ]


def _whole(cells: _Cells, dtype: np.dtype) -> np.ndarray:
    flat = cells.flat
    if float in set(map(type, flat)):
        # 3.0 is the whole number 3; of a number beyond 2**53 nobody knows what was written.
        is_odd: Callable[[Any], bool] = lambda v: type(v) is float and not (abs(v) <= MAX_EXACT and v.is_integer())  # noqa: E731
        if any(map(is_odd, flat)):
            cells.refuse_first(is_odd, "not a whole number")
        flat = list(map(int, flat))
    lowest, highest = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    try:
        made = np.array(flat, np.uint64 if dtype == np.uint64 and min(flat, default=0) >= 0 else np.int64)
    except OverflowError:
        made = None
    if made is None or (made.size and not lowest <= int(made.min()) <= int(made.max()) <= highest):
        says = f"outside {lowest} to {highest}, what {dtype} can hold"
        cells.refuse_first(lambda value: not lowest <= value <= highest, says)
    return made.astype(dtype, copy=False)


def _real(cells: _Cells, dtype: np.dtype) -> np.ndarray:
    flat = cells.flat
    if int in set(map(type, flat)):
        is_long: Callable[[Any], bool] = lambda v: type(v) is int and abs(v) > MAX_EXACT and not _is_exact(v)  # noqa: E731
        if any(map(is_long, flat)):
            cells.refuse_first(is_long, "a whole number that float64 does not hold exactly")
    with np.errstate(over="ignore"):  # found just below
        made = np.array(flat, np.float64).astype(dtype)
        if not np.isfinite(made).all():
            infinite = lambda value: not np.isfinite(np.float64(value).astype(dtype))  # noqa: E731
            cells.refuse_first(infinite, f"more than {dtype} can hold")
    return made


def _is_exact(number: int) -> bool:
    try:
        return int(float(number)) == number
    except OverflowError:
        return False
