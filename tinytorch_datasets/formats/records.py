"""Records: numbers one after the other, of which the file itself says nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from tinytorch_datasets.errors import ContentError, DecodeError, Problems, did_you_mean
from tinytorch_datasets.formats import INSPECTED, INSPECTED_BYTES, ArrayInfo, FileInfo, decodes
from tinytorch_datasets.plan import DTYPES, TEXT, Block, ByteSource, Column, Split
from tinytorch_datasets.readers.archives.source import opened_source
from tinytorch_datasets.readers.arrays import BLOCK_BYTES, check_within_declared, native
from tinytorch_datasets.readers.stream import OVERRUN, Stream, opened

NUMBERS = tuple(dtype for dtype in DTYPES if dtype != TEXT)
SAY = "Say them: --option 'record=[{key: labels, dtype: uint8}, {key: images, dtype: uint8, shape: [3, 32, 32]}]'."
MOST_PARTS, MOST_AXES, MOST_RECORD_BYTES = 1000, 31, 2**31


class Part(NamedTuple):
    """One part of a record: what it is called, and its values."""

    key: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """How many bytes it takes in a record."""
        return math.prod(self.shape) * self.dtype.itemsize


def _check(options: Mapping[str, Any], fields: Iterable[str], splits: Iterable[str]) -> Problems:
    """Yield what is wrong with the parts of a record."""
    parts, keys = options.get("record"), set[str]()
    if parts is None:
        yield (), "format 'records' needs the option 'record': the parts of a record, in order"
        return
    if not 0 < len(parts) <= MOST_PARTS:
        yield ("record",), f"has {len(parts):,} parts; there is one at least, and {MOST_PARTS:,} at most"
        return
    size = 0
    for number, part in enumerate(parts):
        wrong = list(_check_part(part))
        yield from ((("record", number, *at), what) for at, what in wrong)
        if not wrong:
            size += _part(part, "little").nbytes
            key = part.get("key", "")
            if key and key in keys:
                yield ("record", number, "key"), f"is there twice: {key!r}"
            keys.add(key)
    if size > MOST_RECORD_BYTES:
        yield ("record",), f"makes a record of {size:,} bytes, the most is {MOST_RECORD_BYTES:,}"
    if isinstance(options.get("header_bytes"), int) and not 0 <= options["header_bytes"] < MOST_RECORD_BYTES:
        yield ("header_bytes",), "is a number of bytes, 0 or more"


def _check_part(part: Mapping[str, Any]) -> Problems:
    known = ("key", "dtype", "shape")
    for name in part:
        if name not in known:
            yield (name,), f"no such key{did_you_mean(name, known)}; a part has {', '.join(known)}"
    if not isinstance(part.get("key", ""), str):
        yield ("key",), f"must be a name, is {part['key']!r}"
    if part.get("dtype") not in NUMBERS:
        yield ("dtype",) if "dtype" in part else (), f"needs a dtype: one of {', '.join(NUMBERS)}"
    shape = part.get("shape", [])
    if not isinstance(shape, list | tuple) or not all(type(length) is int and length > 0 for length in shape):
        yield ("shape",), f"must be a list of lengths, is {shape!r}"
    elif len(shape) > MOST_AXES or math.prod(shape) > MOST_RECORD_BYTES:
        yield ("shape",), f"has more than {MOST_AXES} axes, or more than {MOST_RECORD_BYTES:,} values"


def _part(part: Mapping[str, Any], byte_order: str) -> Part:
    dtype = np.dtype(part["dtype"]).newbyteorder("<" if byte_order == "little" else ">")
    return Part(part.get("key", ""), dtype, tuple(part.get("shape", ())))


def _describe(
    path: Path,
    *,
    record: list[dict[str, Any]] | None = None,
    header_bytes: int = 0,
    byte_order: Literal["little", "big"] = "little",
) -> FileInfo:
    """Return what a file holds by the given options: each part that has a key, as an array."""
    if record is None:
        raise DecodeError(path, "format 'records' needs the option 'record': the parts of a record, in order", hint=SAY)
    parts = [_part(part, byte_order) for part in record]
    with opened(path, limit=max(INSPECTED_BYTES, path.stat().st_size), limit_reason=INSPECTED) as stream:
        stream.take(header_bytes, "its header")
        nbytes = sum(part.nbytes for part in parts)
        samples, left = divmod(stream.skip(sys.maxsize), nbytes)
        if left or not samples:
            reason = f"it is not records of {nbytes:,} bytes: {samples:,} of them, and {left:,} bytes are left"
            raise DecodeError(path, reason, hint="Correct the record, or the bytes of the header.")
    keyed = [part for part in parts if part.key]
    arrays = [ArrayInfo(part.key, part.dtype.name, (samples, *part.shape), field=part.key) for part in keyed]
    return FileInfo(path, "records", tuple(arrays))


@decodes("records", layout="file per split", check=_check, describe=_describe, joins_members=True)
def records(
    splits: Sequence[Split],
    *,
    record: list[dict[str, Any]] | None = None,
    header_bytes: int = 0,
    byte_order: Literal["little", "big"] = "little",
) -> Iterator[Block]:
    """Records of a fixed size, one after the other, without names or types: the options say what they are.

    A field's key is that of a part of the record; parts that no field asks for are passed over. A part has the shape
    that is stored, which `axes` or `stored_shape` of the field may arrange. A split is one file, or several, or
    `members` of an archive, one after the other; each has whole records, behind a header of its own, and all together
    have exactly as many as are declared.

    Args:
        splits: What to decode.
        record: The parts of a record, in order, each with `dtype`, `shape` unless it is one number, and `key` if it is
            a field. It has to be there.
        header_bytes: How many bytes stand before the first record.
        byte_order: The order of bytes, "little" or "big", of numbers that have several.

    Raises:
        DecodeError: The record has no such part, or a file ends inside a record.
        ContentError: There are more or fewer records than declared, or a part is larger.

    Source: "The CIFAR-10 dataset", binary version, https://www.cs.toronto.edu/~kriz/cifar.html: a byte for the label,
    and 3,072 for the pixels.
    """
    parts = [_part(part, byte_order) for part in record or ()]
    for split in splits:
        groups: dict[tuple[ByteSource, ...], list[Column]] = {}
        for column in split.columns.values():
            groups.setdefault(_sources(split, column), []).append(column)
        for sources, columns in groups.items():
            yield from _decode(split, sources, columns, parts, header_bytes)


def _sources(split: Split, column: Column) -> tuple[ByteSource, ...]:
    """Return where the records of a column are: in a file, in members of it, or in several files."""
    path = column.file
    if not split.members or column.member or (split.file is not None and path != split.file):
        return (column.source,)
    if path.is_dir():
        return tuple(ByteSource(path / name) for name in split.members)
    return tuple(ByteSource(path, (name,)) for name in split.members)


def _decode(
    split: Split, sources: Sequence[ByteSource], columns: Sequence[Column], parts: Sequence[Part], header_bytes: int
) -> Iterator[Block]:
    """Yield the values of columns that are in the same records."""
    dtype = np.dtype([(f"{number}", part.dtype, part.shape) for number, part in enumerate(parts)])
    wanted = list[tuple[Column, str, tuple[int, ...]]]()
    for column in columns:
        number = next((number for number, part in enumerate(parts) if part.key == column.key), None)
        if number is None:
            guess = did_you_mean(column.key, [part.key for part in parts if part.key])
            raise DecodeError(column.file, f"its record has no part {column.key!r}{guess}", keys=("options", "record"))
        stored, whose = (column.count, *parts[number].shape), f"part {column.key!r} of its records"
        given = check_within_declared(column, parts[number].dtype, stored, column.file, whose)
        wanted.append((column, f"{number}", given[1:]))
    count, done = columns[0].count, 0
    for source in sources:
        with opened_source(source) as stream:
            stream.take(header_bytes, "its header")
            for values in _records(stream, dtype, count - done, done):
                for column, name, shape in wanted:
                    whose = f"part {column.key!r}"
                    numbers = native(np.ascontiguousarray(values[name]), column.file, whose)
                    yield Block(column, done, numbers.reshape(len(numbers), *shape))
                done += len(values)
            if extra := stream.skip(OVERRUN):
                more = f"{extra:,} bytes more" if extra < OVERRUN else f"{extra:,} bytes or more"
                reason = f"its {done:,} records are all that are declared, and {more} follow"
                stream.refuse(reason, aspect="samples", expected=count, actual=more, split=split.name)
    if done < count:
        reason = f"it has {done:,} records of {dtype.itemsize:,} bytes, declared are {count:,}"
        raise ContentError(
            columns[0].file, reason, aspect="samples", expected=count, actual=done, column=str(columns[0])
        )


def _records(stream: Stream, dtype: np.dtype, most: int, before: int) -> Iterator[np.ndarray]:
    """Yield the records of a file, at most so many, in blocks."""
    step = max(1, BLOCK_BYTES // dtype.itemsize)
    while most:
        raw = bytearray(min(step, most) * dtype.itemsize)
        came = stream.fill(memoryview(raw))
        whole, left = divmod(came, dtype.itemsize)
        if left:
            stream.fail(f"it ends inside record {before + whole:,}: {dtype.itemsize:,} bytes expected, {left:,} came")
        if whole:
            yield np.frombuffer(raw, dtype, whole)
        if came < len(raw):
            return
        most, before = most - whole, before + whole
