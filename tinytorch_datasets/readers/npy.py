"""The NPY header, and the array that follows it.

The header is a line of Python, which is never evaluated here. Layout: numpy.lib.format.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.plan import Block, Column
from tinytorch_datasets.readers.arrays import blocks, check_within_declared, not_plain, plain, text_type
from tinytorch_datasets.readers.pickle.objects import load_objects, max_bytes
from tinytorch_datasets.readers.pickle.rows import object_blocks, type_of
from tinytorch_datasets.readers.stream import Stream

MAGIC = b"\x93NUMPY"
LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}

# NumPy's own bound (numpy.lib.format._MAX_HEADER_SIZE): a header of plain numbers takes 118 bytes.
LONGEST_HEADER = 10_000

# {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 28, 28), }; Python 2 may write 60000L.
_ITEM = re.compile(
    r"""\s*(['"])(?P<key>\w+)\1\s*:\s*(?:
        (['"])(?P<text>[^'"\\]*)\3
        | (?P<flag>True|False)
        | \((?P<shape>(?:\s*\d{1,19}L?\s*,)*\s*(?:\d{1,19}L?\s*)?)\)
        | (?P<fields>\[.*)
    )\s*(?:,|(?=\}))""",
    re.ASCII | re.DOTALL | re.VERBOSE,
)


_OBJECTS = re.compile(r"\|?O[48]?")  # with the size that Python 2 gave a pointer


# What NumPy calls the dtype of Python objects.
OBJECTS = "object"
INSPECTED_SAMPLES = 1 << 20  # of which an array of objects may claim to be, before an entry declares how many

Shape = tuple[int | None, ...]


class Header(NamedTuple):
    """What an NPY header states. `is_fortran` is whether the first axis is innermost."""

    dtype: np.dtype
    shape: tuple[int, ...]
    is_fortran: bool


def array(column: Column, stream: Stream) -> Iterator[Block]:
    """Yield blocks of the NPY array that the stream holds: numbers, or lists of str.

    Raises:
        DecodeError: It is not NPY, or its values are more or fewer than its header states.
        UnsafePickle: It holds Python objects.
        ContentError: Its header states more than is declared.
    """
    dtype, shape, is_fortran = _header(stream)
    if dtype.kind == "O":
        yield from object_blocks(column, _objects(stream, shape, column.count), stream.path, _whose(stream))
        return
    shape = check_within_declared(column, dtype, shape, stream.path, _whose(stream))
    yield from blocks(column, stream, dtype, shape, "its body", is_fortran=is_fortran)


def _header(stream: Stream) -> Header:
    head = stream.take(8, "the NPY magic number")
    version = (head[6], head[7])
    if not head.startswith(MAGIC):
        stream.fail(f"it is not NPY: it begins with {bytes(head[:6])!r}, not {MAGIC!r}")
    if version not in LENGTH_BYTES:
        stream.fail(f"its NPY version is {version[0]}.{version[1]}; 1.0, 2.0 and 3.0 are known")
    length = int.from_bytes(stream.take(LENGTH_BYTES[version], "the length of its header"), "little")
    if length > LONGEST_HEADER:
        stream.fail(f"its header is {length:,} bytes long, the most is {LONGEST_HEADER:,}")
    raw = stream.take(length, "its header")
    try:
        text = raw.decode("utf-8" if version == (3, 0) else "latin-1").strip()
    except UnicodeDecodeError as error:
        stream.fail("its header is not UTF-8", cause=error)

    items: dict[str, re.Match[str]] = {}
    at = 1
    while match := _ITEM.match(text, at):
        if match["key"] in items:
            stream.fail(f"its header has {match['key']!r} twice")
        items[match["key"]], at = match, match.end()
    descr = items.get("descr")
    if descr is not None and descr["fields"] is not None:
        raise not_plain(stream.path, descr["fields"].partition("]")[0] + "]", _whose(stream))
    complete = items.keys() == {"descr", "fortran_order", "shape"} and text[:1] == "{" and text[at:].strip() == "}"
    if not complete or any(
        items[key][kind] is None for key, kind in [("descr", "text"), ("fortran_order", "flag"), ("shape", "shape")]
    ):
        stream.fail(f"its header is not one that NumPy writes: {text[:60]!r}")
    dtype = plain(items["descr"]["text"])
    if dtype is None and _OBJECTS.fullmatch(items["descr"]["text"]):
        dtype = np.dtype(object)
    if dtype is None:
        raise not_plain(stream.path, items["descr"]["text"], _whose(stream))
    shape = tuple(int(d.strip().rstrip("L")) for d in items["shape"]["shape"].split(",") if d.strip())
    return Header(dtype, shape, items["fortran_order"]["flag"] == "True")


def _objects(stream: Stream, shape: tuple[int, ...], samples: int) -> np.ndarray:
    """Load the objects whose pickle follows a header of that shape, within what a file of its size may hold."""
    most = max_bytes(stream.path, samples)
    size = most if stream.size is None else min(stream.size, most)
    given = 0

    def read(_: int) -> bytes:
        nonlocal given
        piece = stream.chunk()
        given += len(piece)
        if given > most:
            stream.fail(f"its pickle is longer than {most:,} bytes, which is too much for a file of its size")
        return piece

    held = load_objects(read, stream.path, size=size, samples=samples, member=stream.member)
    if held.shape != shape:
        stream.fail(f"its header states the shape {shape}, its pickle holds an array of {held.shape}")
    return held


def pickle_of(stream: Stream) -> Callable[[int], bytes] | None:
    """Return a function that reads the pickle of an array of objects; None if the stream is no such array.

    Raises:
        DecodeError: It is not NPY.
    """
    return stream.some if _header(stream).dtype.kind == "O" else None


def inspect_objects(stream: Stream, shape: Shape) -> tuple[str, Shape]:
    """Return the dtype and the shape of a field that an array of objects can be; None is an axis that differs.

    Raises:
        DecodeError: It can be none.
    """
    samples = min(math.prod(length or 1 for length in shape), INSPECTED_SAMPLES)
    held = _objects(stream, _header(stream).shape, samples)
    dtype, of_each = type_of(held.reshape(-1).tolist(), stream.path, _whose(stream))
    longer = tuple(length for length in held.shape if length != 1) or held.shape[:1]
    if of_each and len(longer) > 1:
        stream.fail(f"{_whose(stream)} has {held.ndim} axes, and lists in them")
    return dtype, (*longer, *of_each) if of_each else held.shape


def inspect_header(head: bytes, path: Path, whose: str) -> tuple[str, Shape]:
    """Return the name of the dtype, and the shape, of an NPY array that begins so; any dtype that NumPy has.

    Arrays of text have the name that fields of text are declared by.

    Raises:
        DecodeError: It has no such header.
    """
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(stream)
    except ValueError as error:
        raise DecodeError(path, f"{whose} has no header that can be read: {error}") from error
    return text_type(dtype, shape) or (dtype.name, shape)


def _whose(stream: Stream) -> str:
    return f"member {stream.member!r}" if stream.member else "the array"
