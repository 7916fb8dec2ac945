"""Decoded values against the declaration: shape, dtype, range, classes.

Looked at block by block, while the values are still in the processor's cache.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinytorch_datasets.digests import ValueDigest
from tinytorch_datasets.errors import Aspect, ContentError, DecodeError
from tinytorch_datasets.plan import Block, Column, RaggedBlock, Split, format_shape
from tinytorch_datasets.storage.encoded_array import EncodedBlock
from tinytorch_datasets.storage.string_array import StringArray


def _refuse(error: ContentError) -> None:
    raise error


def checked(
    blocks: Iterable[Block], splits: Sequence[Split], *, on_error: Callable[[ContentError], None] = _refuse
) -> Iterator[Block]:
    """Yield the same blocks, each checked to be as declared; labels come out as int64.

    `on_error` is called with what is not, and raises it by default; where it returns, those blocks are left out.

    Raises:
        ContentError: A block has another dtype, shape or range than declared, a label outside the classes; a column
            has more or fewer samples, or one twice; or a split has the samples of another.
    """
    columns = {id(column): column for split in splits for column in split.columns.values()}
    arrived = {key: _Arrived() for key in columns}
    twins = _Twins(splits)
    for column, start, values in blocks:
        end = start + len(values)
        if start < 0 or end > column.count:
            on_error(_wrong(column, "samples", f"{column.count:,}", f"{end:,} or more"))
            continue
        if again := arrived[id(column)].add(start, end):
            on_error(_wrong(column, "samples", "each once", f"{again[0]:,} to {again[1] - 1:,} twice"))
            continue
        try:
            right = _checked(column, start, values)
        except ContentError as error:
            on_error(error)
        else:
            twins.add(column, start, right)
            yield Block(column, start, right)
    for key, column in columns.items():
        if arrived[key].count != column.count:
            on_error(_wrong(column, "samples", f"{column.count:,}", f"{arrived[key].count:,}"))
    for copy in twins.repeated():
        on_error(copy)


def other_digests(columns: Iterable[Column], digests: Mapping[str, str]) -> Iterator[ContentError]:
    """Yield each column whose values have another digest than declared, given digests by column (``train.images``)."""
    for column in columns:
        taken = digests.get(str(column))
        if column.sha256 not in (None, taken):
            yield ContentError(
                column.file,
                f"{column} has decoded values of sha256\n    {taken}, declared is\n    {column.sha256}",
                aspect="sha256",
                expected=column.sha256,
                actual=taken,
                column=str(column),
                where=column.sha256_where,
            )


def declared_at(error: DecodeError, splits: Iterable[Split]) -> str | None:
    """Return the line of the manifest that declares otherwise: a field's, or where a split's samples are counted."""
    if not isinstance(error, ContentError):
        return None
    for split in splits:
        if split.name == error.split:
            return split.where
        for column in split.columns.values():
            if str(column) == error.column:
                return split.where if error.aspect == "samples" else column.where
    return None


class _Arrived:
    """Which samples of a column have come, as runs that neither touch nor overlap: mostly one, from 0 on."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    @property
    def count(self) -> int:
        """How many samples have come."""
        return sum(self._ends) - sum(self._starts)

    def add(self, start: int, end: int) -> tuple[int, int] | None:
        """Note samples `start` to `end`; or give the run of those that had come before, and note nothing."""
        if start == end:
            return None
        at = bisect.bisect_right(self._starts, start)
        if at and self._ends[at - 1] > start:
            return start, min(end, self._ends[at - 1])
        if at < len(self._starts) and self._starts[at] < end:
            return self._starts[at], min(end, self._ends[at])
        if at and self._ends[at - 1] == start:
            self._ends[at - 1] = end
        else:
            self._starts.insert(at, start)
            self._ends.insert(at, end)
            at += 1
        if at < len(self._starts) and self._starts[at] == end:
            self._ends[at - 1] = self._ends[at]
            del self._starts[at], self._ends[at]
        return None


class _Twins:
    """Splits that could be each other's copies: digests are taken of those with as many samples, and of no others."""

    def __init__(self, splits: Sequence[Split]) -> None:
        alike: dict[int, list[Split]] = {}
        for split in splits:
            alike.setdefault(split.samples, []).append(split)
        self._alike = [splits for splits in alike.values() if len(splits) > 1]
        self._digests = {
            id(c): ValueDigest.of(c) for splits in self._alike for split in splits for c in split.columns.values()
        }

    def add(self, column: Column, start: int, values: Any) -> None:
        """Take in a block."""
        if id(column) in self._digests:
            self._digests[id(column)].add(start, values)

    def repeated(self) -> Iterator[ContentError]:
        """Yield each split that has, field by field, the samples of one before it."""
        for alike in self._alike:
            first: dict[tuple[str | None, ...], Split] = {}
            for split in alike:
                digests = tuple(self._digests[id(column)].sha256 for column in split.columns.values())
                other = first.setdefault(digests, split)
                if other is not split and None not in digests:
                    yield _repeated(split, other)


def _repeated(split: Split, other: Split) -> ContentError:
    return ContentError(
        next(iter(split.columns.values())).file,
        f"{split.name} repeats {other.name}: all {split.samples:,} samples are the same, in the same order",
        aspect="copy",
        expected=f"other samples than those of {other.name}",
        actual="the same",
        split=split.name,
    )


def _checked(column: Column, start: int, values: Any) -> Any:
    if isinstance(values, EncodedBlock):
        return replace(values, values=_checked(column, start, values.values))
    if column.is_text:
        return _text(column, values)
    return _ragged(column, values) if column.is_ragged else _numbers(column, start, values)


def _text(column: Column, values: Any) -> Any:
    if isinstance(values, StringArray):
        return values
    if isinstance(values, np.ndarray | RaggedBlock) or not all(issubclass(of, str) for of in set(map(type, values))):
        raise _wrong(column, "dtype", "str", str(getattr(values, "dtype", "something else")))
    return values


def _ragged(column: Column, values: Any) -> Any:
    if not isinstance(values, RaggedBlock):
        raise _wrong(column, "shape", format_shape(column.shape), "one for all samples")
    if values.shapes.shape[1] != len(column.shape):
        raise _wrong(column, "shape", format_shape(column.shape), f"of {values.shapes.shape[1]} dimensions")
    for axis, length in enumerate(column.shape):
        if length is not None and (other := values.shapes[:, axis][values.shapes[:, axis] != length]).size:
            raise _wrong(column, "shape", format_shape(column.shape), f"{other[0]:,} along axis {axis}")
    _check_numbers(column, values.values)
    return values


def _numbers(column: Column, start: int, values: Any) -> np.ndarray:
    if not isinstance(values, np.ndarray):
        raise _wrong(column, "dtype", column.dtype, "str")
    if values.shape[1:] != column.shape:
        raise _wrong(column, "shape", list(column.shape), list(values.shape[1:]))
    if column.classes is not None:
        return _labels(column, start, values)
    _check_numbers(column, values)
    return values


def _check_numbers(column: Column, values: np.ndarray) -> None:
    if values.dtype != np.dtype(column.dtype):
        raise _wrong(column, "dtype", column.dtype, str(values.dtype))
    if column.range is None or _holds_for_any(column.range, values.dtype):
        return
    known = values[_is_known(column, values)] if column.missing else values
    # Written so that NaN, which compares as neither, is outside every range.
    if known.size and not (known.min() >= _limit(column, 0) and known.max() <= _limit(column, 1)):
        raise _wrong(column, "range", list(column.range), [known.min().item(), known.max().item()])


def _is_known(column: Column, values: np.ndarray) -> np.ndarray:
    """Return which values are there, of a column that declares how a missing one is marked."""
    is_known: np.ndarray = ~np.isnan(values) if values.dtype.kind == "f" else values != column.missing_value
    return is_known


def _holds_for_any(span: tuple[float, float], dtype: np.dtype) -> bool:
    """Check whether no value of the dtype is outside: every byte is from 0 to 255, and need not be looked at."""
    if dtype.kind not in "ui":
        return False
    return bool(span[0] <= np.iinfo(dtype).min and np.iinfo(dtype).max <= span[1])


def _limit(column: Column, end: int) -> Any:
    """Return one end of the range, as the values' dtype has it: 0.1 is another as float32, and 1e9 none as float16."""
    assert column.range is not None
    limit = column.range[end]
    if np.dtype(column.dtype).kind != "f":
        return limit
    with np.errstate(over="ignore"):
        return np.float64(limit).astype(column.dtype)


def _labels(column: Column, start: int, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "ui":
        raise _wrong(column, "dtype", "whole numbers for labels", str(values.dtype))
    last = len(column.classes or ()) - 1
    outside = np.flatnonzero((values < 0) | (values > last))
    if outside.size:
        at = int(outside[0])
        count = f", and {outside.size - 1:,} more outside" if outside.size > 1 else ""
        raise _wrong(column, "labels", f"0 to {last}", f"{values[at]} at sample {start + at:,}{count}")
    return values.astype(np.int64, copy=False)


def _wrong(column: Column, aspect: Aspect, expected: Any, actual: Any) -> ContentError:
    return ContentError(
        column.file,
        f"{column} has {aspect} {actual}, declared is {expected}",
        aspect=aspect,
        expected=expected,
        actual=actual,
        column=str(column),
    )
