"""Do the decoded values keep the manifest's promise?

Looked at block by block, while the values are still in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinytorch_datasets.errors import ContentError
from tinytorch_datasets.formats._registry import Block
from tinytorch_datasets.plan import Column, Split


def _refuse(error: ContentError) -> None:
    raise error


def checked(
    blocks: Iterable[Block], splits: Sequence[Split], *, tell: Callable[[ContentError], None] = _refuse
) -> Iterator[Block]:
    """The same blocks, each found to be as declared; labels come out as int64.

    What is not is told to `tell`, which raises it unless it is told otherwise: then those blocks are left out.

    Raises:
        ContentError: A block has another dtype, shape or range than declared, a label outside the classes, or
            a column has more or fewer samples.
    """
    columns = {id(column): column for split in splits for column in split.columns.values()}
    seen = dict.fromkeys(columns, 0)
    for column, start, values in blocks:
        end = start + len(values)
        if start < 0 or end > column.count:
            tell(_wrong(column, "samples", f"{column.count:,}", f"{end:,} or more"))
            continue
        seen[id(column)] += len(values)
        try:
            right = _text(column, values) if column.is_text else _numbers(column, start, values)
        except ContentError as error:
            tell(error)
        else:
            yield Block(column, start, right)
            del right
        del values  # a block may be large, and is not to be held while the next one is decoded
    for key, column in columns.items():
        if seen[key] != column.count:
            tell(_wrong(column, "samples", f"{column.count:,}", f"{seen[key]:,}"))


def _text(column: Column, values: Any) -> Any:
    if isinstance(values, np.ndarray) or not all(isinstance(value, str) for value in values):
        raise _wrong(column, "dtype", "str", str(getattr(values, "dtype", "something else")))
    return values


def _numbers(column: Column, start: int, values: Any) -> np.ndarray:
    if not isinstance(values, np.ndarray):
        raise _wrong(column, "dtype", column.dtype, "str")
    if values.shape[1:] != column.shape:
        raise _wrong(column, "shape", list(column.shape), list(values.shape[1:]))
    if column.classes is not None:
        return _labels(column, start, values)
    if values.dtype != np.dtype(column.dtype):
        raise _wrong(column, "dtype", column.dtype, str(values.dtype))
    if column.range is not None and values.size:
        low, high = values.min(), values.max()
        # Written so that NaN, which compares as neither, is outside every range.
        if not (low >= column.range[0] and high <= column.range[1]):
            raise _wrong(column, "range", list(column.range), [low.item(), high.item()])
    return values


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


def _wrong(column: Column, aspect: str, expected: Any, actual: Any) -> ContentError:
    return ContentError(
        column.file,
        f"{column} has {aspect} {actual}, declared is {expected}",
        expected=expected,
        actual=actual,
        where=column.where,
        column=str(column),
        aspect=aspect,
    )
