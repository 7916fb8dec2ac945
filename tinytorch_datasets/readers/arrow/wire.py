"""Thrift and FlatBuffers: what the headers of Parquet and Arrow files state.

What a header states is what a library takes memory for, so it is looked at before the library reads it. Layouts:
"Thrift compact protocol encoding", and "FlatBuffer Internals".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tinytorch_datasets.errors import DecodeError

# So many structs, lists and maps inside of each other.
MOST_DEPTH = 32
# So many columns, those inside of others counted: a FlatBuffer may name one of them a thousand times.
MOST_COLUMNS = 1 << 16

# Message.fbs of Arrow: the types of messages.
SCHEMA, DICTIONARY, BATCH = 1, 2, 3

# Thrift's compact protocol: the types of fields.
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


class Thrift:
    """Thrift's compact protocol, as far as headers are looked at; IndexError where the bytes end too early."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def _varint(self) -> int:
        value = self._data[self.at]
        self.at += 1
        if value < 0x80:
            return value
        value &= 0x7F
        for shift in range(7, 70, 7):
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def struct(self, depth: int, wanted: Mapping[int, Any]) -> dict[int, Any]:
        """Read a struct; of its fields, those that are wanted and of the wanted type.

        `wanted` has the type of each, a mapping of the same kind for a struct, and a list of one for a list of structs.
        """
        found: dict[int, Any] = {}
        number = 0
        while byte := self._data[self.at]:
            self.at += 1
            kind = byte & 0x0F
            number = number + (byte >> 4) if byte >> 4 else self._number()
            want = wanted.get(number)
            if want is None:
                self.skip(kind, depth)
            elif want == kind and kind in (I32, I64):
                found[number] = self._number()
            elif want == kind == BINARY:
                found[number] = self.text()
            elif kind == STRUCT and isinstance(want, dict):
                found[number] = self.struct(depth + 1, want)
            elif kind == LIST and isinstance(want, list):
                found[number] = [self.struct(depth + 1, want[0]) for _ in range(self.list_of(STRUCT))]
            else:
                self.skip(kind, depth)
        self.at += 1
        return found

    def text(self) -> bytes:
        """Read bytes, as many as are stated."""
        length = self._varint()
        begin, self.at = self.at, self.at + length
        if self.at > len(self._data):
            raise IndexError
        return self._data[begin : self.at]

    def list_of(self, kind: int) -> int:
        """Read the head of a list of that type; how many it has."""
        head = self._data[self.at]
        self.at += 1
        if head & 0x0F != kind:
            raise ValueError
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > len(self._data) - self.at:  # each takes a byte at least
            raise IndexError
        return count

    def skip(self, kind: int, depth: int = 0) -> None:
        """Go past a value of that type."""
        if depth > MOST_DEPTH:
            raise ValueError
        if kind in (I16, I32, I64):
            self._varint()
        elif kind == BINARY:
            length = self._varint()
            self.at += length
        elif kind == STRUCT:
            self.struct(depth + 1, {})
        elif kind in (LIST, SET):
            inner = self._data[self.at] & 0x0F
            for _ in range(self.list_of(inner)):
                self.skip(BYTE if inner in (TRUE, FALSE) else inner, depth + 1)
        elif kind in (BYTE, DOUBLE):
            self.at += 1 if kind == BYTE else 8
        elif kind not in (TRUE, FALSE):  # maps are in no header
            raise ValueError


class Head(NamedTuple):
    """A message: its type, and its header."""

    kind: int
    header: Flat


class Flat:
    """A table of a FlatBuffer, as far as messages are looked at; struct.error where it leads out of the bytes."""

    def __init__(self, data: Any, at: int | None = None) -> None:
        self._data = data
        self._at = self._read("<I", 0) if at is None else at

    def _read(self, form: str, at: int) -> int:
        if at < 0:
            raise IndexError
        value: int = struct.unpack_from(form, self._data, at)[0]
        return value

    def _field(self, number: int) -> int:
        """Return where a field is, or 0 where it is left out."""
        directory = self._at - self._read("<i", self._at)
        if 4 + 2 * number >= self._read("<H", directory):
            return 0
        offset = self._read("<H", directory + 4 + 2 * number)
        return self._at + offset if offset else 0

    def number(self, field: int) -> int:
        """Return a number of 64 bits that is not below 0."""
        at = self._field(field)
        number = self._read("<q", at) if at else 0
        if number < 0:
            raise ValueError
        return number

    def table(self, field: int) -> Flat | None:
        """Return a table inside of this one."""
        at = self._field(field)
        return Flat(self._data, at + self._read("<I", at)) if at else None

    def vector(self, field: int) -> tuple[int, int]:
        """Return where the members of a vector begin, and how many there are."""
        at = self._field(field)
        if not at:
            return 0, 0
        at += self._read("<I", at)
        return at + 4, self._read("<I", at)

    def blocks(self, field: int) -> Iterator[tuple[int, int, int]]:
        """Yield each block of a file's footer: where it begins, and the bytes of its header and of its body."""
        begin, count = self.vector(field)
        for at in range(begin, begin + 24 * count, 24):
            block = self._read("<q", at), self._read("<i", at + 8), self._read("<q", at + 16)
            if min(block) < 0:
                raise ValueError
            yield block

    def message(self) -> Head:
        """Return what a message is."""
        kind, header = self._field(1), self.table(2)
        if not kind or header is None:
            raise ValueError
        return Head(self._read("<B", kind), header)

    def inflated(self, body: Any) -> int:
        """Return how many bytes the buffers of a batch come to."""
        is_compressed = self.table(3) is not None
        begin, count = self.vector(2)
        total = 0
        for at in range(begin, begin + 16 * count, 16):
            offset, length = self._read("<q", at), self._read("<q", at + 8)
            if is_compressed and length > 0:
                if offset < 0:
                    raise ValueError
                (stated,) = struct.unpack_from("<q", body, offset)
                length = stated if stated >= 0 else length
            total += max(length, 0)
        return total

    def check_columns(self, path: Path) -> None:
        """Check how many columns a schema has, those inside of others counted.

        Raises:
            DecodeError: They are too many.
        """
        stack, count = [(self, 1)], 0
        while stack:
            table, field = stack.pop()
            begin, length = table.vector(field)
            count += length
            if count > MOST_COLUMNS:
                raise DecodeError(path, f"it has more than {MOST_COLUMNS:,} columns")
            stack += [(Flat(self._data, at + self._read("<I", at)), 5) for at in range(begin, begin + 4 * length, 4)]
