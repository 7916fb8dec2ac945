"""Opening, checking and pickling memory-mapped `.npy` files; stat signatures.

By what was noted of it when it was written, so that opening reads nothing: a `Part` says which file of the
data set's folder it is, and where in it the values begin.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


StatSignature = list[int]


class Part(NamedTuple):
    """One `.npy` file of a folder of decoded arrays: the dtype and shape of its values, and their offset in bytes."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


def opened(folder: str | Path, part: Part) -> np.ndarray:
    """The values, read-only and memory-mapped."""
    if 0 in part.shape:
        # An empty array cannot be memory-mapped.
        nothing = np.zeros(part.shape, part.dtype)
        nothing.flags.writeable = False
        return nothing
    name = os.path.basename(part.file)  # a name, whatever a planted receipt says, and nothing above it
    return np.memmap(os.path.join(folder, name), part.dtype, "r", part.offset, tuple(part.shape))


def found(folder: Path, file: str) -> Part | None:
    """What there is to note of a `.npy` file, read from its own header; None if it is not there or not whole."""
    path = folder / file
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                return None
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            offset = stream.tell()
        size = path.stat().st_size
    except Exception:
        # Cut short, removed, damaged or foreign: as good as absent, and the next decoding replaces it. NumPy parses a
        # header as Python, and lets out whatever its tokenizer says of a flipped bit.
        return None
    whole = not fortran and not dtype.hasobject and size == offset + dtype.itemsize * int(np.prod(shape, dtype=object))
    return Part(file, dtype.str, tuple(shape), offset) if whole else None


def stat_signature(file: str | Path) -> StatSignature:
    """What changes when a file's contents do: its size, times of change in nanoseconds, and inode.

    Both times, because the first can be set to anything and the second, where the system has it, cannot.
    """
    about = os.stat(file)
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


class Remapped(NamedTuple):
    """What a memory map is pickled as: the file and the place in it, to be mapped again by whoever unpickles."""

    path: str
    part: Part


def to_pickle(values: Any) -> Any:
    """What to pickle in place of an array: a map by its file, anything else by its values.

    A memory map pickles as its whole contents, so that each worker process would get a copy of the data set.
    """
    if not isinstance(values, np.memmap) or not values.flags.c_contiguous or values.filename is None:
        return values
    # A view has its map's `offset`, not its own: where it begins is told by the addresses.
    start, base = values.__array_interface__["data"][0], values._mmap  # type: ignore[attr-defined]
    begin = np.frombuffer(base, np.uint8).__array_interface__["data"][0]
    first = values.offset - values.offset % mmap.ALLOCATIONGRANULARITY
    return Remapped(str(values.filename), Part("", values.dtype.str, values.shape, first + start - begin))


def from_pickle(state: Any) -> Any:
    """The array again."""
    if not isinstance(state, Remapped):
        return state
    return np.memmap(state.path, state.part.dtype, "r", state.part.offset, state.part.shape)
