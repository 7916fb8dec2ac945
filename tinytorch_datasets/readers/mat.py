"""MATLAB files of version 5: variables, and what they hold, within bounds.

Layout: "MAT-File Format", The MathWorks. A file is elements one after the other, each with a tag that states its type
and size; a variable is an element of elements, and may be compressed by zlib. No size is believed before it has been
compared with what is left of the element around it, and nothing is held that has not been asked for.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

import numpy as np

from tinytorch_datasets.errors import DecodeError
from tinytorch_datasets.readers.compression import INPUT_CHUNK, Damaged, Inflater, inflate
from tinytorch_datasets.readers.stream import Stream

HEADER_BYTES = 128
# The last four bytes of the header: the version, and an "MI" that shows the order of bytes.
ORDERS = {b"\0\1IM": "<", b"\1\0MI": ">"}
HDF5_INSIDE = (b"\0\2IM", b"\2\0MI")

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
CODECS = {1: "ascii", 2: "ascii", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
TEXT_BYTES = {1: 1, 2: 1, 4: 2, 16: 4, 17: 2, 18: 4}  # the most that a character takes, of each of those

CELL, STRUCT, CHAR, SPARSE = 1, 2, 4, 5
CLASSES = {
    1: "cells", 2: "a struct", 3: "an object", 4: "text", 5: "a sparse matrix", 6: "float64", 7: "float32", 8: "int8",
    9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64",
    16: "a function", 17: "an object",
}  # fmt: skip
NUMERIC = frozenset(range(6, 16))
OPAQUE = 17
IS_COMPLEX = 0x0800

# MATLAB's own bounds are 63 characters, and as many dimensions as NumPy has.
LONGEST_NAME, MOST_DIMENSIONS, MOST_FIELDS = 256, 32, 4096
MOST_DEPTH = 8


class Tag(NamedTuple):
    """How an element begins: its type, its size, and its bytes, where these few stand in the tag itself."""

    kind: int
    size: int
    small: bytes | None = None


class Elements:
    """Elements one after the other, in so many bytes of a stream, or to its end.

    `whose` says in errors what they are.
    """

    def __init__(self, stream: Stream, order: str, size: int | None, whose: str) -> None:
        self.stream, self.order, self.left, self.whose = stream, order, size, whose

    def fail(self, what: str, *, hint: str | None = None) -> NoReturn:
        """Raise an error: the bytes are not what their tags say."""
        self.stream.fail(f"{self.whose} {what}", hint=hint)

    def take(self, count: int, what: str) -> bytes:
        """Return the next bytes, which are few."""
        self._count(count, what)
        return bytes(self.stream.take(count, what))

    def _count(self, count: int, what: str) -> None:
        if self.left is not None:
            if count > self.left:
                self.fail(f"ends inside {what}: {count:,} bytes expected, {self.left:,} are left")
            self.left -= count

    def tag(self) -> Tag | None:
        """Return the next tag, or None behind the last element."""
        if self.left == 0:
            return None
        if self.left is None:
            head = bytearray(8)
            came = self.stream.fill(memoryview(head))
            if not came:
                return None
            if came < 8:
                self.fail(f"ends inside a tag: 8 bytes expected, {came} came")
            raw = bytes(head)
        else:
            raw = self.take(8, "a tag")
        first, second = struct.unpack(f"{self.order}II", raw)
        if first >> 16:
            kind, size = first & 0xFFFF, first >> 16
            if size > 4:
                self.fail(f"has a tag that holds {size} bytes itself, the most is 4")
            return Tag(kind, size, raw[4 : 4 + size])
        if self.left is not None and second > self.left:
            self.fail(f"ends inside an element: {second:,} bytes expected, {self.left:,} are left")
        return Tag(first, second)

    def expected(self, kinds: Collection[int], what: str) -> Tag:
        """Return the next tag, which is of one of these types."""
        tag = self.tag()
        if tag is None:
            self.fail(f"ends where {what} should be")
        if tag.kind not in kinds:
            self.fail(f"has an element of type {tag.kind} where {what} should be")
        return tag

    def small(self, kind: int, most: int, what: str) -> bytes:
        """Return the bytes of the next element, which is of this type and has no more than so many."""
        tag = self.expected((kind,), what)
        if tag.size > most:
            self.fail(f"states {tag.size:,} bytes for {what}, the most is {most:,}")
        return self.data(tag, what)

    def data(self, tag: Tag, what: str) -> bytes:
        """Return the bytes of an element, without those that fill it up; their number has been compared before."""
        if tag.small is not None:
            return tag.small
        out = self.take(tag.size, what)
        self.pad(tag)
        return out

    def pad(self, tag: Tag) -> None:
        """Read past what fills an element up to eight bytes."""
        if tag.small is None:
            fill = -tag.size % 8
            self.take(fill if self.left is None else min(fill, self.left), "the end of an element")

    def part(self, tag: Tag, whose: str) -> Elements:
        """Return the elements inside of an element; all of them are to be read before the next one here."""
        self._count(tag.size, "an element")
        return Elements(self.stream, self.order, tag.size, whose)

    def bytes_of(self, tag: Tag) -> Stream:
        """Return the bytes of an element as a stream of its own, to be read to their end; then comes `pad`."""
        if tag.small is not None:
            held = [tag.small]
            return Stream(self.stream.path, lambda most: held.pop() if held else b"", member=self.stream.member)
        self._count(tag.size, "an element")
        left = tag.size

        def read(most: int) -> bytes:
            nonlocal left
            piece = self.stream.some(min(most, left)) if left else b""
            left -= len(piece)
            return piece

        return Stream(self.stream.path, read, member=self.stream.member)

    def skip(self) -> None:
        """Read past what is left."""
        assert self.left is not None
        came = self.stream.skip(self.left)
        if came < self.left:
            self.fail(f"is cut short: {self.left:,} more bytes expected, {came:,} came")
        self.left = 0


@dataclass
class Matrix:
    """What MATLAB calls an array: numbers, text, cells or a struct. `rest` has what follows its name.

    `kind` is its class, one of `CLASSES`; `name` is empty inside of cells and structs.
    """

    kind: int
    dims: tuple[int, ...]
    name: str
    is_complex: bool
    rest: Elements
    inner: Matrix | None = None

    @property
    def count(self) -> int:
        """How many numbers, characters or cells it has."""
        return math.prod(self.dims)

    def values(self) -> tuple[np.dtype, Tag]:
        """Return the dtype in which its numbers are stored, and the tag of the element that has them.

        Raises:
            DecodeError: It states another number of bytes than its dimensions make.
        """
        if self.is_complex:
            hint = "Save their parts as two variables: real(x) and imag(x)."
            self.rest.fail("holds complex numbers", hint=hint)
        if not self.count and not self.rest.left:
            return np.dtype(np.float64), Tag(9, 0, b"")
        tag = self.rest.expected(NUMBERS, "its numbers")
        dtype = np.dtype(self.rest.order + NUMBERS[tag.kind])
        stated = f"states the shape {self.dims}"
        if tag.size != self.count * dtype.itemsize:
            self.rest.fail(f"{stated}, which makes {self.count * dtype.itemsize:,} bytes, and {tag.size:,} are stored")
        return dtype, tag

    def text(self, most: int) -> list[str]:
        """Return the rows of its characters, each a text, of at most so many characters in all.

        Raises:
            DecodeError: They are more, or not in their encoding.
        """
        if len(self.dims) != 2:
            self.rest.fail(f"holds text of {len(self.dims)} dimensions, and texts are the rows of two")
        if not self.count:
            return [""] * self.dims[0] if self.dims[0] <= most else self._too_long(self.dims[0], most)
        if self.count > most:
            self._too_long(self.count, most)
        tag = self.rest.expected(CODECS, "its characters")
        if tag.size > self.count * TEXT_BYTES[tag.kind]:
            self.rest.fail(f"states {self.count:,} characters, and {tag.size:,} bytes of them are stored")
        codec = CODECS[tag.kind] + ({"<": "-le", ">": "-be"}[self.rest.order] if tag.kind in (4, 17, 18) else "")
        raw = self.rest.data(tag, "its characters")
        try:
            whole = raw.decode(codec)
        except UnicodeDecodeError as error:
            reason = f"{self.rest.whose} holds text that is not {codec.upper()}"
            raise DecodeError(self.rest.stream.path, reason) from error
        rows = self.dims[0]
        if rows == 1 and len(whole.encode("utf-16-le")) == 2 * self.count:
            return [whole]
        if len(whole) != self.count:
            self.rest.fail(f"states {self.count:,} characters, and {len(whole):,} are stored")
        return [whole[row::rows] for row in range(rows)]

    def _too_long(self, count: int, most: int) -> NoReturn:
        self.rest.fail(f"holds {count:,} characters, more than the {most:,} that its texts may come to")

    def cells(self) -> Iterator[Matrix]:
        """Yield its cells, each to be read before the next."""
        for number in range(self.count):
            cell = _matrix(self.rest, f"{self.rest.whose}, cell {number + 1:,},")
            yield cell
            cell.end()

    def fields(self) -> Iterator[tuple[str, Matrix]]:
        """Yield the fields of a struct, each with its name, to be read before the next; of several structs, of each."""
        for fields in self.structs():
            yield from fields

    def structs(self) -> Iterator[Iterator[tuple[str, Matrix]]]:
        """Yield the fields of one struct after the other, to be read before those of the next."""
        rest = self.rest
        (length,) = struct.unpack(
            f"{rest.order}i", rest.small(INT32, 4, "the length of its field names").ljust(4, b"\0")
        )
        if not 0 < length <= LONGEST_NAME:
            rest.fail(f"states field names of {length:,} bytes, the most is {LONGEST_NAME}")
        raw = rest.small(INT8, length * MOST_FIELDS, "its field names")
        if len(raw) % length:
            rest.fail(f"has field names of {len(raw):,} bytes, which are not of {length} each")
        names = [raw[at : at + length].partition(b"\0")[0].decode("latin-1") for at in range(0, len(raw), length)]
        for number in range(self.count if names else 0):
            yield self._fields(names, f", struct {number + 1:,}," if self.count != 1 else "")

    def _fields(self, names: Sequence[str], of: str) -> Iterator[tuple[str, Matrix]]:
        for name in names:
            front, quote, back = self.rest.whose.rpartition("'")
            field = _matrix(self.rest, f"{front}.{name}{quote}{back}{of}")
            yield name, field
            field.end()

    def contents(self) -> Matrix:
        """Return what is in a cell that has but one, however many are around that; itself, if it is none."""
        inner, depth = self, 0
        while inner.kind == CELL and inner.count == 1 and depth < MOST_DEPTH:
            inner.inner = _matrix(inner.rest, inner.rest.whose)
            inner, depth = inner.inner, depth + 1
        return inner

    def end(self) -> None:
        """Read past what is left of it."""
        if self.inner is not None:
            self.inner.end()
        self.rest.skip()


def is_mat(head: bytes) -> bool:
    """Check whether a file that begins so is a MATLAB file of version 5, or of 7.3, which is HDF5 inside."""
    return len(head) >= HEADER_BYTES and head[HEADER_BYTES - 4 : HEADER_BYTES] in (*ORDERS, *HDF5_INSIDE)


def variables(stream: Stream, *, limit: int | None = None, limit_reason: str = "") -> Iterator[Matrix]:
    """Yield the variables of a file, each to be read before the next; what is not read of them is passed over.

    At most `limit` bytes come out of each that is compressed; see `Stream`.

    Raises:
        DecodeError: It is no MATLAB file of version 5, or is damaged.
    """
    header = bytes(stream.take(HEADER_BYTES, "the header of a MATLAB file"))
    if header[-4:] in HDF5_INSIDE:
        hint = "Declare the format hdf5; the axes come in the opposite order there."
        stream.fail("it is a MATLAB file of version 7.3, which is HDF5 inside", hint=hint)
    order = ORDERS.get(header[-4:])
    if order is None:
        hint = "Save it in MATLAB with -v7, or in SciPy with format='5'."
        stream.fail(f"it is no MATLAB file of version 5: its header ends in {header[-4:]!r}", hint=hint)
    file = Elements(stream, order, None, "the file")
    names = set[str]()
    while tag := file.tag():
        if tag.kind == COMPRESSED:
            packed = file.part(tag, "a compressed variable")
            yield from _once(names, _inflated(packed, limit, limit_reason))
        elif tag.kind == MATRIX:
            part = file.part(tag, "a variable")
            yield from _once(names, _filled(part))
        else:
            file.fail(f"has an element of type {tag.kind} where a variable should be")


def _once(names: set[str], found: Iterator[Matrix]) -> Iterator[Matrix]:
    for matrix in found:
        if not matrix.name:  # MATLAB keeps what objects refer to in a variable without a name
            continue
        if matrix.name in names:
            matrix.rest.fail("is there twice")
        names.add(matrix.name)
        yield matrix


def _inflated(packed: Elements, limit: int | None, limit_reason: str) -> Iterator[Matrix]:
    """Yield the variable in a compressed element."""
    engine, path = Inflater(15), packed.stream.path
    fed = packed.bytes_of(Tag(COMPRESSED, packed.left or 0))

    def read(most: int) -> bytes:
        try:
            return inflate(engine, lambda: fed.some(INPUT_CHUNK), most)
        except Damaged as damaged:
            reason = f"{inside.whose} is compressed, and its zlib data {damaged}"
            raise DecodeError(path, reason) from damaged.__cause__

    stream = Stream(path, read, member=packed.stream.member, limit=limit, limit_reason=limit_reason)
    inside = Elements(stream, packed.order, None, packed.whose)
    tag = inside.expected((MATRIX,), "a variable")
    part = inside.part(tag, packed.whose)
    matrix = _headed(part)
    inside.whose = part.whose
    yield matrix
    if not part.left:  # it was asked for, so its checksum counts
        stream.end(f"{part.whose} is all of its compressed element")
        if fed.some(1) or engine.unused_data:
            inside.fail("is compressed, and something else follows its zlib data")
    while fed.some(INPUT_CHUNK):
        pass
    packed.left = 0


def _filled(part: Elements) -> Iterator[Matrix]:
    yield _headed(part)
    part.skip()


def _matrix(rest: Elements, whose: str) -> Matrix:
    """Return the next element, which is an array inside of another."""
    return _headed(rest.part(rest.expected((MATRIX,), "an array"), whose), named=False)


def _headed(part: Elements, *, named: bool = True) -> Matrix:
    """Return an array whose elements these are, its header read."""
    if not part.left:  # how an empty cell is written
        return Matrix(6, (0, 0), "", False, part)
    flags = part.small(UINT32, 8, "the flags of an array").ljust(8, b"\0")
    (word,) = struct.unpack(f"{part.order}I", flags[:4])
    kind, dims = word & 0xFF, ()
    if kind not in CLASSES:
        part.fail(f"is of class {kind}, which is none of MATLAB's")
    if kind != OPAQUE:
        raw = part.small(INT32, 4 * MOST_DIMENSIONS, "the dimensions of an array")
        dims = struct.unpack(f"{part.order}{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
        if len(dims) < 2 or len(raw) % 4 or min(dims) < 0:
            part.fail(f"has the dimensions {dims}")
    name = part.small(INT8, LONGEST_NAME, "the name of an array").decode("latin-1")
    if named:
        part.whose = f"variable {name!r}"
    return Matrix(kind, dims, name, bool(word & IS_COMPLEX), part)
