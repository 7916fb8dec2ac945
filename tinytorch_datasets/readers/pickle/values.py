"""Values that pickle instructions spell: runs of short ones, long texts; costs.

The labels and file names of a data set are numbers, short texts and memos by the hundred thousand. One by one each
would take a dozen calls. So what is certain to be right is done in one loop, and paid for as it goes; where anything
else comes, or the allowance or the count does not reach, the loop stops before it and the machine goes on.

Under protocols 0 to 2 Python spells bytes as text: `_codecs.encode` of latin-1 characters, or a quoted string. An array
of a hundred megabytes then stands there as up to six hundred; it is turned back piece by piece, as it comes.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tinytorch_datasets.readers.pickle.opcodes import BadPickle

# What CPython takes for what an instruction makes, at most: an empty container, a number that is not kept ready, a
# slot of a dict that is growing. A reference takes 8, and 8 more while a list is copied.
COSTS = {
    **dict.fromkeys((b"(", b"]", b"}", b"l", b"d"), 72),
    **dict.fromkeys((b"\x85", b"\x86", b"\x87", b"t"), 72),
    **dict.fromkeys((b"I", b"L", b"J", b"M", b"G", b"F", b"\x8a", b"\x8b"), 48),
    **dict.fromkeys((b"S", b"V", b"T", b"U", b"X", b"B", b"C", b"\x8c", b"\x8d", b"\x8e", b"\x96"), 64),
    **dict.fromkeys((b"q", b"r", b"p", b"\x94"), 144),
    **dict.fromkeys((b"s", b"u", b"R"), 144),
}
REFERENCE = 16

# BININT1, BININT2, SHORT_BINSTRING, SHORT_BINUNICODE, and BINPUT, LONG_BINPUT and MEMOIZE, which cost the same.
NUMBER, SHORT, BYTES, TEXT, PUT, LONG_PUT, MEMOIZE = b"KMU\x8cqr\x94"
LONGEST = 2 + 255

# What the escapes of repr() and of raw-unicode-escape may be cut between.
_QUOTED = re.compile(rb"(?:[^\\]+|\\[\\'\"nrt]|\\x[0-9a-f]{2})*")
_RAW = re.compile(rb"(?:[^\\]+|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\[^uU])*", re.DOTALL)
LONGEST_ESCAPE = 10

Spend = Callable[[int], None]


class Run(NamedTuple):
    """How many bytes were read, how many instructions they were, and what these cost."""

    read: int
    steps: int
    cost: int


def run(buffer: bytes, at: int, stack: list[Any], memo: dict[int, Any], most: int, left: int) -> Run:
    """Carry out the instructions that begin at `at`: at most so many, that cost no more than is left.

    >>> stack, memo = [], {}
    >>> run(b"K\\x07U\\x02hiq\\x01e" + bytes(LONGEST), 0, stack, memo, 1000, 1000), stack, memo
    (Run(read=8, steps=3, cost=226), [7, b'hi'], {1: b'hi'})
    """
    here, end = at, len(buffer) - LONGEST  # what begins before is there as a whole
    steps, spare = 0, left
    push = stack.append
    a_number, a_short, a_text, a_memo = REFERENCE, COSTS[b"M"], COSTS[b"U"], COSTS[b"q"]
    while here < end and steps < most:
        code = buffer[here]
        if code == NUMBER and spare >= a_number:
            push(buffer[here + 1])
            spare -= a_number
            here += 2
        elif code == SHORT and spare >= a_short:
            push(buffer[here + 1] | buffer[here + 2] << 8)
            spare -= a_short
            here += 3
        elif code == BYTES and spare >= a_text + (length := buffer[here + 1]):
            push(buffer[here + 2 : here + 2 + length])
            spare -= a_text + length
            here += 2 + length
        elif code == TEXT and spare >= a_text + (length := buffer[here + 1]):
            raw = buffer[here + 2 : here + 2 + length]
            if not raw.isascii():
                break
            push(raw.decode("ascii"))
            spare -= a_text + length
            here += 2 + length
        elif code == PUT and stack and spare >= a_memo:
            memo[buffer[here + 1]] = stack[-1]
            spare -= a_memo
            here += 2
        elif code == LONG_PUT and stack and spare >= a_memo:
            memo[int.from_bytes(buffer[here + 1 : here + 5], "little")] = stack[-1]
            spare -= a_memo
            here += 5
        elif code == MEMOIZE and stack and spare >= a_memo:
            memo[len(memo)] = stack[-1]
            spare -= a_memo
            here += 1
        else:
            break
        steps += 1
    return Run(here - at, steps, left - spare)


class Latin1Text:
    """A long text of latin-1 characters, kept as the bytes that it most likely spells."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    @property
    def text(self) -> str:
        """The text itself."""
        return self.raw.decode("latin-1")


def quoted(pieces: Iterator[bytes], spend: Spend) -> bytes:
    """Return the bytes that a line with quotes and escapes spells, as Python 2 wrote them."""
    out = io.BytesIO()
    for piece in _whole_escapes(_unquoted(pieces), _QUOTED):
        raw = codecs.escape_decode(piece)[0]
        spend(len(raw))
        out.write(raw)
    return out.getvalue()


def raw_unicode(pieces: Iterator[bytes], spend: Spend) -> Latin1Text | str:
    """Return the text of a line of protocol 0."""
    return _narrow((piece.decode("raw_unicode_escape") for piece in _whole_escapes(pieces, _RAW)), spend)


def utf8(pieces: Iterator[bytes], spend: Spend) -> Latin1Text | str:
    """Return the text of bytes in UTF-8."""

    def texts() -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)

    return _narrow(texts(), spend)


def _narrow(texts: Iterator[str], spend: Spend) -> Latin1Text | str:
    """Return the bytes if all characters are latin-1, else the text.

    That may take four bytes a character, and twice that.
    """
    out = io.BytesIO()
    for text in texts:
        try:
            raw = text.encode("latin-1")
        except UnicodeEncodeError:
            spend(8 * (out.tell() + len(text)))
            parts = [out.getvalue().decode("latin-1"), text]
            for more in texts:
                spend(8 * len(more))
                parts.append(more)
            return "".join(parts)
        spend(len(raw))
        out.write(raw)
    return Latin1Text(out.getvalue())


def _unquoted(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held = next(pieces)
    quote, held = held[:1], held[1:]
    for piece in pieces:
        if piece:
            yield held
            held = piece
    if quote not in (b"'", b'"') or held[-1:] != quote:
        msg = "a string without its quotes"
        raise BadPickle(msg)
    yield held[:-1]


def _whole_escapes(pieces: Iterator[bytes], escapes: re.Pattern[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        held += piece
        match = escapes.match(held)
        end = match.end() if match else 0
        if len(held) - end > LONGEST_ESCAPE:
            break
        yield held[:end]
        held = held[end:]
    if held:
        msg = "a string with an escape that its writer does not write"
        raise BadPickle(msg)


# How the pieces of a long text become it, by the opcode.
LONG_TEXTS: dict[bytes, Callable[[Iterator[bytes], Spend], Latin1Text | str]] = {
    b"S": lambda pieces, spend: Latin1Text(quoted(pieces, spend)),
    b"V": raw_unicode,
    **dict.fromkeys((b"X", b"\x8d"), utf8),
}
