"""`StringArray`: many strings in one UTF-8 buffer, which can be mapped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO, StringIO
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from tinytorch_datasets.storage.memmap import from_pickle, map_of, to_pickle

if TYPE_CHECKING:
    from tinytorch_datasets.storage.encoded_array import EncodedArray
    from tinytorch_datasets.storage.ragged_array import RaggedArray


# How many strings are gone through without asking for the place of each.
STRINGS_AT_ONCE = 4096
BYTES_AT_ONCE = 1 << 22
# Up to so many bytes each, on the average, strings are made faster from characters, which take four bytes meanwhile.
SHORT_BYTES = 128
# Since this release pyarrow makes a list of strings without an object of its own for each, which took 20 times as long.
FAST_PYARROW = 26


def parse_index(index: Any) -> int | slice | np.ndarray:
    """Return which samples an index names: one by its number, or several by a slice or an array of numbers or truths.

    >>> parse_index(np.array(3)), parse_index([])
    (3, array([], dtype=int64))

    Raises:
        TypeError: It names none: a truth, an array of arrays.
    """
    if isinstance(index, slice):
        return index
    if type(index) is int:
        return index
    try:
        places = np.asarray(index)
    except ValueError:  # lists of several lengths, which are no array
        places = np.asarray(None)
    if places.ndim == 0 and places.dtype.kind in "iu":  # a number out of an array, or a tensor of one
        return int(places)
    if places.ndim == 1 and not places.size:  # an empty list says nothing of its dtype, and NumPy takes it for floats
        return places.astype(np.intp)
    if places.ndim == 1 and places.dtype.kind in "iub":
        return places
    msg = f"samples are named by a number, a slice, or a list of numbers or of truths, not by {index!r}"
    raise TypeError(msg)


LONGEST_SHOWN = 60  # characters of a text, in a line that names several


class StringArray(Sequence[str]):
    """Strings kept as one UTF-8 buffer and the place of each in it, so that they can be memory-mapped.

    An index gives a str, a slice or an array of indices gives StringArray; it equals any sequence of the same strings.

    >>> words = StringArray.of(["no", "yes", "perhaps"])
    >>> words[1], words[-1], len(words)
    ('yes', 'perhaps', 3)
    >>> list(words[:2])
    ['no', 'yes']
    """

    __slots__ = ("_buffer", "_ends", "_starts", "_views")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        self._take(buffer, starts, ends)

    def _take(self, buffer: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        # Plain arrays over the map, and views of their memory: both are asked for one value in a fraction of the time.
        self._buffer, self._starts, self._ends = np.asarray(buffer), np.asarray(starts), np.asarray(ends)
        self._views = self._buffer.data, self._starts.data, self._ends.data

    @classmethod
    def of(cls, strings: Sequence[str]) -> StringArray:
        """Return the array of the given strings."""
        encoded = [s.encode() for s in strings]
        # A bytearray, because joined bytes may be an object that Python itself uses, and someone may write to them.
        buffer, places = np.frombuffer(bytearray(b"".join(encoded)), np.uint8), np.cumsum([0, *map(len, encoded)])
        buffer.flags.writeable = places.flags.writeable = False
        return cls(buffer, places[:-1], places[1:])

    @classmethod
    def mapped(cls, buffer: np.ndarray, offsets: np.ndarray) -> StringArray:
        """Return the array of the strings in a buffer, each from one offset to the next."""
        places = np.asarray(offsets)  # of a plain array, parts are taken in a fraction of the time
        return cls(buffer, places[:-1], places[1:])

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> str: ...
    @overload
    def __getitem__(self, index: slice | np.ndarray | list[int]) -> StringArray: ...
    def __getitem__(self, index: Any) -> Any:
        index = parse_index(index)
        if isinstance(index, int):
            data, starts, ends = self._views
            return str(data[starts[index] : ends[index]], "utf-8")
        return StringArray(self._buffer, self._starts[index], self._ends[index])

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(map(self._run, range(0, len(self), STRINGS_AT_ONCE)))

    def _run(self, first: int) -> Iterable[str]:
        """Return the strings from one on, as many as are gone through at once; held together only if they are short."""
        starts, ends = (places[first : first + STRINGS_AT_ONCE] for places in (self._starts, self._ends))
        lengths = ends - starts
        if int(lengths.min()) >= 0 and (starts[1:] == ends[:-1]).all():
            low, high = int(starts[0]), int(ends[-1])
            if 0 <= low <= high <= min(low + BYTES_AT_ONCE, len(self._buffer)):
                return self._side_by_side(low, high, ends, lengths)
        data, low, high = self._views[0], int(starts.min()), int(ends.max())
        if high - low > min(2 * int(lengths.sum()), BYTES_AT_ONCE):
            return (str(data[start:end], "utf-8") for start, end in zip(starts.tolist(), ends.tolist(), strict=True))
        together, places = bytes(data[low:high]), zip((starts - low).tolist(), (ends - low).tolist(), strict=True)
        return [together[start:end].decode() for start, end in places]

    def _side_by_side(self, low: int, high: int, ends: np.ndarray, lengths: np.ndarray) -> list[str]:
        """Return strings of which each begins where the one before ends, all of them within the buffer."""
        if (pa := _fast_pyarrow()) is not None:
            offsets = np.empty(len(ends) + 1, np.int64)
            offsets[0], offsets[1:] = low, ends
            buffers = pa.py_buffer(offsets), pa.py_buffer(self._buffer)
            return pa.LargeStringArray.from_buffers(len(ends), *buffers).to_pylist()  # type: ignore[no-any-return]
        together = bytes(self._views[0][low:high])
        # The next so many characters, or bytes, of a stream take half as long as a part from here to there.
        if high - low <= SHORT_BYTES * len(ends) and together.isascii():  # each byte is a character
            return list(map(StringIO(together.decode("ascii")).read, lengths.tolist()))
        return list(map(bytes.decode, map(BytesIO(together).read, lengths.tolist())))

    def utf8(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the bytes of all strings, and the offset of each in them, with the end of the last: (strings + 1,).

        Both are views where the strings lie side by side, as all of a field do, or a slice of it without a step.

        >>> [part.tolist() for part in StringArray.of(["no", "yes"]).utf8()]
        [[110, 111, 121, 101, 115], [0, 2, 5]]
        """
        if not len(self):
            return self._buffer[:0], np.zeros(1, np.int64)
        if (self._starts[1:] != self._ends[:-1]).any():
            return self._gathered().utf8()
        starts, ends = np.asarray(self._starts), np.asarray(self._ends)
        first, second = (places.__array_interface__["data"][0] for places in (starts, ends))
        if starts.dtype == ends.dtype == np.int64 and starts.strides == ends.strides == (8,) and second == first + 8:
            offsets = np.lib.stride_tricks.as_strided(starts, (len(starts) + 1,), writeable=False)  # one array's parts
        else:
            offsets = np.append(starts, ends[-1]).astype(np.int64)
        return np.asarray(self._buffer), offsets

    def _without_others(self) -> StringArray:
        """Return the same strings in a buffer of their own, if that is smaller than the one that they are in."""
        return self if int((self._ends - self._starts).sum()) >= len(self._buffer) else self._gathered()

    def _gathered(self) -> StringArray:
        """Return the same strings in a buffer of their own, side by side."""
        whole = self._buffer.data
        places = zip(self._starts.tolist(), self._ends.tolist(), strict=True)
        buffer = np.frombuffer(bytearray(b"".join(whole[start:end] for start, end in places)), np.uint8)
        ends = np.cumsum(self._ends - self._starts)
        return StringArray(buffer, ends - (self._ends - self._starts), ends)

    def __getstate__(self) -> tuple[Any, ...]:
        # A map pickles as the name of its file. What is in memory is copied, and a slice is no copy of all.
        held = self if map_of(self._buffer) is not None else self._without_others()
        return tuple(to_pickle(part) for part in (held._buffer, held._starts, held._ends))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._take(*map(from_pickle, state))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str) or not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __repr__(self) -> str:
        shown = ", ".join(repr(s if len(s) <= LONGEST_SHOWN else f"{s[: LONGEST_SHOWN - 3]}...") for s in self[:3])
        return f"<StringArray [{shown}{', ...' if len(self) > 3 else ''}], {len(self):,} in all>"

    def _repr_html_(self) -> str:
        from tinytorch_datasets.display import html  # which only notebooks need

        return html.strings(f"{len(self):,} texts", list(self[:10]), of=len(self))


def _fast_pyarrow() -> Any:
    """Return pyarrow, if the program has imported it anyway and it is fast at strings; else None."""
    pyarrow = sys.modules.get("pyarrow")
    major = str(getattr(pyarrow, "__version__", "")).partition(".")[0]
    is_fast = major.isdecimal() and int(major) >= FAST_PYARROW and hasattr(pyarrow, "LargeStringArray")
    return pyarrow if is_fast else None


# What a field's values are.
Values: TypeAlias = "np.ndarray | StringArray | RaggedArray | EncodedArray"
