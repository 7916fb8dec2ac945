"""Batches of a split, gathered and converted in one pass.

Gathered and converted in one pass into fresh arrays, or, where nothing is shuffled or converted, as views that
cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch_datasets.storage.string_array import StringArray, Values

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


Batch = tuple[Any, ...]


def converted(values: Any, dtype: DTypeLike | None, scale: float | None) -> Any:
    """Return the values in another dtype, fresh; integers brought into 0 to 1 by a float dtype if they have a scale.

    Only values whose samples have a shape: labels and other scalars stay as they are, and so do strings. Of a
    `RaggedArray`, all of its values.

    Raises:
        ValueError: An integer dtype cannot hold them.

    >>> converted(np.array([[0, 51, 255]], np.uint8), "float32", 255)
    array([[0. , 0.2, 1. ]], dtype=float32)
    """
    if dtype is None or isinstance(values, StringArray) or values.ndim < 2:
        return values
    wanted = np.dtype(dtype)
    if not isinstance(values, np.ndarray):
        return values.converted(lambda flat: _converted(flat, wanted, scale))
    return _converted(values, wanted, scale)


def _converted(values: np.ndarray, wanted: np.dtype[Any], scale: float | None) -> Any:
    if scale and wanted.kind == "f" and values.dtype.kind in "ui":
        if scale > 2 ** (np.finfo(wanted).nmant + 1):  # floats of that size leave integers out, or are infinite
            return np.divide(values, scale, dtype=np.float64).astype(wanted, copy=False)
        # One pass: the ufunc casts as it divides, where astype first would write the floats twice.
        return np.divide(values, np.asarray(scale, wanted), dtype=wanted)
    if wanted.kind in "ui" and values.dtype.kind in "uif" and values.size:
        _refuse_to_wrap(values, wanted)
    return values.astype(wanted)


def _refuse_to_wrap(values: np.ndarray, wanted: np.dtype[Any]) -> None:
    if np.can_cast(values.dtype, wanted):
        return
    low, high, most = values.min(), values.max(), np.iinfo(wanted)
    if not (np.isfinite(low) and np.isfinite(high)):
        msg = f"{wanted} holds neither infinity nor NaN, and there are such values"
        raise ValueError(msg)
    if not most.min <= int(low) <= int(high) <= most.max:
        msg = f"{wanted} holds {most.min:,} to {most.max:,}; there are values of {int(low):,} to {int(high):,}"
        raise ValueError(msg)


class Batches:
    """One pass over a split each time it is iterated; `len` is the number of batches."""

    def __init__(
        self,
        fields: Mapping[str, Values],
        samples: int,
        size: int,
        *,
        shuffle: bool,
        seed: int | None,
        dtype: DTypeLike | None,
        scales: Mapping[str, float],
        drop_last: bool,
        prefetch: int,
    ) -> None:
        # As plain arrays: every operation on a memmap, even a slice, costs a Python call of its own.
        self._columns = [
            (np.asarray(values) if isinstance(values, np.ndarray) else values, scales.get(field))
            for field, values in fields.items()
        ]
        self._samples, self._size = samples, _number(size, "a batch has 1 sample or more", least=1)
        seed = None if seed is None else _number(seed, "a seed is 0 to 2**32 - 1", most=2**32 - 1)
        self._dtype = None if dtype is None else np.dtype(dtype)  # which says at once what is no dtype
        self._drop_last, self._prefetch = drop_last, _number(prefetch, "0 batches or more are made ahead")
        # RandomState's streams are frozen (NEP 19); a Generator's permutation may change with NumPy.
        self._random = np.random.RandomState(seed) if shuffle else None

    def __len__(self) -> int:
        whole, rest = divmod(self._samples, self._size)
        return whole + (1 if rest and not self._drop_last else 0)

    def __repr__(self) -> str:
        return f"<Batches: {len(self):,} of {self._size:,} samples>"

    def __iter__(self) -> Iterator[Batch]:
        order = self._random.permutation(self._samples) if self._random is not None else None
        starts = range(0, len(self) * self._size, self._size)
        batches = (self._batch(start, order) for start in starts)
        if not self._prefetch:
            return batches
        from tinytorch_datasets.concurrency import prefetched  # and with it threads, for the few who prefetch

        return prefetched(batches, self._prefetch, name="batches")

    def _batch(self, start: int, order: np.ndarray | None) -> Batch:
        places = slice(start, start + self._size)
        index = places if order is None else order[places]
        return tuple(_as_batch(converted(_taken(values, index), self._dtype, scale)) for values, scale in self._columns)


def _number(given: Any, words: str, *, least: int = 0, most: int | None = None) -> int:
    if isinstance(given, int | np.integer) and not isinstance(given, bool) and least <= given <= (most or given):
        return int(given)
    msg = f"{words}, not {given!r}"
    raise ValueError(msg)


def _taken(values: Values, index: Any) -> Any:
    if isinstance(index, np.ndarray) and isinstance(values, np.ndarray):
        return np.take(values, index, axis=0)
    return values[index]


def _as_batch(values: Values) -> Any:
    return values if isinstance(values, np.ndarray | StringArray) else list(values)
