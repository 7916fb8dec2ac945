"""`EncodedArray`: samples kept encoded, as JPEGs, and decoded when asked for.

Photographs take ten times as much room when they are decoded, and more than memory. Their files stand one after the
other in one flat array of bytes, which is mapped as any other; what decodes them is handed in, and made when the first
sample is asked for.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, overload

import numpy as np

from tinytorch_datasets.concurrency.ahead import mapped
from tinytorch_datasets.errors import StorageError
from tinytorch_datasets.storage.memmap import Remapped, from_pickle, to_pickle
from tinytorch_datasets.storage.ragged_array import RaggedArray, SampleShape, Shaped
from tinytorch_datasets.storage.string_array import parse_index

if TYPE_CHECKING:
    from tinytorch_datasets.plan import RaggedBlock
    from tinytorch_datasets.storage.string_array import StringArray, Values

Decoder = Callable[[bytes], np.ndarray]

# How many samples are decoded before they are asked for, where that is not said otherwise.
SAMPLES_AHEAD = 32
THREADS = "tinytorch-datasets-decode"


class Recipe(NamedTuple):
    """How the samples of a field are decoded: what makes the decoder, and of which plain values.

    It is pickled in place of the decoder, and two fields whose recipes are equal are decoded alike.
    """

    make: Callable[[Mapping[str, Any]], Decoder]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class EncodedBlock:
    """A run of samples, each with the bytes that it was decoded from: those are kept, and the values are checked.

    Attributes:
        values: What the samples are: an array, or a `RaggedBlock` where their shapes differ.
        encoded: The file that each of them was, such as a JPEG.
    """

    values: np.ndarray | RaggedBlock
    encoded: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, samples: slice) -> EncodedBlock:
        return EncodedBlock(self.values[samples], self.encoded[samples])


def plain_values(values: Any) -> Any:
    """Return the values of a block without the bytes that they were decoded from, where it has those."""
    return values.values if isinstance(values, EncodedBlock) else values


class EncodedArray(Shaped):
    """Samples of one dtype, each kept as the bytes of its file, such as photographs.

    An index decodes one sample, fresh and writable; a slice, or an array of indices or truths, gives an EncodedArray,
    and decodes nothing. A loop decodes on every core, some samples ahead. ``numpy.asarray(field)`` decodes all of them
    into one array; `decoded` does so for samples whose shapes differ, too. Batches of a `Split` are decoded as they
    are asked for.

    Attributes:
        dtype: The dtype of the samples once they are decoded.
        sample_shape: The shape of a sample, with None for each axis that differs.
        recipe: How they are decoded.
    """

    __slots__ = (
        "_convert",
        "_data",
        "_decoders",
        "_ends",
        "_shapes",
        "_starts",
        "_stored_shape",
        "_whole",
        "dtype",
        "recipe",
        "sample_shape",
    )

    def __init__(
        self,
        data: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        shapes: np.ndarray | None,
        *,
        dtype: Any,
        sample_shape: Sequence[int | None],
        recipe: Recipe,
    ) -> None:
        self._data, self._starts, self._ends, self._shapes = data, starts, ends, shapes
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.sample_shape: SampleShape = tuple(sample_shape)
        self.recipe = recipe
        self._stored_shape: SampleShape = self.sample_shape
        self._convert: Callable[[np.ndarray], np.ndarray] | None = None
        self._decoders: list[Decoder] = []  # the one, once it is made, of all parts of these samples
        self._whole: np.ndarray | None = starts  # of all that these are a part of, by which errors say which one it is

    @classmethod
    def mapped(
        cls, maps: Sequence[np.ndarray], *, dtype: Any, sample_shape: Sequence[int | None], recipe: Recipe
    ) -> EncodedArray:
        """Return the array of samples in a buffer, each from one offset to the next, with their shapes if they differ.

        Args:
            maps: The bytes, the offsets of which there is one more than samples, and, if they differ, shapes as rows.
            dtype: The dtype of the samples once they are decoded.
            sample_shape: The shape of a sample, with None for each axis that differs.
            recipe: How they are decoded.
        """
        data, offsets, *shapes = maps
        return cls(
            data,
            offsets[:-1],
            offsets[1:],
            shapes[0] if shapes else None,
            dtype=dtype,
            sample_shape=sample_shape,
            recipe=recipe,
        )

    @classmethod
    def of(
        cls,
        encoded: Sequence[bytes],
        shapes: np.ndarray | None,
        *,
        dtype: Any,
        sample_shape: Sequence[int | None],
        recipe: Recipe,
    ) -> EncodedArray:
        """Return the array of samples that are in memory."""
        data, offsets = np.frombuffer(bytearray(b"".join(encoded)), np.uint8), np.cumsum([0, *map(len, encoded)])
        data.flags.writeable = False
        return cls(data, offsets[:-1], offsets[1:], shapes, dtype=dtype, sample_shape=sample_shape, recipe=recipe)

    @property
    def nbytes(self) -> int:
        """The bytes of the samples once all of them are decoded."""
        if self._shapes is not None:
            return int(np.asarray(self._shapes).prod(axis=1).sum()) * self.dtype.itemsize
        return math.prod(size or 0 for size in self.shape) * self.dtype.itemsize

    @property
    def encoded_nbytes(self) -> int:
        """The bytes of the samples as they are kept."""
        return int((self._ends - self._starts).sum())

    @property
    def encoded(self) -> Iterator[bytes]:
        """The bytes of each sample as they are kept."""
        return map(self._bytes, range(len(self)))

    @property
    def origin(self) -> tuple[Any, bytes]:
        """Where the bytes are mapped from, or they themselves, and which of them are these samples."""
        return to_pickle(self._data), np.asarray(self._starts).tobytes()

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray | list[int] | list[bool]) -> EncodedArray: ...
    def __getitem__(self, index: Any) -> Any:
        index = parse_index(index)
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                msg = f"sample {index} of an encoded array of {len(self):,}"
                raise IndexError(msg)
            return _writable(self._sample(index % len(self)))
        shapes = None if self._shapes is None else self._shapes[index]
        return self._with(self._data, self._starts[index], self._ends[index], shapes)

    def _with(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray, shapes: np.ndarray | None) -> EncodedArray:
        """Return other samples that are decoded as these are, by the same decoder."""
        other = EncodedArray(
            data,
            starts,
            ends,
            shapes,
            dtype=self.dtype,
            sample_shape=self.sample_shape,
            recipe=self.recipe,
        )
        other._stored_shape, other._convert, other._decoders = self._stored_shape, self._convert, self._decoders
        other._whole = self._whole
        return other

    def __iter__(self) -> Iterator[np.ndarray]:
        self._decoder()
        numbers, most = range(len(self)), SAMPLES_AHEAD
        samples = mapped(self._sample, numbers, weigh=lambda _: 1, most=most, workers=_threads(), name=THREADS)
        return map(_writable, samples)

    def decoded(self) -> np.ndarray | RaggedArray:
        """Decode all samples, on every core, into one array; a `RaggedArray` where their shapes differ.

        Raises:
            StorageError: The bytes of a sample are not what they were when the cache took them in.
        """
        rows = decoded_ahead([[self]], SAMPLES_AHEAD) if len(self) else iter([[self._empty()]])
        ((values,),) = rows
        if isinstance(values, np.ndarray):
            return values
        return RaggedArray.of(values, dtype=self.dtype, sample_shape=self.sample_shape)

    def _empty(self) -> Any:
        """Return what takes the samples once they are decoded: an array, or a list where their shapes differ."""
        return [None] * len(self) if None in self.sample_shape else np.empty(self.shape, self.dtype)

    def converted(self, convert: Callable[[np.ndarray], np.ndarray]) -> EncodedArray:
        """Return the same samples, each converted when it is decoded, by a function of arrays of samples."""
        nothing = convert(np.empty((0, *(size or 0 for size in self.sample_shape)), self.dtype))
        other = self._with(self._data, self._starts, self._ends, self._shapes)
        other.dtype, other._convert = nothing.dtype, convert
        other.sample_shape = tuple(size or None for size in nothing.shape[1:])
        return other

    def joined(self, other: EncodedArray) -> EncodedArray:
        """Return these samples and those of another that are decoded alike, in memory, and still encoded."""
        parts: Any = self._shapes, other._shapes  # either both have shapes, or none has
        shapes = None if self._shapes is None else np.concatenate(parts)
        encoded = [*self.encoded, *other.encoded]
        return EncodedArray.of(encoded, shapes, dtype=self.dtype, sample_shape=self.sample_shape, recipe=self.recipe)

    def _bytes(self, number: int) -> bytes:
        return self._data[int(self._starts[number]) : int(self._ends[number])].tobytes()

    def _decoder(self) -> Decoder:
        """Return the decoder, made by the first who asks: before threads do."""
        if not self._decoders:
            self._decoders.append(self.recipe.make(self.recipe.facts))
        return self._decoders[0]

    def _sample(self, number: int) -> np.ndarray:
        decode = self._decoder()
        try:
            values = decode(self._bytes(number))
        except ValueError as error:  # of decoding, whatever the format
            self._fail(number, getattr(error, "reason", str(error)))
        shape = self._stored_shape if self._shapes is None else tuple(self._shapes[number].tolist())
        if values.shape != shape:
            self._fail(number, f"its shape is {list(values.shape)}, and was {list(shape)}")
        converted: np.ndarray = values if self._convert is None else self._convert(values[np.newaxis])[0]
        return converted

    def _fail(self, number: int, reason: str) -> NoReturn:
        path = Path(getattr(self._data, "filename", None) or "")
        start, end = int(self._starts[number]), int(self._ends[number])
        which = "a sample" if self._whole is None else f"sample {int(np.searchsorted(self._whole, start)):,} of a field"
        span = f"bytes {start:,} to {end:,} of {path.name or 'memory'}"
        what = f"{which} that is cached encoded, {span}, cannot be decoded any more: {reason}"
        raise StorageError(what, hint='Get the data set again, with verify="always".', path=path)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if None in self.sample_shape:
            msg = "the samples of this array differ in shape, so they are no one array: use decoded(), or list()"
            raise TypeError(msg)
        if copy is False:
            msg = "encoded samples are decoded into a fresh array, and copy=False asks for none"
            raise ValueError(msg)
        return np.asarray(self.decoded(), dtype)

    def __getstate__(self) -> tuple[Any, ...]:
        held = self
        if not isinstance(self._data, np.memmap) and self.encoded_nbytes < len(self._data):
            held = self.joined(self[:0])  # a part pickles its own bytes alone
        parts = map(to_pickle, (held._data, held._starts, held._ends, held._shapes))
        whole = to_pickle(self._whole) if held is self else None
        whole = whole if isinstance(whole, Remapped) or self._whole is self._starts else None  # not more than itself
        about = (self.dtype.str, self.sample_shape, tuple(self.recipe), self._stored_shape, self._convert)
        return (*parts, whole, *about)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        data, starts, ends, shapes, self._whole = map(from_pickle, state[:5])
        dtype, sample_shape, recipe, self._stored_shape, self._convert = state[5:]
        self._data, self._starts, self._ends, self._shapes = data, starts, ends, shapes
        self.dtype, self.sample_shape, self.recipe, self._decoders = np.dtype(dtype), sample_shape, Recipe(*recipe), []

    def __repr__(self) -> str:
        from tinytorch_datasets.progress import readable  # which nobody needs who only computes

        kind = f"{self.dtype}[{', '.join(map(str, self.sample_shape))}]"
        return f"<EncodedArray: {len(self):,} samples of {kind}, {readable(self.encoded_nbytes)} encoded>"

    def _repr_html_(self) -> str:
        from tinytorch_datasets.display.samples import ragged_page  # which only notebooks need

        return ragged_page(repr(self)[1:-1], list(self[:10]), self.sample_shape, rate=None, of=len(self), lengths="")


def in_memory(values: Values) -> np.ndarray | StringArray | RaggedArray:
    """Return the values of a field with what is kept encoded decoded."""
    return values.decoded() if isinstance(values, EncodedArray) else values


def decoded_ahead(rows: Iterable[list[Any]], ahead: int) -> Generator[list[Any], None, None]:
    """Yield lists of values with each `EncodedArray` in them decoded: an array, or a list where shapes differ.

    Threads are at the samples that follow, on every core, of later lists too; but where there are none, and whatever
    their number, the values are the same. In a worker process there are none: its loader has one for each core.

    Args:
        rows: The lists, each with an encoded array of one sample or more.
        ahead: How many samples may be decoded, or be decoded just now, and not yet be taken.
    """
    begun = deque[tuple[list[Any], int]]()

    def samples() -> Iterator[tuple[EncodedArray, Any, int]]:
        for row in rows:
            fields = [values for values in row if isinstance(values, EncodedArray)]
            taking = [field._empty() for field in fields]
            made = iter(taking)
            whole = [next(made) if isinstance(values, EncodedArray) else values for values in row]
            begun.append((whole, sum(map(len, fields))))
            for field, values in zip(fields, taking, strict=True):
                field._decoder()
                yield from ((field, values, number) for number in range(len(field)))

    done = 0
    inside = mapped(_decode_into, samples(), weigh=lambda _: 1, most=ahead, workers=_threads(), name=THREADS)
    with closing(inside) as decoded:
        for _ in decoded:
            done += 1
            if done == begun[0][1]:
                done = 0
                yield begun.popleft()[0]


def _threads() -> int | None:
    """Return how many threads decode: None for one a core, none in a worker process of `multiprocessing` or PyTorch."""
    multiprocessing = sys.modules.get("multiprocessing")  # whoever was started by it has it
    return 0 if multiprocessing is not None and multiprocessing.parent_process() is not None else None


def _decode_into(place: tuple[EncodedArray, Any, int]) -> None:
    field, values, number = place
    values[number] = field._sample(number)


def _writable(sample: np.ndarray) -> np.ndarray:
    """Return a sample that one may write to: Pillow's own arrays are of its memory, and read-only."""
    return sample if sample.flags.writeable else sample.copy()
