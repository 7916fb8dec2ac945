"""`Split`: samples and their fields, as `get` returns them.

A sequence of samples with its fields as attributes. It is thin: the arrays below it are read-only memory maps, and
nothing is copied until it must be.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch_datasets.batches import (
    Batches,
    Chosen,
    as_tensor,
    each_sample,
    joined,
    sample_type,
    stacked,
    whole_number,
    writable,
)
from tinytorch_datasets.batches.channels import (
    Field,
    Statistics,
    all_statistics,
    given_statistics,
    origins_of,
    sample_shape,
    statistics_by,
)
from tinytorch_datasets.batches.conversion import Conversion, conversions_of, flattened, taken
from tinytorch_datasets.errors import UnknownName, UsageError, check_flag, refuse_to_set
from tinytorch_datasets.storage.memmap import from_pickle, to_pickle
from tinytorch_datasets.storage.string_array import StringArray, Values, parse_index
from tinytorch_datasets.subsets import Subsets

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from tinytorch_datasets.batches.conversion import Channels, Normalization
    from tinytorch_datasets.display.samples import Samples

FIELDS_SHOWN = 16  # of the line that it is shown as


class Split(Subsets):
    """One split of a data set: a sequence of samples, with its fields as attributes.

    ``train.images`` is the whole field, read-only. ``train[7]`` is one sample, a tuple in the order of
    `fields`, fresh and writable. ``train[:100]`` or ``train[[4, 2]]`` is a smaller Split, without a text that
    belongs to the split as a whole (``talks.train.text``). PyTorch's DataLoader takes a Split as it is.

    Args:
        name: The split's name.
        fields: An array, `StringArray`, `RaggedArray` or `EncodedArray` for each field; all of the same length.
        texts: The text of each field that is one text of the whole split, or its UTF-8 bytes.
        scales: The top of the range of fields that floats divide by.
        part_of: The split that this one is a part of, and an index of it.
        declared: What the manifest has of each field, in plain values: classes, range, names of columns.
    """

    _fields: dict[str, Values]
    _texts: dict[str, np.ndarray | str]
    _scales: dict[str, float]
    _declared: dict[str, Mapping[str, Any]]
    _asked: tuple[tuple[Any, ...], Sequence[Conversion]] = ((), ())

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
        samples = len(next(iter(fields.values()))) if fields else 1
        # At once, because each attribute that is set by itself goes through `__setattr__`.
        self.__dict__.update(_name=name, _samples=samples, _in_all=samples, _declared=dict(declared or {}))
        self.__dict__.update(_fields=dict(fields), _texts=dict(texts or {}), _scales=dict(scales or {}))
        if part_of is not None:
            self._is_part_of(*part_of)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that every sample has, in the order of a sample's tuple."""
        return tuple(self._fields)

    def __getattr__(self, field: str) -> Any:
        if not field.startswith("_"):
            try:
                return self._named(field)
            except UnknownName as error:
                raise AttributeError(str(error), obj=self) from None  # with its name, Python would add its own guess
        msg = f"'Split' object has no attribute {field!r}"
        raise AttributeError(msg, name=field, obj=self)

    def _named(self, field: str) -> Any:
        """Return a field as a whole, or a text of the whole split; UnknownName if it is neither."""
        if field in self._fields:
            return self._fields[field]
        if field not in self._texts:
            raise UnknownName(field, [*self._fields, *self._texts], kind=f"field of split {self._name!r}")
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
        is_plain = type(self) is Split and self._fields  # a class of one's own may give other samples
        return each_sample(self._fields) if is_plain else map(self.__getitem__, range(self._samples))

    def keys(self) -> tuple[str, ...]:
        """Return the names of the fields, as `fields`: by this, ``dict(train)`` has the array of each."""
        return self.fields

    def __arrow_c_schema__(self) -> object:
        return self._as_record_batch().schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._as_record_batch().__arrow_c_stream__(requested_schema)

    def _as_record_batch(self) -> Any:
        from tinytorch_datasets.storage.arrow_stream import record_batch  # which nobody needs who only computes

        return record_batch(self._fields, self._declared, note=self._note)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            return self._named(index)
        index = parse_index(index)
        if isinstance(index, int):
            if not -self._samples <= index < self._samples:
                msg = f"sample {index} of split {self._name!r}, which has {self._samples:,}"
                raise IndexError(msg)
            return sample_type(self.fields)._make([writable(values[index]) for values in self._fields.values()])
        if isinstance(index, np.ndarray) and index.dtype == np.bool_:
            return self.filter(index)
        return self._part(index)

    def __getitems__(self, numbers: Sequence[int]) -> Chosen:
        """Return the samples of those numbers, as PyTorch's DataLoader asks for a batch; `collate` gathers them."""
        return Chosen(self, numbers)

    def _part(self, index: Any) -> Split:
        fields = {field: taken(values, index) for field, values in self._fields.items()}
        return Split(self._name, fields, scales=self._scales, part_of=(self, index), declared=self._declared)

    def __add__(self, other: Split) -> Split:
        if not isinstance(other, Split):
            return NotImplemented
        if self.fields != other.fields:
            msg = f"fields {', '.join(self.fields)} cannot be joined with fields {', '.join(other.fields)}"
            raise ValueError(msg)
        own, others = self._all_fields(), other._all_fields()
        fields = {field: joined(field, own[field], others[field]) for field in self.fields}
        both = Split(f"{self._name}+{other.name}", fields, scales=self._scales, declared=self._declared)
        both._sources, both._note = (*self._described(), *other._described()), self._note or other._note
        both._standard, its = self._standard or self, other._standard or other
        if both._standard is not its and (isinstance(its, str) or not its._is_same(both._standard)):
            both._standard = f"samples of {both.name!r} are of two splits, whose means and deviations may differ"
        return both

    def _is_same(self, other: Split | str) -> bool:
        """Check whether another split has the same maps, as those of two calls of `get` have."""
        its = origins_of(other._fields) if isinstance(other, Split) else None
        return its is not None and its == origins_of(self._fields)

    def _all_fields(self) -> dict[str, Field]:
        return {f: Field(values, self._declared.get(f, {}), self._scales.get(f)) for f, values in self._fields.items()}

    def collate(
        self,
        samples: Any,
        *,
        dtype: DTypeLike | None = None,
        channels: Channels | None = None,
        normalize: Normalization | None = None,
        one_hot: str | Sequence[str] | None = None,
    ) -> Any:
        """Return samples as one batch, a named tuple of arrays: ``DataLoader(train, collate_fn=train.collate)``.

        They are tensors where PyTorch is loaded, without a copy; strings and samples of several shapes are lists.

        Args:
            samples: What a DataLoader got out of this split, or out of several that are like it: samples.
            dtype: As in `arrays`; ``collate_fn=functools.partial(train.collate, dtype="float32")``.
            channels: As in `arrays`.
            normalize: As in `arrays`.
            one_hot: As in `arrays`.
        """
        split, index = samples, None
        if isinstance(samples, Chosen):
            split, index = samples.split, samples.numbers
        elif not isinstance(samples, Split):  # one by one, as ConcatDataset has them
            fields = stacked(samples, self._fields)
            split = Split(self._name, fields, part_of=(self, None), scales=self._scales, declared=self._declared)
        columns = split._converted(index, dtype, channels, normalize, one_hot)
        return sample_type(split.fields)._make(map(as_tensor, columns))

    def statistics(self, *fields: str) -> dict[str, Statistics]:
        """Return the mean and deviation of fields, of all if none is named, by channel: `normalize` takes these.

        One number for gray pictures and for samples that differ in length, one a color of color pictures, one a column
        of features; NaN does not count. Integers of a declared range 0 to n count as a float dtype has them, 0 to 1.
        Computed once in a process, in one pass.

        Raises:
            UnknownName: No field of pictures or features is called so.
            UsageError: Which axis of a field has the channels is not certain, or a value is infinite.

        >>> Split("train", {"features": np.array([[1.0, 10.0], [3.0, 30.0]])}).statistics()["features"].mean.tolist()
        [2.0, 20.0]
        """
        return all_statistics(self._all_fields(), fields)

    def arrays(
        self,
        dtype: DTypeLike | None = None,
        *,
        flat: bool = False,
        channels: Channels | None = None,
        normalize: Normalization | None = None,
        one_hot: str | Sequence[str] | None = None,
    ) -> tuple[Any, ...]:
        """Return every field as a whole, in order: ``images, labels = mnist.train.arrays(dtype="float32")``.

        Args:
            dtype: What to convert fields to whose samples have a shape (images, features). A float dtype
                brings integers of a declared range 0 to n into 0 to 1, dividing by n; floats keep their
                values. What is converted is fresh, and yours to write to. Labels, masks of classes too, and other
                scalars stay as they are, read-only. None converts nothing and copies nothing.
            flat: Whether each sample is a row of numbers, (samples, numbers), as scikit-learn takes it.
            channels: Where pictures have their channels: "first" (samples, channels, height, width), as PyTorch takes
                them, or "last"; those without any get one. ``{"images": "first"}`` is of some fields alone. None leaves
                them where they are.
            normalize: "standard" subtracts the mean of each channel and divides by its deviation, which are those of
                the whole split ``train``, also for the samples of ``test``. A split in its place: by its samples,
                ``normalize=train``; or numbers, ``{"images": (0.1307, 0.3081)}``. Without a dtype it gives float32,
                of float64 float64.
            one_hot: The field of labels, or several, that are to be rows of a number a class, 1 for their own and else
                0; in `dtype`, or float32. None leaves labels as they are.

        Raises:
            ValueError: The dtype cannot hold the values; or samples differ in shape, and rows are wanted.
            UsageError: Which axis of a field has the channels is not certain, or an argument does not fit the fields.
        """
        check_flag(flat, "flat")
        whole = self._converted(None, dtype, channels, normalize, one_hot)
        if flat or channels is not None or normalize is not None or dtype is not None:
            whole = [v.decoded() if hasattr(v, "decoded") else v for v in whole]
        return tuple(map(flattened, whole) if flat else whole)

    def _converted(self, index: Any, *wanted: Any) -> list[Any]:
        # A loader asks for the same with each batch. What may be written to in between is looked at anew.
        before, conversions = self._asked
        if len(before) != len(wanted) or not all(map(operator.is_, before, wanted)):
            conversions = self._conversions(*wanted)
            self._asked = ((), ()) if any(isinstance(one, Mapping | list) for one in wanted) else (wanted, conversions)
        return [convert(values, index) for values, convert in zip(self._fields.values(), conversions, strict=True)]

    def _conversions(self, dtype: Any, channels: Any, normalize: Any, one_hot: Any) -> list[Conversion]:
        by, fields = normalize, self._all_fields()
        if isinstance(normalize, str) and normalize == "standard":
            by = self._standard or self
            if isinstance(by, str):
                raise UsageError(by, hint="Write whose count, such as `normalize=train`.")
        if isinstance(by, Split):
            by = statistics_by(fields, by._all_fields(), by.statistics())
        statistics = None if by is None else given_statistics(by, fields)
        return conversions_of(fields, dtype=dtype, channels=channels, statistics=statistics, one_hot=one_hot)

    def batches(
        self,
        size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        dtype: DTypeLike | None = None,
        channels: Channels | None = None,
        normalize: Normalization | None = None,
        one_hot: str | Sequence[str] | None = None,
        drop_last: bool = False,
        prefetch: int = 0,
        epoch: int | None = None,
        start: int = 0,
    ) -> Batches:
        """Return the samples in batches: tuples of arrays of `size` samples, the last one possibly shorter.

        Of a field whose samples differ in shape, a batch has a list of `size` arrays.

        Args:
            size: Samples a batch.
            shuffle: Whether each pass takes the samples in a new random order, each sample once.
            seed: Makes the orders the same on every machine and NumPy version; None takes a fresh one.
            dtype: As in `arrays`.
            channels: As in `arrays`.
            normalize: As in `arrays`.
            one_hot: As in `arrays`.
            drop_last: Whether to leave out a last batch that is shorter.
            prefetch: How many batches a thread makes ahead while one is in use; 0 for no thread. Fields that the cache
                keeps encoded are decoded on every core in either case, as many batches ahead, and one at least.
            epoch: The one pass that is wanted, from 0, of those that `seed` gives: what is returned gives that one each
                time, with a loader's workers too. None begins with number 0, and each pass is the next one.
            start: The number of its first batch: a training that was stopped after 120 batches goes on by 120.

        Raises:
            ValueError: `size`, `seed` (0 to 2**32 - 1), `prefetch`, `epoch` or `start` is no such number; or samples
                are shuffled, and `epoch` has no seed, or `start` no epoch.
            UsageError: As in `arrays`.

        >>> digits = Split("train", {"images": np.zeros((10, 8, 8)), "labels": np.arange(10)})
        >>> [images.shape for images, labels in digits.batches(4, channels="first")]
        [(4, 1, 8, 8), (4, 1, 8, 8), (2, 1, 8, 8)]
        """
        return Batches(
            self._fields,
            self._samples,
            size,
            shuffle=shuffle,
            seed=seed,
            conversions=self._conversions(dtype, channels, normalize, one_hot),
            drop_last=drop_last,
            prefetch=prefetch,
            epoch=epoch,
            start=start,
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
        standard = self._standard._by_path() if isinstance(self._standard, Split) else self._standard
        changed: dict[str, Any] = {"_part_of": None, "_positions": positions, "_standard": standard, "_asked": ((), ())}
        return {**self.__dict__, "_fields": fields, **changed}

    def _by_path(self) -> Split | str:
        """Return what is pickled of it for its mean and deviation: fields with a shape, which are paths of maps."""
        if origins_of(self._fields) is not None:
            fields = {field: values for field, values in self._fields.items() if sample_shape(values)}
            return Split(self._name, fields, scales=self._scales, declared=self._declared)
        return f"split {self._name!r}, whose mean and deviation are the standard, is not in this process"

    def __setstate__(self, state: dict[str, Any]) -> None:
        fields = {field: from_pickle(values) for field, values in state["_fields"].items()}
        self.__dict__.update(state, _fields=fields)

    def __repr__(self) -> str:
        kinds = [
            f"{f} str" if isinstance(v, StringArray) else f"{f} {v.dtype}{list(v.shape[1:]) or ''}"
            for f, v in self._fields.items()
        ]
        shown = [*kinds, *self._texts]
        more = [f"... {len(shown):,} fields in all"] if len(shown) > FIELDS_SHOWN else []
        return f"<Split {self._name}: {self._counted()} of {', '.join([*shown[:FIELDS_SHOWN], *more])}>"
