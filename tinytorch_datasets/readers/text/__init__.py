"""UTF-8 text: its lines, and how numbers and missing values are spelled.

UTF-8, strictly. Lines end in LF and nowhere else: str.splitlines would also cut at twelve other characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import numpy as np

from tinytorch_datasets.plan import ByteSource, Column
from tinytorch_datasets.readers.archives.source import INFLATION, SMALL_TEXT, opened_source
from tinytorch_datasets.readers.stream import Stream
from tinytorch_datasets.storage.string_array import StringArray
from tinytorch_datasets.verify.diagnose import wrong_content

LF = 10
BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 20
PIECE_BYTES = 1 << 18

CHARACTERS_A_NUMBER = 32

AS_PLAIN = "Save it as UTF-8 without a mark, with LF at the end of its lines."


@contextmanager
def opened_text(source: ByteSource, columns: Iterable[Column]) -> Iterator[Stream]:
    """Open a text file, plain, compressed or in an archive, bounded by its size on disk and its declared numbers."""
    on_disk = source.path.stat().st_size
    numbers = sum(column.nbytes for column in columns)
    limit = max(INFLATION * on_disk, CHARACTERS_A_NUMBER * numbers) + SMALL_TEXT
    limit_reason = f"the file has {on_disk:,}" + (f" and its declared numbers take {numbers:,}" if numbers else "")
    with opened_source(source, limit=limit, limit_reason=limit_reason) as stream:
        yield stream


def is_text(head: bytes) -> bool:
    """Check whether the first bytes of a file are UTF-8 text, and neither a web page nor an error of a server."""
    if b"\0" in head or not head:
        return False
    try:
        head[: max(len(head) - 4, 1)].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start <= len(head) - 8 or not error.start:
            return False  # not only a character that the end of the head has cut
    return wrong_content(head, "data") is None


def other_encoding(head: bytes) -> str | None:
    """Return how text is encoded that is not UTF-8, as far as its first bytes show.

    >>> other_encoding("Größe der Blätter\\n".encode("latin-1")), other_encoding("a".encode("utf-32"))
    ('text that is not in UTF-8', 'text in UTF-32; formats of text read UTF-8')
    """
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "text in UTF-32; formats of text read UTF-8"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text in UTF-16; formats of text read UTF-8"
    if is_text(head):
        return "text"
    controls = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    if controls and controls == head.count(0) and is_text(head.replace(b"\0", b"")):
        return f"text with a NUL character at byte {head.index(0):,}, as other encodings have it"
    return "text that is not in UTF-8" if not controls and head.count(b"\n") else None


def document(stream: Stream, *, plain: bool = False) -> str:
    """Return all of the text, as it is. A carriage return is an error, because it would be a character to learn.

    With `plain`, a byte order mark at the front is dropped and CRLF comes as LF, as editors read them.
    """
    data = stream.whole()
    if plain:
        data = data.removeprefix(BOM).replace(b"\r\n", b"\n")
    if data.startswith(BOM):
        _fail_at_line(stream, 1, "a byte order mark (BOM)", hint=AS_PLAIN)
    wrong_end = "a carriage return that ends no line" if plain else "a carriage return: lines must end in LF, not CRLF"
    for byte, what in ((b"\0", "a NUL character"), (b"\r", wrong_end)):
        if (at := data.find(byte)) >= 0:
            _fail_at_line(stream, data.count(b"\n", 0, at) + 1, what, hint=None if byte == b"\0" else AS_PLAIN)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        _fail_at_line(stream, data.count(b"\n", 0, error.start) + 1, _not_utf8(data, error))


def pieces(stream: Stream, *, bom: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines together, as many as fit the processor's cache, with the number of the first.

    Each line ends in LF, but the last of the text need not. `bom` lets a byte order mark stand at the front, where it
    is dropped.
    """
    number, rest, first = 1, b"", True
    # Full chunks, because a stream may come in single bytes, and each would copy the line begun.
    while chunk := stream.chunk():
        if first and chunk[:3] == BOM:
            if not bom:
                _fail_at_line(stream, 1, "a byte order mark (BOM)", hint=AS_PLAIN)
            chunk = chunk[3:]
        first = False
        data, at = rest + chunk, 0
        while end := data.rfind(b"\n", at, at + PIECE_BYTES) + 1 or data.find(b"\n", at) + 1:
            piece = data[at:end]
            yield number, piece
            number, at = number + piece.count(b"\n"), end
        rest = data[at:]
        if len(rest) > LONGEST_LINE:
            decoded_line(stream, number, rest)
    if rest:
        yield number, rest


def lines(stream: Stream, *, bom: bool = False, carriage_returns: bool = False) -> Iterator[str]:
    """Yield each line without its LF; `bom` lets a byte order mark stand at the front, where it is dropped."""
    for first, piece in pieces(stream, bom=bom):
        for number, line in enumerate(piece.removesuffix(b"\n").split(b"\n"), first):
            yield decoded_line(stream, number, line, carriage_returns=carriage_returns)


def packed_lines(stream: Stream) -> Iterator[StringArray]:
    """Yield the lines as `lines` does, many at once, and without making a str of each."""
    for first, piece in pieces(stream):
        text = np.frombuffer(piece if piece.endswith(b"\n") else piece + b"\n", np.uint8)
        ends = np.flatnonzero(text == LF)
        starts = np.concatenate(([0], ends[:-1] + 1))
        if b"\0" in piece or b"\r" in piece or (ends - starts).max() > LONGEST_LINE or not is_utf8(piece):
            for number, line in enumerate(piece.removesuffix(b"\n").split(b"\n"), first):
                decoded_line(stream, number, line)  # one of which says what is wrong
        offsets = np.append(starts - np.arange(len(starts)), ends[-1] - len(ends) + 1)
        yield StringArray.mapped(np.frombuffer(piece.replace(b"\n", b""), np.uint8), offsets)


def is_utf8(data: bytes) -> bool:
    """Check whether bytes are UTF-8, strictly."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decoded_line(stream: Stream, number: int, line: bytes, *, carriage_returns: bool = False) -> str:
    """Return a line as text; what no line of a text has is an error, which names its number."""
    if len(line) > LONGEST_LINE:
        _fail_at_line(stream, number, f"more than {LONGEST_LINE:,} bytes in one line")
    if b"\0" in line:
        _fail_at_line(stream, number, "a NUL character")
    if b"\r" in line and not carriage_returns:
        _fail_at_line(stream, number, "a carriage return: lines must end in LF, not CRLF", hint=AS_PLAIN)
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        _fail_at_line(stream, number, _not_utf8(line, error))


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> str:
    return f"bytes that are not UTF-8: {data[error.start : error.start + 4]!r}"


def _fail_at_line(stream: Stream, number: int, what: str, *, hint: str | None = None) -> NoReturn:
    stream.fail(f"line {number:,} has {what}", hint=hint)


# What stands where a value is not known, folded; no column is called so.
MISSING = frozenset({"", "?", "-", "--", ".", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none"})


def is_missing(cell: str) -> bool:
    """Check whether a cell looks as if its value is not known."""
    return cell.strip().casefold() in MISSING


# How a number is spelled in a table.
REAL = re.compile(r" *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)? *")


_TAB_OUTSIDE_QUOTES = re.compile(r'("(?:[^"]|"")*")|\t')


def single_blanks(line: str) -> str:
    """Return a line in which tabs are blanks, but in quotes, and none stands at an end."""
    return _TAB_OUTSIDE_QUOTES.sub(lambda tab: tab[1] or " ", line).strip(" \t\r")


def with_single_blanks(data: bytes) -> bytes:
    """Return lines without quotes in which each run of blanks and tabs is one blank, and none stands at an end."""
    data = data.replace(b"\t", b" ")
    text = np.frombuffer(data, np.uint8)
    is_blank = text == ord(" ")
    is_more = is_blank.copy()
    is_more[1:] &= is_blank[:-1] | (text[:-1] == ord("\n"))
    single: bytes = text[~is_more].tobytes()
    return single.replace(b" \n", b"\n")


def without_last(pieces: Iterator[tuple[int, bytes]], count: int) -> Iterator[tuple[int, bytes]]:
    """Yield all lines but the last ones, of which so many are held back until more come."""
    held = b""
    for number, data in pieces if count else ():
        first, data = number - held.count(b"\n"), held + data
        end = len(data) - data.endswith(b"\n")  # the last line of a text may end in nothing
        for _ in range(count):
            end = data.rfind(b"\n", 0, max(end, 0))
        if end >= 0:
            yield first, data[: end + 1]
        held = data[end + 1 :]
    yield from () if count else pieces
