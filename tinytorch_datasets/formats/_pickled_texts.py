"""How is a long text of a pickle read without holding it several times?

Under protocols 0 to 2 Python spells bytes as text: `_codecs.encode` of latin-1 characters, or a quoted string. An array
of a hundred megabytes then stands there as up to six hundred; it is turned back piece by piece, as it comes.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator

from tinytorch_datasets.formats._opcodes import BadPickle

# What the escapes of repr() and of raw-unicode-escape may be cut between.
_QUOTED = re.compile(rb"(?:[^\\]+|\\[\\'\"nrt]|\\x[0-9a-f]{2})*")
_RAW = re.compile(rb"(?:[^\\]+|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\[^uU])*", re.DOTALL)
LONGEST_ESCAPE = 10

Spend = Callable[[int], None]


class Spelled:
    """A long text of latin-1 characters, kept as the bytes that it most likely spells."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw


def quoted(pieces: Iterator[bytes], spend: Spend) -> bytes:
    """The bytes that a line with quotes and escapes spells, as Python 2 wrote them."""
    out = io.BytesIO()
    for piece in _whole_escapes(_unquoted(pieces), _QUOTED):
        raw = codecs.escape_decode(piece)[0]
        spend(len(raw))
        out.write(raw)
    return out.getvalue()


def raw_unicode(pieces: Iterator[bytes], spend: Spend) -> Spelled | str:
    """The text of a line of protocol 0."""
    return _narrow((piece.decode("raw_unicode_escape") for piece in _whole_escapes(pieces, _RAW)), spend)


def utf8(pieces: Iterator[bytes], spend: Spend) -> Spelled | str:
    """The text of bytes in UTF-8."""

    def texts() -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)

    return _narrow(texts(), spend)


def _narrow(texts: Iterator[str], spend: Spend) -> Spelled | str:
    """The bytes if all characters are latin-1, else the text, which may take four bytes a character, and twice that."""
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
    return Spelled(out.getvalue())


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
        found = escapes.match(held)
        end = found.end() if found else 0
        if len(held) - end > LONGEST_ESCAPE:
            break
        yield held[:end]
        held = held[end:]
    if held:
        msg = "a string with an escape that its writer does not write"
        raise BadPickle(msg)
