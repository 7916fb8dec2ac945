"""Samples and batches of a split: named tuples, gathered in one pass.

Gathered and converted into fresh arrays, or, where nothing is shuffled or converted, as views that
cost nothing.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinytorch_datasets.errors import check_flag, did_you_mean
from tinytorch_datasets.storage.memmap import from_pickle, to_pickle
from tinytorch_datasets.storage.string_array import StringArray, Values

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


# A named tuple with the fields of the split, which no type checker knows.
Batch = Any


@lru_cache
def sample_type(fields: tuple[str, ...]) -> Any:
    """Return the class of a sample, or of a batch, of those fields: a named tuple.

    >>> sample = sample_type(("image", "class"))(1, 2)
    >>> sample, getattr(sample, "class")
    (Sample(image=1, _1=2), 2)
    """
    # A field may be called by a word of Python's, as `class`, which then is an attribute and no argument.
    made = cast(Any, namedtuple("Sample", fields, rename=True))
    for place, field in enumerate(fields):
        if field not in made._fields:
            setattr(made, field, property(itemgetter(place)))
    made.__reduce__ = _reduce
    # By their true names, which frames take for their columns; what Python renamed, it has places of already.
    made._fields = made._all_fields = fields
    made.__module__ = __name__
    return made


def _reduce(sample: Any) -> Any:
    """Return how a sample is made again: pickle would look for its class by name, and it is made here."""
    return _sample, (tuple(type(sample)._all_fields), tuple(sample))


def _sample(fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return sample_type(fields)(*values)


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
        self._columns = [(_plain(values), scales.get(field)) for field, values in fields.items()]
        self._fields = tuple(fields)
        self._make = sample_type(tuple(fields))._make
        self._samples, self._size = samples, whole_number(size, "a batch has 1 sample or more", least=1)
        check_flag(shuffle, "shuffle")
        check_flag(drop_last, "drop_last")
        seed = None if seed is None else checked_seed(seed)
        self._dtype = number_dtype(dtype)
        self._drop_last, self._prefetch = drop_last, whole_number(prefetch, "0 batches or more are made ahead")
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
        batch: Batch = self._make(
            [as_batch(converted(taken(values, index), self._dtype, scale)) for values, scale in self._columns]
        )
        return batch

    def __getitem__(self, number: int) -> Batch:
        """Return one batch by its number, as loaders ask for them: fresh arrays, in the split's order.

        Raises:
            IndexError: There is no such batch.
            TypeError: The samples are shuffled, and which order this pass has, a number does not say.
        """
        if self._random is not None:
            msg = "a batch of shuffled samples has no number: iterate, or let the loader shuffle (shuffle=True there)"
            raise TypeError(msg)
        if not -len(self) <= number < len(self):
            msg = f"batch {number} of {len(self):,}"
            raise IndexError(msg)
        batch = self._batch(number % len(self) * self._size, None)
        # Views would be of read-only memory, of which PyTorch warns.
        return self._make([np.array(values) if isinstance(values, np.ndarray) else values for values in batch])

    def __getstate__(self) -> dict[str, Any]:
        columns = [(to_pickle(values), scale) for values, scale in self._columns]
        return {**self.__dict__, "_columns": columns, "_make": self._fields}

    def __setstate__(self, state: dict[str, Any]) -> None:
        columns = [(_plain(from_pickle(values)), scale) for values, scale in state["_columns"]]
        self.__dict__.update(state, _columns=columns, _make=sample_type(state["_make"])._make)


def number_dtype(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    """Return a dtype of numbers, refused when it is given and not when a value is to be converted; None stays None.

    Raises:
        TypeError: It is no dtype, or none of numbers.

    >>> number_dtype("flaot32")
    Traceback (most recent call last):
    TypeError: dtype is one of numbers, such as "float32", not 'flaot32'; did you mean 'float32'?
    """
    if dtype is None:
        return None
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = None
    if wanted is not None and wanted.kind in "biufc":
        return wanted
    guess = did_you_mean(str(dtype), [np.dtype(code).name for code in np.typecodes["AllInteger"] + "efd?"])
    msg = f'dtype is one of numbers, such as "float32", not {dtype!r}{guess}'
    raise TypeError(msg) from None


def whole_number(given: Any, words: str, *, least: int = 0, most: int | None = None) -> int:
    """Return a whole number as Python's; `words` say what it should be.

    Raises:
        ValueError: It is none, or out of range.
    """
    if isinstance(given, int | np.integer) and not isinstance(given, bool) and least <= given <= (most or given):
        return int(given)
    msg = f"{words}, not {given!r}"
    raise ValueError(msg)


def checked_seed(seed: Any) -> int:
    """Return a seed of NumPy's RandomState; ValueError if it is none."""
    return whole_number(seed, "a seed is 0 to 2**32 - 1", most=2**32 - 1)


def _plain(values: Values) -> Values:
    """Return a memmap as a plain array: every operation on one, even a slice, costs a Python call of its own."""
    return np.asarray(values) if isinstance(values, np.ndarray) else values


def taken(values: Values, index: Any) -> Any:
    """Return the samples at those places, gathered if they are numbers of samples, a view if they are a slice."""
    if isinstance(index, np.ndarray) and isinstance(values, np.ndarray):
        return np.take(values, index, axis=0)
    return values[index]


def as_batch(values: Values) -> Any:
    """Return values as a batch has them: samples of several shapes as a list."""
    return values if isinstance(values, np.ndarray | StringArray) else list(values)


def joined(first: Any, second: Any) -> Any:
    """Return the values of two fields, one behind the other, in memory.

    Raises:
        ValueError: They are of different dtypes or shapes.
    """
    kinds = [(type(v), getattr(v, "dtype", None), getattr(v, "shape", (0,))[1:]) for v in (first, second)]
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray) and kinds[0][1:] == kinds[1][1:]:
        return np.concatenate([first, second])
    if isinstance(first, StringArray) and isinstance(second, StringArray):
        return StringArray.of([*first, *second])
    if kinds[0] == kinds[1] and not isinstance(first, np.ndarray):
        return type(first).of([*first, *second], dtype=first.dtype, sample_shape=first.sample_shape)
    shown = " and ".join(f"{dtype}{list(shape)}" for _, dtype, shape in kinds)
    msg = f"fields of one kind can be put behind one another, and these are {shown}"
    raise ValueError(msg)


def flattened(values: Any) -> Any:
    """Return values with each sample as a row of numbers; strings and single numbers as they are.

    Raises:
        ValueError: The samples differ in shape, so that their rows would differ in length.

    >>> flattened(np.zeros((5, 2, 3))).shape
    (5, 6)
    """
    if isinstance(values, np.ndarray):
        return values if values.ndim < 3 else values.reshape(len(values), math.prod(values.shape[1:]))
    if isinstance(values, StringArray):
        return values
    msg = "samples that differ in shape are no rows of equally many numbers: make one array of them by padded()"
    raise ValueError(msg)


def places_of(sample: object, samples: Any, start: int = 0, stop: int | None = None) -> Iterator[int]:
    """Yield where samples are that have the values of the given one, and as many of them."""
    for place in range(len(samples))[start:stop]:
        own = samples[place]
        if isinstance(sample, tuple) and len(sample) == len(own) and all(map(np.array_equal, sample, own)):
            yield place


def writable(value: Any) -> Any:
    """Return the value of a sample so that one may write to it: an array as a copy."""
    return np.array(value) if isinstance(value, np.ndarray) else value
