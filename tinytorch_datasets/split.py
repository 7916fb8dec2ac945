"""`Split`: samples and their fields, as `get` returns them.

A sequence of samples with its fields as attributes. It is thin: the arrays below it are read-only memory maps, and
nothing is copied until it must be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch_datasets.batches import (
    Batches,
    as_batch,
    checked_seed,
    converted,
    flattened,
    joined,
    number_dtype,
    places_of,
    sample_type,
    taken,
    whole_number,
    writable,
)
from tinytorch_datasets.errors import UnknownName, check_flag, refuse_to_set
from tinytorch_datasets.storage.memmap import from_pickle, to_pickle
from tinytorch_datasets.storage.string_array import StringArray, Values, parse_index
from tinytorch_datasets.subsets import Groups, first_share, grouped, taken_of_each

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from tinytorch_datasets.display.samples import Samples


class Split:
    """One split of a data set: a sequence of samples, with its fields as attributes.

    ``train.images`` is the whole field, read-only. ``train[7]`` is one sample, a tuple in the order of
    `fields`, fresh and writable. ``train[:100]`` or ``train[[4, 2]]`` is a smaller Split, without a text that
    belongs to the split as a whole (``talks.train.text``). PyTorch's DataLoader takes a Split as it is.

    Args:
        name: The split's name.
        fields: An array, `StringArray` or `RaggedArray` for each field; all of the same length.
        texts: The text of each field that is one text of the whole split, or its UTF-8 bytes.
        scales: The top of the range of fields that floats divide by.
        part_of: The split that this one is a part of, and an index of it.
        declared: What the manifest has of each field, in plain values: classes, range, names of columns.
    """

    _positions: np.ndarray | None

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Values],
        *,
        texts: Mapping[str, np.ndarray | str] | None = None,
        scales: Mapping[str, float] | None = None,
        part_of: tuple[Split, Any] | None = None,
        declared: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._name = name
        self._fields = dict(fields)
        self._texts: dict[str, np.ndarray | str] = dict(texts or {})
        self._scales = dict(scales or {})
        self._declared = dict(declared or {})
        self._samples = len(next(iter(self._fields.values()))) if self._fields else 1
        self._part_of, self._positions = part_of, None
        self._in_all: int = part_of[0]._in_all if part_of else self._samples

    @property
    def name(self) -> str:
        """The split's name in the manifest."""
        return self._name

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that every sample has, in the order of a sample's tuple."""
        return tuple(self._fields)

    def __getattr__(self, field: str) -> Any:
        if not field.startswith("_"):
            if field in self._fields:
                return self._fields[field]
            if field in self._texts:
                return self._text(field)
            known = [*self._fields, *self._texts]
            error = UnknownName(field, known, kind=f"field of split {self._name!r}")
            raise AttributeError(str(error), obj=self) from None  # with its name, Python would add its own guess
        msg = f"'Split' object has no attribute {field!r}"
        raise AttributeError(msg, name=field, obj=self)

    def _text(self, field: str) -> str:
        # Decoded when it is first asked for: a text may be large, and its samples all that is wanted.
        text = self._texts[field]
        if not isinstance(text, str):
            text = self._texts[field] = bytes(text).decode()
        return text

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._fields, *self._texts]

    def __len__(self) -> int:
        return self._samples

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(self._samples))

    def keys(self) -> tuple[str, ...]:
        """Return the names of the fields, as `fields`: by this, ``dict(train)`` has the array of each."""
        return self.fields

    def __arrow_c_schema__(self) -> object:
        return self._as_record_batch().schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._as_record_batch().__arrow_c_stream__(requested_schema)

    def _as_record_batch(self) -> Any:
        from tinytorch_datasets.storage.arrow_stream import record_batch  # which nobody needs who only computes

        return record_batch(self._fields, self._declared)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            if index in self._texts:
                return self._text(index)
            if index in self._fields:
                return self._fields[index]
            raise UnknownName(index, [*self._fields, *self._texts], kind=f"field of split {self._name!r}")
        index = parse_index(index)
        if isinstance(index, int):
            if not -self._samples <= index < self._samples:
                msg = f"sample {index} of split {self._name!r}, which has {self._samples:,}"
                raise IndexError(msg)
            return sample_type(self.fields)._make([writable(values[index]) for values in self._fields.values()])
        if isinstance(index, np.ndarray) and index.dtype == np.bool_:
            return self.filter(index)
        return self._part(index)

    def __getitems__(self, numbers: Sequence[int]) -> Split:
        """Return the samples of those numbers as a smaller Split, gathered at once: as PyTorch's DataLoader asks."""
        return self._part(np.asarray(numbers, np.intp))

    def _part(self, index: Any) -> Split:
        fields = {field: taken(values, index) for field, values in self._fields.items()}
        return Split(self._name, fields, scales=self._scales, part_of=(self, index), declared=self._declared)

    @property
    def positions(self) -> np.ndarray:
        """Where each sample is in the whole split: (samples,), int64, counted from 0."""
        if self._positions is None:
            whole = np.arange(self._samples)
            self._positions = whole if self._part_of is None else self._part_of[0].positions[self._part_of[1]]
        return self._positions

    def __contains__(self, sample: object) -> bool:
        return next(places_of(sample, self), None) is not None

    def index(self, sample: Any, start: int = 0, stop: int | None = None) -> int:
        """Return where the first sample is whose values are equal to these; ValueError if none is."""
        for place in places_of(sample, self, start, stop):
            return place
        msg = f"no such sample in split {self._name!r}"
        raise ValueError(msg)

    def count(self, sample: Any) -> int:
        """Return how many samples have values equal to these."""
        return len([*places_of(sample, self)])

    def shard(self, index: int, count: int) -> Split:
        """Return every `count`-th sample from number `index` on, as views: what one of `count` processes works on.

        All shards together are the split; they differ by one sample where `count` does not divide its number.

        Raises:
            ValueError: `index` is not from 0 to `count` - 1.
        """
        if not 0 <= index < count:
            msg = f"a shard is number 0 to {count - 1} of {count}, not {index}"
            raise ValueError(msg)
        return self._part(slice(index, None, count))

    def filter(self, mask: Any) -> Split:
        """Return the samples for which a mask of truths has true: ``train.filter(train.labels == 3)``.

        Raises:
            IndexError: The mask has not one truth for each sample.
        """
        mask = np.asarray(mask)
        if mask.dtype != np.bool_:  # positions, as many as samples, would count as true but for 0
            msg = f"a mask has one truth for each sample, not {mask.dtype}; split[[3, 1, 2]] takes samples by number"
            raise IndexError(msg)
        if mask.shape != (self._samples,):
            msg = f"a mask of {list(mask.shape)} truths, and split {self._name!r} has {self._samples:,} samples"
            raise IndexError(msg)
        return self._part(np.flatnonzero(mask))

    def take(self, count: int, *, each: str | None = None, seed: int | None = None) -> Split:
        """Return the first `count` samples; drawn at random with a seed; `count` of each value of a field with `each`.

        They keep the split's order. The same seed draws the same samples on every machine and NumPy version.

        Raises:
            ValueError: There are not so many.

        >>> digits = Split("train", {"images": np.zeros((6, 8, 8)), "labels": np.array([0, 1, 0, 1, 0, 0])})
        >>> digits.take(2, each="labels").labels.tolist()
        [0, 1, 0, 1]
        """
        count = whole_number(count, "count is a number of samples, 0 or more")
        seed = None if seed is None else checked_seed(seed)
        return self._part(taken_of_each(self._groups(each), count, seed=seed, each=each, split=self._name))

    def divide(self, fraction: float, *, by: str | None = None, seed: int = 0) -> tuple[Split, Split]:
        """Divide the samples at random into two splits, of which the first has `fraction`: training and validation.

        Both keep the split's order. The first has the nearest number of samples, and of half a sample the next one.

        Args:
            fraction: From 0 to 1.
            by: A field, mostly of labels, of whose values both get the same share, as nearly as whole samples allow.
            seed: Decides the division: the same on every machine and NumPy version.

        Raises:
            ValueError: `fraction` is not from 0 to 1.

        >>> digits = Split("train", {"images": np.zeros((10, 8, 8)), "labels": np.arange(10) // 5})
        >>> train, validation = digits.divide(0.8, by="labels")
        >>> train.labels.tolist(), validation.labels.tolist()
        ([0, 0, 0, 0, 1, 1, 1, 1], [0, 1])
        """
        if not isinstance(fraction, int | float | np.number) or not 0 <= fraction <= 1:
            msg = f"a fraction is from 0 to 1, not {fraction!r}"
            raise ValueError(msg)
        first = first_share(self._groups(by), self._samples, fraction, seed=checked_seed(seed))
        return self[first], self[~first]

    def _groups(self, field: str | None) -> Groups:
        return [(None, np.arange(self._samples))] if field is None else grouped(field, self[field])

    def __add__(self, other: Split) -> Split:
        if not isinstance(other, Split):
            return NotImplemented
        if self.fields != other.fields:
            msg = f"fields {', '.join(self.fields)} cannot be joined with fields {', '.join(other.fields)}"
            raise ValueError(msg)
        fields = {field: joined(self[field], other[field]) for field in self.fields}
        return Split(f"{self._name}+{other.name}", fields, scales=self._scales, declared=self._declared)

    def collate(self, samples: Any, *, dtype: DTypeLike | None = None) -> Any:
        """Return samples as one batch, a named tuple of arrays: ``DataLoader(train, collate_fn=train.collate)``.

        They are tensors where PyTorch is loaded, without a copy; strings and samples of several shapes are lists.

        Args:
            samples: What a DataLoader got out of this split: a smaller Split.
            dtype: As in `arrays`; ``collate_fn=functools.partial(train.collate, dtype="float32")``.
        """
        batch = samples if isinstance(samples, Split) else self._part(np.asarray([], np.intp))
        values = [as_batch(column) for column in batch.arrays(dtype)]
        torch = sys.modules.get("torch")  # never imported here
        if torch is not None:
            values = [torch.from_numpy(column) if isinstance(column, np.ndarray) else column for column in values]
        return sample_type(self.fields)._make([list(c) if isinstance(c, StringArray) else c for c in values])

    def arrays(self, dtype: DTypeLike | None = None, *, flat: bool = False) -> tuple[Any, ...]:
        """Return every field as a whole, in order: ``images, labels = mnist.train.arrays(dtype="float32")``.

        Args:
            dtype: What to convert fields to whose samples have a shape (images, features). A float dtype
                brings integers of a declared range 0 to n into 0 to 1, dividing by n; floats keep their
                values. What is converted is fresh, and yours to write to. Labels and other scalars stay as they
                are, read-only. None converts nothing and copies nothing.
            flat: Whether each sample is a row of numbers, (samples, numbers), as scikit-learn takes it.

        Raises:
            ValueError: An integer dtype cannot hold the values; or samples differ in shape, and rows are wanted.
        """
        dtype = number_dtype(dtype)
        check_flag(flat, "flat")
        whole = [converted(values, dtype, self._scales.get(field)) for field, values in self._fields.items()]
        return tuple(map(flattened, whole) if flat else whole)

    def batches(
        self,
        size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        dtype: DTypeLike | None = None,
        drop_last: bool = False,
        prefetch: int = 0,
    ) -> Batches:
        """Return the samples in batches: tuples of arrays of `size` samples, the last one possibly shorter.

        Of a field whose samples differ in shape, a batch has a list of `size` arrays.

        Args:
            size: Samples a batch.
            shuffle: Whether each pass takes the samples in a new random order, each sample once.
            seed: Makes the orders the same on every machine and NumPy version; None takes a fresh one.
            dtype: As in `arrays`.
            drop_last: Whether to leave out a last batch that is shorter.
            prefetch: How many batches a thread makes ahead while one is in use; 0 for no thread.

        Raises:
            ValueError: `size`, `seed` (0 to 2**32 - 1) or `prefetch` is no such number.

        >>> digits = Split("train", {"images": np.zeros((10, 8, 8)), "labels": np.arange(10)})
        >>> [len(labels) for images, labels in digits.batches(4)]
        [4, 4, 2]
        """
        return Batches(
            self._fields,
            self._samples,
            size,
            shuffle=shuffle,
            seed=seed,
            dtype=dtype,
            scales=self._scales,
            drop_last=drop_last,
            prefetch=prefetch,
        )

    def show(self, n: int = 10, *, seed: int | None = None, where: Any = None) -> Samples:
        """Return some samples to look at: a notebook shows them as pictures or a table, ``print`` draws them.

        Args:
            n: How many at most.
            seed: Draws them at random, the same ones for the same seed; None takes the first.
            where: A mask of truths to choose from: ``train.show(where=train.labels == 3)``.

        Raises:
            IndexError: The mask has not one truth for each sample.
        """
        from tinytorch_datasets.display.samples import chosen  # which nobody needs who only computes

        return chosen(self, whole_number(n, "n is a number of samples, 0 or more"), seed=seed, where=where)

    def _repr_html_(self) -> str:
        from tinytorch_datasets.display.samples import split_page

        return split_page(self)

    def _ipython_key_completions_(self) -> list[str]:
        return [*self._fields, *self._texts]

    def __setattr__(self, name: str, value: Any) -> None:
        refuse_to_set(self, name, Split)
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        fields = {field: to_pickle(values) for field, values in self._fields.items()}
        # Of what it is a part, its positions say all that is asked; the whole would be pickled with it.
        positions = self._positions if self._part_of is None else self.positions
        return {**self.__dict__, "_fields": fields, "_part_of": None, "_positions": positions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        fields = {field: from_pickle(values) for field, values in state["_fields"].items()}
        self.__dict__.update(state, _fields=fields)

    def __repr__(self) -> str:
        kinds = [
            f"{f} str" if isinstance(v, StringArray) else f"{f} {v.dtype}{list(v.shape[1:]) or ''}"
            for f, v in self._fields.items()
        ]
        of = f" of {self._in_all:,}" if self._samples != self._in_all else ""
        return f"<Split {self._name}: {self._samples:,}{of} samples of {', '.join([*kinds, *self._texts])}>"
