"""What does a pickle say, instruction by instruction?

A pickle is a program for a small stack machine. This reads it without running it: each opcode with its argument,
every length held against the bytes that are there. The instructions are those of protocols 0 to 5, as
`pickletools` in the standard library lists them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

PROTOCOLS = range(6)

# A number of fixed size follows.
NUMBERS = {
    b"J": "<i",  # BININT
    b"K": "<B",  # BININT1
    b"M": "<H",  # BININT2
    b"G": ">d",  # BINFLOAT
    b"q": "<B",  # BINPUT
    b"r": "<I",  # LONG_BINPUT
    b"h": "<B",  # BINGET
    b"j": "<I",  # LONG_BINGET
    b"\x80": "<B",  # PROTO
    b"\x82": "<B",  # EXT1
    b"\x83": "<H",  # EXT2
    b"\x84": "<i",  # EXT4
    b"\x95": "<Q",  # FRAME
}

# A length follows, then so many bytes.
COUNTED = {
    b"T": "<i",  # BINSTRING
    b"U": "<B",  # SHORT_BINSTRING
    b"X": "<I",  # BINUNICODE
    b"\x8c": "<B",  # SHORT_BINUNICODE
    b"\x8d": "<Q",  # BINUNICODE8
    b"B": "<I",  # BINBYTES
    b"C": "<B",  # SHORT_BINBYTES
    b"\x8e": "<Q",  # BINBYTES8
    b"\x96": "<Q",  # BYTEARRAY8
    b"\x8a": "<B",  # LONG1
    b"\x8b": "<i",  # LONG4
}

# So many lines of text follow.
LINES = {
    b"I": 1,  # INT
    b"L": 1,  # LONG
    b"F": 1,  # FLOAT
    b"S": 1,  # STRING
    b"V": 1,  # UNICODE
    b"P": 1,  # PERSID
    b"p": 1,  # PUT
    b"g": 1,  # GET
    b"c": 2,  # GLOBAL
    b"i": 2,  # INST
}

# MARK POP DUP NONE REDUCE APPEND BUILD DICT EMPTY_DICT APPENDS LIST EMPTY_LIST OBJ SETITEM TUPLE EMPTY_TUPLE
# SETITEMS BINPERSID POP_MARK, then NEWOBJ TUPLE1 TUPLE2 TUPLE3 NEWTRUE NEWFALSE, then EMPTY_SET ADDITEMS FROZENSET
# NEWOBJ_EX STACK_GLOBAL MEMOIZE, then NEXT_BUFFER READONLY_BUFFER.
BARE = frozenset(
    bytes([code]) for code in b"(02NRabd}el]ostu)Q1" + b"\x81\x85\x86\x87\x88\x89" + b"\x8f\x90\x91\x92\x93\x94\x97\x98"
)
STOP = b"."

Argument = int | float | bytes | tuple[bytes, ...] | None


class BadPickle(Exception):
    """The bytes are not a sound pickle."""


def instructions(data: bytes | bytearray) -> Iterator[tuple[int, bytes, Argument]]:
    """Each instruction up to STOP, as (where it is, its opcode, its argument).

    >>> [(code, argument) for _, code, argument in instructions(b"U\\x02hiK\\x07\\x86.")]
    [(b'U', b'hi'), (b'K', 7), (b'\\x86', None), (b'.', None)]

    Raises:
        BadPickle: It is cut short, has an unknown opcode, or goes on after STOP.
    """
    view = memoryview(data)
    numbers = {code: struct.Struct(form) for code, form in NUMBERS.items()}
    counts = {code: struct.Struct(form) for code, form in COUNTED.items()}
    at, size = 0, len(data)
    while at < size:
        start, code = at, bytes(view[at : at + 1])
        at += 1
        if code in numbers:
            number = numbers[code]
            if size - at < number.size:
                break
            (value,) = number.unpack_from(view, at)
            at += number.size
            if code == b"\x95" and value > size - at:
                _refuse(start, f"a frame of {value:,} bytes is promised, {size - at:,} are left")
            yield start, code, value
        elif code in counts:
            count = counts[code]
            if size - at < count.size:
                break
            (length,) = count.unpack_from(view, at)
            at += count.size
            if not 0 <= length <= size - at:
                _refuse(start, f"{length:,} bytes are promised, {size - at:,} are left")
            yield start, code, bytes(view[at : at + length])
            at += length
        elif code in LINES:
            lines = []
            for _ in range(LINES[code]):
                end = data.find(b"\n", at)
                if end < 0:
                    _refuse(start, "a line without an end")
                lines.append(bytes(view[at:end]))
                at = end + 1
            yield start, code, lines[0] if len(lines) == 1 else tuple(lines)
        elif code == STOP:
            if at < size:
                _refuse(at, f"{size - at:,} bytes follow its end")
            yield start, code, None
            return
        elif code in BARE:
            yield start, code, None
        else:
            _refuse(start, f"{code!r} is no instruction")
    _refuse(size, "it is cut short")


def _refuse(at: int, what: str) -> None:
    msg = f"at byte {at:,}, {what}"
    raise BadPickle(msg)
