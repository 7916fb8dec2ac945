"""`RaggedArray`: arrays of several shapes in one flat one, which can be mapped.

As strings are kept: all values one after the other, and the place where each sample begins and ends. Arrays of objects
could not be mapped and would need pickle; padding would take room for what is not there, and hide what is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

import numpy as np

from tinytorch_datasets.storage.memmap import from_pickle, to_pickle
from tinytorch_datasets.storage.string_array import parse_index

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from tinytorch_datasets.plan import RaggedBlock

# The shape of one sample, with None for each axis that differs from sample to sample.
SampleShape = tuple[int | None, ...]


class Shaped:
    """The shape of all samples together, of whatever has as many as its `len`, each of a `sample_shape`."""

    __slots__ = ()
    sample_shape: SampleShape

    if TYPE_CHECKING:

        def __len__(self) -> int: ...

    @property
    def shape(self) -> SampleShape:
        """The number of samples, then the shape of a sample, with None for each axis that differs."""
        return (len(self), *self.sample_shape)

    @property
    def ndim(self) -> int:
        """The number of axes, that of the samples among them."""
        return 1 + len(self.sample_shape)


class RaggedArray(Shaped):
    """Samples of one dtype whose shapes differ, such as sentences of numbered words, or photographs.

    An index gives the array of one sample; a slice, or an array of indices or truths, gives a RaggedArray. Samples are
    views: read-only where the values are memory-mapped. `padded` makes one array of all. Compare by `equals`.

    Attributes:
        values: All values, flat, one sample after the other.
        offsets: Where each sample begins in `values`, and where the last one ends: one more than samples. The first
            is not 0 in a slice, which shares the values of the whole.
        shapes: The shape of each sample, as rows; None where samples have one axis, and its length says all.
        sample_shape: The shape of a sample, with None for each axis that differs.
        rate: Of recordings, how many frames a second they have, as it is declared; None for anything else.

    >>> words = RaggedArray.of([[3, 1, 2], [], [5]])
    >>> words, words[0], len(words)
    (<RaggedArray: 3 samples of int64[None], 4 values>, array([3, 1, 2]), 3)
    >>> words.padded()
    array([[3, 1, 2],
           [0, 0, 0],
           [5, 0, 0]])
    """

    __slots__ = ("_flat", "_places", "offsets", "rate", "sample_shape", "shapes", "values")

    def __init__(
        self,
        values: np.ndarray,
        offsets: np.ndarray,
        shapes: np.ndarray | None = None,
        sample_shape: SampleShape | None = None,
        rate: int | None = None,
    ) -> None:
        self.values, self.offsets, self.shapes, self.rate = values, offsets, shapes, rate
        self.sample_shape: SampleShape = sample_shape or (None,) * (1 if shapes is None else shapes.shape[1])
        # Every operation on a memmap, even a slice, costs a Python call of its own.
        self._flat, self._places = np.asarray(values), np.asarray(offsets)

    @classmethod
    def of(
        cls, samples: Iterable[ArrayLike], *, dtype: DTypeLike | None = None, sample_shape: SampleShape | None = None
    ) -> RaggedArray:
        """Return the ragged array of the given arrays; without a dtype, of the one that NumPy finds for all.

        Raises:
            ValueError: Their shapes are not as `sample_shape` says, or have different numbers of axes.
        """
        arrays = [np.asarray(sample, dtype) for sample in samples]
        filled = [array.dtype for array in arrays if array.size]  # an empty list says nothing of its dtype
        dtype = np.result_type(*filled) if dtype is None and filled else dtype
        axes = len(sample_shape) if sample_shape else max((array.ndim for array in arrays), default=1)
        for number, array in enumerate(arrays):
            if array.ndim != axes or not axes:
                msg = f"samples have {axes or '1 or more'} axes, and sample {number} has the shape {array.shape}"
                raise ValueError(msg)
        flat = np.concatenate([array.ravel() for array in arrays]) if arrays else np.empty(0)
        shapes = np.array([array.shape for array in arrays]).reshape(len(arrays), axes)
        return cls.from_shapes(flat.astype(dtype or flat.dtype, copy=False), shapes, sample_shape)

    @classmethod
    def from_shapes(
        cls, values: np.ndarray, shapes: np.ndarray, sample_shape: SampleShape | None = None
    ) -> RaggedArray:
        """Return the ragged array of values that are flat already, and the shapes of samples as rows, or their lengths.

        Raises:
            ValueError: The shapes are not those of so many values, or not as `sample_shape` says.
        """
        shapes = np.asarray(shapes, np.int64)
        shapes = shapes[:, np.newaxis] if shapes.ndim == 1 else shapes
        sample_shape = sample_shape or (None,) * shapes.shape[1]
        counts = [_size(shape) for shape in shapes.tolist()]
        if values.ndim != 1 or sum(counts) != len(values) or (shapes < 0).any():
            msg = f"the shapes are those of {sum(counts):,} values in all, and the values have the shape {values.shape}"
            raise ValueError(msg)
        fixed = np.array([-1 if size is None else size for size in sample_shape], np.int64)
        if shapes.shape[1] != len(fixed) or ((shapes != fixed) & (fixed >= 0)).any():
            msg = f"samples have the shape {sample_shape}, and not all of the shapes are that"
            raise ValueError(msg)
        offsets = np.cumsum([0, *counts], dtype=np.int64)
        return cls(values, offsets, None if sample_shape == (None,) else shapes, sample_shape)

    @classmethod
    def joined(cls, blocks: Sequence[RaggedBlock], sample_shape: SampleShape) -> RaggedArray:
        """Return the samples of all blocks, of which there is one at least, in one array that is read-only."""
        values = np.concatenate([block.values for block in blocks])
        values.flags.writeable = False
        return cls.from_shapes(values, np.concatenate([block.shapes for block in blocks]), sample_shape)

    @property
    def block(self) -> RaggedBlock:
        """The values and shapes as decoders give them.

        Raises:
            ValueError: The offsets are not those of samples of these shapes.
        """
        from tinytorch_datasets.plan import RaggedBlock  # which a warm `get` does without

        if self.shapes is not None and (np.diff(self._places) != self.rows.prod(axis=1)).any():
            msg = "the offsets of a ragged array are not those of samples of its shapes"
            raise ValueError(msg)
        return RaggedBlock(self.flat, self.rows)

    @property
    def flat(self) -> np.ndarray:
        """The values of these samples alone, flat: of a slice, its stretch of `values`."""
        return self._flat[self._places[0] : self._places[-1]]

    @property
    def rows(self) -> np.ndarray:
        """The shape of each sample, as rows, whether or not it has more than one axis."""
        return np.diff(self._places).reshape(-1, 1) if self.shapes is None else np.asarray(self.shapes)

    @property
    def lengths(self) -> np.ndarray:
        """The size of each sample's first axis."""
        return self.rows[:, 0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """The bytes of the values of these samples."""
        return int(self._places[-1] - self._places[0]) * self.dtype.itemsize

    @property
    def origin(self) -> tuple[Any, bytes]:
        """Where the values are mapped from, or they themselves, and which of them are these samples."""
        shapes = b"" if self.shapes is None else np.asarray(self.shapes).tobytes()
        return to_pickle(self.values), self._places.tobytes() + shapes

    def __len__(self) -> int:
        return len(self._places) - 1

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray | list[int] | list[bool]) -> RaggedArray: ...
    def __getitem__(self, index: Any) -> Any:
        index = parse_index(index)
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                msg = f"sample {index} of a ragged array of {len(self):,}"
                raise IndexError(msg)
            return self._sample(index % len(self))
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                stop = max(start, stop)
                shapes = None if self.shapes is None else self.shapes[start:stop]
                return RaggedArray(self.values, self.offsets[start : stop + 1], shapes, self.sample_shape, self.rate)
            index = np.arange(start, stop, step)
        return self._gathered(index)

    def _sample(self, number: int) -> np.ndarray:
        values = self._flat[self._places[number] : self._places[number + 1]]
        return values if self.shapes is None else values.reshape(self.shapes[number])

    def _gathered(self, index: np.ndarray) -> RaggedArray:
        """Return the samples of an index in its order, copied: they do not lie side by side."""
        starts, ends = self._places[:-1][index], self._places[1:][index]
        offsets = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(ends - starts, out=offsets[1:])
        values = np.empty(offsets[-1], self.dtype)
        places = zip(starts.tolist(), ends.tolist(), offsets.tolist(), offsets[1:].tolist(), strict=False)
        for start, end, to_start, to_end in places:
            values[to_start:to_end] = self._flat[start:end]
        shapes = None if self.shapes is None else np.asarray(self.shapes)[index]
        return RaggedArray(values, offsets, shapes, self.sample_shape, self.rate)

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._sample, range(len(self)))

    def padded(
        self,
        length: int | Sequence[int | None] | None = None,
        value: float = 0,
        dtype: DTypeLike | None = None,
        *,
        overflow: Literal["error", "truncate"] = "error",
    ) -> np.ndarray:
        """Return one array of all samples, each filled up at its end, fresh and writable.

        Args:
            length: The size of the axis that differs; of several, a tuple of a size each. None takes the largest.
            value: What to fill with.
            dtype: The dtype to convert to; None keeps that of the values.
            overflow: What to do with a sample that is longer: "error", or "truncate", which keeps its beginning.

        Raises:
            ValueError: A sample is longer than `length`; or the dtype cannot hold a value.

        >>> RaggedArray.of([[3, 1, 2], [5]]).padded(2, value=-1, overflow="truncate")
        array([[ 3,  1],
               [ 5, -1]])
        """
        if overflow not in ("error", "truncate"):
            msg = f'overflow is "error" or "truncate", not {overflow!r}'
            raise ValueError(msg)
        sizes = self._padded_shape(length)
        wanted = self.dtype if dtype is None else np.dtype(dtype)
        exact, padding = self.converted(partial(exactly, dtype=wanted)), exactly(np.asarray(value), wanted)
        rows = self.rows
        if overflow == "error" and (longer := np.argwhere(rows > np.array(sizes))).size:
            number, axis = longer[0].tolist()
            msg = (
                f"sample {number} has {rows[number, axis]:,} values on an axis that is to have {sizes[axis]:,}; "
                'overflow="truncate" would leave out the rest'
            )
            raise ValueError(msg)
        result = np.full((len(self), *sizes), padding)
        within = tuple(slice(size) for size in sizes)
        for row, sample in zip(result, exact, strict=True):
            kept = sample[within]
            row[tuple(slice(size) for size in kept.shape)] = kept
        return result

    def _padded_shape(self, length: int | Sequence[int | None] | None) -> list[int]:
        differing = [axis for axis, size in enumerate(self.sample_shape) if size is None]
        given = [length] * len(differing) if length is None else np.atleast_1d(np.asarray(length, object)).tolist()
        whole = all(size is None or (isinstance(size, int | np.integer) and size >= 0) for size in given)
        if len(given) != len(differing) or not whole or any(isinstance(size, bool) for size in given):
            msg = f"length is a size for each axis that differs, of which there are {len(differing)}, not {length!r}"
            raise ValueError(msg)
        sizes = [size or 0 for size in self.sample_shape]
        largest = self.rows.max(axis=0, initial=0).tolist()
        for axis, size in zip(differing, given, strict=True):
            sizes[axis] = largest[axis] if size is None else int(size)
        return sizes

    def converted(self, convert: Callable[[np.ndarray], np.ndarray]) -> RaggedArray:
        """Return the same with its values converted, all at once, by a function that keeps their number."""
        offsets = self._places - self._places[0]
        return RaggedArray(convert(self.flat), offsets, self.shapes, self.sample_shape, self.rate)

    def tolist(self) -> list[Any]:
        """Return the samples as lists of Python's own numbers."""
        return [sample.tolist() for sample in self]

    def equals(self, other: RaggedArray | Sequence[ArrayLike]) -> bool:
        """Check whether another has as many samples, of the same shapes and values; NaN is not equal to itself."""
        return len(self) == len(other) and all(map(np.array_equal, self, other))

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        msg = "the samples of a ragged array differ in shape, so they are no one array: use padded(), or list()"
        raise TypeError(msg)

    def __getstate__(self) -> tuple[Any, ...]:
        whole = (
            self if isinstance(self.values, np.memmap) else self.converted(np.asarray)
        )  # the values of a slice alone
        return tuple(map(to_pickle, (whole.values, whole.offsets, whole.shapes, whole.sample_shape, self.rate)))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__(*map(from_pickle, state))  # type: ignore[misc]

    def __repr__(self) -> str:
        kind = f"{self.dtype}[{', '.join(map(str, self.sample_shape))}]"
        return f"<RaggedArray: {len(self):,} samples of {kind}, {self.nbytes // self.dtype.itemsize:,} values>"

    def _repr_html_(self) -> str:
        from tinytorch_datasets.display.samples import ragged_page  # which only notebooks need

        least, most = (self.rows.min(axis=0), self.rows.max(axis=0)) if len(self) else ((), ())
        spans = (f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in zip(least, most, strict=True))
        lengths = f"sizes: {' x '.join(spans)}" if len(self) else ""
        title, first = repr(self)[1:-1], list(self[:10])
        return ragged_page(title, first, self.sample_shape, rate=self.rate, of=len(self), lengths=lengths)


def _size(shape: list[int]) -> int:
    size = 1
    for length in shape:  # as Python's numbers, which are never too large
        size *= length
    return size


def exactly(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Convert values; to integers, or truths, only if all of them stay what they are."""
    if dtype.kind in "biu" and not np.can_cast(values.dtype, dtype):
        with np.errstate(invalid="ignore"):
            exact = values.astype(dtype)
        # Both sides as floats lose what is beyond 2**53 alike; so the range is compared first, and exactly.
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if values.size and not (
            least <= values.min().item() and values.max().item() <= most and (exact == values).all()
        ):
            msg = f"{dtype} does not hold all of the values"
            raise ValueError(msg)
        return exact
    return values.astype(dtype, copy=False)
