"""`Dataset` and `Split`: what `get` returns.

A `Dataset` is a mapping of splits, a `Split` a sequence of samples with its fields as attributes. Both are
thin: the arrays below them are read-only memory maps, and nothing is copied until it must be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytorch_datasets.batches import Batches, converted
from tinytorch_datasets.errors import UnknownName
from tinytorch_datasets.storage.memmap import from_pickle, to_pickle
from tinytorch_datasets.storage.string_array import StringArray, Values, parse_index

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from tinytorch_datasets.manifest.models import Entry


class Split(Sequence[tuple[Any, ...]]):
    """One split of a data set: a sequence of samples, with its fields as attributes.

    ``train.images`` is the whole field, read-only. ``train[7]`` is one sample, a tuple in the order of
    `fields`, fresh and writable. ``train[:100]`` or ``train[[4, 2]]`` is a smaller Split, without a text that
    belongs to the split as a whole (``talks.train.text``). PyTorch's DataLoader takes a Split as it is.

    Args:
        name: The split's name.
        fields: An array, `StringArray` or `RaggedArray` for each field; all of the same length.
        texts: The text of each field that is one text of the whole split, or its UTF-8 bytes.
        scales: The top of the range of fields that floats divide by.
    """

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Values],
        *,
        texts: Mapping[str, np.ndarray | str] | None = None,
        scales: Mapping[str, float] | None = None,
    ) -> None:
        self._name = name
        self._fields = dict(fields)
        self._texts: dict[str, np.ndarray | str] = dict(texts or {})
        self._scales = dict(scales or {})
        self._samples = len(next(iter(self._fields.values()))) if self._fields else 1

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
            return tuple(_own(values[index]) for values in self._fields.values())
        return Split(self._name, {f: v[index] for f, v in self._fields.items()}, texts={}, scales=self._scales)

    def __contains__(self, sample: object) -> bool:
        return any(_equal(sample, own) for own in self)

    def index(self, sample: Any, start: int = 0, stop: int | None = None) -> int:
        """Return where the first sample is whose values are equal to these; ValueError if none is."""
        for place in range(self._samples)[start:stop]:
            if _equal(sample, self[place]):
                return place
        msg = f"no such sample in split {self._name!r}"
        raise ValueError(msg)

    def count(self, sample: Any) -> int:
        """Return how many samples have values equal to these."""
        return sum(_equal(sample, own) for own in self)

    def arrays(self, dtype: DTypeLike | None = None) -> tuple[Any, ...]:
        """Return every field as a whole, in order: ``images, labels = mnist.train.arrays(dtype="float32")``.

        Args:
            dtype: What to convert fields to whose samples have a shape (images, features). A float dtype
                brings integers of a declared range 0 to n into 0 to 1, dividing by n; floats keep their
                values. What is converted is fresh, and yours to write to. Labels and other scalars stay as they
                are, read-only. None converts nothing and copies nothing.

        Raises:
            ValueError: An integer dtype cannot hold the values.
        """
        return tuple(converted(values, dtype, self._scales.get(field)) for field, values in self._fields.items())

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

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_to_set(self, name)
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_fields": {field: to_pickle(values) for field, values in self._fields.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        fields = {field: from_pickle(values) for field, values in state["_fields"].items()}
        self.__dict__.update(state, _fields=fields)

    def __repr__(self) -> str:
        kinds = [
            f"{f} str" if isinstance(v, StringArray) else f"{f} {v.dtype}{list(v.shape[1:]) or ''}"
            for f, v in self._fields.items()
        ]
        return f"<Split {self._name}: {self._samples:,} samples of {', '.join([*kinds, *self._texts])}>"


class Dataset(Mapping[str, Split]):
    """One data set: a mapping of splits, each an attribute too. ``cifar["train"] is cifar.train``."""

    def __init__(
        self,
        name: str,
        splits: Mapping[str, Split],
        *,
        classes: tuple[str, ...] | None,
        describe: Callable[[], tuple[Entry, str]],
    ) -> None:
        self._name, self._splits, self._classes, self._describe = name, dict(splits), classes, describe

    @property
    def name(self) -> str:
        """The data set's name in the manifest."""
        return self._name

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The class names, by label; None where there are no classes."""
        return self._classes

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """The names of the columns of each field that has such names, by field: of its last axis."""
        return {field: declared.names for field, declared in self.entry.fields.items() if declared.names}

    @property
    def entry(self) -> Entry:
        """The manifest entry, frozen: title, license, source, citation, files with sha256, mirrors."""
        return self._described[0]

    @property
    def provenance(self) -> str:
        """One line to paste in a report: name, version of this package, hashes of the manifest and the files."""
        return self._described[1]

    @cached_property
    def _described(self) -> tuple[Entry, str]:
        return self._describe()

    def arrays(self, dtype: DTypeLike | None = None) -> tuple[tuple[Any, ...], ...]:
        """Return every split's fields: ``(x_train, y_train), (x_test, y_test) = mnist.arrays(dtype="float32")``.

        Splits come in the manifest's order, fields too; `dtype` is as in `Split.arrays`.
        """
        return tuple(split.arrays(dtype) for split in self._splits.values())

    def __getitem__(self, split: str) -> Split:
        try:
            return self._splits[split]
        except (KeyError, TypeError):
            raise UnknownName(str(split), self._splits, kind=f"split of {self._name!r}") from None

    def __getattr__(self, split: str) -> Split:
        if not split.startswith("_"):
            if split in self._splits:
                return self._splits[split]
            error = UnknownName(split, self._splits, kind=f"split of {self._name!r}")
            raise AttributeError(str(error), obj=self)  # with its name, Python would add a guess of its own
        msg = f"'Dataset' object has no attribute {split!r}"
        raise AttributeError(msg, name=split, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_to_set(self, name)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._splits]

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)

    def __eq__(self, other: object) -> bool:
        # Mapping compares values, and comparing arrays gives arrays; a data set is itself and nothing else.
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<Dataset {self._name}: {', '.join(f'{n} ({len(s):,})' for n, s in self._splits.items())}>"


def _refuse_to_set(holder: Split | Dataset, name: str) -> None:
    """Refuse to set an attribute: everybody in a process who gets a data set gets the same one.

    A class of one's own may have what it likes.
    """
    if not name.startswith("_") and type(holder) in (Split, Dataset):
        msg = f"{name!r} cannot be set: a {type(holder).__name__.lower()} stays as it was declared; use a variable"
        raise AttributeError(msg, name=name, obj=holder)


def _equal(sample: Any, own: tuple[Any, ...]) -> bool:
    alike = isinstance(sample, tuple) and len(sample) == len(own)
    return alike and all(np.array_equal(one, other) for one, other in zip(sample, own, strict=True))


def _own(value: Any) -> Any:
    return np.array(value) if isinstance(value, np.ndarray) else value
