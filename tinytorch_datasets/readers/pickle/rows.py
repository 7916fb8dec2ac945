"""Blocks of samples that are objects: texts, numbers, lists or arrays of numbers.

Of the objects that a pickle holds, the numbers and the texts are read, and lists and arrays of numbers. Everything
else is refused.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.errors import Aspect, ContentError, DecodeError, UnsafePickle
from tinytorch_datasets.plan import TEXT, Block, Column, RaggedBlock, format_shape
from tinytorch_datasets.readers.arrays import MOST_DIMENSIONS, check_within_declared, exact, max_decoded, too_much_text
from tinytorch_datasets.readers.pickle.packed import Row, joined, packed
from tinytorch_datasets.readers.pickle.values import Latin1Text

BLOCK_SAMPLES, BLOCK_NUMBERS = 4096, 1 << 17

_NAMES = {Row: "list", str: "text", bytes: "text", Latin1Text: "text", int: "number", float: "number"}
# What a field of another kind could hold.
_PLAIN = (int, float, bool, str, bytes, Latin1Text, Row, list, tuple, np.generic)


def describe(item: Any) -> str:
    """Name what stands where a number or a text should.

    >>> describe(None), describe("a"), describe(7), describe(2**70), describe({}), describe(())
    ('None', 'a text', 'a number', 'a whole number of more than 64 bits', 'a dict', 'a tuple')
    """
    if item is None:
        return "None"
    if type(item) is np.ndarray:
        return "an array of objects" if item.dtype == object else f"an array of {item.dtype.name}"
    if type(item) is int and not -(2**63) <= item < 2**63:
        return "a whole number of more than 64 bits"
    return f"a {_NAMES.get(type(item), type(item).__name__)}"


class _Unfit(Exception):
    """A sample is not numbers; `item` is what it is, or has in it, and `what` says so."""

    def __init__(self, item: Any, what: str | None = None) -> None:
        self.item, self.what = item, what or describe(item)


_UNLIKE = "a list of lists that differ in length, or of lists and numbers"
_NO_TYPE = "a list of numbers that no single type holds"


class _Budget:
    """How many numbers the samples of a file may still come to: one list may be in a pickle a million times."""

    def __init__(self, path: Path, samples: int, whose: str) -> None:
        self._path, self._whose = path, whose
        self._most = self._left = max_decoded(path, samples)

    def spend(self, count: int) -> None:
        """Take so many off, or refuse."""
        self._left -= count
        if self._left < 0:
            reason = f"the samples of {self._whose} come to more than {self._most:,} numbers"
            raise DecodeError(self._path, f"{reason}, which is too much for a file of its size")


def as_numbers(item: Any, depth: int, budget: _Budget) -> np.ndarray:
    """Return the numbers of a sample of at most so many axes, whole ones as int64 where it has no dtype itself."""
    budget.spend(1)
    if type(item) is np.ndarray and item.dtype.kind in "biuf":
        return item
    if type(item) in (tuple, list):
        item = Row(item)
    if type(item) is not Row:
        one = packed([item])
        if one is None:
            raise _Unfit(item)
        return one.reshape(())
    if depth == 0:
        raise _Unfit(item)
    numbers = item.numbers()
    if numbers is not None:
        return numbers
    values, lists = item.tolist(), (Row, list, tuple, np.ndarray) if depth > 1 else ()
    for one in values:
        if type(one) not in lists and packed([one]) is None:
            raise _Unfit(one, f"a list with {describe(one)} in it")
    parts = [as_numbers(one, depth - 1, budget) for one in values]
    budget.spend(sum(part.size for part in parts))
    if len({part.shape for part in parts}) > 1:
        raise _Unfit(item, _UNLIKE)
    stacked = joined([part.ravel() for part in parts])
    if stacked is None:
        raise _Unfit(item, _NO_TYPE)
    return stacked.reshape(len(parts), *parts[0].shape)


def type_of(items: Sequence[Any], path: Path, whose: str) -> tuple[str, tuple[int | None, ...]]:
    """Return the dtype and the shape of a field whose samples are these objects; None is an axis that differs.

    Raises:
        DecodeError: They are neither all text nor all numbers.
    """
    if items and all(type(item) in (str, bytes, Latin1Text) for item in items):
        return TEXT, ()
    budget = _Budget(path, len(items), whose)
    try:
        numbers = [as_numbers(item, MOST_DIMENSIONS, budget) for item in items]
    except _Unfit as unfit:
        reason = f"{whose} holds Python objects, one of them {unfit.what}"
        raise DecodeError(path, reason) from None
    shapes = [*dict.fromkeys(number.shape for number in numbers)]
    dtypes = {number.dtype for number in numbers if number.size}
    if len(set(map(len, shapes))) != 1 or len({dtype.kind == "b" for dtype in dtypes}) != 1:
        reason = f"{whose} holds Python objects that are not all of one type and as many axes"
        raise DecodeError(path, reason)
    dtype = np.result_type(*dtypes)
    if not all(type(item) is np.ndarray for item in items):  # Python's own numbers, which are kept narrow here
        dtype = np.dtype({"f": np.float64, "b": np.bool_}.get(dtype.kind, np.int64))
    return dtype.name, tuple(axis[0] if len(set(axis)) == 1 else None for axis in zip(*shapes, strict=True))


def object_blocks(column: Column, held: np.ndarray, path: Path, whose: str) -> Iterator[Block]:
    """Yield the samples that an array of objects holds, as the column declares them.

    Raises:
        UnsafePickle: One is neither a number nor a text, nor numbers.
        ContentError: There are more than declared, or one is not as declared.
    """
    items = held.ravel().tolist()
    if holds_texts(column, items):
        check_within_declared(column, np.dtype("U1"), held.shape, path, whose)
        yield from text_blocks(column, items, path, whose)
        return
    has_lists = any(type(item) in (Row, list, tuple, np.ndarray) for item in items)
    if has_lists and held.size > max(held.shape, default=0):
        raise DecodeError(path, f"{whose} has {held.ndim} axes, and lists in them")
    if has_lists or held.ndim == 1:
        yield from row_blocks(column, items, path, whose)
        return
    numbers = packed(items)
    if numbers is None:
        yield from row_blocks(column, held.reshape(held.shape or 1).tolist(), path, whose)
        return
    shape = check_within_declared(column, np.dtype(column.dtype), held.shape, path, whose)
    if column.is_ragged:
        yield from row_blocks(column, [*numbers.reshape(shape)], path, whose)
        return
    numbers = _exact(column, numbers, _Places(0, [shape[1:]] * shape[0]), path, whose)
    yield Block(column, 0, numbers.reshape(shape))


def row_blocks(column: Column, items: Sequence[Any], path: Path, whose: str) -> Iterator[Block]:
    """Yield samples that are a number each, or a list or an array of numbers."""
    if len(items) > column.count:
        reason = f"{whose} has {len(items):,} samples, more than {column} declares: {column.count:,}"
        _refuse_content(column, path, reason, "samples", column.count, len(items))
    if not column.shape and (numbers := packed(items)) is not None:
        yield Block(column, 0, _exact(column, numbers, _Places(0, [()] * len(items)), path, whose))
        return
    start, budget = 0, _Budget(path, column.count, whose)
    while True:
        parts, shapes, count = list[np.ndarray](), list[tuple[int, ...]](), 0
        for at, item in enumerate(items[start : start + BLOCK_SAMPLES], start):
            try:
                numbers = as_numbers(item, len(column.shape), budget)
            except _Unfit as unfit:
                _refuse(column, path, whose, at, unfit)
            shapes.append(_shape_of(column, numbers.shape, path, whose, at))
            parts.append(numbers.ravel())
            count += numbers.size
            budget.spend(numbers.size)
            if count >= BLOCK_NUMBERS:
                break
        values = _joined(column, parts, _Places(start, shapes), path, whose)
        if column.is_ragged:
            of_each = np.array(shapes, np.int64).reshape(len(shapes), len(column.shape))
            yield Block(column, start, RaggedBlock(values, of_each))
        else:
            yield Block(column, start, values.reshape(len(shapes), *column.sample_shape))
        start += len(shapes)
        if start >= len(items):
            return


def _shape_of(column: Column, shape: tuple[int, ...], path: Path, whose: str, at: int) -> tuple[int, ...]:
    """Return the shape of a sample, if it is one that the column declares."""
    if shape == (0,):  # an empty list has no second axis
        shape = (0, *(length or 0 for length in column.shape[1:]))
    fits = len(shape) == len(column.shape)
    if not fits or any(d is not None and d != length for d, length in zip(column.shape, shape, strict=True)):
        reason = f"{whose}: sample {at:,} has the shape {list(shape)}, {column} declares {format_shape(column.shape)}"
        _refuse_content(column, path, reason, "shape", list(column.shape), list(shape))
    return shape


class _Places(NamedTuple):
    """Where the numbers of some samples are: those of a sample come one after the other."""

    start: int
    shapes: Sequence[tuple[int, ...]]
    before: int = 0

    def of(self, at: int) -> int:
        """Return the sample of a number."""
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        return self.start + int(ends.searchsorted(self.before + at, "right"))


def _joined(column: Column, parts: Sequence[np.ndarray], places: _Places, path: Path, whose: str) -> np.ndarray:
    """Return the numbers of some samples in the declared dtype: as many at once as are of one kind.

    An empty list has no kind.
    """
    done, before = [np.empty(0, column.dtype if column.classes is None else np.int64)], 0
    for _, alike in itertools.groupby(filter(len, parts), lambda part: part.dtype.kind):
        values = np.concatenate([*alike])
        done.append(_exact(column, values, places._replace(before=before), path, whose))
        before += len(values)
    return np.concatenate(done[1:] or done)


def _exact(column: Column, values: np.ndarray, places: _Places, path: Path, whose: str) -> np.ndarray:
    """Return numbers in the declared dtype, which must have each of them; floats may be the nearest of theirs.

    What stands for classes is kept as it is: which numbers those may be is checked of every format alike.
    """
    if column.classes is not None:
        return values
    dtype = np.dtype(column.dtype)
    kind, wanted = values.dtype.kind, dtype.kind
    if (kind == "b") != (wanted == "b") or (kind == "f" and wanted != "f"):
        reason = f"{whose} holds numbers of the type {values.dtype.name}, {column} is declared as {dtype.name}"
        _refuse_content(column, path, reason, "dtype", dtype.name, values.dtype.name)
    converted, lost = exact(values, dtype)
    if lost is not None and lost.any():
        at = int(lost.argmax())
        reason = (
            f"{whose}: sample {places.of(at):,} has {values[at]}, which {column}, declared as {dtype.name}, cannot hold"
        )
        _refuse_content(column, path, reason, "dtype", dtype.name, str(values[at]))
    return converted


def _as_text(item: Any) -> str | None:
    if type(item) is Latin1Text:
        return item.text
    if type(item) is bytes:  # as Python 2 wrote it
        item = item.decode("utf-8")
    return item if isinstance(item, str) else None


def holds_texts(column: Column, items: Sequence[Any]) -> bool:
    """Check whether objects are to be texts: because that is declared, or names of classes are what they are."""
    return column.is_text or (column.classes is not None and bool(items) and _as_text(items[0]) is not None)


def text_blocks(column: Column, items: Sequence[Any], path: Path, whose: str) -> Iterator[Block]:
    """Yield samples that are a text each.

    Raises:
        ContentError: One is none, or there are more than declared.
    """
    if len(items) > column.count:
        reason = f"{whose} has {len(items):,} texts, more than {column} declares: {column.count:,}"
        _refuse_content(column, path, reason, "samples", column.count, len(items))
    characters, most = 0, max_decoded(path, column.count)
    for start in range(0, len(items), BLOCK_SAMPLES) or (0,):
        texts: list[str] = []
        for at, item in enumerate(items[start : start + BLOCK_SAMPLES], start):
            try:
                text = _as_text(item)
            except UnicodeDecodeError as error:
                raise DecodeError(path, f"{whose} has a text that is not UTF-8, at sample {at:,}") from error
            if text is None:
                _refuse(column, path, whose, at, _Unfit(item))
            texts.append(text)
        characters += sum(map(len, texts))
        if characters > most:
            raise DecodeError(path, f"{whose}: {too_much_text(most)}")
        yield Block(column, start, texts)


def _refuse(column: Column, path: Path, whose: str, at: int, unfit: _Unfit) -> NoReturn:
    """Refuse a sample: as another than declared if it is plain, else as what pickles are refused for."""
    declared = "text" if column.is_text else "numbers"
    reason = f"{whose}: sample {at:,} is {unfit.what}, {column} is declared as {declared}"
    if isinstance(unfit.item, _PLAIN):
        _refuse_content(column, path, reason, "dtype", column.dtype, unfit.what)
    reason = f"{whose} holds Python objects: sample {at:,} is {unfit.what}, and no number, text or list of numbers"
    error = UnsafePickle(path, f"{reason}; nothing was run", names=("dtype |O",))
    if unfit.item is None:
        error.hint = "Save what is missing as NaN, in an array of floats."
    raise error


def _refuse_content(column: Column, path: Path, reason: str, aspect: Aspect, expected: Any, actual: Any) -> NoReturn:
    raise ContentError(path, reason, aspect=aspect, expected=expected, actual=actual, column=str(column))
