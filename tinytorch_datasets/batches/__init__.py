"""Samples and batches of a split: named tuples, gathered in one pass.

Gathered and converted into fresh arrays, or, where nothing is shuffled or converted, as views that
cost nothing.
"""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from operator import itemgetter
from typing import Any, cast

import numpy as np

from tinytorch_datasets.batches.channels import Field
from tinytorch_datasets.batches.conversion import Conversion, arrays_of_worker
from tinytorch_datasets.errors import check_flag
from tinytorch_datasets.storage.memmap import from_pickle, to_pickle
from tinytorch_datasets.storage.string_array import StringArray, Values, parse_index

# What is declared of a field that its values mean something else without.
MEANING = ("classes", "range", "names", "rate", "channels", "missing_value")

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
    arrays = arrays_of_worker(sample)
    return _sample, (tuple(type(sample)._all_fields), tuple(sample) if arrays is None else arrays, arrays is not None)


def _sample(fields: tuple[str, ...], values: tuple[Any, ...], is_of_worker: bool = False) -> Any:
    return sample_type(fields)._make(map(as_tensor, values) if is_of_worker else values)


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
        conversions: Sequence[Conversion],
        drop_last: bool,
        prefetch: int,
        epoch: int | None = None,
        start: int = 0,
    ) -> None:
        self._columns = list(zip(map(_plain, fields.values()), conversions, strict=True))
        self._fields = tuple(fields)
        self._make = sample_type(tuple(fields))._make
        self._samples, self._size = samples, whole_number(size, "a batch has 1 sample or more", least=1)
        check_flag(shuffle, "shuffle")
        check_flag(drop_last, "drop_last")
        seed = None if seed is None else checked_seed(seed)
        self._drop_last, self._prefetch = drop_last, whole_number(prefetch, "0 batches or more are made ahead")
        self._epoch, self._start = checked_epoch(epoch, start, seed, self._in_all(), shuffle=shuffle)
        # What the orders of all passes follow from; None for the samples' own. One that nobody chose is drawn here, so
        # that the copies of this in a loader's workers have the same.
        drawn = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        self._seed = drawn if shuffle else None
        self._passes = 0
        # The order of the pass whose batches are asked for by number, the last number, and the loader's seed of it.
        self._order: np.ndarray | None = None
        self._last = -1
        self._loader_seed: int | None = None

    def __len__(self) -> int:
        return self._in_all() - self._start

    def _in_all(self) -> int:
        whole, rest = divmod(self._samples, self._size)
        return whole + (1 if rest and not self._drop_last else 0)

    def __repr__(self) -> str:
        return f"<Batches: {len(self):,} of {self._size:,} samples>"

    def __iter__(self) -> Iterator[Batch]:
        order = self._next_order()
        starts = range(self._start * self._size, self._in_all() * self._size, self._size)
        indices = (self._index(start, order) for start in starts)
        if any(_is_encoded(values) for values, _ in self._columns):
            return self._decoded(indices)
        batches = map(self._of, indices)
        if not self._prefetch:
            return batches
        from tinytorch_datasets.concurrency.ahead import (
            prefetched_beside_work,  # and with it threads, for the few who prefetch
        )

        return prefetched_beside_work(batches, self._prefetch, name="batches")

    def _index(self, start: int, order: np.ndarray | None) -> slice | np.ndarray:
        """Return which samples the batch has that begins there."""
        places = slice(start, start + self._size)
        return places if order is None else order[places]

    def _decoded(self, indices: Iterator[slice | np.ndarray]) -> Iterator[Batch]:
        """Yield batches with fields that are kept encoded, decoded on every core, a batch or more ahead."""
        from tinytorch_datasets.storage.encoded_array import decoded_ahead  # which few data sets need

        fields = sum(_is_encoded(values) for values, _ in self._columns)
        ahead = fields * self._size * (self._prefetch or 1)
        with closing(decoded_ahead(map(self._values, indices), ahead)) as rows:
            for row in rows:
                yield self._make([as_batch(values) for values in row])

    def _of(self, index: slice | np.ndarray) -> Batch:
        batch: Batch = self._make([as_batch(values) for values in self._values(index)])
        return batch

    def _values(self, index: slice | np.ndarray) -> list[Any]:
        """Return the values of some samples, converted; of fields that are kept encoded, not yet decoded."""
        return [convert(values, index) for values, convert in self._columns]

    def __getitem__(self, number: int) -> Batch:
        """Return one batch by its number, as loaders ask for them: fresh arrays, which PyTorch may write to.

        Of shuffled samples, number 0 begins a pass in a new order, and the others come after it in theirs; each worker
        of a DataLoader begins with the number of its own. In workers PyTorch's seed (`torch.manual_seed`) decides the
        orders as well, because they are told of passes by no other sign.

        Raises:
            IndexError: There is no such batch.
            TypeError: The samples are shuffled by a seed alone, and the number is not the next one of a pass.
        """
        if not -len(self) <= number < len(self):
            msg = f"batch {number} of {len(self):,}"
            raise IndexError(msg)
        order = self._order_of_pass(number) if self._seed is not None else None
        start = (self._start + number % len(self)) * self._size
        stop = min(start + self._size, self._samples)
        return self._of(np.arange(start, stop) if order is None else order[start:stop])

    def _order_of_pass(self, number: int) -> np.ndarray:
        torch = sys.modules.get("torch.utils.data")  # which every worker of it has imported
        worker = torch.get_worker_info() if torch is not None else None
        if self._epoch is not None:
            self._order = self._next_order() if self._order is None else self._order
        elif number == (worker.id if worker is not None else 0):
            self._order = self._next_order(worker)
        elif self._order is None or number <= self._last:
            msg = (
                "batches of shuffled samples are asked for in order, from the first of a pass on; "
                "let the batches shuffle, or the loader, and not both"
            )
            raise TypeError(msg)
        self._last = number
        assert self._order is not None
        return self._order

    def _next_order(self, worker: Any = None) -> np.ndarray | None:
        """Return the order of the pass that begins now, or of the one epoch that was asked for."""
        if self._seed is None:
            return None
        if self._epoch is not None:
            return order_of_epoch(self._samples, self._seed, self._epoch)
        loader: tuple[int, ...] = ()
        if worker is not None:
            # All workers of a pass have this seed, and those of the next another one, unless they are kept: each is a
            # copy of the process that started it, in which no pass was counted since.
            seed = worker.seed - worker.id
            self._passes = self._passes if self._loader_seed == seed else 0
            self._loader_seed, loader = seed, (seed % 2**32, seed >> 32)
        self._passes += 1
        return order_of_epoch(self._samples, self._seed, self._passes - 1, *loader)

    def __getstate__(self) -> dict[str, Any]:
        columns = [(to_pickle(values), convert) for values, convert in self._columns]
        return {**self.__dict__, "_columns": columns, "_make": self._fields, "_order": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        columns = [(_plain(from_pickle(values)), convert) for values, convert in state["_columns"]]
        self.__dict__.update(state, _columns=columns, _make=sample_type(state["_make"])._make)


def order_of_epoch(samples: int, seed: int, epoch: int, *loader: int) -> np.ndarray:
    """Return the order of the samples in one epoch, counted from 0; `loader` is what a loader's own seed adds.

    RandomState's streams are frozen (NEP 19); a Generator's permutation may change with NumPy. Each epoch has a stream
    of its own, so that one is resumed without the orders of those before it.

    >>> order_of_epoch(5, 0, 0).tolist(), order_of_epoch(5, 0, 1).tolist()
    ([2, 0, 1, 3, 4], [0, 1, 3, 2, 4])
    """
    return np.random.RandomState([seed, epoch, *loader] if epoch or loader else seed).permutation(samples)


def checked_epoch(epoch: Any, start: Any, seed: Any, batches: int, *, shuffle: bool) -> tuple[int | None, int]:
    """Return the number of an epoch, if one is asked for, and of the first batch in it.

    Raises:
        ValueError: They are none, or whose order is meant is not certain.
    """
    if epoch is not None:
        epoch = whole_number(epoch, "an epoch is number 0 to 2**32 - 1", most=2**32 - 1)
    start = whole_number(start, f"an epoch of {batches:,} batches starts at number 0 to {batches}", most=batches)
    if shuffle and epoch is not None and seed is None:
        msg = f"the order of an epoch is that of a seed: write `seed=0, epoch={epoch}`"
        raise ValueError(msg)
    if shuffle and start and epoch is None:
        msg = f"each pass over shuffled samples has another order: write which one goes on, `epoch=0, start={start}`"
        raise ValueError(msg)
    return epoch, start


def whole_number(given: Any, words: str, *, least: int = 0, most: int | None = None) -> int:
    """Return a whole number as Python's; `words` say what it should be.

    Raises:
        ValueError: It is none, or out of range.
    """
    if (
        isinstance(given, int | np.integer)
        and not isinstance(given, bool)
        and least <= given <= (given if most is None else most)
    ):
        return int(given)
    msg = f"{words}, not {given!r}"
    raise ValueError(msg)


def checked_seed(seed: Any) -> int:
    """Return a seed of NumPy's RandomState; ValueError if it is none."""
    return whole_number(seed, "a seed is 0 to 2**32 - 1", most=2**32 - 1)


def _plain(values: Values) -> Values:
    """Return a memmap as a plain array: every operation on one, even a slice, costs a Python call of its own."""
    return np.asarray(values) if isinstance(values, np.ndarray) else values


def as_batch(values: Values) -> Any:
    """Return values as a batch has them: decoded, and samples of several shapes as a list."""
    values = values.decoded() if _is_encoded(values) else values  # type: ignore[union-attr]
    return values if isinstance(values, np.ndarray | StringArray) else list(values)


def as_tensor(values: Values) -> Any:
    """Return values as a loader's batch has them: a tensor where PyTorch is loaded; a list if they are no array."""
    if not isinstance(values, np.ndarray) and not isinstance(values := as_batch(values), np.ndarray):
        return list(values)
    torch = sys.modules.get("torch")  # never imported here
    if torch is None:
        return values
    # No tensor is read-only, or has its values backwards.
    is_taken = values.flags.writeable and (values.flags.c_contiguous or min(values.strides, default=0) >= 0)
    return torch.from_numpy(values if is_taken else values.copy())


def _is_encoded(values: Any) -> bool:
    """Check whether values are an `EncodedArray`, without importing that for the many data sets that have none."""
    return hasattr(values, "decoded")


def joined(field: str, own: Field, other: Field) -> Any:
    """Return the values of two fields of that name, one behind the other, in memory.

    Raises:
        ValueError: They are of different dtypes or shapes, or do not mean the same.
    """
    differing = [key for key in MEANING if own.declared.get(key) != other.declared.get(key)]
    if own.scale != other.scale:
        differing.append("range")
    if differing:
        msg = f"{differing[0]} of field {field!r} differ between the two splits, so they cannot be joined"
        raise ValueError(msg)
    first, second = own.values, other.values
    is_alike = _is_encoded(first) and _is_encoded(second) and first.shape[1:] == second.shape[1:]
    if is_alike and first.recipe == second.recipe:
        return first.joined(second)
    first, second = (values.decoded() if _is_encoded(values) else values for values in (first, second))
    kinds = [(type(v), getattr(v, "dtype", None), getattr(v, "shape", (0,))[1:]) for v in (first, second)]
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray) and kinds[0][1:] == kinds[1][1:]:
        return np.concatenate([first, second])
    if isinstance(first, StringArray) and isinstance(second, StringArray):
        return StringArray.of([*first, *second])
    if kinds[0] == kinds[1] and not isinstance(first, np.ndarray):
        ragged = type(first).of([*first, *second], dtype=first.dtype, sample_shape=first.sample_shape)
        ragged.rate = first.rate
        return ragged
    shown = " and ".join(f"{dtype}{list(shape)}" for _, dtype, shape in kinds)
    msg = f"fields of one kind can be put behind one another, and these are {shown}"
    raise ValueError(msg)


def stacked(samples: Sequence[tuple[Any, ...]], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of several samples, of the kinds and dtypes of other fields.

    Raises:
        ValueError: The samples have other fields, or values that those dtypes do not hold.
    """
    names = {getattr(sample, "_fields", tuple(fields)) for sample in samples} - {tuple(fields)}
    if names:
        msg = f"samples have the fields {', '.join(names.pop())}, and the split has {', '.join(fields)}"
        raise ValueError(msg)
    columns = list(zip(*samples, strict=True)) or [()] * len(fields)
    return {field: _stacked(values, like) for (field, like), values in zip(fields.items(), columns, strict=True)}


def _stacked(values: Sequence[Any], like: Any) -> Any:
    if isinstance(like, StringArray):
        return StringArray.of(values)
    from tinytorch_datasets.storage.ragged_array import RaggedArray, exactly  # which few data sets have

    shape = like.shape[1:]
    arrays = [exactly(np.asarray(value), like.dtype) for value in values]
    if None in shape:
        return RaggedArray.of(arrays, dtype=like.dtype, sample_shape=shape)
    return np.stack(arrays) if arrays else np.empty((0, *shape), like.dtype)


def places_of(sample: object, samples: Any, start: int = 0, stop: int | None = None) -> Iterator[int]:
    """Yield where samples are that have the values of the given one, and as many of them."""
    for place in range(len(samples))[start:stop]:
        own = samples[place]
        if isinstance(sample, tuple) and len(sample) == len(own) and all(map(np.array_equal, sample, own)):
            yield place


def writable(value: Any) -> Any:
    """Return the value of a sample so that one may write to it: an array as a copy."""
    return np.array(value) if isinstance(value, np.ndarray) else value


def each_sample(fields: Mapping[str, Values]) -> Iterator[Any]:
    """Yield each sample of some fields, one at least, several times as fast as by its number."""
    columns = [np.asarray(values) if isinstance(values, np.ndarray) else values for values in fields.values()]
    # The numbers of an array of one axis are no arrays, and the strings of a StringArray neither.
    is_plain = [isinstance(values, StringArray) or values.ndim == 1 for values in columns]
    each = (values if plain else map(np.array, values) for values, plain in zip(columns, is_plain, strict=True))
    return map(sample_type(tuple(fields))._make, zip(*each, strict=True))


class Chosen(Sequence[Any]):
    """Samples of a split by their numbers, which are gathered when the first of them is asked for, and not before.

    Attributes:
        split: What they are samples of.
        numbers: Their numbers in it.
    """

    __slots__ = ("_gathered", "numbers", "split")

    def __init__(self, split: Any, numbers: Sequence[int]) -> None:
        self.split = split
        self.numbers: Any = parse_index(numbers)
        self._gathered: Any = None

    @property
    def gathered(self) -> Any:
        """The samples as a split."""
        if self._gathered is None:
            self._gathered = self.split._part(self.numbers)
        return self._gathered

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        return self.gathered[place]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.gathered)
