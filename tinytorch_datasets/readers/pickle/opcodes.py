"""Pickle opcodes and their arguments.

A pickle is a program for a small stack machine. This reads it without running it, front to back, and holds no more
of it than one instruction: each opcode with its argument. The instructions are those of protocols 0 to 5, as
`pickletools` in the standard library lists them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Generator, Iterator
from typing import Any, NoReturn

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

LONGEST_NAME = 256  # of what is shown of a name

# Instructions that reach outside the pickle without a name.
UNSAFE = {
    b"P": "a persistent id",
    b"Q": "a persistent id",
    b"\x82": "extension code {}",
    b"\x83": "extension code {}",
    b"\x84": "extension code {}",
    b"\x97": "a buffer outside the pickle",
    b"\x98": "a buffer outside the pickle",
}

# What is followed as it is carried out, where only names are wanted.
STACK_ONLY = frozenset(
    (b"(", b"0", b"1", b"q", b"r", b"p", b"\x94", b"h", b"j", b"g", b"\x85", b"\x86", b"\x87", b"\x80", b"\x95")
)

# What the bytes of a text are in, where it may be part of a name.
TEXT_ENCODINGS = {
    b"V": "raw_unicode_escape",
    **dict.fromkeys((b"S", b"T", b"U", b"X", b"\x8c", b"\x8d", b"B", b"C", b"\x8e", b"\x96"), "utf-8"),
}

# How many values any other instruction takes off the stack (None: all up to the mark), and whether it puts one there.
EFFECTS: dict[bytes, tuple[int | None, bool]] = {
    **dict.fromkeys((b"R", b"\x81", b"\x93"), (2, True)),
    b"\x92": (3, True),
    b"Q": (1, True),
    **dict.fromkeys((b"b", b"a"), (1, False)),
    b"s": (2, False),
    **dict.fromkeys((b"t", b"l", b"d", b"o", b"i", b"\x91"), (None, True)),
    **dict.fromkeys((b"e", b"u", b"\x90"), (None, False)),
    b"\x98": (0, False),
}

# Numbers, short texts and memos, which come in runs.
RUNS = frozenset((b"K", b"M", b"U", b"\x8c", b"q", b"r", b"\x94"))

Argument = Any
Gather = Callable[[bytes, Iterator[bytes]], Argument]
Run = Callable[[bytes, int], int]

CHUNK_BYTES = 1 << 16


class BadPickle(Exception):
    """The bytes are not a sound pickle."""


class Source:
    """The bytes of a pickle, which come as they are asked for; where they end is known when they do."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read, self._buffer, self._next, self._passed = read, b"", 0, 0

    @property
    def at(self) -> int:
        """How many bytes have been taken."""
        return self._passed + self._next

    def _has(self, count: int) -> bool:
        while len(self._buffer) - self._next < count:
            more = self._read(CHUNK_BYTES)
            if not more:
                return False
            self._passed += self._next
            self._buffer, self._next = self._buffer[self._next :] + more, 0
        return True

    def few(self, count: int) -> bytes:
        """Return the next few bytes, or none if there are not so many."""
        if not self._has(count):
            self._next = len(self._buffer)
            return b""
        self._next += count
        return self._buffer[self._next - count : self._next]

    def many(self, count: int, start: int) -> Iterator[bytes]:
        """Yield the next `count` bytes, few as a whole; `start` is where the instruction that has them begins."""
        left = count
        while left:
            self._has(min(left, CHUNK_BYTES))
            piece = self._buffer[self._next : self._next + left]
            if not piece:
                _refuse(start, f"{count:,} bytes are stated, {count - left:,} are left")
            self._next += len(piece)
            left -= len(piece)
            yield piece

    def line(self, start: int) -> Iterator[bytes]:
        """Yield the bytes up to the next line feed, few as a whole, and go past it."""
        while self._has(1):
            if (end := self._buffer.find(b"\n", self._next)) < 0:
                self._has(CHUNK_BYTES)
                end = self._buffer.find(b"\n", self._next)
            piece = self._buffer[self._next : end if end >= 0 else None]
            self._next += len(piece)
            yield piece
            if end >= 0:
                self._next += 1
                return
        _refuse(start, "a line without an end")

    def run(self, run: Run) -> bool:
        """Go back by an opcode, and on by as many bytes as `run` says; whether it has moved."""
        passed = run(self._buffer, self._next - 1)
        self._next += max(passed - 1, 0)
        return passed > 0

    def to_end(self) -> int:
        """Return how many bytes are left, up to a megabyte."""
        left = len(self._buffer) - self._next
        while left < 1 << 20 and (more := self._read(CHUNK_BYTES)):
            left += len(more)
        return left


def joined(code: bytes, pieces: Iterator[bytes]) -> bytes:
    """Join the pieces."""
    first = next(pieces, b"")
    second = next(pieces, None)
    if second is None:
        return first
    # Grown in place and handed over as it is: b"".join would hold everything twice.
    whole = io.BytesIO()
    whole.write(first)
    whole.write(second)
    whole.writelines(pieces)
    return whole.getvalue()


def beginning(pieces: Iterator[bytes]) -> bytes:
    """Return what is enough of an argument to know a name by; the rest is read and let go."""
    kept = next(pieces, b"")
    for _ in pieces:
        pass
    return kept


def short_text(code: bytes, raw: Any) -> str | None:
    """Return the text that an instruction pushes, if it could be part of a name, else None."""
    if type(raw) is not bytes or len(raw) > LONGEST_NAME:
        return None
    if code == b"S":
        raw = raw[1:-1]
    return str(raw, TEXT_ENCODINGS[code], "backslashreplace")


def source(data: bytes | bytearray | Callable[[int], bytes]) -> Source:
    """Return the source of a pickle that is at hand, or that a function reads."""
    return Source(data if callable(data) else io.BytesIO(data).read)


def instructions(
    pickle: Source, gather: Gather = joined, run: Run | None = None
) -> Generator[tuple[int, bytes, Argument], None, None]:
    """Yield each instruction up to STOP, as (where it is, its opcode, its argument).

    `gather` makes the argument of the pieces of what may be long; it must use up the pieces. `run` is shown what is
    at hand wherever an instruction of `RUNS` begins, and says how many bytes on it is to go: these are not given.

    >>> [(code, argument) for _, code, argument in instructions(source(b"U\\x02hiK\\x07\\x86."))]
    [(b'U', b'hi'), (b'K', 7), (b'\\x86', None), (b'.', None)]

    Raises:
        BadPickle: It is cut short, has an unknown opcode, or goes on after STOP.
    """
    numbers = {code: struct.Struct(form) for code, form in NUMBERS.items()}
    counts = {code: struct.Struct(form) for code, form in COUNTED.items()}
    frame_at, frame_end = 0, 0
    while True:
        start, code = pickle.at, pickle.few(1)
        if not code:
            break
        if run is not None and code in RUNS and pickle.run(run):
            continue
        if code in numbers:
            number = numbers[code]
            raw = pickle.few(number.size)
            if not raw:
                break
            (value,) = number.unpack(raw)
            if code == b"\x95":
                frame_at, frame_end = start, pickle.at + value
            yield start, code, value
        elif code in counts:
            count = counts[code]
            raw = pickle.few(count.size)
            if not raw:
                break
            (length,) = count.unpack(raw)
            if length < 0:
                _refuse(start, f"{length:,} bytes are stated")
            yield start, code, gather(code, pickle.many(length, start))
        elif code in LINES:
            lines = [gather(code, pickle.line(start)) for _ in range(LINES[code])]
            yield start, code, lines[0] if len(lines) == 1 else tuple(lines)
        elif code == STOP:
            if pickle.at < frame_end:
                break
            if extra := pickle.to_end():
                _refuse(pickle.at, f"{extra:,}{' or more' if extra >= 1 << 20 else ''} bytes follow its end")
            yield start, code, None
            return
        elif code in BARE:
            yield start, code, None
        else:
            _refuse(start, f"{code!r} is not an instruction")
    if pickle.at < frame_end:
        stated, here = frame_end - frame_at - 9, pickle.at - frame_at - 9
        _refuse(frame_at, f"a frame of {stated:,} bytes is stated, {here:,} are left")
    _refuse(pickle.at, "it is cut short")


def _refuse(at: int, what: str) -> NoReturn:
    msg = f"at byte {at:,}, {what}"
    raise BadPickle(msg)
