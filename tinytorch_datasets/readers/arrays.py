"""Plain dtypes, and arrays of numbers and of text, block by block.

An array is read as it is declared: axes of length one do not make it another.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch_datasets.errors import Aspect, ContentError, DecodeError, UnsafePickle
from tinytorch_datasets.plan import TEXT, Block, Column, RaggedBlock
from tinytorch_datasets.readers.stream import Stream

# Every element type that has the same size and meaning on every machine. Not here: "O" (any Python object), "V"
# (structured, may hide an "O"), "M" and "m" (carry metadata), long doubles (differ by machine).
NUMBERS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"})
_DTYPE = re.compile(r"([<>|=]?)(?:([biufc]\d{1,2})|[SU]([1-9]\d{0,4}))", re.ASCII)

BLOCK_BYTES = 1 << 20
MOST_DIMENSIONS = 32  # NumPy 1's own limit

# How many characters or numbers may come out of a file where it is not declared how many: for each of its bytes, for
# each sample, and in all.
INFLATION, A_SAMPLE, SMALL = 32, 64, 1 << 20


def plain(text: str) -> np.dtype | None:
    """Return the dtype that `text` names, or None if it is not one of plain numbers or of text.

    >>> plain("<f4"), plain("S3"), plain("O"), plain("V8")
    (dtype('float32'), dtype('S3'), None, None)
    """
    match = _DTYPE.fullmatch(text)
    if not match:
        return None
    order, number, _ = match.groups()
    if number is not None and (number not in NUMBERS or (order == "|" and number[1:] != "1")):
        return None
    return np.dtype(text)


# What the kinds of dtypes are that are none of a field's, and what may be done about it.
_OTHERS = {
    "[": ("a structure, which is a table of its own", "Save each of its columns as an array: `a['name']`."),
    "V": ("a structure, or bytes without meaning", "Save each of its columns as an array: `a['name']`."),
    "M": ("dates", "Save them as whole numbers, by `a.astype('int64')`, or as text, by `a.astype(str)`."),
    "m": ("durations", "Save them as whole numbers: `a.astype('int64')`."),
    "c": ("complex numbers", "Save their parts as two arrays: `a.real` and `a.imag`."),
    "S": ("texts longer than 99,999 bytes, or empty", "Save them as a file of texts."),
    "U": ("texts longer than 99,999 characters, or empty", "Save them as a file of texts."),
}


def not_plain(path: Path, text: str, whose: str) -> DecodeError:
    """Return the error for a dtype that is not plain; an array of objects is a pickle in disguise, refused as one."""
    if "O" in text:
        reason = f"{whose} holds Python objects (dtype {text!r}), which are a pickle inside; nothing was run"
        return UnsafePickle(path, reason, names=(f"dtype {text}",))
    what, hint = _OTHERS.get(text.lstrip("<>|=")[:1], (None, None))
    reason = f"{whose} has dtype {text!r}, which is {what or 'not a plain number'}"
    return DecodeError(path, reason, hint=hint)


def format_array_type(dtype: np.dtype, shape: tuple[int | None, ...]) -> str:
    """Format a dtype and a shape as one short phrase.

    >>> format_array_type(np.dtype(">u2"), (3, 2))
    'uint16 (3, 2)'
    """
    return f"{TEXT if dtype.kind in 'SU' else dtype.newbyteorder('=').name} {shape}"


def text_type(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]] | None:
    """Return how a field of these texts is declared: one a sample, whatever axes of length one there are.

    None if they are no texts, or several a sample.

    >>> text_type(np.dtype("S3"), (5, 1)), text_type(np.dtype("<U3"), (5, 2)), text_type(np.dtype("<f4"), (5,))
    (('str', (5,)), None, None)
    """
    longer = tuple(length for length in shape if length != 1)
    return (TEXT, longer or shape[:1]) if dtype.kind in "SU" and len(longer) < 2 else None


def check_within_declared(
    column: Column, dtype: np.dtype, shape: tuple[int, ...], path: Path, whose: str
) -> tuple[int, ...]:
    """Refuse an array of more samples or more bytes than the column declares, before it is allocated.

    Returns the shape in which its values are to be given: the declared one, if the array's own differs from that only
    by axes of length one; else its own.
    """
    is_text = dtype.kind in "SU"
    if dtype.kind == "c":  # known, because one that nobody asks for may stand in a pickle
        raise not_plain(path, dtype.str, whose)
    if is_text != column.is_text and not (is_text and column.classes is not None):
        reason = f"{whose} holds numbers, {column} is declared as text"
        if is_text:
            reason = f"{whose} holds text, {column} is declared as {column.dtype}"
        expected, actual = column.dtype, format_array_type(dtype, shape)
        raise ContentError(path, reason, aspect="dtype", expected=expected, actual=actual, column=str(column))
    if not shape and column.per == "split":
        shape = (1,)
    if not shape:
        reason = f"{whose} is a single value, not a row of samples"
        raise DecodeError(path, reason)
    if len(shape) > MOST_DIMENSIONS:
        reason = f"{whose} has {len(shape)} dimensions, the most is {MOST_DIMENSIONS}"
        raise DecodeError(path, reason)
    if column.is_ragged:
        return _check_ragged(column, dtype, shape, path, whose)
    given = _as_declared(column, shape)
    declared, declared_dtype = (column.count, *column.sample_shape), np.dtype(column.dtype)
    # Of text nothing is declared but how many there are, so each has to be a sample of its own.
    is_more = len(given) > 1 if is_text else _extent(given, dtype) > _extent(declared, declared_dtype)
    if given[0] > column.count or is_more:
        expected, actual = format_array_type(declared_dtype, declared), format_array_type(dtype, shape)
        reason = f"{whose} is {actual}, more than {column} declares: {expected}"
        aspect = _aspect(column, dtype, given)
        raise ContentError(path, reason, aspect=aspect, expected=expected, actual=actual, column=str(column))
    return given


def _check_ragged(column: Column, dtype: np.dtype, shape: tuple[int, ...], path: Path, whose: str) -> tuple[int, ...]:
    """Refuse an array of samples of one shape, which is more than a column of different shapes declares."""
    fits = len(shape) == 1 + len(column.shape) and all(
        length in (None, stored) for length, stored in zip(column.shape, shape[1:], strict=True)
    )
    # Nothing is declared of how long a sample may be: the file's own size bounds it, as it does that of texts.
    is_more = math.prod(shape) > max_decoded(path, column.count)
    if not fits or shape[0] > column.count or is_more:
        expected = format_array_type(np.dtype(column.dtype), (column.count, *column.shape))
        actual = format_array_type(dtype, shape)
        aspect: Aspect = "samples" if fits and shape[0] > column.count else "shape"
        reason = f"{whose} is {actual}, {column} is declared as {expected}"
        raise ContentError(path, reason, aspect=aspect, expected=expected, actual=actual, column=str(column))
    return shape


def _as_declared(column: Column, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape itself, or the one of the samples as declared, if it has those but for axes of length one.

    The samples may be on the first axis, or, in an array that lies on its side, on the first that is longer than one.
    """
    wanted = column.sample_shape
    if [d for d in shape if d != 1] == [d for d in (column.count, *wanted) if d != 1]:
        return (column.count, *wanted)
    lying = next((at for at, length in enumerate(shape) if length != 1), 0)
    for stored in (shape, shape[lying:]):
        if [d for d in stored[1:] if d != 1] == [d for d in wanted if d != 1]:
            return (stored[0], *wanted)
    return shape


def _aspect(column: Column, dtype: np.dtype, shape: tuple[int, ...]) -> Aspect:
    """Return what makes an array more than was declared: that its samples are others, or only that they are more."""
    if shape[1:] != column.shape:
        return "shape"
    if column.classes is not None:  # labels may be stored as any numbers that are whole, or as text
        return "samples" if dtype.kind in "uifbSU" else "dtype"
    is_same = column.is_text or dtype.newbyteorder("=") == np.dtype(column.dtype)
    return "samples" if is_same else "dtype"


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


def max_decoded(path: Path, samples: int) -> int:
    """Return how many characters, or numbers of different lengths, a file may come to."""
    return INFLATION * path.stat().st_size + A_SAMPLE * samples + SMALL


def too_much_text(most: int) -> str:
    """Return why more characters than that are refused."""
    return f"its texts come to more than {most:,} characters, which is too much for a file of its size"


def blocks(
    column: Column, stream: Stream, dtype: np.dtype, shape: tuple[int, ...], whose: str, *, is_fortran: bool = False
) -> Iterator[Block]:
    """Yield the samples whose bytes come next and are the last, once `check_within_declared` has given their shape.

    With `is_fortran`, the first axis is innermost; one dimension has the same order either way.
    """
    parts = _fortran(stream, dtype, shape) if is_fortran and len(shape) > 1 else _rows(stream, dtype, shape)
    characters, most = 0, max_decoded(stream.path, column.count)
    for start, values in parts:
        if dtype.kind not in "SU":
            numbers = native(values, stream.path, whose)
            yield Block(column, start, _ragged(numbers) if column.is_ragged else numbers)
            continue
        decoded = texts(values, stream.path, whose, start)
        characters += sum(map(len, decoded))
        if characters > most:
            stream.fail(too_much_text(most))
        yield Block(column, start, decoded)


def _ragged(values: np.ndarray) -> RaggedBlock:
    return RaggedBlock(values.reshape(-1), np.array([values.shape[1:]] * len(values), np.int64))


def _rows(stream: Stream, dtype: np.dtype, shape: tuple[int, ...]) -> Iterator[tuple[int, np.ndarray]]:
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    step = max(1, BLOCK_BYTES // max(row_bytes, 1))
    header_states = f"its header states {shape[0] * row_bytes:,} bytes of values"
    for start in range(0, max(shape[0], 1), step):  # an empty array is one empty block, so that its dtype is seen
        values = _room(stream, (min(step, shape[0] - start), *shape[1:]), dtype)
        came = stream.fill(values.reshape(-1).view(np.uint8).data)
        if came < values.nbytes:
            stream.fail(f"{header_states}, but only {start * row_bytes + came:,} came")
        yield start, values
    stream.end(header_states)


def _fortran(stream: Stream, dtype: np.dtype, shape: tuple[int, ...]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the samples, of which none is whole before the last byte is read."""
    values = _room(stream, (math.prod(shape),), dtype)
    header_states = f"its header states {values.nbytes:,} bytes of values"
    came = stream.fill(values.view(np.uint8).data)
    if came < values.nbytes:
        stream.fail(f"{header_states}, but only {came:,} came")
    stream.end(header_states)
    folded = values.reshape(shape, order="F")
    step = max(1, BLOCK_BYTES * shape[0] // max(values.nbytes, 1))
    for start in range(0, max(shape[0], 1), step):
        yield start, folded[start : start + step]


def _room(stream: Stream, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Allocate an array to be filled; a manifest may declare one for which no computer has the room."""
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        nbytes = math.prod(shape) * dtype.itemsize
        stream.fail(f"{nbytes:,} bytes are to be held at once, and there is no room for them", cause=error)


def texts(values: np.ndarray, path: Path, whose: str, start: int = 0) -> list[str]:
    """Return the texts of an array; NumPy keeps them without the NULs at their ends. `start` is the first one's place.

    Raises:
        DecodeError: One is not UTF-8, or has what is no character.
    """
    try:
        return _decoded(values)
    except ValueError as error:
        at = next(at for at in range(len(values)) if not _is_unicode(values[at : at + 1]))
        encoding = "UTF-8" if values.dtype.kind == "S" else "Unicode"
        reason = f"{whose} has a text that is not {encoding}, at sample {start + at:,}"
        raise DecodeError(path, reason) from error


def _decoded(values: np.ndarray) -> list[str]:
    if values.dtype.kind == "S":
        return [raw.decode("utf-8") for raw in values.tolist()]
    values = np.ascontiguousarray(turned(values))
    codes = values.view(np.uint32)
    # NumPy makes of the one a SystemError, and lets the other pass, which is half of a character.
    if np.any(codes > sys.maxunicode) or np.any((codes & 0xFFFFF800) == 0xD800):
        raise ValueError
    decoded: list[str] = values.tolist()
    return decoded


def _is_unicode(values: np.ndarray) -> bool:
    try:
        _decoded(values)
    except ValueError:
        return False
    return True


def whole_numbers(values: list[Any], path: Path, whose: str) -> np.ndarray:
    """Return a list of whole numbers, as labels are often kept, as int64."""
    for at, value in enumerate(values):
        if type(value) is not int or not -(2**63) <= value < 2**63:
            # Not repr(value): what is nested deeply enough would exhaust the stack.
            shown = str(value) if type(value) is int else f"a {type(value).__name__}"
            reason = f"{whose} is a list whose item {at:,} is not a whole number of 64 bits but {shown}"
            raise DecodeError(path, reason)
    return np.array(values, np.int64)


def exact(values: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray | None]:
    """Return numbers in another dtype, and which of them it does not hold; None where it holds all.

    A float may lose digits where a float of fewer is declared, but never become infinite.

    >>> exact(np.array([1.0, 1.5]), np.dtype("int8"))
    (array([1, 1], dtype=int8), array([False,  True]))
    """
    source = values.dtype
    if source == dtype or not len(values):
        return values.astype(dtype, copy=False), None
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype.kind == "f" and source.kind == "f":
            out = values.astype(dtype)
            return out, (np.isinf(out) & ~np.isinf(values)) if dtype.itemsize < source.itemsize else None
        if dtype.kind == "f":
            wide = values.astype(np.float64)
            out = wide.astype(dtype)
            top = 2.0 ** (8 * source.itemsize - (source.kind == "i"))
            back = np.where(wide < top, wide, 0).astype(source)
            return out, (back != values) | (out != wide) | (wide >= top)
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if source.kind == "f":
            wide = values.astype(np.float64)
            wrong = ~((wide >= float(low)) & (wide < float(high + 1)) & (wide == np.floor(wide)))
            return np.where(wrong & ~np.isfinite(wide), 0, wide).astype(dtype), wrong
        limits = np.iinfo(source)
        if low <= limits.min and limits.max <= high:
            return values.astype(dtype), None
        return values.astype(dtype), (values < max(low, limits.min)) | (values > min(high, limits.max))
