"""Opening and pickling memory-mapped `.npy` files; stat signatures.

A `Part` says which file of a folder an array is in, and where in it the values begin, as was noted when it was
written; so opening an array reads nothing.
"""

from __future__ import annotations

import errno
import io
import math
import mmap
import os
import stat
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytorch_datasets.errors import MissingFile, StorageError

if TYPE_CHECKING:  # and no NumPy: a stat signature is taken without any
    from pathlib import Path

    import numpy as np


StatSignature = list[int]

# A pipe that somebody planted is not waited for.
READ_ONLY = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)  # fmt: skip
# Pages that are never written need no room in the swap: without this, the system counts all of them. Python has the
# flag from 3.13 on; before, its number on Linux is that of most processors.
_COMMON = sys.platform == "linux" and os.uname().machine in ("x86_64", "i686", "aarch64", "armv7l", "riscv64", "s390x")
NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if _COMMON else 0)

# Up to so many bytes are read and not mapped: a map takes as long as reading 256 KiB, as long again when it is first
# used, and a descriptor.
MOST_READ = 64 * 1024


class Part(NamedTuple):
    """One `.npy` file of a folder of decoded arrays: the dtype and shape of its values, and their offset in bytes."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


# Of values that are in no file.
NOWHERE = Part("", "|u1", (0,), 0)


@lru_cache(maxsize=1024)  # every `get` asks, of all its arrays
def part_path(folder: str | Path, file: str) -> str:
    """Return where the file of a part is: below the folder, whatever a planted cache entry says."""
    return os.path.join(folder, os.path.basename(file))


def open_map(folder: str | Path, part: Part, signatures: Mapping[str, StatSignature] | None = None) -> np.ndarray:
    """Open the values of a part: memory-mapped, and read-only.

    Signatures, if they are given, are what files must have, by path; that of the opened file is compared.

    Raises:
        OSError: The file is not there, or cannot be read.
        KeyError: None of the signatures is of its path.
        ValueError: It has another signature, it is too short for these values, or there are no such values.
    """
    path = part_path(folder, part.file)
    fd = os.open(path, READ_ONLY)
    try:
        about = _about_regular(fd, path)
        if signatures is not None and _signature(about) != signatures[path]:
            msg = f"{path} is not as it was"
            raise ValueError(msg)
        return map_values(fd, path, part, about.st_size)
    finally:
        os.close(fd)


def map_values(fd: int, path: str, part: Part, size: int) -> np.ndarray:
    """Map the values of a part in its open file, of so many bytes, which may be closed then.

    Raises:
        OSError: It cannot be mapped; StorageError if memory lacks.
        ValueError: It is too short for these values, or there are no such values.
    """
    import numpy as np

    dtype, shape, offset = np.dtype(part.dtype), tuple(part.shape), part.offset
    end = offset + dtype.itemsize * math.prod(shape)
    if dtype.kind not in "biuf" or min(offset, *shape, 0) < 0 or end > size:
        msg = f"{path} does not hold values of {dtype} and shape {shape} from byte {offset} on"
        raise ValueError(msg)
    if 0 in shape:  # nothing cannot be mapped
        nothing = np.zeros(shape, dtype)
        nothing.flags.writeable = False
        return nothing
    start = offset - offset % mmap.ALLOCATIONGRANULARITY
    pages = _small_pages(fd, end - start, start) or _map_pages(fd, path, end - start, start)
    # What `np.memmap` makes; its own way opens the file once more, and knows no flags of the system's.
    array: Any = np.ndarray.__new__(np.memmap, shape, dtype, buffer=pages, offset=offset - start)
    array._mmap, array.offset, array.mode, array.filename = pages, offset, "c", os.path.abspath(path)
    array.flags.writeable = False
    return array  # type: ignore[no-any-return]


def _small_pages(fd: int, length: int, start: int) -> bytearray | None:
    """Read a stretch of a file that is so small that this takes less than to map it; None if it is not, or fails."""
    if length > MOST_READ:
        return None
    try:
        os.lseek(fd, start, os.SEEK_SET)
        data = os.read(fd, length)
        return bytearray(data) if len(data) == length else None
    except MemoryError:  # whoever maps it will say which limit there is
        return None


def _map_pages(fd: int, path: str, length: int, start: int) -> mmap.mmap | bytearray:
    """Map a stretch of a file, copied on writing.

    The array says that it is read-only, but other libraries take its memory and write all the same. On pages that
    are mapped for reading alone, this ends the interpreter; a page of one's own takes it, and neither the file nor
    any other reader sees it.
    """
    if os.name == "nt":
        return mmap.mmap(fd, length, access=mmap.ACCESS_COPY, offset=start)
    try:
        private = mmap.MAP_PRIVATE | NO_RESERVE
        return mmap.mmap(fd, length, flags=private, prot=mmap.PROT_READ | mmap.PROT_WRITE, offset=start)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        # A limit counts maps (`vm.max_map_count`), or pages that could be written (`ulimit -d`). Pages that cannot
        # be written are not counted, but no answer: see above. What is small may still have room on the heap.
        return _read_pages(fd, path, length, start)


def _read_pages(fd: int, path: str, length: int, start: int) -> bytearray:
    try:
        pages = bytearray(length)
    except MemoryError:
        what = f"{path} cannot be opened: a limit on this process's memory leaves no room for {length:,} bytes"
        hint = "Raise the limit (`ulimit -d` and `ulimit -v` show two of them), or open fewer arrays at once."
        raise StorageError(what, hint=hint, path=_as_path(path), errno=errno.ENOMEM) from None
    with io.FileIO(fd, closefd=False) as file:
        file.seek(start)
        at = 0
        while count := file.readinto(memoryview(pages)[at:]):  # a system call reads 2 GiB at most
            at += count
    if at < length:
        msg = f"{path} was cut while it was read"
        raise ValueError(msg)
    return pages


def _as_path(path: str) -> Path:
    from pathlib import Path  # for errors alone

    return Path(path)


def is_link(path: str | Path) -> bool:
    """Check whether a path is a symbolic link, or a junction: the link between folders that anybody makes on Windows.

    Python knows of junctions from 3.12 on.
    """
    return os.path.islink(path) or (sys.version_info >= (3, 12) and os.path.isjunction(path))


def open_regular(path: str | Path) -> int:
    """Open a file for reading, and give its descriptor.

    Raises:
        OSError: It is not there, cannot be read, or is no file: a folder, or a pipe.
    """
    fd = os.open(path, READ_ONLY)
    try:
        _about_regular(fd, path)
    except OSError:
        os.close(fd)
        raise
    return fd


def _about_regular(fd: int, path: str | Path) -> os.stat_result:
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return about


def read_regular(path: str | Path) -> bytes:
    """Read a whole file, as `open_regular` opens it."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read()


def stat_signature(file: str | Path | int) -> StatSignature:
    """Return what changes when a file's contents do: its size, times of change in nanoseconds, and inode.

    Both times, because the first can be set to anything and the second, where the system has it, cannot.
    """
    return _signature(os.stat(file))


def _signature(about: os.stat_result) -> StatSignature:
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


class Remapped(NamedTuple):
    """What a memory map is pickled as: the file and the place in it, to be mapped again by whoever unpickles."""

    path: str
    part: Part


def map_of(values: Any) -> np.memmap | None:
    """Return the memory map that an array is, or a view of; None if it is neither."""
    import numpy as np

    while isinstance(values, np.ndarray) and not isinstance(values, np.memmap):
        values = values.base
    return values if isinstance(values, np.memmap) and values.filename is not None else None


def to_pickle(values: Any) -> Any:
    """Return what to pickle in place of an array: a map, or a view of one, by its file, anything else by its values.

    A memory map pickles as its whole contents, so that each worker process would get a copy of the data set.
    """
    import numpy as np

    mapped = map_of(values)
    if mapped is None or not values.flags.c_contiguous:
        return values
    # A view has its map's `offset`, not its own: where it begins is told by the addresses.
    start, base = values.__array_interface__["data"][0], mapped._mmap  # type: ignore[attr-defined]
    begin = np.frombuffer(base, np.uint8).__array_interface__["data"][0]
    first = mapped.offset - mapped.offset % mmap.ALLOCATIONGRANULARITY
    return Remapped(str(mapped.filename), Part("", values.dtype.str, values.shape, first + start - begin))


def from_pickle(state: Any) -> Any:
    """Return the array that was pickled.

    Raises:
        MissingFile: The file that it was mapped from is gone.
        StorageError: That file cannot be read, or is another one now.
    """
    import numpy as np

    if not isinstance(state, Remapped):
        if isinstance(state, np.ndarray):
            state.flags.writeable = False  # as the one that was pickled
        return state
    path, part = state
    try:
        folder, name = os.path.split(path)
        return open_map(folder, part._replace(file=name))
    except StorageError:
        raise
    except (OSError, ValueError) as error:
        hint = "Get the data set again, and pickle that."
        if isinstance(error, FileNotFoundError):
            what = f"{path} is missing, from which a pickled split takes its values"
            raise MissingFile(what, hint=hint, path=_as_path(path)) from error
        what = f"{path} cannot be read, from which a pickled split takes its values: {error}"
        raise StorageError(what, hint=hint, path=_as_path(path)) from error
