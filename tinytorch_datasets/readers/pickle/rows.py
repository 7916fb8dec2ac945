"""Blocks of samples that are objects: texts, numbers, lists or arrays of numbers.

Of the objects that a pickle holds, the numbers and the texts are read, and lists and arrays of numbers. Everything
else is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.errors import Aspect, ContentError, DecodeError, UnsafePickle
from tinytorch_datasets.plan import TEXT, Block, Column, RaggedBlock, format_shape
from tinytorch_datasets.readers.arrays import MOST_DIMENSIONS, check_within_declared, max_decoded, too_much_text, turned
from tinytorch_datasets.readers.pickle.packed import Row, joined, packed
from tinytorch_datasets.readers.pickle.values import Latin1Text

BLOCK_SAMPLES, BLOCK_NUMBERS = 4096, 1 << 17


def describe(item: Any) -> str:
    """Name what stands where a number or a text should.

    >>> describe(None), describe("a"), describe(2**70), describe({}), describe(())
    ('None', 'a text', 'a whole number of more than 64 bits', 'a dict', 'a tuple')
    """
    if item is None:
        return "None"
    if type(item) is np.ndarray:
        return "an array of objects" if item.dtype == object else f"an array of {item.dtype.name}"
    names = {Row: "list", str: "text", bytes: "text", Latin1Text: "text", float: "number"}
    if type(item) is int and not -(2**63) <= item < 2**63:
        return "a whole number of more than 64 bits"
    return f"a {names.get(type(item), type(item).__name__)}"


class _Unfit(Exception):
    """A sample is not numbers; `item` is what it is, or has in it."""

    def __init__(self, what: str, item: Any = 0) -> None:
        super().__init__(what)
        self.what, self.item = what, item


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
        return turned(item)
    if type(item) in (tuple, list):
        item = Row(list(item))
    if type(item) is not Row:
        one = packed([item])
        if one is None:
            raise _Unfit(describe(item), item)
        return one.reshape(())
    if depth == 0:
        raise _Unfit(describe(item))
    numbers = item.numbers()
    if numbers is not None:
        return numbers
    lists = (Row, list, tuple, np.ndarray) if depth > 1 else ()
    for one in item.items or item.loose:
        if type(one) not in lists and packed([one]) is None:
            what = f"a list with {describe(one)} in it"
            raise _Unfit(what, one)
    if not item.items:
        raise _Unfit(_NO_TYPE)
    parts = [as_numbers(one, depth - 1, budget) for one in item.items]
    budget.spend(sum(part.size for part in parts))
    if len({part.shape for part in parts}) > 1:
        raise _Unfit(_UNLIKE)
    stacked = joined([part.reshape(-1) for part in parts])
    if stacked is None:
        raise _Unfit(_NO_TYPE)
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
    items = held.reshape(-1).tolist()
    if holds_texts(column, items):
        shape = check_within_declared(column, np.dtype("U1"), held.shape, path, whose)
        yield from text_blocks(column, items[: shape[0]], path, whose)
        return
    if held.ndim > 1 and any(type(item) in (Row, list, tuple, np.ndarray) for item in items):
        longer = tuple(length for length in held.shape if length != 1)
        if len(longer) > 1:
            raise DecodeError(path, f"{whose} has {held.ndim} axes, and lists in them")
        held = held.reshape(-1)
    if held.ndim == 1:
        yield from row_blocks(column, items, path, whose)
        return
    numbers = packed(items)
    if numbers is None:
        at = next(at for at, item in enumerate(items) if packed([item]) is None or at == len(items) - 1)
        _refuse(column, path, whose, at // max(math.prod(held.shape[1:]), 1), _Unfit(describe(items[at]), items[at]))
    numbers = numbers.reshape(held.shape)
    if column.is_ragged:
        yield from row_blocks(column, list(numbers), path, whose)
        return
    if column.classes is None:
        numbers = _exact(column, numbers.reshape(-1), _Places(0, [held.shape[1:]] * len(held)), path, whose).reshape(
            held.shape
        )
    yield Block(column, 0, numbers.reshape(check_within_declared(column, numbers.dtype, held.shape, path, whose)))


def row_blocks(column: Column, items: Sequence[Any], path: Path, whose: str) -> Iterator[Block]:
    """Yield samples that are a number each, or a list or an array of numbers."""
    if len(items) > column.count:
        reason = f"{whose} has {len(items):,} samples, more than {column} declares: {column.count:,}"
        _refuse_content(column, path, reason, "samples", column.count, len(items))
    if not column.shape and (numbers := packed(items)) is not None:
        places = _Places(0, [()] * len(items))
        yield Block(column, 0, numbers if column.classes else _exact(column, numbers, places, path, whose))
        return
    start, budget = 0, _Budget(path, column.count, whose)
    while start < len(items) or not start:
        end, parts, shapes, count = start, list[np.ndarray](), list[tuple[int, ...]](), 0
        while end < len(items) and end - start < BLOCK_SAMPLES and count < BLOCK_NUMBERS:
            item = items[end]
            if type(item) is Row and not item.items and not item.loose and len(column.shape) == 1:
                length = sum(map(len, item.parts))
                parts += item.parts
                shape: tuple[int, ...] = (length,)
            else:
                try:
                    numbers = as_numbers(item, len(column.shape), budget)
                except _Unfit as unfit:
                    _refuse(column, path, whose, end, unfit)
                shape, length = numbers.shape, numbers.size
                parts.append(numbers.reshape(-1))
            shapes.append(_shape_of(column, shape, path, whose, end))
            budget.spend(length)
            count += length
            end += 1
        values = _joined(column, parts, _Places(start, shapes), path, whose)
        if column.is_ragged:
            of_each = np.array(shapes, np.int64).reshape(len(shapes), len(column.shape))
            yield Block(column, start, RaggedBlock(values, of_each))
        else:
            yield Block(column, start, values.reshape(len(shapes), *column.sample_shape))
        if end == start:
            return
        start = end


def _shape_of(column: Column, shape: tuple[int, ...], path: Path, whose: str, at: int) -> tuple[int, ...]:
    """Return the shape of a sample, if it is one that the column declares."""
    if len(shape) == 1 and not shape[0] and len(column.shape) > 1:  # an empty list has no second axis
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
    if not parts:
        return np.empty(0, np.int64 if column.classes is not None else column.dtype)
    if column.classes is not None:
        return np.concatenate(parts)
    if len({part.dtype.kind for part in parts}) == 1:
        return _exact(column, np.concatenate(parts), places, path, whose)
    exact, before = [], 0
    for part in parts:
        exact.append(_exact(column, part, places._replace(before=before), path, whose))
        before += len(part)
    return np.concatenate(exact)


def _exact(column: Column, values: np.ndarray, places: _Places, path: Path, whose: str) -> np.ndarray:
    """Return numbers in the declared dtype, which must have each of them; floats may be the nearest of theirs."""
    dtype = np.dtype(column.dtype)
    kind, wanted = values.dtype.kind, dtype.kind
    if values.dtype == dtype:
        return values
    if (kind == "b") != (wanted == "b") or (kind == "f" and wanted != "f"):
        reason = f"{whose} holds numbers of the type {values.dtype.name}, {column} is declared as {dtype.name}"
        _refuse_content(column, path, reason, "dtype", dtype.name, values.dtype.name)
    with np.errstate(over="ignore"):
        found = values.astype(dtype)
    if wanted == "f" and kind == "f":
        lost = np.isinf(found) & ~np.isinf(values)
    elif wanted == "f":
        most = 2 ** (np.finfo(dtype).nmant + 1)
        lost = (values > most) | (values < -most)
        for at in np.flatnonzero(lost).tolist():
            lost[at] = not np.isfinite(found[at]) or int(found[at]) != int(values[at])
    else:
        limits = np.iinfo(dtype)
        lost = (values < limits.min) | (values > limits.max)
    if lost.any():
        at = int(lost.argmax())
        reason = (
            f"{whose}: sample {places.of(at):,} has {values[at]}, which {column}, declared as {dtype.name}, cannot hold"
        )
        _refuse_content(column, path, reason, "dtype", dtype.name, str(values[at]))
    return found


def _as_text(item: Any) -> str | None:
    if type(item) is Latin1Text:
        item = item.raw.decode("latin-1")
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
    for start in range(0, max(len(items), 1), BLOCK_SAMPLES):
        texts: list[str] = []
        for at, item in enumerate(items[start : start + BLOCK_SAMPLES], start):
            try:
                text = _as_text(item)
            except UnicodeDecodeError as error:
                raise DecodeError(path, f"{whose} has a text that is not UTF-8, at sample {at:,}") from error
            if text is None:
                _refuse(column, path, whose, at, _Unfit(describe(item), item))
            texts.append(text)
        characters += sum(map(len, texts))
        if characters > most:
            raise DecodeError(path, f"{whose}: {too_much_text(most)}")
        yield Block(column, start, texts)


def _refuse(column: Column, path: Path, whose: str, at: int, unfit: _Unfit) -> NoReturn:
    """Refuse a sample: as another than declared if it is plain, else as what pickles are refused for."""
    declared = "text" if column.is_text else "numbers"
    reason = f"{whose}: sample {at:,} is {unfit.what}, {column} is declared as {declared}"
    if type(unfit.item) in (int, float, bool, str, bytes, Latin1Text, Row, list, tuple) or isinstance(
        unfit.item, np.generic
    ):
        _refuse_content(column, path, reason, "dtype", column.dtype, unfit.what)
    reason = f"{whose} holds Python objects: sample {at:,} is {unfit.what}, and no number, text or list of numbers"
    error = UnsafePickle(path, f"{reason}; nothing was run", names=("dtype |O",))
    if unfit.item is None:
        error.hint = "Save what is missing as NaN, in an array of floats."
    raise error


def _refuse_content(column: Column, path: Path, reason: str, aspect: Aspect, expected: Any, actual: Any) -> NoReturn:
    raise ContentError(path, reason, aspect=aspect, expected=expected, actual=actual, column=str(column))
