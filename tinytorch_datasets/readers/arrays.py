"""Plain dtypes, the NPY header, and blocks of numbers.

The header is a line of Python, which is never evaluated here. Layout: numpy.lib.format.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import Aspect, ContentError, DecodeError, UnsafePickle
from tinytorch_datasets.plan import Block, Column
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


def array(column: Column, stream: Stream) -> Iterator[Block]:
    """Yield blocks of the NPY array that the stream holds."""
    dtype, shape, by_columns = _header(stream)
    check_within_declared(column, dtype, shape, stream.path, _whose(stream))
    # One dimension has the same order either way.
    read = fortran if by_columns and len(shape) > 1 else rows
    yield from read(column, stream, dtype, shape, "its body")


def _header(stream: Stream) -> tuple[np.dtype, tuple[int, ...], bool]:
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
    while found := _ITEM.match(text, at):
        if found["key"] in items:
            stream.fail(f"its header has {found['key']!r} twice")
        items[found["key"]], at = found, found.end()
    descr = items.get("descr")
    if descr is not None and descr["fields"] is not None:
        raise not_plain(stream.path, descr["fields"].partition("]")[0] + "]", _whose(stream))
    complete = items.keys() == {"descr", "fortran_order", "shape"} and text[:1] == "{" and text[at:].strip() == "}"
    if not complete or any(
        items[key][kind] is None for key, kind in [("descr", "text"), ("fortran_order", "flag"), ("shape", "shape")]
    ):
        stream.fail(f"its header is not one that NumPy writes: {text[:60]!r}")
    dtype = plain(items["descr"]["text"])
    if dtype is None:
        raise not_plain(stream.path, items["descr"]["text"], _whose(stream))
    shape = tuple(int(d.strip().rstrip("L")) for d in items["shape"]["shape"].split(",") if d.strip())
    return dtype, shape, items["fortran_order"]["flag"] == "True"


def inspect_header(head: bytes, path: Path, whose: str) -> tuple[str, tuple[int, ...]]:
    """Return NumPy's name of the dtype, and the shape, of an NPY array that begins so; any dtype that NumPy has.

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
    return dtype.name, shape


def _whose(stream: Stream) -> str:
    return f"member {stream.member!r}" if stream.member else "the array"


# Every element type that has the same size and meaning on every machine. Not here: "O" (any Python object), "V"
# (structured, may hide an "O"), "M" and "m" (carry metadata), long doubles (differ by machine).
NUMBERS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"})
_DTYPE = re.compile(r"([<>|=]?)(?:([biufc]\d{1,2})|[SU](\d{1,5}))", re.ASCII)

BLOCK_BYTES = 1 << 20
MOST_DIMENSIONS = 32  # NumPy 1's own limit


def plain(text: str, *, strings: bool = False) -> np.dtype | None:
    """Return the dtype that `text` names, or None if it is not a plain one.

    >>> plain("<f4"), plain("O"), plain("V8"), plain("S3"), plain("S3", strings=True)
    (dtype('float32'), None, None, None, dtype('S3'))
    """
    found = _DTYPE.fullmatch(text)
    if not found:
        return None
    order, number, length = found.groups()
    if number is None:
        return np.dtype(text) if strings and int(length) else None
    if number not in NUMBERS or (order == "|" and number[1:] != "1"):
        return None
    return np.dtype(text)


def not_plain(path: Path, text: str, whose: str) -> DecodeError:
    """Return the error for a dtype that is not plain; an array of objects is a pickle in disguise, refused as one."""
    if "O" in text:
        reason = f"{whose} holds Python objects (dtype {text!r}), which are a pickle inside; nothing was run"
        return UnsafePickle(path, reason, names=(f"dtype {text}",))
    return DecodeError(path, f"{whose} has dtype {text!r}, which is not a plain number")


def format_array_type(dtype: np.dtype, shape: tuple[int, ...]) -> str:
    """Format a dtype and a shape as one short phrase.

    >>> format_array_type(np.dtype(">u2"), (3, 2))
    'uint16 (3, 2)'
    """
    return f"{dtype.newbyteorder('=').name} {shape}"


def check_within_declared(column: Column, dtype: np.dtype, shape: tuple[int, ...], path: Path, whose: str) -> None:
    """Refuse an array of more samples or more bytes than the column declares, before it is allocated."""
    if column.is_text:
        reason = f"{whose} holds numbers, {column} is declared as text"
        actual = format_array_type(dtype, shape)
        raise ContentError(path, reason, aspect="dtype", expected="str", actual=actual, column=str(column))
    if not shape:
        reason = f"{whose} is a single value, not a row of samples"
        raise DecodeError(path, reason)
    if len(shape) > MOST_DIMENSIONS:
        reason = f"{whose} has {len(shape)} dimensions, the most is {MOST_DIMENSIONS}"
        raise DecodeError(path, reason)
    declared, declared_dtype = (column.count, *column.sample_shape), np.dtype(column.dtype)
    if shape[0] > column.count or _extent(shape, dtype) > _extent(declared, declared_dtype):
        expected, actual = format_array_type(declared_dtype, declared), format_array_type(dtype, shape)
        reason = f"{whose} is {actual}, more than {column} declares: {expected}"
        aspect = _aspect(column, dtype, shape)
        raise ContentError(path, reason, aspect=aspect, expected=expected, actual=actual, column=str(column))


def _aspect(column: Column, dtype: np.dtype, shape: tuple[int, ...]) -> Aspect:
    """Return what makes an array more than was declared: that its samples are others, or only that they are more."""
    if shape[1:] != column.shape:
        return "shape"
    if column.classes is not None:  # labels may have any whole dtype on disk
        return "samples" if dtype.kind in "ui" else "dtype"
    return "samples" if dtype.newbyteorder("=") == np.dtype(column.dtype) else "dtype"


def _extent(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return the bytes of an array, as if no dimension were 0: NumPy refuses (0, 2**62) as too big itself."""
    return math.prod(max(d, 1) for d in shape) * dtype.itemsize


def native(values: np.ndarray, path: Path, whose: str) -> np.ndarray:
    """Return the same numbers in this machine's byte order; a bool that is neither 0 nor 1 is an error."""
    if values.dtype == np.bool_ and values.size and np.ascontiguousarray(values).view(np.uint8).max() > 1:
        reason = f"{whose} holds a bool that is neither 0 nor 1"
        raise DecodeError(path, reason)
    return turned(values)


def turned(values: np.ndarray) -> np.ndarray:
    """Return the same numbers in this machine's byte order; the array itself if it has that already."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def rows(column: Column, stream: Stream, dtype: np.dtype, shape: tuple[int, ...], whose: str) -> Iterator[Block]:
    """Yield blocks of the samples whose bytes come next, first axis outermost. Call `allow` before."""
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    step = max(1, BLOCK_BYTES // max(row_bytes, 1))
    header_states = f"its header states {shape[0] * row_bytes:,} bytes of values"
    for start in range(0, max(shape[0], 1), step):  # an empty array is one empty block, so that its dtype is seen
        values = _room(stream, (min(step, shape[0] - start), *shape[1:]), dtype)
        came = stream.fill(values.reshape(-1).view(np.uint8).data)
        if came < values.nbytes:
            stream.fail(f"{header_states}, but only {start * row_bytes + came:,} came")
        yield Block(column, start, native(values, stream.path, whose))
    stream.end(header_states)


def fortran(column: Column, stream: Stream, dtype: np.dtype, shape: tuple[int, ...], whose: str) -> Iterator[Block]:
    """Yield the samples whose bytes come next, first axis innermost: none is whole before the last byte is read."""
    values = _room(stream, (math.prod(shape),), dtype)
    header_states = f"its header states {values.nbytes:,} bytes of values"
    came = stream.fill(values.view(np.uint8).data)
    if came < values.nbytes:
        stream.fail(f"{header_states}, but only {came:,} came")
    stream.end(header_states)
    folded = values.reshape(shape, order="F")
    step = max(1, BLOCK_BYTES * shape[0] // max(values.nbytes, 1))
    for start in range(0, max(shape[0], 1), step):
        yield Block(column, start, native(folded[start : start + step], stream.path, whose))


def _room(stream: Stream, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Allocate an array to be filled; a manifest may declare one for which no computer has the room."""
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        nbytes = math.prod(shape) * dtype.itemsize
        stream.fail(f"{nbytes:,} bytes are to be held at once, and there is no room for them", cause=error)


def whole_numbers(values: list[Any], path: Path, whose: str) -> np.ndarray:
    """Return a list of whole numbers, as labels are often kept, as int64."""
    for at, value in enumerate(values):
        if type(value) is not int or not -(2**63) <= value < 2**63:
            # Not repr(value): what is nested deeply enough would exhaust the stack.
            shown = str(value) if type(value) is int else f"a {type(value).__name__}"
            reason = f"{whose} is a list whose item {at:,} is not a whole number of 64 bits but {shown}"
            raise DecodeError(path, reason)
    return np.array(values, np.int64)
